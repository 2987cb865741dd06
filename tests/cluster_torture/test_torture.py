"""A cluster is tortured: everything arrives once, and no mirror ever has two writers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cluster_torture.cluster import Cluster
from cluster_torture.rounds import LONGEST_TAKEOVER, UPLOAD_RATE, Torture, drawn, judge
from cluster_torture.table import PROPERTY
from mirror.core.claims import TIMES, ClaimTimes
from support.seed import EVERYTHING, SEED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHORT = ClaimTimes(lease=12.0, renew_every=2.0, margin=7.0)
"""Claims for a sample; the complete torture has those of users."""

ROUNDS = 200
PAUSE = (0.3, 3.0) if EVERYTHING else (0.0, 0.4)
"""Seconds between two rounds."""

SAMPLE = (
    "kill -9",
    "SIGSTOP past the claim",
    "database crashes",
    "hosts cut",
    "database fails over",
)


@pytest.mark.timeout(5400 if EVERYTHING else 180)
async def test_tortured_cluster(
    tmp_path: Path, short: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed, stopped, cut off, its database restarted and replaced: nothing is lost or done twice."""
    dice = random.Random(SEED)  # noqa: S311 - the same rounds every time
    if EVERYTHING:
        workers, times, kinds = 4, TIMES, drawn(ROUNDS, dice)
    else:
        workers, times, kinds = 3, SHORT, list(SAMPLE)
    cluster = Cluster(tmp_path, short, workers=workers, times=times, upload_rate=UPLOAD_RATE)
    async with cluster:
        await cluster.start_all()
        torture = Torture(cluster, dice, pause=PAUSE)
        await torture.run(kinds, lambda *_: None)
        outcome = await judge(torture)
    record_property(PROPERTY, outcome.lines())
    assert outcome.wrong == []
    assert outcome.compared.releases == len(cluster.expected) > 0
    assert outcome.taken_over > 0
    assert outcome.slowest_takeover < LONGEST_TAKEOVER
