"""Whether the configured mirrors and intervals fit the rate limits of a source: plain arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.core.text.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.check.check_results import State

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Polling:
    """What passes without changes ask a source.

    Attributes:
        mirrors: How many there are.
        intervals: Seconds between two requests: one of each mirror, and one of each listing.
    """

    mirrors: int
    intervals: Sequence[float]

    def does(self, one: str, many: str) -> str:
        """Subject and verb: ``1,200 mirrors every 15 min need``."""
        which = count(self.mirrors, "mirror")
        intervals = set(self.intervals)
        how_often = f" every {duration(intervals.pop())}" if len(intervals) == 1 else ""
        return f"{which}{how_often} {one if self.mirrors == 1 else many}"

    def requests(self, seconds: float) -> int:
        """In so many seconds, rounded up."""
        return math.ceil(round(sum(seconds / interval for interval in self.intervals), 6))

    def fits(self, seconds: float, limit: float) -> str:
        """What would just fit into a limit of so many seconds."""
        one = duration(math.ceil(seconds * len(self.intervals) / limit))
        if len(set(self.intervals)) > 1:
            return f"one interval of {one} for all would fit"
        most = math.floor(limit * self.intervals[0] / seconds)
        return f"{count(most, 'mirror')}, or an interval of {one}, would fit"


def points_verdict(polling: Polling, limit: float) -> tuple[State, str]:
    """Judge the secondary limit of points; a read costs one, a 304 included.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if not polling.intervals:
        return "ok", f"{limit:,g} points a minute; no mirror reads from here"
    needed = polling.requests(60)
    said = f"{polling.does('needs', 'need')} {needed:,} of {limit:,g} points a minute"
    if needed > limit:
        return "warning", f"{said}, so passes take longer than that; {polling.fits(60, limit)}"
    return "ok", f"{said}; {polling.fits(60, limit)}"


def hourly_verdict(polling: Polling, limit: int, *, anonymous: bool) -> tuple[State, str]:
    """Judge the primary limit; a 304 costs nothing there, if the request had a credential.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    ("Use conditional requests if appropriate")
    """
    if not polling.intervals:
        return "ok", f"{limit:,} requests an hour; no mirror reads from here"
    needed = polling.requests(_HOUR)
    said = f"{polling.does('sends', 'send')} {needed:,} requests an hour, {limit:,} are allowed"
    if needed <= limit:
        return "ok", said
    if anonymous:
        fits = polling.fits(_HOUR, limit)
        return "warning", f"{said} without a token; configure a token ({fits} without one)"
    free = math.ceil(100 * (needed - limit) / needed)
    return "ok", (
        f"{said}: this works while at least {free} % are answered with 304 (unchanged), which is free"
    )
