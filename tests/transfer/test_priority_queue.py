from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.transfer.priority_queue import Group, Preparation, TransferSlots

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

    def __init__(self, total: int, *, grouped: bool = False) -> None:
        self.grouped = grouped
        self.total = total
        self.slots = TransferSlots(total)
        self.groups = [Group(1), Group(2), Group(total)]
        self.served: list[int] = []
        self.holding: list[int] = []
        self.waiting: list[tuple[tuple[int, int], int]] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.done: dict[int, asyncio.Event] = {}

    async def use(self, number: int, rank: tuple[int, int]) -> None:
        place = (rank, number)
        group = self.group(number) if self.grouped else None
        self.waiting.append(place)
        try:
            async with self.slots.take(rank, group):
                self.waiting.remove(place)
                self.served.append(number)
                self.holding.append(number)
                assert len(self.holding) <= self.total
                assert not group or self.held(group) <= group.limit
                try:
                    await self.done[number].wait()
                finally:
                    self.holding.remove(number)
        finally:
            if place in self.waiting:
                self.waiting.remove(place)

    def group(self, number: int) -> Group:
        return self.groups[number % 3]

    def held(self, group: Group) -> int:
        return sum(self.group(number) is group for number in self.holding)

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
        assert not self.grouped or all(self.held(g) == g.held for g in self.groups)
        assert len(self.holding) + self.slots.free == self.total
        assert self.slots.waiting == len(self.waiting)
        eligible = [n for _, n in self.waiting if not self.grouped or self.group(n).has_room]
        assert not (self.slots.free and eligible)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@settings(max_examples=200)
@given(
    total=st.integers(1, 3),
    # A crowd to begin with: else most examples end before anybody waits.
    first=st.lists(RANKS, min_size=3, max_size=8),
    operations=OPERATIONS,
    grouped=st.booleans(),
)
def test_bound_and_no_idle_slot(
    total: int,
    first: list[tuple[int, int]],
    operations: list[tuple[str, Any]],
    *,
    grouped: bool,
) -> None:
    """Never more than the total hold one, nor more of a group than it may, whatever comes.

    Nobody waits who may have one while a slot is free.
    """

    async def scenario() -> None:
        crowd = Crowd(total, grouped=grouped)
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


class Waiters:
    """Those who want a slot, and prepare themselves until they are told that they are ready."""

    def __init__(self, slots: TransferSlots, group: asyncio.TaskGroup) -> None:
        self.slots = slots
        self.group = group
        self.preparing: list[str] = []
        self.early: list[str] = []
        self.served: list[str] = []
        self.ready: dict[str, asyncio.Event] = {}
        self.done: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, name: str, size: int, host: str = "one", places: int = 1) -> None:
        self.ready[name], self.done[name] = asyncio.Event(), asyncio.Event()
        self.tasks[name] = self.group.create_task(self._use(name, size, host, places))
        await settle()

    async def _use(self, name: str, size: int, host: str, places: int) -> None:
        async def prepare(turn: asyncio.Future[None]) -> None:
            del turn
            self.preparing.append(name)
            try:
                await self.ready[name].wait()
            finally:
                self.preparing.remove(name)

        async def look(turn: asyncio.Future[None]) -> None:
            del turn
            self.early.append(name)

        preparation = Preparation(host, places, prepare, look)
        async with self.slots.take((0, -size), preparation=preparation):
            self.served.append(name)
            await self.done[name].wait()

    async def finish(self, *names: str) -> None:
        for name in names:
            self.ready[name].set()
            self.done[name].set()
        await settle()

    async def get_ready(self, name: str) -> None:
        self.ready[name].set()
        await settle()


async def test_who_is_prepared_overtakes_nobody() -> None:
    """A larger asset that comes later and is not prepared has the next slot."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(1), group)
        for name, size in [("first", 1), ("small", 2), ("large", 3)]:
            await waiters.add(name, size)
            await waiters.get_ready(name)
        await waiters.finish("first")
        assert waiters.served == ["first", "large"]
        await waiters.finish("large", "small")
    assert waiters.served == ["first", "large", "small"]


async def test_nobody_prepares_whose_turn_comes_at_once() -> None:
    """With free slots all is as without a preparation."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(2), group)
        await waiters.add("a", 1)
        await waiters.add("b", 1)
        assert (waiters.served, waiters.preparing) == (["a", "b"], [])
        await waiters.finish("a", "b")


async def test_the_first_of_each_host_prepare() -> None:
    """As many as the host has places for, in the order of the queue; no host costs another one."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(1), group)
        await waiters.add("busy", 9)
        for name, size in [("c", 1), ("b", 2), ("a", 3)]:
            await waiters.add(name, size, places=2)
        await waiters.add("other", 1, "two")
        assert waiters.preparing == ["c", "b", "other"]
        await waiters.get_ready("c")  # its place is free: now the first may prepare
        assert waiters.preparing == ["b", "other", "a"]
        await waiters.add("z", 0, places=2)
        await waiters.finish("b")  # ready, and still the second in the queue
        assert waiters.preparing == ["other", "a"]
        await waiters.finish("busy", "a", "c", "other", "z")
    assert waiters.served == ["busy", "a", "b", "c", "other", "z"]


async def test_as_many_as_prepare_are_called_early() -> None:
    """Those behind them in the queue, once each; whoever can prepare at once is not."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(1), group)
        names = ["busy", "a", "b", "c", "d", "e", "f"]
        for size, name in zip(range(9, 0, -1), names, strict=False):
            await waiters.add(name, size, places=2)
        assert (waiters.preparing, waiters.early) == (["a", "b"], ["c", "d"])
        await waiters.finish("busy", "a")
        assert (waiters.preparing, waiters.early) == (["b", "c", "d"], ["c", "d", "e", "f"])
        await waiters.finish(*names)
    assert waiters.served == names


async def test_a_slot_comes_before_its_holder_is_ready() -> None:
    """Then the rest of the preparation takes place in the slot, which nobody else gets meanwhile."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(1), group)
        await waiters.add("first", 3)
        await waiters.add("second", 2)
        await waiters.finish("first")
        await waiters.add("third", 9)
        assert (waiters.served, waiters.preparing) == (["first"], ["second", "third"])
        await waiters.finish("third", "second")
    assert waiters.served == ["first", "second", "third"]
    assert waiters.slots.free == 1


async def test_a_slot_of_one_cancelled_while_preparing_is_passed_on() -> None:
    """Whether it had come or not; and the place is free for the next to prepare."""
    async with asyncio.TaskGroup() as group:
        waiters = Waiters(TransferSlots(1), group)
        await waiters.add("first", 9)
        for name in ("second", "third", "fourth"):
            await waiters.add(name, 1)
        waiters.tasks["second"].cancel()
        await settle()
        assert waiters.preparing == ["third"]
        waiters.done["first"].set()
        waiters.tasks["third"].cancel()
        await settle()
        assert waiters.served == ["first", "fourth"]
        await waiters.finish("fourth")
    assert waiters.slots.free == 1
