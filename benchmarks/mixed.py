"""Row 10: many small and a few large assets over links limited in total and per connection."""

from __future__ import annotations

from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, Round, at_most, plain
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE = 100_000_000
"""Bytes per second of each link, over all connections."""

ONE = 20_000_000
"""Bytes per second of one connection."""

SLOTS = 8
REPOSITORIES = 2
LARGE = ((60, 20), (40, 30, 10))
"""Sizes (MB) of the large assets in the two releases of each repository."""

SMALL = 100
"""Number of 50 kB assets in each release."""


def releases(quick: bool) -> list[list[int]]:
    """The sizes of one repository's assets."""
    mb = 100_000 if quick else 1_000_000
    return [[size * mb for size in large] + [50_000] * SMALL for large in LARGE]


def lower_bound(sizes: list[int]) -> float:
    """Lower bound in seconds: all bytes over the link, and the largest asset over its connection."""
    return max(sum(sizes) / RATE, max(sizes) / ONE)


def pipes(here: Scene, sizes: list[int]) -> str:
    """``curl | curl`` for each asset, eight at once, in listing order."""
    source, target = peers.asset(here, 0, "asset")
    one = peers.piped(source.replace("/0/", "/$0/"), target, 0)
    one = one.replace("Content-Length: 0", "Content-Length: $0").replace("'", '"')
    listed = " ".join(str(size) for size in sizes)
    return f"echo {listed} | xargs -P{SLOTS} -n1 bash -o pipefail -c {quote(one)}"


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """Two repositories of two releases; links of 100 MB/s, 20 MB/s for one connection."""
    wanted = releases(options.quick)
    sizes = [size for release in wanted for size in release] * REPOSITORIES
    speeds = {"rate": RATE, "connection_rate": ONE}
    with scene(wanted, repositories=REPOSITORIES, link=speeds, sink=speeds) as here:
        bound = lower_bound(sizes)

        def of_bound(name: str) -> Callable[[Round], float]:
            return lambda samples: samples[name]["seconds"] / bound

        contenders = [
            Contender("curl", lambda: shell(pipes(here, sizes))),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line("sync / lower bound", of_bound("fast"), at_most(1.15)),
            Line("plain install / lower bound", of_bound("plain")),
            Line("curl | curl an asset, 8 at once / lower bound", of_bound("curl")),
            Line("sync", plain("fast"), unit="s"),
        ]

        def counting() -> None:
            here.hashing = False

        yield Plan(contenders, lines, lambda: [f"lower bound: {bound:.2f} s"], counting)


ROW = Row(
    "10",
    "mixed sizes, 4 releases of 2 repositories, 8 slots, rate-limited links",
    "mixed",
    stage,
    ("curl", "bash", "xargs"),
)

if __name__ == "__main__":
    main(ROW)
