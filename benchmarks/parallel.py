"""Row 3: several large assets concurrently."""

from __future__ import annotations

from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, at_least, plain, ratio
from benchmarks.single import servers
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import MIB, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ASSETS = 8
AT_ONCE = 4


def four_pipes(here: Scene, size: int) -> str:
    """``curl | curl`` for each asset, four at once."""
    source, target = peers.asset(here, size, "asset-{}.bin")
    one = peers.piped(source, target, size, here.authority)
    return f"seq {ASSETS} | xargs -P{AT_ONCE} -I{{}} bash -o pipefail -c {quote(one)}"


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """Eight assets of one release, transferred four at a time."""
    size = (16 if options.quick else 256) * MIB
    with scene([[size] * ASSETS], sink={}) as here:
        contenders = [
            Contender("curl", lambda: shell(four_pipes(here, size))),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line("speed of sync / four curl | curl", ratio("curl", "fast"), at_least(1.0)),
            Line("plain install / four curl | curl", ratio("curl", "plain")),
            Line("four curl | curl", plain("curl"), unit="s"),
            Line("CPU of sync", plain("fast", "cpu"), unit="s"),
            Line("CPU of four curl | curl", plain("curl", "cpu"), unit="s"),
        ]

        def counting() -> None:
            here.hashing = False

        def notes() -> Sequence[str]:
            source, target = peers.asset(here, size, "asset.bin")
            return [servers(source, target, here.files / str(size), size, AT_ONCE)]

        yield Plan(contenders, lines, notes, counting)


ROW = Row(
    "3",
    "8 times 256 MiB, 4 at once, loopback",
    "parallel",
    stage,
    ("curl", "bash", "nginx", "xargs"),
)

if __name__ == "__main__":
    main(ROW)
