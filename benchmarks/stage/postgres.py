"""A private PostgreSQL server on a Unix socket, run by an unprivileged user if we are root."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.machine import Missing

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

    Raises:
        Missing: PostgreSQL is not installed.
    """

    def __init__(self, directory: Path, *, durable: bool = False, options: str = "") -> None:
        programs = _programs()
        if programs is None:
            raise Missing("PostgreSQL is not installed (Debian: apt install postgresql)")
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

    @staticmethod
    def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection, in which each statement is a transaction of its own."""
        return psycopg.connect(url, autocommit=True)

    def new_database(self) -> str:
        """Make a database; its URL."""
        name = f"test_{os.getpid()}_{next(_NAMES)}"
        with self.connected(self.url()) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        name = url.partition("@/")[2].partition("?")[0]
        with self.connected(self.url()) as connection:
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
