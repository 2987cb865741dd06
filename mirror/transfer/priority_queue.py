"""Who transfers next: one bound over all repositories, and an order among those who wait."""

from __future__ import annotations

import asyncio
import itertools
from bisect import insort
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass(eq=False, slots=True)
class Group:
    """Those who hold at most ``limit`` slots together, such as the assets of one release.

    Attributes:
        limit: As given.
        held: Slots that they hold now.
    """

    limit: int
    held: int = 0

    @property
    def has_room(self) -> bool:
        """Whether one more of them may hold a slot."""
        return self.held < self.limit


@dataclass(frozen=True, slots=True)
class Preparation:
    """What may be done while a turn is near; it changes nothing about whose turn is next.

    Attributes:
        host: Near turns are counted for each host, so that one host costs another nothing.
        places: How many waiters of this host may prepare at the same time.
        run: Called once, if the turn is near; it gets what is done when the slot is there. The slot
            is not used before it has returned.
        early: Called once before that, for as many more waiters, as ``run``; it takes no place.
    """

    host: str
    places: int
    run: Callable[[asyncio.Future[None]], Awaitable[None]]
    early: Callable[[asyncio.Future[None]], Awaitable[object]] | None = None


@dataclass(order=True, slots=True)
class _Waiter:
    """One who waits.

    Attributes:
        turn: Done when the slot is there.
        soon: Done when what comes before the preparation may begin, or the preparation itself.
        near: Done when the preparation may begin, or the slot is there.
        preparing: The preparation was begun and has not ended.
    """

    rank: tuple[int, int]
    number: int
    group: Group = field(compare=False)
    preparation: Preparation | None = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)
    soon: asyncio.Future[None] = field(compare=False)
    near: asyncio.Future[None] = field(compare=False)
    preparing: bool = field(default=False, compare=False)

    @property
    def served(self) -> bool:
        return self.turn.done() and not self.turn.cancelled()


class TransferSlots:
    """Permissions to transfer: at most ``total`` are held at any moment.

    Whoever waits with the smallest rank is served next, among equals whoever came first, unless
    its group holds as many slots as it may. A slot that is given back passes straight to its next
    holder, so that nobody who comes later can overtake, and nobody waits while a slot is free for
    it. The first of each host in this order may prepare themselves while they wait.
    """

    def __init__(self, total: int) -> None:
        if total < 1:
            raise ValueError(f"at least one slot is needed, not {total}")
        self._total = total
        self._free = total
        self._arrivals = itertools.count()
        self._queue: list[_Waiter] = []

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not waiter.turn.done() for waiter in self._queue)

    @asynccontextmanager
    async def take(
        self,
        rank: tuple[int, int],
        group: Group | None = None,
        preparation: Preparation | None = None,
    ) -> AsyncIterator[None]:
        """Hold a slot while the block runs.

        Args:
            rank: The smallest is served first: the place of the release in the order of its
                repository (0 for the newest), then the asset's size, negative.
            group: Whose slots are limited together; ``None`` for no other limit.
            preparation: What to do when the turn is near; whoever is served at once does not.
        """
        group = group or Group(self._total)
        await self._acquire(rank, group, preparation)
        try:
            yield
        finally:
            self._release(group)

    async def _acquire(
        self, rank: tuple[int, int], group: Group, preparation: Preparation | None
    ) -> None:
        # Where a slot is free, those who wait have groups without room: nobody is overtaken.
        if self._free and group.has_room:
            self._grant(group)
            return
        loop = asyncio.get_running_loop()
        number = next(self._arrivals)
        turn, soon, near = (loop.create_future() for _ in range(3))
        waiter = _Waiter(rank, number, group, preparation, turn, soon, near)
        insort(self._queue, waiter)
        try:
            await self._wait(waiter)
        except BaseException:
            # A slot may have come in the same moment as the cancellation: it is passed on.
            if waiter.served:
                self._release(group)
            else:
                self._leave(waiter)
            raise

    async def _wait(self, waiter: _Waiter) -> None:
        if preparation := waiter.preparation:
            self._call_near(preparation)
            await waiter.soon
            if preparation.early and not waiter.near.done():
                await preparation.early(waiter.turn)
            await waiter.near
            if not waiter.turn.done():
                await preparation.run(waiter.turn)
                waiter.preparing = False
                self._call_near(preparation)
        await waiter.turn

    def _grant(self, group: Group) -> None:
        self._free -= 1
        group.held += 1

    def _release(self, group: Group) -> None:
        self._free += 1
        group.held -= 1
        while self._free and (waiter := self._next()):
            self._grant(waiter.group)
            waiter.turn.set_result(None)
            _call(waiter.soon, waiter.near)
            self._leave(waiter)

    def _next(self) -> _Waiter | None:
        eligible = (w for w in self._queue if w.group.has_room and not w.turn.done())
        return next(eligible, None)

    def _leave(self, waiter: _Waiter) -> None:
        self._queue.remove(waiter)
        if waiter.preparation:
            self._call_near(waiter.preparation)

    def _call_near(self, preparation: Preparation) -> None:
        """Let the first waiters of a host prepare, where its places are free."""
        host, places = preparation.host, preparation.places
        waiters = [w for w in self._queue if w.preparation and w.preparation.host == host]
        free = places - sum(waiter.preparing for waiter in waiters)
        for waiter in waiters[:places]:
            if free > 0 and not (waiter.near.done() or waiter.turn.done()):
                _call(waiter.soon, waiter.near)
                waiter.preparing = True
                free -= 1
        if preparation.early:
            for waiter in waiters[: 2 * places]:
                _call(waiter.soon)


def _call(*futures: asyncio.Future[None]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
