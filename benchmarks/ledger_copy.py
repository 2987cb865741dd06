"""Row 24: a ledger of a million assets is copied into PostgreSQL, and back."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.ledger import REPOSITORIES, write
from benchmarks.machine import python
from benchmarks.measure import Contender, Line, Sample, at_most, plain
from benchmarks.stage.postgres import PostgresServer
from benchmarks.stage.processes import Failed, timed
from benchmarks.stage.scene import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Copies:
    """Copies of a ledger, each into a new place."""

    def __init__(self, server: PostgresServer, original: Path) -> None:
        self._server = server
        self._original = original
        self._back = original.with_name("back")
        self._url = server.new_database()
        self.size = 0.0

    def to_database(self) -> Sample:
        """From the directory into a new, empty database."""
        self._server.drop_database(self._url)
        self._url = self._server.new_database()
        return self._copy(str(self._original), "env:BENCH_LEDGER")

    def to_directory(self) -> Sample:
        """From a database into a new directory, which must be equal to the original."""
        shutil.rmtree(self._back, ignore_errors=True)
        self.to_database()
        with self._server.connected(self._url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            self.size = float(row[0]) if row else 0.0
        sample = self._copy("env:BENCH_LEDGER", str(self._back))
        if found := differing(self._original, self._back):
            raise Failed(f"the copy differs: {found[:3]}")
        return sample

    def _copy(self, source: str, target: str) -> Sample:
        command = [python(), "-m", "mirror", "ledger", "copy", source, target]
        return timed(command, {"BENCH_LEDGER": self._url})


def differing(one: Path, other: Path) -> Sequence[str]:
    """The files that two ledgers do not have in common, byte for byte."""

    def files(root: Path) -> set[str]:
        return {str(path.relative_to(root)) for path in root.rglob("*.json")}

    names = files(one)
    if names != files(other):
        return sorted(names ^ files(other))
    _, mismatched, failed = filecmp.cmpfiles(one, other, sorted(names), shallow=False)
    return mismatched + failed


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """A directory with 1,000 documents of 1,000 assets each, and a private PostgreSQL server."""
    repositories = 20 if options.quick else REPOSITORIES
    with tempfile.TemporaryDirectory(prefix="rm-b-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = PostgresServer(directory / "pg", durable=True)
        server.create()
        server.start()
        try:
            write(directory / "ledger", repositories)
            copies = Copies(server, directory / "ledger")
            contenders = [
                Contender("in", copies.to_database),
                Contender("out", copies.to_directory),
            ]
            lines = [
                Line("into the database", plain("in"), unit="s"),
                Line("peak memory of that", plain("in", "rss", 1 / MIB), at_most(150), "MiB"),
                Line("back into a directory", plain("out"), unit="s"),
                Line("peak memory of that", plain("out", "rss", 1 / MIB), at_most(150), "MiB"),
            ]

            def notes() -> Sequence[str]:
                return [
                    "the copy of the copy equals the original, byte for byte",
                    f"the database has {copies.size / MIB:.0f} MiB",
                ]

            yield Plan(contenders, lines, notes)
        finally:
            server.stop()


ROW = Row(
    "24",
    "1,000 repositories of 1,000 assets copied to PostgreSQL and back",
    "ledger_copy",
    stage,
    (),
    warm_up=False,
)

if __name__ == "__main__":
    main(ROW)
