"""One byte budget over all transfers: who may move how many bytes, and when."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.core.clock import Clock

BURST = 0.1
"""Seconds' worth of bytes that an idle moment saves up; more would be a peak on the line."""

SLACK = 0.001
"""Seconds that a byte may come too early: no timer is more exact."""

_PIECE = 0.05
_SMALLEST, _LARGEST = 1024, 256 * 1024


class Bandwidth:
    """So many bytes a second, over all who ask.

    What was let through is paid for by time: whoever is next waits until what went before is
    paid. Nothing runs in the background, and while the line is free nobody waits at all.

    Args:
        bytes_per_second: 0 for no limit.
        clock: The time, and every wait.
    """

    def __init__(self, bytes_per_second: int, clock: Clock) -> None:
        if bytes_per_second < 0:
            raise ValueError(f"not a bandwidth: {bytes_per_second}")
        self._rate = bytes_per_second
        self._clock = clock
        self._paid_until = clock.monotonic()
        self._served = 0
        self._driven = False
        self._arrivals = itertools.count()
        self._queue: list[tuple[int, int, _Turn]] = []

    @property
    def piece(self) -> int:
        """The most bytes that should move at a time; 0 where that does not matter.

        A large chunk that moves at once is a peak, however it was paid for.
        """
        if not self._rate:
            return 0
        return min(max(int(self._rate * _PIECE), _SMALLEST), _LARGEST)

    def lane(self) -> Lane:
        """A share for one transfer, equal to that of every other."""
        return Lane(self)

    async def pace(self, n: int) -> None:
        """Wait until ``n`` bytes may move, as a transfer that moves nothing else."""
        if self._rate:
            await self.lane().pace(n)

    async def _pay(self, lane: Lane, n: int) -> None:
        # Start-time fair queueing: everyone's bytes are counted on one scale, and whoever is
        # least far on it goes first. One who was away begins where the others are; a moment's
        # absence, in which a piece is sent, is none.
        start = max(self._served - self.piece, lane.reached)
        lane.reached = start + n
        if not self._driven and not self._queue and self._wait() <= SLACK:
            self._let_through(start, n)
            return
        turn = _Turn(n)
        heapq.heappush(self._queue, (start, next(self._arrivals), turn))
        try:
            if self._driven:
                await turn.called.wait()
            if not turn.paid:
                await self._drive(turn)
        except asyncio.CancelledError:
            turn.gone = True
            raise
        finally:
            # Also where the call to drive came in the same moment as a cancellation.
            if turn.driver:
                self._hand_on()

    async def _drive(self, turn: _Turn) -> None:
        """Wait for everyone, until one's own turn is paid for.

        Who is next is decided when the line is free, not before: whoever moved a small piece is
        back by then.
        """
        self._driven = turn.driver = True
        while not turn.paid:
            if (wait := self._wait()) > SLACK:
                await self._clock.sleep(wait)
            start, _, first = heapq.heappop(self._queue)
            if not first.gone:
                self._let_through(start, first.size)
                first.paid = True
                first.called.set()

    def _hand_on(self) -> None:
        """Let another one who waits do the waiting."""
        self._driven = False
        for _, _, turn in self._queue:
            if not turn.gone:
                self._driven = turn.driver = True
                turn.called.set()
                return
        self._queue.clear()

    def _wait(self) -> float:
        now = self._clock.monotonic()
        self._paid_until = max(self._paid_until, now - BURST)
        return self._paid_until - now

    def _let_through(self, start: int, n: int) -> None:
        self._served = max(self._served, start)
        self._paid_until += n / self._rate


class _Turn:
    """One who waits.

    Attributes:
        called: It was paid for, or is to drive.
        gone: It waits no more.
    """

    __slots__ = ("called", "driver", "gone", "paid", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.called = asyncio.Event()
        self.paid = self.driver = self.gone = False


class Lane:
    """What one transfer takes of a bandwidth: as much as any other that wants as much.

    Attributes:
        reached: How far it is on the scale that all lanes share.
    """

    def __init__(self, bandwidth: Bandwidth) -> None:
        self.reached = 0
        self._bandwidth = bandwidth

    async def pace(self, n: int) -> None:
        """Wait until ``n`` bytes may move; many are paid for piece by piece, others in between."""
        piece = self._bandwidth.piece
        if not piece:
            return
        while n > 0:
            await self._bandwidth._pay(self, min(n, piece))  # noqa: SLF001 - two halves of one thing
            n -= piece
