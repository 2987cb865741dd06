"""Row 14: one large asset over a WAN that loses packets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, Sample, at_least, plain, ratio
from benchmarks.network import Link, network
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import MIB, scene
from benchmarks.wan import SOURCE, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOSS = 0.0001


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """The WAN of row 13, and one segment in 10,000 lost on each link."""
    size = (64 if options.quick else 1024) * MIB
    nodes = {
        "source": replace(SOURCE, loss=LOSS),
        "target": replace(TARGET, loss=LOSS),
        "worker": Link(),
    }
    with network(nodes) as net, scene([[size]], net=net) as here:
        source = f"{here.bytes_url}/{size}/asset.bin"
        target = f"{here.api['target']}/api/uploads/repos/mirrors/r00000/releases/1/assets?name=a"

        def curl() -> Sample:
            with here.inside():
                return shell(peers.piped(source, target, size))

        contenders = [Contender("curl", curl), *both(lambda fast: here.sync(fast=fast))]
        lines = [
            Line("speed of sync / curl | curl", ratio("curl", "fast"), at_least(0.95)),
            Line("plain install / curl | curl", ratio("curl", "plain")),
            Line("curl | curl", plain("curl"), unit="s"),
            Line("sync", plain("fast"), unit="s"),
            Line("CPU of sync", plain("fast", "cpu"), unit="s"),
        ]

        def notes() -> Sequence[str]:
            control = Path("/proc/sys/net/ipv4/tcp_congestion_control")
            return [f"congestion control: {control.read_text(encoding='ascii').strip()}"]

        yield Plan(contenders, lines, notes)


ROW = Row("14", "one 1 GiB asset over a WAN with 0.01 % loss", "wan_large", stage)

if __name__ == "__main__":
    main(ROW)
