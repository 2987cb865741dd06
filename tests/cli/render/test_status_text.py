"""What `status` prints."""

from __future__ import annotations

import pytest

from mirror.cli.render.status_text import status_tables
from mirror.core.ledger.index import ProofCounts
from mirror.core.reporting.status import MirrorStatus
from support.reports import START, text


@pytest.mark.parametrize(
    ("assumed", "line"),
    [
        ((0, 0), ""),
        (
            (0, 1),
            "1 asset is assumed, not proven: release-mirror verify --repair downloads and compares it",
        ),
        (
            (2000, 1),
            "2,001 assets are assumed, not proven: release-mirror verify --repair downloads and compares them",
        ),
    ],
)
def test_status_says_how_to_prove_what_is_assumed(assumed: tuple[int, int], line: str) -> None:
    """In one line over all mirrors, and only where something is assumed."""
    statuses = [
        MirrorStatus(
            f"github:o/{number}",
            f"m/{number}",
            "ok",
            START,
            *(1, 3000, 1),
            *(None, (), ()),
            proof=ProofCounts(0, 3000 - count, count),
        )
        for number, count in enumerate(assumed)
    ]
    shown = text(status_tables(statuses, START)).splitlines()
    assert [part.strip() for part in shown if "assumed" in part] == ([line] if line else [])
