"""The ledger in a PostgreSQL database: a row a mirror, a row a document, and a few rows besides."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from mirror.core.ledger.document import Index, IndexEntry, Ledger, LedgerStore, document_key
from mirror.core.ledger.encoding import decode_record, encode
from mirror.core.ledger.index import (
    PASSES_KEPT,
    HostRecord,
    ListingEntry,
    PassRecord,
    Told,
    decode_entry,
    encode_entry,
)
from mirror.database import schema
from mirror.errors import ClaimLost, DatabaseUnavailable, LedgerCorrupt, LedgerLocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from mirror.core.database_facts import DatabaseFacts
    from mirror.database.connection import Database

log = structlog.get_logger(__name__)

OVERLAP = 15.0
"""Seconds by which two looks at what changed overlap: a statement may be seen later than it began."""

NOTIFYING = 180.0
"""Seconds after which a process that began to notify counts as dead: two notices at most, each with two
attempts of half a minute."""

LOOK_AGAIN = 1.0
"""Seconds between two looks whether other processes have notified."""

PATIENCE = 40.0
"""Seconds to wait for a database that is unavailable when a command starts."""


class PostgresLedgerStore(LedgerStore):
    """Ledger documents and the index in the shared database.

    A document and an entry are saved only under the claim that this process has of the mirror, or
    if nobody ever had one. Every save is one statement: whoever takes the mirror over waits for it,
    and reads what it saved.

    Args:
        database: Connections to it.
        claimed: The number of each claim that this process has, by the mirror's key.
    """

    def __init__(self, database: Database, claimed: Mapping[str, int]) -> None:
        self._database = database
        self._claimed = claimed
        self._ready = False
        # As the database is known to hold them: only what changed is saved.
        self._records: dict[str, bytes] = {}
        self._told: dict[str, bool] = {}
        self._seen = datetime.fromtimestamp(0, UTC)

    async def exists(self) -> bool:
        """Whether the tables are there.

        Raises:
            LedgerTooNew: A later version of this program made them.
            LedgerError: They are of an earlier version, or the database cannot be used.
        """
        self._ready = self._ready or await schema.require(self._database, patience=PATIENCE)
        return self._ready

    @asynccontextmanager
    async def lock(self, wait: float = 0.0) -> AsyncIterator[None]:
        """Create or upgrade the tables. Nobody is kept out.

        Args:
            wait: Has no effect.

        Raises:
            LedgerTooNew: A later version of this program made them.
            LedgerError: The database cannot be used.
        """
        del wait
        await self.prepare(patience=PATIENCE)
        yield

    @asynccontextmanager
    async def notifying(self) -> AsyncIterator[None]:
        """Keep other processes from notifying people while the block runs.

        A process that was killed keeps them from it for :data:`NOTIFYING` seconds.

        Raises:
            LedgerLocked: Others were at it for longer than that.
            LedgerError: The database cannot be used.
        """
        clock, mine = self._database.clock, uuid.uuid4().bytes
        end = clock.monotonic() + NOTIFYING
        while not await self._begin_notifying(mine):
            if clock.monotonic() >= end:
                raise LedgerLocked("other processes are notifying")
            await clock.sleep(LOOK_AGAIN)
        try:
            yield
        finally:
            with suppress(DatabaseUnavailable):  # it expires
                await self._database.query(
                    "DELETE FROM records WHERE name = 'notifying' AND body = %s", (mine,)
                )

    async def _begin_notifying(self, mine: bytes) -> bool:
        rows = await self._database.query(
            """
            INSERT INTO records (name, body) VALUES ('notifying', %s)
            ON CONFLICT (name) DO UPDATE SET body = excluded.body, saved_at = now()
            WHERE records.body = excluded.body
            OR records.saved_at < now() - %s * interval '1 s'
            RETURNING 1
            """,
            (mine, NOTIFYING),
        )
        return bool(rows)

    async def refresh_told(self, index: Index) -> None:
        """Bring up to date whom people were told of, for a process that notifies alone.

        Raises:
            LedgerError: The database cannot be used.
        """
        told = {key for (key,) in await self._database.query("SELECT key FROM mirrors WHERE told")}
        for key, entry in index.mirrors.items():
            entry.told = self._told[key] = key in told
        rows = await self._database.query(
            "SELECT name, body FROM records WHERE name LIKE 'told:%%'"
        )
        index.told = ()
        self._records = {
            name: body for name, body in self._records.items() if not name.startswith("told:")
        }
        self._add_records(index, rows)

    async def prepare(self, *, patience: float) -> None:
        """Create or upgrade the tables.

        Args:
            patience: Seconds to wait for the database.

        Raises:
            LedgerTooNew: A later version of this program made them.
            LedgerError: The database cannot be used.
        """
        await schema.prepare(self._database, patience=patience)
        self._ready = True

    async def inspect(self) -> DatabaseFacts:
        """What the database is, and what its role may do there; nothing is changed.

        Raises:
            LedgerError: The database cannot be used.
        """
        return await schema.inspect(self._database, patience=0)

    async def load_index(self) -> Index:
        """Read the index.

        What is unreadable is left out, with a warning: the next pass looks at both sides.

        Raises:
            LedgerTooNew: A later version of this program wrote a part of it.
            LedgerError: The database cannot be used.
        """
        index = Index()
        if not await self.exists():
            return index
        rows = await self._database.query(
            "SELECT key, entry, told FROM mirrors WHERE entry IS NOT NULL ORDER BY key"
        )
        self._told = {}
        for key, body, told in rows:
            if (entry := _read_entry(key, body)) is not None:
                entry.told = self._told[key] = told
                index.mirrors[key] = entry
        self._records = {}
        self._add_records(
            index,
            await self._database.query('SELECT name, body FROM records ORDER BY name COLLATE "C"'),
        )
        index.passes = index.passes[-PASSES_KEPT:]
        return index

    async def refresh(self, index: Index) -> set[str]:
        """Bring an index up to date that other processes change, too.

        The first time everything is read, later what changed since. Mirrors that this process has a
        claim of are left alone, and so are hosts that the index knows.

        Returns:
            The names of the listings that changed.

        Raises:
            DatabaseUnavailable: At once while the database is unavailable.
            LedgerTooNew: A later version of this program wrote a part of it.
        """
        since = (self._seen, OVERLAP)
        rows = await self._database.query(
            """
            SELECT clock_timestamp(), key, entry, told FROM mirrors
            WHERE entry IS NOT NULL AND changed_at > %s - %s * interval '1 s' ORDER BY key
            """,
            since,
            patience=0,
        )
        records = await self._database.query(
            """
            SELECT name, body FROM records WHERE saved_at > %s - %s * interval '1 s'
            ORDER BY name COLLATE "C"
            """,
            since,
            patience=0,
        )
        for _, key, body, told in rows:
            if key not in self._claimed and (entry := _read_entry(key, body)) is not None:
                entry.told = self._told[key] = told
                index.mirrors[key] = entry
        new = [(name, body) for name, body in records if self._records.get(name) != body]
        known = {f"host:{name}" for name in index.hosts}
        self._add_records(index, [(name, body) for name, body in new if name not in known])
        index.passes = tuple(sorted(index.passes, key=lambda one: one.started_at))[-PASSES_KEPT:]
        self._seen, self._ready = (rows[0][0] if rows else self._seen), True
        return {name.removeprefix("listing:") for name, _ in new if name.startswith("listing:")}

    def _add_records(self, index: Index, rows: Iterable[tuple[str, bytes]]) -> None:
        for name, body in rows:
            try:
                if _add_record(index, name, body):
                    self._records[name] = body
            except LedgerCorrupt as error:
                log.warning("ledger.unreadable", record=name, reason=str(error))

    async def save_index(self, index: Index) -> None:
        """Save all of the index, for a copy; entries of mirrors that somebody claimed are left alone.

        Raises:
            LedgerError: The database cannot be used.
        """
        entries = index.mirrors
        await self._database.query(
            """
            INSERT INTO mirrors (key, entry, told)
            SELECT * FROM unnest(%s::text[], %s::bytea[], %s::boolean[])
            ON CONFLICT (key) DO UPDATE SET entry = excluded.entry, told = excluded.told
            WHERE mirrors.number = 0
            """,
            (
                list(entries),
                [encode_entry(entry) for entry in entries.values()],
                [entry.told for entry in entries.values()],
            ),
        )
        self._told = {key: entry.told for key, entry in entries.items()}
        await self.save_shared(index)

    async def save_entry(self, index: Index, key: str) -> None:
        """Save one mirror's entry of the index.

        Raises:
            ClaimLost: This process has no claim of the mirror any more.
            LedgerError: The database cannot be used.
        """
        rows = await self._database.query(
            "UPDATE mirrors SET entry = %s WHERE key = %s AND number = %s RETURNING 1",
            (encode_entry(index.mirrors[key]), key, self._claimed.get(key, 0)),
        )
        if not rows:
            raise _lost(key)

    async def save_shared(self, index: Index) -> None:
        """Save what changed of the rest: hosts, listings, passes, and whom people were told of.

        Raises:
            LedgerError: The database cannot be used.
        """
        told = {key: entry.told for key, entry in index.mirrors.items()}
        changed = {key: now for key, now in told.items() if now != self._told.get(key, False)}
        if changed:
            await self._database.query(
                """
                UPDATE mirrors SET told = given.told
                FROM unnest(%s::text[], %s::boolean[]) AS given (key, told)
                WHERE mirrors.key = given.key
                """,
                (list(changed), list(changed.values())),
            )
        self._told |= changed
        records = _records(index)
        new = {name: body for name, body in records.items() if self._records.get(name) != body}
        if new:
            await self._database.query(
                """
                INSERT INTO records (name, body) SELECT * FROM unnest(%s::text[], %s::bytea[])
                ON CONFLICT (name) DO UPDATE SET body = excluded.body, saved_at = now()
                """,
                (list(new), list(new.values())),
            )
        if gone := self._records.keys() - records.keys():
            await self._database.query("DELETE FROM records WHERE name = ANY(%s)", (list(gone),))
        self._records = records

    async def keys(self) -> list[str]:
        """The keys of all documents, in order.

        Raises:
            LedgerError: The database cannot be used.
        """
        if not await self.exists():
            return []
        rows = await self._database.query('SELECT key FROM documents ORDER BY key COLLATE "C"')
        return [key for (key,) in rows]

    async def load(self, key: str) -> Ledger | None:
        """Read a document.

        A corrupt one counts as missing: a warning is logged, and where this process has a claim of
        the mirror, the document is set aside.

        Raises:
            LedgerTooNew: A later version of this program wrote it; it is left alone.
            LedgerError: The database cannot be used, or ``key`` is not the name of a repository.
        """
        key = document_key(key)
        if not await self.exists():
            return None
        rows = await self._database.query("SELECT body FROM documents WHERE key = %s", (key,))
        try:
            return Ledger.decode(rows[0][0]) if rows else None
        except LedgerCorrupt as error:
            if key in self._claimed:
                await self.set_aside(key, str(error))
            else:
                log.warning("ledger.unreadable", document=key, reason=str(error))
            return None

    async def save(self, key: str, ledger: Ledger) -> None:
        """Save a document.

        Raises:
            ClaimLost: This process has no claim of the mirror any more.
            LedgerError: The database cannot be used, or ``key`` is not the name of a repository.
        """
        key = document_key(key)
        # The lock makes a new claim of the mirror wait until this statement has ended.
        rows = await self._database.query(
            """
            WITH other AS (SELECT 1 FROM mirrors WHERE key = %(key)s AND number <> %(number)s),
            mine AS (
                SELECT 1 FROM mirrors WHERE key = %(key)s AND number = %(number)s FOR SHARE
            )
            INSERT INTO documents (key, body, number)
            SELECT %(key)s, %(body)s, %(number)s
            WHERE CASE WHEN %(number)s = 0 THEN NOT EXISTS (SELECT FROM other)
                       ELSE EXISTS (SELECT FROM mine) END
            ON CONFLICT (key) DO UPDATE
            SET body = excluded.body, number = excluded.number, saved_at = now()
            WHERE documents.number <= excluded.number
            RETURNING 1
            """,
            {"key": key, "body": ledger.encode(), "number": self._claimed.get(key, 0)},
        )
        if not rows:
            raise _lost(key)

    async def set_aside(self, key: str, reason: str) -> None:
        """Move a document to ``documents_set_aside``; does nothing if there is none.

        Raises:
            LedgerError: The database cannot be used, or ``key`` is not the name of a repository.
        """
        key = document_key(key)
        rows = await self._database.query(
            """
            WITH gone AS (
                DELETE FROM documents WHERE key = %s AND number <= %s RETURNING key, body
            )
            INSERT INTO documents_set_aside (key, body, reason)
            SELECT key, body, %s FROM gone RETURNING id
            """,
            (key, self._claimed.get(key, 0), reason),
        )
        if rows:
            log.warning("ledger.set_aside", document=key, reason=reason)


def _lost(key: str) -> ClaimLost:
    return ClaimLost(f"another process may work on {key} now")


def _read_entry(key: str, body: bytes) -> IndexEntry | None:
    try:
        return decode_entry(body)
    except LedgerCorrupt as error:
        log.warning("ledger.unreadable", entry=key, reason=str(error))
        return None


class _Finished(Struct):
    at: float


def _records(index: Index) -> dict[str, bytes]:
    """The rows of what the index holds besides its mirrors.

    A pass has a row of its own, so that several processes add theirs.
    """
    rows = {f"listing:{name}": encode(entry) for name, entry in index.listings.items()}
    rows |= {f"host:{name}": encode(record) for name, record in index.hosts.items()}
    for record in index.passes:
        body = encode(record)
        rows[f"pass:{record.started_at:017.6f}:{_digest(body)}"] = body
    for told in index.told:
        body = encode(told)
        rows[f"told:{_digest(body)}"] = body
    if index.finished_at:
        rows["finished"] = encode(_Finished(index.finished_at))
    return rows


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _add_record(index: Index, name: str, body: bytes) -> bool:
    """Add a row of :func:`_records` to the index; whether it is one.

    Raises:
        LedgerCorrupt: It cannot be read.
    """
    kind, _, about = name.partition(":")
    match kind:
        case "listing":
            index.listings[about] = decode_record(body, ListingEntry)
        case "host":
            index.hosts[about] = decode_record(body, HostRecord)
        case "pass":
            index.passes = (*index.passes, decode_record(body, PassRecord))
        case "told":
            index.told = (*index.told, decode_record(body, Told))
        case "finished":
            index.finished_at = decode_record(body, _Finished).at
        case _:
            return False
    return True
