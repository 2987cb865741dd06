"""A private PostgreSQL server for tests, on a Unix socket; skipped by name where it is not installed.

The workers of a test run share one server through a lock file; each test gets a database of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from mirror.database import schema
from mirror.database.connection import Database
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mirror.core.clock import Clock

_NAMES = itertools.count(1)
_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def _programs() -> Path | None:
    """Where initdb and pg_ctl are: on the path, or where Debian puts them."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(places, key=lambda path: int(path.parts[4]), default=None)
    return newest.parent if newest else None


class PostgresServer:
    """A server of its own, run by an unprivileged user if we are root.

    Args:
        directory: For its files and its socket; short, since a socket's path is limited.
        durable: Keep what was committed through a crash of the machine, too.
        options: More options of ``postgres``.
    """

    def __init__(self, directory: Path, *, durable: bool = False, options: str = "") -> None:
        programs = _programs()
        if programs is None:
            pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
        self._programs = programs
        self._options = f"{'' if durable else _FAST} {options}"
        self.directory = directory
        self._user = "nobody" if os.geteuid() == 0 else None

    def create(self) -> None:
        """Make the data directory."""
        self._own_directory()
        self._run("initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")

    def copy_of(self, primary: PostgresServer) -> None:
        """Make the data directory of a standby of a running server."""
        self._own_directory()
        source = ["-h", str(primary.directory), "-U", "postgres"]
        self._run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast")

    def promote(self) -> None:
        """Make a standby a server of its own."""
        self._run("pg_ctl", "promote", "-w", "-s")

    def _own_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._user:
            os.chown(self.directory, pwd.getpwnam(self._user).pw_uid, -1)

    def start(self) -> None:
        """Start it; returns when it accepts connections."""
        options = f"-k {self.directory} -c listen_addresses='' -c max_connections=100"
        options += f" -c shared_buffers=32MB {self._options}"
        log = str(self.directory / "log")
        self._run("pg_ctl", "start", "-w", "-s", "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``fast`` ends sessions, ``immediate`` is a crash.

        A crash loses the last commits unless the server is durable.
        """
        self._run("pg_ctl", "stop", "-w", "-s", "-m", mode)

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def new_database(self) -> str:
        """Make a database; its URL."""
        name = f"test_{os.getpid()}_{next(_NAMES)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        name = url.partition("@/")[2].partition("?")[0]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.directory / "data"), *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        # The server inherits the output, so it must not be a pipe that somebody reads to its end.
        with (self.directory / "output").open("ab") as output:
            done = subprocess.run(
                command,
                check=False,
                user=self._user,
                env=environment,
                cwd="/",
                stdout=output,
                stderr=output,
            )
        if done.returncode:
            text = (self.directory / "output").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{program} failed: {text}")


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
