"""Clocks that do not wait."""

from __future__ import annotations

import asyncio
import heapq
import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class VirtualClock:
    """A virtual clock: when all tasks sleep, it advances to the next wake-up.

    ``slept`` records every requested wait, in order. Tasks of several threads may sleep.
    """

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.seconds = 0.0
        self.slept: list[float] = []
        self._wakes: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def timestamp(self) -> float:
        """Seconds since the epoch, as an emulated host's clock."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            wake = self.seconds + max(0.0, seconds)
            heapq.heappush(self._wakes, wake)
        try:
            # Give other tasks a few turns to start shorter sleeps or to wake up first.
            for _ in range(5):
                await asyncio.sleep(0)
            while self._wakes[0] < wake:  # noqa: ASYNC110 - a turn of the loop, not a wait
                await asyncio.sleep(0)
            self.seconds = max(self.seconds, wake)
        finally:
            with self._lock:
                self._wakes.remove(wake)
                heapq.heapify(self._wakes)


class MachineClock(VirtualClock):
    """The machine's time plus all time slept; waits return at once.

    For hosts that real processes talk to, because a process uses the machine's clock.
    """

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)
