"""Rows 13 and 16: a first sync, and an idle pass, over a WAN."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.idle import RELEASES as IDLE_RELEASES
from benchmarks.idle import Idle
from benchmarks.measure import Contender, Line, Round, at_most, plain
from benchmarks.network import GIGABIT, PAYLOAD, Link, network
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Link(round_trip=0.08, rate=GIGABIT)
TARGET = Link(round_trip=0.02, rate=GIGABIT)
NODES = {"source": SOURCE, "target": TARGET, "worker": Link()}

REPOSITORIES = 5
RELEASES = 10
ASSETS = 6
SIZE = 2 * MIB

CONNECTIONS = 16
"""To one host, by default."""

FAR = ("connection", "listing", "asset's address", "connection to its storage", "first byte")
"""Round trips to the source that must follow one another before the first byte arrives."""

NEAR = ("upload's response", "assets read again", "publication")
"""Round trips to the target that must follow the last byte."""


def lower_bound(size: int) -> float:
    """Seconds for all bytes over the slower link, and the round trips before and after them."""
    trips = len(FAR) * SOURCE.round_trip + len(NEAR) * TARGET.round_trip
    return size / (min(SOURCE.rate, TARGET.rate) * PAYLOAD) + trips


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """Five repositories; the source is 80 ms away, the target 20 ms, each at 1 Gbit/s."""
    repositories = 1 if options.quick else REPOSITORIES
    releases = [[SIZE] * ASSETS] * RELEASES
    bound = lower_bound(SIZE * ASSETS * RELEASES * repositories)

    def of_bound(name: str) -> Callable[[Round], float]:
        return lambda samples: samples[name]["seconds"] / bound

    with network(NODES) as net, scene(releases, repositories=repositories, net=net) as here:
        contenders = both(lambda fast: here.sync(fast=fast))
        lines = [
            Line("first sync / lower bound", of_bound("fast"), at_most(1.25)),
            Line("plain install / lower bound", of_bound("plain")),
            Line("first sync", plain("fast"), unit="s"),
            Line("requests to the source", plain("fast", "requests_source")),
            Line("requests to the target", plain("fast", "requests_target")),
            Line("peak memory", plain("fast", "rss", 1 / MIB), unit="MiB"),
            Line("CPU of sync", plain("fast", "cpu"), unit="s"),
        ]
        yield Plan(list(contenders), lines, lambda: [f"lower bound: {bound:.2f} s"])


@contextmanager
def stage_idle(options: Options) -> Iterator[Plan]:
    """1,000 unchanged mirrors, whose source is 80 ms away."""
    mirrors = 100 if options.quick else 1000
    bound = mirrors / CONNECTIONS * SOURCE.round_trip
    with network(NODES) as net, scene(IDLE_RELEASES, repositories=mirrors, net=net) as here:
        idle = Idle(here)
        config = idle.ledger(mirrors)
        name = "idle pass / a round trip for each 16 mirrors"
        lines = [
            Line(name, lambda samples: samples["idle"]["seconds"] / bound, at_most(1.1)),
            Line("idle pass", plain("idle"), unit="s"),
            Line("CPU of it", plain("idle", "cpu"), unit="s"),
            Line("requests to the source", plain("idle", "requests_source")),
        ]
        contenders = [Contender("idle", lambda: idle.sync(config, mirrors, fast=True))]
        yield Plan(contenders, lines, lambda: [f"{CONNECTIONS} connections: {bound:.2f} s"])


ROW = Row("13", "first sync over a WAN, 300 assets of 2 MiB", "wan", stage, ("nginx",))
IDLE = Row("16", "idle pass over 1,000 mirrors over a WAN", "wan_idle", stage_idle, ("nginx",))

if __name__ == "__main__":
    main(ROW)
