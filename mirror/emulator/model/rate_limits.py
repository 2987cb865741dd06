"""Rate limits of each credential: requests an hour, points a minute, and content creation."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.emulator.model.host_options import HostOptions

HOUR = 3600
MINUTE = 60


@dataclass(slots=True)
class _Recent:
    """What a credential did in the last minute or hour."""

    seconds: int
    total: int = 0
    entries: deque[tuple[float, int]] = field(default_factory=deque)  # (time, cost)

    def wait(self, now: float, cost: int, limit: int) -> int:
        """Seconds to wait if this would be too much, else 0."""
        while self.entries and self.entries[0][0] <= now - self.seconds:
            self.total -= self.entries.popleft()[1]
        excess = self.total + cost - limit
        if not limit or not cost or excess <= 0:
            return 0
        for moment, amount in self.entries:
            excess -= amount
            if excess <= 0:
                return max(1, math.ceil(moment + self.seconds - now))
        return self.seconds

    def add(self, now: float, cost: int) -> None:
        self.entries.append((now, cost))
        self.total += cost


@dataclass(slots=True)
class _Usage:
    reset: float
    used: int = 0
    points: _Recent = field(default_factory=lambda: _Recent(MINUTE))
    created: tuple[_Recent, _Recent] = field(
        default_factory=lambda: (_Recent(MINUTE), _Recent(HOUR))
    )


class RateLimits:
    """Counts the requests of each credential.

    Args:
        clock: Seconds since the epoch.
        options: Say how much is allowed, at any time.
    """

    def __init__(self, clock: Callable[[], float], options: HostOptions) -> None:
        self._clock = clock
        self._options = options
        self._usages: dict[str, _Usage] = {}

    @property
    def enabled(self) -> bool:
        """Whether there is a primary limit."""
        return bool(self._options.rate_limit)

    def _usage(self, credential: str) -> _Usage:
        now = self._clock()
        found = self._usages.get(credential)
        if found is None:
            found = self._usages[credential] = _Usage(now + HOUR)
        elif now >= found.reset:
            found.reset, found.used = now + HOUR, 0
        return found

    def of(self, credential: str) -> int:
        """Requests an hour for this credential; the empty one is anonymous."""
        options = self._options
        return (options.rate_limit or 0) if credential else options.anonymous_rate_limit

    def exhausted(self, credential: str) -> bool:
        """Whether nothing is left."""
        return self.enabled and self._usage(credential).used >= self.of(credential)

    def spend(self, credential: str) -> None:
        """Count a request."""
        if self.enabled:
            self._usage(credential).used += 1

    def use(self, credential: str, requests: int) -> None:
        """Count requests as if another client had sent them with this credential."""
        self._usage(credential).used += requests

    def over_points(self, credential: str, cost: int) -> int:
        """Count a request's points; seconds to wait if there are too many, else 0."""
        now, points = self._clock(), self._usage(credential).points
        wait = points.wait(now, cost, self._options.points_per_minute)
        if not wait:
            points.add(now, cost)
        return wait

    def over_creations(self, credential: str) -> int:
        """Count a request that creates content; seconds to wait if there are too many, else 0."""
        now, (minute, hour) = self._clock(), self._usage(credential).created
        wait = max(
            minute.wait(now, 1, self._options.creations_per_minute),
            hour.wait(now, 1, self._options.creations_per_hour),
        )
        if not wait:
            minute.add(now, 1)
            hour.add(now, 1)
        return wait

    def status(self, credential: str) -> dict[str, int]:
        """`limit`, `used`, `remaining` and `reset` (epoch seconds)."""
        usage, limit = self._usage(credential), self.of(credential)
        used = min(usage.used, limit)
        return {"limit": limit, "used": used, "remaining": limit - used, "reset": int(usage.reset)}
