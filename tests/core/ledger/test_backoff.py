"""When a failed item is tried again."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.failure import Failure
from mirror.core.ledger.backoff import FailedItem, after_pass, with_next_attempts

if TYPE_CHECKING:
    from mirror.errors import FailureKind

HOUR = 3600.0
DAY = 24 * HOUR
T = 1_800_000_000.0
LATE = Failure("unavailable", "502", "upload-asset", release_id=1, asset_id=2, facts="as it is")
OTHER = Failure("corrupt", "digest", "upload-asset", release_id=1, asset_id=2, facts="as it is")
CHANGED = Failure("unavailable", "502", "upload-asset", release_id=1, asset_id=2, facts="new")
WAITING = Failure("tag-missing", "no tag", release_id=1)
FINAL = Failure("empty", "0 bytes", release_id=1, asset_id=3, final=True)


def item(delay: float, *, tried_at: float = T - HOUR, failure: Failure = LATE) -> FailedItem:
    return FailedItem(failure, tried_at, delay)


@pytest.mark.parametrize(
    ("before", "failure", "gap", "delay"),
    [
        # what was recorded, how it failed now, hours since the pass before → hours of delay
        (None, LATE, 1, 0),
        (item(0), LATE, 1, 1.8),
        (item(0), LATE, 0, 0),  # a pass right after another one proves no interval
        (item(0.5 * HOUR), LATE, 1, 1.8),  # passes have become rarer
        (item(1.8 * HOUR, tried_at=T - 2 * HOUR), LATE, 1, 3.6),
        (item(3.6 * HOUR, tried_at=T - 4 * HOUR), LATE, 1, 7.2),
        (item(20 * HOUR, tried_at=T - 20 * HOUR), LATE, 1, 23.9),  # at most `longest`
        (item(0, tried_at=T - 72 * HOUR), LATE, 72, 21.6),
        (item(0), OTHER, 1, 0),
        (item(0), CHANGED, 1, 0),
        (item(5 * HOUR), OTHER, 1, 0),
        (item(5 * HOUR), LATE, 1, 5),  # tried before its time: nothing changes
        (item(5 * HOUR, tried_at=T + HOUR), LATE, 1, 10.0),  # the clock was set back
        (item(90 * HOUR, tried_at=T - 25 * HOUR), LATE, 1, 23.9),  # the settings were changed
    ],
)
def test_the_delay_of_an_item(
    before: FailedItem | None, failure: Failure, gap: float, delay: float
) -> None:
    """None at first and for another failure; then it doubles, from the time between two passes."""
    after = after_pass(
        [before] if before else [], [failure], now=T, last_pass=T - gap * HOUR, longest=DAY
    )
    assert [round(one.delay / HOUR, 2) for one in after] == [delay]
    assert (after[0].failure.next_attempt is not None) == (delay > 0 and after[0] is not before)


def test_only_what_failed_is_delayed() -> None:
    """What waits or is blocked is tried in every pass, what is quarantined at the audits."""
    kinds: list[FailureKind]
    kinds = [
        "rate-limit",
        "permission",
        "credential",
        "archived",
        "tag-missing",
        "not-ready",
        "policy",
    ]
    failures = [Failure(kind, "", release_id=n) for n, kind in enumerate(kinds)]
    assert after_pass([], [*failures, FINAL], now=T, last_pass=0, longest=DAY) == ()


def test_an_item_that_no_longer_fails_is_forgotten() -> None:
    """But for those that an interrupted pass did not come to."""
    before = [item(0), item(0, failure=Failure("git", "", release_id=9))]
    after = after_pass(before, [LATE], now=T, last_pass=T - HOUR, longest=DAY)
    assert [one.failure.kind for one in after] == ["unavailable"]
    after = after_pass(before, [LATE], now=T, last_pass=T - HOUR, longest=DAY, finished=False)
    assert [one.failure.kind for one in after] == ["unavailable", "git"]


def test_a_report_tells_the_next_attempt() -> None:
    """Of what is delayed; everything else is tried in the next pass, or is not delayed at all."""
    items = after_pass([item(0)], [LATE], now=T, last_pass=T - HOUR, longest=DAY)
    told = with_next_attempts([LATE, WAITING, FINAL], items)
    assert [failure.next_attempt for failure in told] == ["2027-01-15T09:48:00Z", None, None]


@given(st.floats(0, 1))
def test_an_item_is_due_at_the_time_that_is_told(fraction: float) -> None:
    """Times in reports have whole seconds; rounded down, a pass at that time would leave it alone."""
    (after,) = after_pass(
        [item(0)], [LATE], now=T + fraction, last_pass=T + fraction - HOUR, longest=DAY
    )
    told = datetime.fromisoformat(str(after.failure.next_attempt)).timestamp()
    assert not after.waits(told, DAY)
    assert after.waits(told - 1.0, DAY)


@given(st.floats(60, DAY / 20), st.lists(st.floats(-0.04, 0.04), min_size=40, max_size=40))
def test_passes_at_an_interval_try_an_item_ever_more_rarely(
    interval: float, jitter: list[float]
) -> None:
    """After 1, 2, 4, 8, … passes although none begins to the second, and at least once a day."""
    items: tuple[FailedItem, ...] = ()
    tried, last = [], 0.0
    for number, chance in enumerate(jitter):
        now = T + (number + chance) * interval
        if not any(one.waits(now, DAY) for one in items):
            tried.append(number)
        items = after_pass(items, [LATE], now=now, last_pass=last, longest=DAY)
        last = now
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert all(gap <= DAY / interval + 1 for gap in gaps)
    assert gaps[:3] == [1, 2, 4]
    assert gaps[3] in {7, 8}
