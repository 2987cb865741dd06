"""Opens the ledger: files in a directory, or a PostgreSQL database with all that processes share.

It is not in ``app``, so that ``status`` loads no HTTP client. Nothing of PostgreSQL is imported for
files.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.claims import TIMES
from mirror.errors import ConfigError, Problem
from mirror.storage.json_ledger import FileLedgerStore
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mirror.cluster.queue import SharedQueue
    from mirror.config import Config, Secrets
    from mirror.core.claims import Claims, ClaimTimes
    from mirror.core.clock import Clock
    from mirror.core.ledger.document import LedgerStore
    from mirror.core.share import SharedLimits
    from mirror.storage.postgres_ledger import PostgresLedgerStore

INSTALL = "pip install 'release-mirror[postgres]'"


class Cluster(NamedTuple):
    """A database that several daemons share, and the ledger in it.

    Attributes:
        hurry: Waits for it no longer: the process is to end now.
    """

    store: PostgresLedgerStore
    queue: SharedQueue
    limits: SharedLimits
    hurry: Callable[[], None]


class OpenLedger(NamedTuple):
    """A ledger, who may work on its mirrors, and how much may be sent for them.

    Attributes:
        claims, limits: ``None`` for files, whose lock keeps other processes out.
        cluster: What a daemon needs to share the work; ``None`` for files.
    """

    store: LedgerStore
    claims: Claims | None = None
    limits: SharedLimits | None = None
    cluster: Cluster | None = None


@asynccontextmanager
async def open_ledger(
    config: Config,
    secrets: Secrets,
    clock: Clock | None = None,
    times: ClaimTimes = TIMES,
) -> AsyncIterator[OpenLedger]:
    """Open the configured ledger; nothing is read and nothing is connected yet.

    Args:
        config: The settings.
        secrets: Reads the database's URL.
        clock: The time; the machine's by default.
        times: How long a claim is valid.

    Raises:
        ConfigError: The URL is none, or psycopg is not installed.
    """
    clock, ref = clock or SystemClock(), config.ledger.url
    if ref is None:
        yield OpenLedger(FileLedgerStore(config.ledger.directory, clock))
        return
    try:
        check_url(secrets[ref])
    except ValueError as error:
        path = ("ledger", "url")
        problem = Problem(".".join(path), f"{ref} {error}", config.lines.find(path))
        raise ConfigError(str(config.file), [problem]) from None
    async with open_database_ledger(partial(secrets.current, ref), clock, times) as ledgers:
        yield ledgers


def check_url(url: str) -> None:
    """See that a database's URL can be used; it is not contacted.

    Raises:
        ValueError: It cannot; the message does not repeat it.
    """
    try:
        from mirror.database.connection import connection_string  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(f"needs the package {error.name}: {INSTALL}") from None
    connection_string(url)


@asynccontextmanager
async def open_database_ledger(
    url: Callable[[], str],
    clock: Clock,
    times: ClaimTimes = TIMES,
) -> AsyncIterator[OpenLedger]:
    """Open a ledger in a database; it is connected when it is used first.

    Args:
        url: Reads its URL for each new connection.
        clock: For waits between attempts.
        times: How long a claim is valid.
    """
    import os  # noqa: PLC0415
    import platform  # noqa: PLC0415
    import uuid  # noqa: PLC0415

    from mirror.cluster.claims import DatabaseClaims  # noqa: PLC0415
    from mirror.cluster.queue import SharedQueue  # noqa: PLC0415
    from mirror.cluster.shares import DatabaseLimits  # noqa: PLC0415
    from mirror.database.connection import Database  # noqa: PLC0415
    from mirror.storage.postgres_ledger import PostgresLedgerStore  # noqa: PLC0415

    async with Database(url, clock) as database:
        claimed: dict[str, int] = {}
        name = f"{platform.node()}:{os.getpid()}"
        owner = f"{name}:{uuid.uuid4()}"
        claims = DatabaseClaims(database, clock, owner, claimed, times)
        limits = DatabaseLimits(database, clock, owner)
        queue = SharedQueue(database, clock, claims, name)
        store = PostgresLedgerStore(database, claimed)
        yield OpenLedger(store, claims, limits, Cluster(store, queue, limits, database.hurry))
