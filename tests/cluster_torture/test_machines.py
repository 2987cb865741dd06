"""Two machines with addresses of their own: one is killed, one is stopped, a cable is pulled."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from benchmarks.machine import Missing
from benchmarks.network import Link, network
from cluster_torture.cluster import Cluster
from cluster_torture.rounds import (
    KILL,
    LINK_DOWN,
    LONGEST_TAKEOVER,
    SIZES,
    STOP,
    UPLOAD_RATE,
    Torture,
    judge,
)
from cluster_torture.table import PROPERTY
from support.seed import SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.network import Network

MIRRORS = 200
NODES = ("source", "target", "database", "w0", "w1")


@pytest.fixture
def net() -> Iterator[Network]:
    """A network with a node for each of them."""
    running = network({node: Link() for node in NODES})
    try:
        places = running.__enter__()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        yield places
    finally:
        running.__exit__(None, None, None)


@pytest.mark.timeout(1200)
async def test_two_machines(
    tmp_path: Path, short: Path, net: Network, record_property: Callable[[str, object], None]
) -> None:
    """In the midst of uploads: everything arrives once, and the other takes over within a minute."""
    dice = random.Random(SEED)  # noqa: S311 - the same rounds every time
    cluster = Cluster(tmp_path, short, workers=2, mirrors=MIRRORS, upload_rate=UPLOAD_RATE, net=net)
    async with cluster:
        for name in cluster.names:
            await cluster.publish(name, SIZES)
        await cluster.start_all()
        torture = Torture(cluster, dice)
        await torture.run([KILL, LINK_DOWN, STOP], lambda *_: None)
        outcome = await judge(torture)
    record_property(PROPERTY, outcome.lines())
    assert outcome.wrong == []
    assert outcome.compared.releases == len(cluster.expected) >= MIRRORS
    assert outcome.amid_uploads == 3
    assert outcome.taken_over > 0
    assert outcome.slowest_takeover < LONGEST_TAKEOVER
