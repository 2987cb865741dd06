"""What may still be sent to a host in this minute and hour: holds requests back until they fit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.shared_limits import UNITS
from mirror.core.sliding_window import SlidingWindow
from mirror.github.semaphore import ThreadSafeSemaphore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from mirror.core.clock import Clock
    from mirror.core.share import Share, UnitShare
    from mirror.github.settings import Limits

_SLICE = 30.0
_SHORTEST = 0.001
"""Seconds; sums of floats may miss a moment by less."""


class Paced(NamedTuple):
    """A wait for a limit.

    Attributes:
        limit: The limit in words: ``900 points a minute``.
        seconds: Until the next request is sent.
    """

    limit: str
    seconds: float


class Pacer:
    """Admits requests that fit into all of some windows, first come, first served.

    It may be used from any thread; a task waits in its own event loop.

    Args:
        clock: For every wait.
        windows: What has to have room, where this process has the credential to itself.
        share: Of the same limits; while it is active, the windows only count.
    """

    def __init__(
        self, clock: Clock, windows: Sequence[SlidingWindow], share: UnitShare | None = None
    ) -> None:
        self.limited = bool(windows)
        self._share = share
        self._clock = clock
        self._windows = windows
        self._lock = threading.Lock()  # of the windows
        self._turn = ThreadSafeSemaphore(1)  # held by the one that is next

    async def admit(
        self,
        cost: float,
        ready: Callable[[], Awaitable[None]],
        waiting: Callable[[str, float], None],
    ) -> None:
        """Wait until a request fits, and count it as in flight.

        :meth:`answered` or :meth:`withdraw` has to follow.

        Args:
            cost: Of the request.
            ready: Awaited before each look: for the end of a pause, and to raise why nothing is
                sent any more.
            waiting: Told the limit and the seconds of each wait.
        """
        if share := self._shared:
            await self._admit_shared(share, cost, ready, waiting)
            return
        async with self._turn:
            while True:
                await ready()
                with self._lock:
                    seconds, window = self._wait(cost)
                    if window is None:
                        for one in self._windows:
                            one.admit(cost)
                        return
                waiting(window.text, seconds)
                await self._clock.sleep(min(max(seconds, _SHORTEST), _SLICE))

    async def _admit_shared(
        self,
        share: UnitShare,
        cost: float,
        ready: Callable[[], Awaitable[None]],
        waiting: Callable[[str, float], None],
    ) -> None:
        share.enqueue(cost)
        try:
            async with self._turn:
                while True:
                    await ready()
                    if share.take(cost):
                        break
                    seconds, text = share.wait(cost)
                    if seconds:
                        waiting(text, seconds)
                    bell = ThreadSafeSemaphore(0)
                    share.ask(cost, bell.release)
                    await bell.acquire()
        except BaseException:
            share.leave(cost)
            raise
        with self._lock:
            for window in self._windows:
                window.admit(cost)

    @property
    def _shared(self) -> UnitShare | None:
        return self._share if self._share and self._share.active else None

    def answered(self, cost: float) -> None:
        """The response arrived, or the request failed."""
        if share := self._shared:
            share.answered(cost)
        with self._lock:
            for window in self._windows:
                window.answered(self._clock.monotonic(), cost)

    def withdraw(self, cost: float) -> None:
        """The request was not sent."""
        if share := self._shared:
            share.withdraw(cost)
        with self._lock:
            for window in self._windows:
                window.withdraw(cost)

    def wait(self, cost: float = 1) -> tuple[float, str]:
        """Seconds until a request would fit, and the limit that it waits for; 0 and none."""
        if share := self._shared:
            return share.wait(cost) if self.limited else (0.0, "")
        with self._lock:
            seconds, window = self._wait(cost)
        return seconds, window.text if window else ""

    def _wait(self, cost: float) -> tuple[float, SlidingWindow | None]:
        """The longest of the waits, and whose it is."""
        now, longest, found = self._clock.monotonic(), 0.0, None
        for window in self._windows:
            if (seconds := window.wait(now, cost)) > longest:
                longest, found = seconds, window
        return longest, found

    def sent(self) -> list[tuple[float, float]]:
        """What was sent in the longest of the windows: (seconds since the epoch, cost)."""
        if not self._windows:
            return []
        with self._lock:
            now = self._clock.monotonic()
            entries = max(self._windows, key=lambda window: window.seconds).entries(now)
        offset = self._clock.now().timestamp() - now
        return [(moment + offset, cost) for moment, cost in entries]

    def restore(self, sent: Iterable[tuple[float, float]]) -> None:
        """Count what :meth:`sent` told in an earlier process."""
        now = self._clock.monotonic()
        offset = self._clock.now().timestamp() - now
        entries = [(moment - offset, cost) for moment, cost in sent]
        with self._lock:
            for window in self._windows:
                window.restore(entries, now)


class Allowance:
    """The limits of one credential at one host, shared by all of its clients.

    Everything that is sent is admitted here and nowhere else.

    Attributes:
        limits: How much there is.
        share: Of it, where several processes share the credential.
        points: What every request costs.
        writes: Requests that create content.
    """

    def __init__(self, clock: Clock, limits: Limits, share: Share | None = None) -> None:
        self.limits = limits
        self.share = share
        per_minute, per_hour = limits.writes_per_minute, limits.writes_per_hour
        writes = [(per_minute, 60.0), (per_hour, 3600.0)]
        points = [(limits.points_per_minute, 60.0)]
        of_points, of_writes = (share.unit(unit) if share else None for unit in UNITS)
        self.points = Pacer(clock, _windows(points, "points"), of_points)
        self.writes = Pacer(clock, _windows(writes, "writes"), of_writes)
        self._restored = False

    def restore(
        self, points: Iterable[tuple[float, float]], writes: Iterable[tuple[float, float]]
    ) -> None:
        """Count what an earlier process sent; only the first call has an effect.

        Where the credential is shared, what all processes sent counts instead.
        """
        if not self._restored:
            self._restored = True
            if self.share:
                points, writes = (self.share.sent(unit) for unit in UNITS)
            self.points.restore(points)
            self.writes.restore(writes)


def _windows(limits: Sequence[tuple[float, float]], unit: str) -> list[SlidingWindow]:
    return [SlidingWindow(limit, seconds, unit) for limit, seconds in limits if limit > 0]
