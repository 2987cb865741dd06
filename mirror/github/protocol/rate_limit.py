"""What requests cost, the primary limit, and ``Retry-After`` by our clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mirror.github.protocol.headers import moment_of, number_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_MOMENT = 200_000_000_000  # in the year 8307
_LONGEST_LIMIT = timedelta(days=31)
"""Hosts count by the hour or the minute; what says years is a mistake, and must not last."""


_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def points_of(method: str) -> int:
    """What a request costs of the secondary limit of points a minute.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    ("Calculating points for the secondary rate limit")
    """
    return 1 if method in _READS else 5


def creates_content(method: str) -> bool:
    """Whether a request counts against the limits of content creation.

    GitHub does not document which requests do. Creating, setting and editing count here (publishing
    a draft is an edit, and notifies its watchers); deleting does not.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    ("About secondary rate limits")
    """
    return method in {"POST", "PUT", "PATCH"}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer says of the limits; each ``None`` where it says nothing.

    A GitHub Enterprise Server has no limits unless its administrator wants some, and upload hosts
    say nothing at all: absent is not 0.

    Attributes:
        limit: Requests in a window.
        remaining: Requests left in this window.
        reset: When the next window begins, in seconds since the epoch of the *host's* clock.
        date: The host's clock (``Date``) when it answered.
        retry_after: ``Retry-After`` as it came: seconds, or a date.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    date: str | None = None
    retry_after: str | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> RateLimit:
        """Read the headers of an answer (a mapping that ignores case)."""
        return cls(
            limit=number_of(headers.get("X-RateLimit-Limit")),
            remaining=number_of(headers.get("X-RateLimit-Remaining")),
            reset=_moment(headers.get("X-RateLimit-Reset")),
            date=headers.get("Date"),
            retry_after=headers.get("Retry-After"),
        )

    def resets_at(self, now: datetime) -> datetime | None:
        """When the next window begins by *our* clock, which may differ from the host's."""
        if self.reset is None:
            return None
        try:
            reset = datetime.fromtimestamp(self.reset, UTC)
            return now + _bounded(reset - (moment_of(self.date) or now))
        except (OverflowError, ValueError, OSError):
            return None

    def retries_at(self, now: datetime) -> datetime | None:
        """When ``Retry-After`` ends by our clock; ``None`` without one."""
        if self.retry_after is None:
            return None
        try:
            seconds = number_of(self.retry_after.strip())
            if seconds is not None:
                return now + _bounded(timedelta(seconds=seconds))
            moment = moment_of(self.retry_after)
            return now + _bounded(moment - (moment_of(self.date) or now)) if moment else None
        except (OverflowError, ValueError):
            return None


def _bounded(wait: timedelta) -> timedelta:
    return min(max(wait, timedelta(0)), _LONGEST_LIMIT)


def _moment(text: str | None) -> int | None:
    """Seconds since the epoch that a calendar has."""
    number = number_of(text)
    return number if number is not None and number < _LAST_MOMENT else None
