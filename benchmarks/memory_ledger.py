"""Row 20: peak memory of the commands with a ledger of a million assets."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.idle import Idle
from benchmarks.ledger import REPOSITORIES
from benchmarks.measure import Contender, Line, Sample, at_most, figures, plain
from benchmarks.stage.processes import measured
from benchmarks.stage.scene import ENVIRON, MIB, scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Goal

RELEASES = 50
"""Half a page: a full one would be followed by a request for the next."""

ASSETS = 20
ONE = "octo/r00000"

COMMANDS: Mapping[str, tuple[Sequence[str], Goal | None]] = {
    "status": (["status"], at_most(120)),
    "status --json": (["status", "--json"], at_most(120)),
    "status --html": (["status", "--html", "-"], at_most(120)),
    "plan of one mirror": (["plan", "--full", ONE], at_most(100)),
    "sync of one mirror": (["sync", "--full", ONE], None),
    "idle sync of all": (["sync", "--quiet"], None),
}
"""The arguments of each command, and its goal in MiB."""


def peak(config: Path, arguments: Sequence[str]) -> Sample:
    """The peak memory of a command."""
    order = {
        "arguments": ["--config", str(config), *arguments],
        "environ": ENVIRON,
        "good": [None, 0],
    }
    found: Sample = figures(measured("benchmarks.command_subject", order))
    return found


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """1,000 mirrors of 50 releases of 20 assets, all in sync."""
    mirrors = 20 if options.quick else REPOSITORIES
    with scene([[1000] * ASSETS] * RELEASES, repositories=mirrors) as here:
        config = Idle(here).ledger(mirrors)

        def runs(name: str) -> Contender:
            return Contender(name, lambda: peak(config, COMMANDS[name][0]))

        contenders = [runs(name) for name in COMMANDS]
        lines = [
            Line(name, plain(name, "rss", 1 / MIB), goal, "MiB")
            for name, (_, goal) in COMMANDS.items()
        ]
        yield Plan(contenders, lines)


ROW = Row(
    "20",
    "peak memory with a ledger of 1,000,000 assets in 1,000 repositories",
    "memory_ledger",
    stage,
    ("nginx",),
    warm_up=False,
)

if __name__ == "__main__":
    main(ROW)
