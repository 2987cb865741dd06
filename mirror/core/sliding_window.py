"""A sliding window: any period of a given length holds at most so many requests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESOLUTION = 10_000
"""Requests that end within this fraction of the window count as one, at the later time, so that
memory is bounded whatever the limit."""


def limit_text(limit: float, seconds: float, unit: str) -> str:
    """A limit in words: ``900 points a minute``."""
    period = "an hour" if seconds > 60 else "a minute"
    return f"{limit:,g} {unit} {period}"


@dataclass(slots=True)
class SlidingWindow:
    """Counts what was sent in the last ``seconds``, and tells when more fits.

    A request counts from the moment that it is admitted until ``seconds`` after its response: the
    host counted it at some moment in between, so the host's own window never holds more, however
    slow the network is. A token bucket would admit twice the limit in one period.

    Args:
        limit: Maximum cost in any period, above 0.
        seconds: Length of the period: 60, or 3600.
        unit: What is counted, for messages.
    """

    limit: float
    seconds: float
    unit: str = "requests"
    _open: float = 0.0  # admitted, and not answered yet
    _sum: float = 0.0  # of what was answered
    _answered: deque[tuple[float, float]] = field(default_factory=deque)  # (time, cost), in order

    @property
    def text(self) -> str:
        """The limit in words: ``900 points a minute``."""
        return limit_text(self.limit, self.seconds, self.unit)

    def wait(self, now: float, cost: float = 1.0) -> float:
        """Seconds until a request may be sent: 0 if it fits.

        Where requests in flight are in the way, this is the least that it takes. What costs more
        than the whole limit fits when nothing else is in the window.

        Args:
            now: Seconds that never go back; the same in all calls.
            cost: Of the request.
        """
        self._forget(now)
        excess = self._open + self._sum + min(cost, self.limit) - self.limit
        if excess <= 0:
            return 0.0
        for moment, answered in self._answered:
            excess -= answered
            if excess <= 0:
                return moment + self.seconds - now
        return self.seconds

    def admit(self, cost: float = 1.0) -> None:
        """A request is sent."""
        self._open += min(cost, self.limit)

    def answered(self, now: float, cost: float = 1.0) -> None:
        """The response of a request arrived, or it failed."""
        cost = min(cost, self.limit)
        self._open -= cost
        self._add(now, cost)

    def withdraw(self, cost: float = 1.0) -> None:
        """A request that was admitted was not sent."""
        self._open -= min(cost, self.limit)

    def restore(self, entries: Iterable[tuple[float, float]], now: float) -> None:
        """Add what was sent before this window existed: (time, cost), the earliest first.

        What is later than now (the clock was set back) counts as sent now.
        """
        for moment, cost in entries:
            self._add(min(moment, now), cost)
        self._forget(now)

    def entries(self, now: float) -> list[tuple[float, float]]:
        """What was sent in the last period, and what is in flight: (time, cost), in order."""
        self._forget(now)
        return [*self._answered, *([(now, self._open)] if self._open else [])]

    def _add(self, moment: float, cost: float) -> None:
        self._sum += cost
        if self._answered:
            last, before = self._answered[-1]
            moment = max(moment, last)
            bucket = self.seconds / _RESOLUTION
            if moment // bucket == last // bucket:
                self._answered[-1] = (moment, before + cost)
                return
        self._answered.append((moment, cost))

    def _forget(self, now: float) -> None:
        answered = self._answered
        while answered and answered[0][0] + self.seconds <= now:
            self._sum -= answered.popleft()[1]
        if not answered:
            self._sum = 0.0  # no error of rounding adds up


def coarse(entries: Iterable[tuple[float, float]], step: float) -> list[tuple[float, float]]:
    """Entries of a window, one for each ``step`` seconds, at the latest time in it.

    A window that is restored from them admits nothing earlier than the original would.
    """
    merged: list[tuple[float, float]] = []
    for moment, cost in entries:
        if merged and moment // step == merged[-1][0] // step:
            merged[-1] = (moment, merged[-1][1] + cost)
        else:
            merged.append((moment, cost))
    return merged
