"""Clocks that do not wait."""

from __future__ import annotations

import asyncio
import heapq
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class VirtualClock:
    """A virtual clock: when all tasks sleep, it advances to the next wake-up.

    ``slept`` records every requested wait, in order. Tasks of several threads may sleep.
    """

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.seconds = self.suspended = 0.0
        self.slept: list[float] = []
        self._wakes: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.boottime())

    def timestamp(self) -> float:
        """Seconds since the epoch, as an emulated host's clock."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds + self.suspended

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def suspend(self, seconds: float) -> None:
        """The machine was suspended, as a virtual machine that is moved: timers stood still."""
        self.suspended += seconds

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


class PatientClock(VirtualClock):
    """A virtual clock that advances only when no request is under way: requests take no time.

    For one event loop.

    Args:
        requests: How many requests were begun, and how many were answered.
    """

    POLL = 0.002
    """Seconds of the machine; two looks that see nothing new prove that nothing is under way."""

    def __init__(self, requests: Callable[[], tuple[int, int]]) -> None:
        super().__init__()
        self._requests = requests
        self._before = (-1, -1)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if not self._sleepers:
            loop.call_later(self.POLL, self._advance)
        self._count += 1
        woken = loop.create_future()
        heapq.heappush(self._sleepers, (self.seconds + max(0.0, seconds), self._count, woken))
        await woken

    def _advance(self) -> None:
        sleepers, requests = self._sleepers, self._requests()
        quiet = requests == self._before and requests[0] == requests[1]
        self._before = requests
        if quiet:
            self._before = (-1, -1)
            self.seconds = max(self.seconds, sleepers[0][0])
            while sleepers and sleepers[0][0] <= self.seconds:
                woken = heapq.heappop(sleepers)[2]
                if not woken.done():
                    woken.set_result(None)
        if sleepers:
            asyncio.get_running_loop().call_later(self.POLL, self._advance)


class MachineClock(VirtualClock):
    """The machine's time plus all time slept; waits return at once.

    For hosts that real processes talk to, because a process uses the machine's clock.
    """

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)
