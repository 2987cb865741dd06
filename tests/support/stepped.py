"""A clock that the test advances; between two steps, everything that can run does."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import datetime, timedelta

from support.clock import START


class SteppedClock:
    """A virtual clock that the test advances, from one wake-up to the next.

    Unlike ``VirtualClock``, it waits until no task can run before it advances, so that a task
    that is slow to sleep again misses nothing.
    """

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.seconds = 0.0
        self._numbers = itertools.count()
        self._wakes: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        moment = self.seconds + max(0.0, seconds)
        heapq.heappush(self._wakes, (moment, next(self._numbers), wake))
        await wake

    async def settle(self) -> None:
        """Run everything that is ready."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # other ready callbacks
        idle = 0
        while idle < 3:  # a callback may schedule another
            await asyncio.sleep(0)
            idle = idle + 1 if not ready else 0

    async def pass_by(self, seconds: float) -> None:
        """Advance the time, and run everything due until then."""
        end = self.seconds + seconds
        await self.settle()
        while self._wakes and self._wakes[0][0] <= end:
            moment, _, wake = heapq.heappop(self._wakes)
            if not wake.done():
                self.seconds = max(self.seconds, moment)
                wake.set_result(None)
                await self.settle()
        self.seconds = end
        await self.settle()
