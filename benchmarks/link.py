"""Row 1: over two links of equal speed, streaming takes as long as one transfer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, at_most, plain, ratio
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 100_000_000


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """Both links limited by byte-exact servers."""
    size = (32 if options.quick else 256) * MIB
    with scene([[size]], link={"rate": RATE}, sink={"rate": RATE}) as here:
        source, target = peers.asset(here, size, "asset.bin")
        file = here.files / "stored"
        contenders = [
            Contender("one link", lambda: shell(f"{peers.download(source)} -o /dev/null")),
            Contender("by disk", lambda: shell(peers.by_disk(source, target, file))),
            Contender("curl | curl", lambda: shell(peers.piped(source, target, size))),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line("sync / one link", ratio("fast", "one link"), at_most(1.05)),
            Line("sync, plain install / one link", ratio("plain", "one link")),
            Line("curl | curl / one link", ratio("curl | curl", "one link")),
            Line("curl to disk, then curl / one link", ratio("by disk", "one link")),
            Line("one link", plain("one link"), unit="s"),
        ]

        def counting() -> None:
            here.hashing = False

        yield Plan(contenders, lines, warmed=counting)


ROW = Row("1", "256 MiB over two links shaped to 100 MB/s", "link", stage, ("curl", "bash"))

if __name__ == "__main__":
    main(ROW)
