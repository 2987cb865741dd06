"""A PostgreSQL server and its standby, which takes over when the server is lost."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

from support.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "ledger"
_POLL = 0.05
_LONGEST = 60.0

HISTORY = """
CREATE TABLE claim_history (
    at timestamptz NOT NULL, key text NOT NULL, number bigint NOT NULL, owner text
);
CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO claim_history VALUES (clock_timestamp(), NEW.key, NEW.number, NEW.owner);
    RETURN NULL;
END $$;
CREATE TRIGGER note_new AFTER INSERT ON mirrors FOR EACH ROW
    WHEN (NEW.owner IS NOT NULL) EXECUTE FUNCTION note_claim();
CREATE TRIGGER note_change AFTER UPDATE ON mirrors FOR EACH ROW
    WHEN (OLD.number <> NEW.number OR OLD.owner IS DISTINCT FROM NEW.owner)
    EXECUTE FUNCTION note_claim();
"""
"""Who had which claim when, written down by the database itself."""


class Databases:
    """Two places for a server; one of them serves.

    Args:
        directory: Short, since sockets are in it.
        options: More options of ``postgres``.
        address: Listen there, too, on the usual port, for whoever is in the same network.
    """

    def __init__(self, directory: Path, options: str = "", address: str = "") -> None:
        if address:
            options += f" -c listen_addresses={address}"
        self._address = address
        self._servers = [
            PostgresServer(directory / place, durable=True, options=options) for place in "ab"
        ]
        self.serving = 0
        self.failovers = 0

    @property
    def server(self) -> PostgresServer:
        """The server that serves."""
        return self._servers[self.serving]

    def sockets(self) -> list[Path]:
        """The socket of each place."""
        return [server.directory / ".s.PGSQL.5432" for server in self._servers]

    def create(self) -> None:
        """Make and start the first server, with an empty database."""
        self.server.create()
        if self._address:
            with (self.server.directory / "data/pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")
        self.server.start()
        self.query(f'CREATE DATABASE "{NAME}"', database="postgres")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()

    @property
    def url(self) -> str:
        """Of the server that serves now."""
        return self.server.url(NAME)

    def query(self, statement: str, *, database: str = NAME) -> list[tuple[Any, ...]]:
        """Run statements at the server that serves."""
        url = self.server.url(database)
        with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    async def restart(self, mode: str) -> None:
        """Stop the server as ``pg_ctl stop -m MODE`` does, and start it."""
        await asyncio.to_thread(self.server.stop, mode)
        await asyncio.to_thread(self.server.start)

    async def fail_over(self) -> None:
        """Lose the server, and have a fresh standby that has everything take its place."""
        old, new = self.server, self._servers[1 - self.serving]
        shutil.rmtree(new.directory, ignore_errors=True)
        await asyncio.to_thread(new.copy_of, old)
        await asyncio.to_thread(new.start)
        await self._until("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
        self.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.query("SELECT pg_reload_conf()")
        await self._until("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(old.stop, "immediate")
        await asyncio.to_thread(new.promote)
        self.serving = 1 - self.serving
        self.failovers += 1
        shutil.rmtree(old.directory)

    async def _until(self, count: str) -> None:
        async with asyncio.timeout(_LONGEST):
            while not self.query(count)[0][0]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(_POLL)


def retried(read: Callable[[], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]] | None:
    """What a query finds; ``None`` while the database is away."""
    try:
        return read()
    except psycopg.OperationalError:
        return None
