"""When a failed item is tried again: in the next pass, then after delays that double.

Only what *failed* is delayed. What is blocked or waits for something, the end of a rate limit
included, is tried in every pass, and what is quarantined at each audit. Decisions only; times are
seconds since the epoch.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from mirror.core.failure import Failure
from mirror.core.json_types import Moment, Seconds
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

SLACK = 0.1
"""Part of the time between two passes by which a delay is shortened: passes do not begin to the
second, and a pass that comes a little early would otherwise leave the item to the one after it."""


class FailedItem(Struct, frozen=True):
    """A release, an asset or a whole mirror that failed when it was last tried.

    Attributes:
        failure: How; its ``facts`` are a fingerprint of the item, and of anything else it is tried
            anew.
        tried_at: When the pass began that tried it.
        delay: Seconds from then until it is tried again; 0 for the next pass.
    """

    failure: Failure
    tried_at: Moment
    delay: Seconds = 0.0

    @property
    def key(self) -> tuple[int, int]:
        """The source's release and asset; ``(0, 0)`` for the mirror as a whole."""
        return self.failure.release_id, self.failure.asset_id

    def waits(self, now: float, longest: float) -> bool:
        """Whether it is left alone.

        Args:
            now: When this pass began. A clock that was set back proves nothing.
            longest: The longest delay that the settings allow now.
        """
        return 0 <= now - self.tried_at < min(self.delay, longest)


def after_pass(
    before: Iterable[FailedItem],
    failures: Iterable[Failure],
    *,
    now: float,
    last_pass: float,
    longest: float,
    finished: bool = True,
) -> tuple[FailedItem, ...]:
    """The failed items after a pass.

    An item that failed for the first time, or in another way, is tried in the next pass. One that
    failed the same way again is delayed twice as long as before, and twice the time between the last
    two passes at least. A try before its time, which somebody asked for, changes nothing.

    Args:
        before: The failed items before it.
        failures: All failures of the pass, those of items that it left alone included.
        now: When it began.
        last_pass: When the pass before it began; 0 if that is not known.
        longest: The longest delay, seconds.
        finished: Everything was tried; otherwise what did not fail again stays as it was.
    """
    known = {item.key: item for item in before}
    after = {} if finished else dict(known)
    gap = max(0.0, now - last_pass) if last_pass else 0.0
    for failure in failures:
        if not _may_wait(failure):
            continue
        key = (failure.release_id, failure.asset_id)
        item = known.get(key)
        if item is None or not _same_way(item.failure, failure):
            after[key] = FailedItem(replace(failure, next_attempt=None), now)
        elif item.waits(now, longest):
            after[key] = item
        else:
            delay = 2 * max(item.delay, gap - SLACK * gap)
            delay = min(delay, longest - SLACK * min(gap, longest))
            after[key] = _delayed(failure, now, delay)
    return tuple(after.values())


def with_next_attempts(failures: Iterable[Failure], items: Iterable[FailedItem]) -> list[Failure]:
    """The failures, each with the time of its next attempt; ``None`` for the next pass."""
    known = {item.key: item.failure.next_attempt for item in items}

    def told(failure: Failure) -> Failure:
        at = known.get((failure.release_id, failure.asset_id))
        return replace(failure, next_attempt=at) if at and _may_wait(failure) else failure

    return [told(failure) for failure in failures]


def _may_wait(failure: Failure) -> bool:
    """Whether it is the item that failed: a rate limit is its host's, which says when it is over."""
    return failure.state == "failed" and failure.kind != "rate-limit"


def _same_way(before: Failure, now: Failure) -> bool:
    return (before.kind, before.facts) == (now.kind, now.facts)


def _delayed(failure: Failure, now: float, delay: float) -> FailedItem:
    # Rounded up: at the time that a report tells, the item is due.
    at = iso(datetime.fromtimestamp(math.ceil(now + delay), UTC)) if delay else None
    return FailedItem(replace(failure, next_attempt=at), now, delay)
