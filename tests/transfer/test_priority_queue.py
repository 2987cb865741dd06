from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.transfer.priority_queue import TransferSlots

RANKS = st.tuples(st.integers(0, 3), st.integers(-3, 0))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), RANKS),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        # Both in one turn of the loop: a slot arrives at a waiter that is just cancelled.
        st.tuples(st.just("finish and cancel"), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    ),
    min_size=3,
    max_size=40,
)


class Crowd:
    """Many who want a slot, each told when to let go."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.slots = TransferSlots(total)
        self.served: list[int] = []
        self.holding: list[int] = []
        self.waiting: list[tuple[tuple[int, int], int]] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.done: dict[int, asyncio.Event] = {}

    async def use(self, number: int, rank: tuple[int, int]) -> None:
        place = (rank, number)
        self.waiting.append(place)
        try:
            async with self.slots.take(rank):
                self.waiting.remove(place)
                self.served.append(number)
                self.holding.append(number)
                assert len(self.holding) <= self.total
                try:
                    await self.done[number].wait()
                finally:
                    self.holding.remove(number)
        finally:
            if place in self.waiting:
                self.waiting.remove(place)

    def add(self, group: asyncio.TaskGroup, rank: tuple[int, int]) -> None:
        number = len(self.tasks)
        self.done[number] = asyncio.Event()
        self.tasks[number] = group.create_task(self.use(number, rank))

    def finish(self, choice: int) -> None:
        if self.holding:
            self.done[self.holding[choice % len(self.holding)]].set()

    def finish_all(self) -> None:
        for event in self.done.values():
            event.set()

    def cancel(self, choice: int) -> None:
        if alive := [number for number, task in self.tasks.items() if not task.done()]:
            self.tasks[alive[choice % len(alive)]].cancel()

    def check(self) -> None:
        assert len(self.holding) + self.slots.free == self.total
        assert self.slots.waiting == len(self.waiting)
        assert not (self.slots.free and self.waiting)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@settings(max_examples=200)
@given(
    total=st.integers(1, 3),
    # A crowd to begin with: else most examples end before anybody waits.
    first=st.lists(RANKS, min_size=3, max_size=8),
    operations=OPERATIONS,
)
def test_bound_and_no_idle_slot(
    total: int, first: list[tuple[int, int]], operations: list[tuple[str, Any]]
) -> None:
    """Never more than the total hold one, and nobody waits while a slot is free, whatever comes."""

    async def scenario() -> None:
        crowd = Crowd(total)
        async with asyncio.TaskGroup() as group:
            for rank in first:
                crowd.add(group, rank)
            await settle()
            for name, argument in operations:
                if name == "take":
                    crowd.add(group, argument)
                elif name == "finish":
                    crowd.finish(argument)
                elif name == "cancel":
                    crowd.cancel(argument)
                else:
                    crowd.finish(argument[0])
                    # The holder wakes up and hands its slot on; its successor does not run yet.
                    await asyncio.sleep(0)
                    crowd.cancel(argument[1])
                await settle()
                crowd.check()
            crowd.finish_all()
        assert crowd.slots.free == total
        assert crowd.slots.waiting == 0

    asyncio.run(scenario())


@given(ranks=st.lists(RANKS, max_size=12))
def test_order(ranks: list[tuple[int, int]]) -> None:
    """Who waits is served by the smallest rank, and among equals in the order of arrival."""

    async def scenario() -> list[int]:
        crowd = Crowd(1)
        async with asyncio.TaskGroup() as group:
            crowd.add(group, (9, 9))
            await settle()
            for rank in ranks:
                crowd.add(group, rank)
            await settle()
            crowd.finish_all()
        return [number - 1 for number in crowd.served[1:]]

    expected = sorted(range(len(ranks)), key=lambda number: (ranks[number], number))
    assert asyncio.run(scenario()) == expected


async def test_nobody_overtakes() -> None:
    """A slot that is given back goes to who waited, not to who asks in the same moment."""
    slots = TransferSlots(1)
    order: list[str] = []

    async def use(name: str) -> None:
        async with slots.take((0, 0)):
            order.append(name)

    async with asyncio.TaskGroup() as group:
        async with slots.take((0, 0)):
            group.create_task(use("waited"))
            await asyncio.sleep(0)
        group.create_task(use("late"))
    assert order == ["waited", "late"]


async def test_slot_of_a_cancelled_waiter_is_passed_on() -> None:
    """A waiter cancelled in the moment it is served gives the slot to the next."""
    slots = TransferSlots(1)
    served: list[int] = []

    async def use(number: int) -> None:
        async with slots.take((number, 0)):
            served.append(number)

    async with asyncio.TaskGroup() as group:
        async with slots.take((0, 0)):
            tasks = [group.create_task(use(number)) for number in (1, 2, 3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.sleep(0)
        tasks[0].cancel()
    assert served == [3]
    assert slots.free == 1


async def test_slot_survives_an_error() -> None:
    """A slot is free again after its holder failed."""
    slots = TransferSlots(1)
    with pytest.raises(ZeroDivisionError):
        async with slots.take((0, 0)):
            _ = 1 // 0
    assert slots.free == 1


def test_total_is_positive() -> None:
    """A bound of nothing would let everyone wait for ever: it is refused."""
    with pytest.raises(ValueError, match="at least one"):
        TransferSlots(0)
