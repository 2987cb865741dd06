"""What `status` prints."""

from __future__ import annotations

import pytest

from mirror.cli.render.status_text import CONDITIONS, status_tables
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import HostRecord, ProofCounts
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
    shown = text(status_tables(statuses, START, {})).splitlines()
    assert [part.strip() for part in shown if "assumed" in part] == ([line] if line else [])


def test_status_tells_what_hosts_need() -> None:
    """A limit that a pass waits for now, and a token that expires within a week."""
    at = START.timestamp()
    hosts = {
        "github": HostRecord(token_expires_at=at + 8 * 86400),
        "other": HostRecord(token_expires_at=at - 86400),
        "target": HostRecord(
            token_expires_at=at + 3 * 86400, paced_by="500 writes an hour", paced_until=at + 60
        ),
    }
    never = MirrorStatus("github:o/a", "m/a", "never", None, 0, 0, 0, None, (), ())
    shown = text(status_tables([never], START, hosts)).splitlines()
    assert [line.strip() for line in shown[-3:]] == [
        "paced: 500 writes an hour on target, ready again in 1 min",
        "The token of other expired on 2026-11-20: renew it.",
        "The token of target expires on 2026-11-24, in 3 days: renew it.",
    ]


def test_the_last_line_counts_what_the_rows_say() -> None:
    """Each mirror once, by the word in its row."""

    def status(state: str, failure: Failure | None = None, *kept: Quarantined) -> MirrorStatus:
        return MirrorStatus("github:o/a", "m/a", state, START, 0, 0, 0, failure, kept, ())

    statuses = [
        status("ok"),
        status("failed", Failure("unavailable", "no answer")),
        *[status("failed", Failure("credential", "expired"))] * 3,
        status("failed", Failure("not-ready", "still uploading")),
        status("failed", None, Quarantined("an asset is empty", "2026-11-01T00:00:00Z")),
        status("never"),
    ]
    assert {item.condition for item in statuses} == set(CONDITIONS)
    line = "8 mirrors: 1 ok, 1 failed, 3 blocked, 1 waiting, 1 quarantined, 1 never; 0 assets, 0 B"
    assert line in [part.strip() for part in text(status_tables(statuses, START)).splitlines()]
