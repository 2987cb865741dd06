"""A clock that a test moves: between two moments everything happens that can."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import datetime, timedelta

from support.clock import START


class SteppedClock:
    """Time that stands still until the test lets it pass, from one wake to the next.

    Unlike ``VirtualClock`` it waits until nobody has anything to do before it moves, so that who
    takes long to go to sleep again misses nothing.
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

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        moment = self.seconds + max(0.0, seconds)
        heapq.heappush(self._wakes, (moment, next(self._numbers), wake))
        await wake

    async def settle(self) -> None:
        """Let happen what happens now."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # who else is to run
        idle = 0
        while idle < 3:  # a callback may call another one
            await asyncio.sleep(0)
            idle = idle + 1 if not ready else 0

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and all that happens up to its end."""
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
