"""Rate limits: requests an hour for each credential, and content creation a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600
MINUTE = 60


@dataclass(slots=True)
class _Window:
    reset: float
    used: int = 0
    creations: deque[float] = field(default_factory=deque)


class RateLimits:
    """Counts the requests of each credential.

    Args:
        clock: Seconds since the epoch.
        limit: Requests an hour with a token; 0 turns the primary limit off.
        anonymous: Requests an hour without one.
        creations: Requests a minute that create content; 0 is no limit.
    """

    def __init__(
        self, clock: Callable[[], float], limit: int, anonymous: int, creations: int
    ) -> None:
        self._clock = clock
        self.limit = limit
        self.anonymous = anonymous
        self.creations = creations
        self._windows: dict[str, _Window] = {}

    @property
    def enabled(self) -> bool:
        """Whether there is a primary limit."""
        return self.limit > 0

    def _window(self, credential: str) -> _Window:
        now = self._clock()
        found = self._windows.get(credential)
        if found is None or now >= found.reset:
            creations = found.creations if found else deque()
            found = self._windows[credential] = _Window(now + HOUR, creations=creations)
        return found

    def of(self, credential: str) -> int:
        """Requests an hour for this credential; the empty one is anonymous."""
        return self.limit if credential else self.anonymous

    def exhausted(self, credential: str) -> bool:
        """Whether nothing is left."""
        return self.enabled and self._window(credential).used >= self.of(credential)

    def spend(self, credential: str) -> None:
        """Count a request."""
        if self.enabled:
            self._window(credential).used += 1

    def use(self, credential: str, requests: int) -> None:
        """Count requests as if another client had sent them with this credential."""
        self._window(credential).used += requests

    def creating(self, credential: str) -> int:
        """Count a request that creates content.

        Returns:
            Seconds to wait if there were too many, else 0.
        """
        if not self.creations:
            return 0
        now, times = self._clock(), self._window(credential).creations
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= self.creations:
            return max(1, round(times[0] + MINUTE - now))
        times.append(now)
        return 0

    def status(self, credential: str) -> dict[str, int]:
        """`limit`, `used`, `remaining` and `reset` (epoch seconds)."""
        window, limit = self._window(credential), self.of(credential)
        used = min(window.used, limit)
        return {"limit": limit, "used": used, "remaining": limit - used, "reset": int(window.reset)}
