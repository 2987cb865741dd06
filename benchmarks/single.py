"""Row 2: one large asset, as fast as the wire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, at_least, plain, ratio
from benchmarks.stage import ceiling
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """Download from nginx, upload to a counting sink."""
    size = (64 if options.quick else 1024) * MIB
    with scene([[size]], sink={}) as here:
        source, target = peers.asset(here, size, "asset.bin")
        contenders = [
            Contender("curl", lambda: shell(peers.piped(source, target, size))),
            Contender("tee", lambda: shell(peers.hashed(source, target, size))),
            Contender("disk", lambda: shell(peers.by_disk(source, target, here.files / "stored"))),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line("speed of sync / curl | curl", ratio("curl", "fast"), at_least(0.95)),
            Line(
                "speed of sync / curl | tee >(sha256sum) | curl",
                ratio("tee", "fast"),
                at_least(1.7),
            ),
            Line("plain install / curl | curl", ratio("curl", "plain")),
            Line("plain install / curl | tee >(sha256sum) | curl", ratio("tee", "plain")),
            Line("curl to memory, then curl / curl | curl", ratio("curl", "disk")),
            Line("curl | curl", plain("curl"), unit="s"),
            Line("CPU of sync", plain("fast", "cpu"), unit="s"),
        ]

        def counting() -> None:
            here.hashing = False

        def notes() -> Sequence[str]:
            return [servers(source, target, here.files / str(size), size, 1)]

        yield Plan(contenders, lines, notes, counting)


def servers(source: str, target: str, file: object, size: int, streams: int) -> str:
    """Throughput of the servers alone."""
    from pathlib import Path

    sent = ceiling.of_source(source, size, streams) / 1e9
    taken = ceiling.of_sink(target, Path(str(file)), streams) / 1e9
    return f"servers alone, {streams} at once: nginx sends {sent:.2f} GB/s, the sink receives {taken:.2f} GB/s"


ROW = Row("2", "one 1 GiB asset, loopback", "single", stage)

if __name__ == "__main__":
    main(ROW)
