"""Who transfers next: one bound over all repositories, and an order among those who wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TransferSlots:
    """Permissions to transfer: at most ``total`` are held at any moment.

    Whoever waits with the smallest rank is served next, among equals whoever came first. A slot
    that is given back passes straight to its next holder, so that nobody who comes later can
    overtake, and nobody waits while a slot is free.
    """

    def __init__(self, total: int) -> None:
        if total < 1:
            raise ValueError(f"at least one slot is needed, not {total}")
        self._free = total
        self._arrivals = itertools.count()
        self._queue: list[tuple[tuple[int, int], int, asyncio.Future[None]]] = []

    @property
    def free(self) -> int:
        """TransferSlots that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not turn.done() for _, _, turn in self._queue)

    @asynccontextmanager
    async def take(self, rank: tuple[int, int]) -> AsyncIterator[None]:
        """Hold a slot while the block runs.

        Args:
            rank: The smallest is served first: the place of the release in the order of its
                repository (0 for the newest), then the asset's size, negative.
        """
        await self._acquire(rank)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, rank: tuple[int, int]) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (rank, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            # A slot may have come in the same moment as the cancellation: it is passed on.
            if not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._queue:
            turn = heapq.heappop(self._queue)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
