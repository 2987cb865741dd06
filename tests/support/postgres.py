"""A private PostgreSQL server for tests, on a Unix socket; skipped by name where it is not installed.

The workers of a test run share one server through a lock file; each test gets a database of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.machine import Missing
from benchmarks.stage import postgres
from mirror.database import schema
from mirror.database.connection import Database
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mirror.core.clock import Clock


class PostgresServer(postgres.PostgresServer):
    """The same, skipped by name where it is not installed."""

    def __init__(self, directory: Path, *, durable: bool = False, options: str = "") -> None:
        try:
            super().__init__(directory, durable=durable, options=options)
        except Missing as missing:
            pytest.skip(str(missing))


@contextlib.contextmanager
def shared_server(session: str) -> Iterator[PostgresServer]:
    """The server that all workers of a test run share; the last one that leaves it stops it.

    Args:
        session: The same for all workers of a run, and for no other run.
    """
    directory = Path(tempfile.gettempdir(), f"rm-pg-{os.geteuid()}-{session}"[:40])
    server = PostgresServer(directory)
    users = directory.with_suffix(".users")
    with _counted(users) as number:
        if number == 1:
            shutil.rmtree(directory, ignore_errors=True)
            server.create()
            server.start()
    try:
        yield server
    finally:
        with _counted(users, leaving=True) as number:
            if number == 0:
                server.stop()
                shutil.rmtree(directory, ignore_errors=True)
                users.unlink()


@contextlib.contextmanager
def _counted(path: Path, *, leaving: bool = False) -> Iterator[int]:
    """How many use the server, while nobody else changes that."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = int(file.read() or 0) + (-1 if leaving else 1)
        file.truncate(0)
        file.write(str(number))
        file.flush()
        yield number


@asynccontextmanager
async def opened(url: str, clock: Clock | None = None) -> AsyncIterator[Database]:
    """Connections to a database whose tables are made."""
    async with Database(lambda: url, clock or VirtualClock()) as database:
        await schema.prepare(database, patience=10)
        yield database
