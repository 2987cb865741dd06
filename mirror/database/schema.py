"""The tables of the shared database: created, upgraded and checked by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from mirror.core.database_facts import DatabaseFacts
from mirror.errors import DatabaseError, LedgerError, LedgerTooNew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.database.connection import Database

_LEDGER: tuple[LiteralString, ...] = (
    # One document a target repository. `number` is the claim under which it was saved.
    """
    CREATE TABLE documents (
        key text PRIMARY KEY,
        body bytea NOT NULL,
        number bigint NOT NULL DEFAULT 0,
        saved_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # Documents that could not be read or described another repository, for a person to look at.
    """
    CREATE TABLE documents_set_aside (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key text NOT NULL,
        body bytea NOT NULL,
        reason text NOT NULL,
        set_aside_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # A row a mirror, or a listing of an owner's repositories (`github:hashicorp`): its entry of the
    # index, its claim, and its place in the queue.
    #   number: grows with each claim, and every save is conditional on it.
    #   owner, claimed_until: null while nobody has it.
    #   began_at, ended_at: of the last run, by the database's clock.
    #   told: whether people were told of a failure. It is no part of the entry, since it may change
    #     while somebody has the claim.
    #   settings: a fingerprint; null for what no daemon works on, such as a removed mirror.
    #   generation: of the start, reload or listing that last changed the settings.
    #   source: the name of the host; listing: the row that found it, empty if it is configured by name.
    #   failures: that were ever reported.
    #   requested_at, requested_full: of a request that no run has answered yet.
    """
    CREATE TABLE mirrors (
        key text PRIMARY KEY,
        entry bytea,
        told boolean NOT NULL DEFAULT false,
        number bigint NOT NULL DEFAULT 0,
        owner text,
        claimed_until timestamptz,
        settings text,
        generation bigint NOT NULL DEFAULT 0,
        source text NOT NULL DEFAULT '',
        listing text NOT NULL DEFAULT '',
        next_due timestamptz NOT NULL DEFAULT now(),
        requested_at timestamptz,
        requested_full boolean NOT NULL DEFAULT false,
        began_at timestamptz,
        ended_at timestamptz,
        failures bigint NOT NULL DEFAULT 0,
        changed_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 70)
    """,
    "CREATE SEQUENCE generations",
    "CREATE INDEX mirrors_changed_at ON mirrors (changed_at)",
    "CREATE INDEX mirrors_next_due ON mirrors (next_due, (owner IS NULL))",
    "CREATE INDEX mirrors_owner ON mirrors (owner) WHERE owner IS NOT NULL",
    # What finished runs did, for whoever waits for them; kept for a day.
    """
    CREATE TABLE reports (
        key text NOT NULL,
        number bigint NOT NULL,
        body bytea NOT NULL,
        began_at timestamptz NOT NULL,
        ended_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (key, number)
    )
    """,
    # The rest of the index: `listing:NAME` a wildcard's repositories, `host:NAME` what is known of
    # a host, `pass:…` a past pass, `told:…` a notification that was sent, `finished` the last pass.
    """
    CREATE TABLE records (
        name text PRIMARY KEY,
        body bytea NOT NULL,
        saved_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)

_CLUSTER: tuple[LiteralString, ...] = (
    # Processes that share the work; `id` is new for each process.
    """
    CREATE TABLE workers (
        id text PRIMARY KEY,
        name text NOT NULL,
        version text NOT NULL,
        since timestamptz NOT NULL DEFAULT now(),
        last_heartbeat timestamptz NOT NULL DEFAULT now(),
        bytes_per_second bigint NOT NULL DEFAULT 0,
        outdated boolean NOT NULL DEFAULT false
    )
    """,
)

_LIMITS: tuple[LiteralString, ...] = (
    # What was sent with a credential, what processes hold of its limits, a pause, a refusal. `key`
    # is the host's address and the credential's fingerprint; `version` grows with every save.
    """
    CREATE TABLE limits (
        key text PRIMARY KEY,
        host text NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        state jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)
    """,
)

_SETTINGS_AND_INTENTS: tuple[LiteralString, ...] = (
    # One row: the greatest generation of a start or reload whose settings were published.
    "CREATE TABLE published (generation bigint NOT NULL)",
    "INSERT INTO published VALUES (0)",
    # What a run is about to do; null once it has ended.
    "ALTER TABLE reports ADD COLUMN intended bytea",
)

MIGRATIONS: Sequence[Sequence[LiteralString]] = (
    (*_LEDGER, *_CLUSTER, *_LIMITS),
    _SETTINGS_AND_INTENTS,
)
"""The statements that lead from each version to the next, from an empty database on.

Software of the version before goes on working while another process upgrades: a statement adds, and
takes nothing away that the former version uses.
"""

VERSION = len(MIGRATIONS)

_LOCK = 0x72656C6D  # "relm"


_TABLES = (
    "schema_version",
    "documents",
    "documents_set_aside",
    "mirrors",
    "reports",
    "records",
    "workers",
    "limits",
    "published",
)


async def inspect(database: Database, *, patience: float) -> DatabaseFacts:
    """What the database is, and what the role may do there; nothing is changed.

    Args:
        database: Which.
        patience: Seconds to wait for it.

    Raises:
        DatabaseUnavailable: The database was unavailable for ``patience`` seconds.
        DatabaseError: It refused to tell.
    """
    rows = await database.query(
        """
        SELECT current_setting('server_version'), current_user::text, current_schema()::text,
            pg_is_in_recovery(),
            coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
        """,
        patience=patience,
    )
    missing = await database.query(
        """
        SELECT wanted || ' on ' || name FROM unnest(%s::text[]) AS name,
            unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS wanted
        WHERE to_regclass(name) IS NOT NULL AND NOT has_table_privilege(name, wanted)
        UNION ALL
        SELECT 'USAGE on generations' WHERE to_regclass('generations') IS NOT NULL
        AND NOT has_sequence_privilege('generations', 'USAGE')
        """,
        (list(_TABLES),),
        patience=patience,
    )
    lacks = tuple(text for (text,) in missing)
    try:
        version = await _read_version(database, patience)
    except DatabaseError as error:
        if error.sqlstate != _NO_RIGHT:
            raise
        version = VERSION  # the tables are there, and what is missing is told
    server, role, place, standby, may_create = rows[0]
    return DatabaseFacts(server, role, place, standby, may_create, version, VERSION, lacks)


async def prepare(database: Database, *, patience: float) -> None:
    """Create the tables, or upgrade them; several processes may do so at once.

    Args:
        database: Where.
        patience: Seconds to wait for the database.

    Raises:
        LedgerTooNew: A later version of this program made them.
        DatabaseUnavailable: The database was unavailable for ``patience`` seconds.
        DatabaseError: The role lacks a right.
    """
    if await _version(database, patience) == VERSION:
        return
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL lock_timeout = '30s'")
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)"
        )
        row = await (await connection.execute("SELECT max(version) FROM schema_version")).fetchone()
        version = row[0] if row and row[0] else 0
        _refuse_later(version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                await connection.execute(statement)
        await connection.execute("DELETE FROM schema_version")
        await connection.execute("INSERT INTO schema_version VALUES (%s)", (VERSION,))


async def require(database: Database, *, patience: float) -> bool:
    """See that the tables can be read, and change nothing; ``False`` if there are none yet.

    Raises:
        LedgerTooNew: A later version of this program made them.
        LedgerError: An earlier version made them, and nothing has upgraded them yet.
        DatabaseUnavailable: The database was unavailable for ``patience`` seconds.
    """
    version = await _version(database, patience)
    if 0 < version < VERSION:
        raise LedgerError(
            f"the database has schema version {version}, and this release-mirror needs {VERSION}:"
            " start sync or daemon, which upgrade it"
        )
    return version > 0


async def _version(database: Database, patience: float) -> int:
    """The version of the tables; 0 for none.

    Raises:
        LedgerTooNew: A later version of this program made them.
    """
    version = await _read_version(database, patience)
    _refuse_later(version)
    return version


async def _read_version(database: Database, patience: float) -> int:
    try:
        rows = await database.query("SELECT max(version) FROM schema_version", patience=patience)
    except DatabaseError as error:
        if error.sqlstate == _UNDEFINED_TABLE:
            return 0
        raise
    return int(rows[0][0] or 0)


_UNDEFINED_TABLE = "42P01"
_NO_RIGHT = "42501"


def _refuse_later(version: int) -> None:
    if version > VERSION:
        raise LedgerTooNew(
            f"the database has schema version {version}, made by a later release-mirror; this one"
            f" knows {VERSION}: upgrade release-mirror"
        )
