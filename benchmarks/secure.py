"""Row 4: several large assets concurrently, over TLS on both sides."""

from __future__ import annotations

from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, at_least, plain, ratio
from benchmarks.parallel import ASSETS, AT_ONCE, four_pipes
from benchmarks.stage.processes import shell
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _alone(size: int, command: str) -> float:
    """Bytes per second of one server alone, measured with curl."""
    script = f"seq {ASSETS} | xargs -P{AT_ONCE} -I{{}} bash -c {quote(command)}"
    return ASSETS * size / shell(script)["seconds"]


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """As row 3, with every connection over TLS, including those to the API."""
    size = (16 if options.quick else 256) * MIB
    with scene([[size] * ASSETS], over_tls=True, sink={"workers": 4}, workers=2) as here:
        contenders = [
            Contender("curl", lambda: shell(four_pipes(here, size))),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line("speed of sync / four curl | curl over TLS", ratio("curl", "fast"), at_least(1.0)),
            Line("plain install / four curl | curl over TLS", ratio("curl", "plain")),
            Line("four curl | curl over TLS", plain("curl"), unit="s"),
            Line("CPU of sync", plain("fast", "cpu"), unit="s"),
            Line("CPU of four curl | curl", plain("curl", "cpu"), unit="s"),
        ]

        def counting() -> None:
            here.hashing = False

        def notes() -> Sequence[str]:
            source, target = peers.asset(here, size, "asset.bin")
            reads = f"{peers.download(source, here.authority)} -o /dev/null"
            file = quote(str(here.files / str(size)))
            writes = f"{peers.upload(target, size, here.authority)} < {file}"
            sent, taken = (_alone(size, command) / 1e9 for command in (reads, writes))
            who = f"servers alone, with {AT_ONCE} curl processes that share the cores"
            return [f"{who}: nginx sends {sent:.2f} GB/s, the sink receives {taken:.2f} GB/s"]

        yield Plan(contenders, lines, notes, counting)


ROW = Row(
    "4",
    "8 times 256 MiB, 4 at once, over TLS at both ends",
    "secure",
    stage,
    ("curl", "bash", "nginx", "xargs"),
)

if __name__ == "__main__":
    main(ROW)
