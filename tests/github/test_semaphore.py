"""A semaphore that tasks of several threads wait for: none is lost, none is given back twice."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.github.semaphore import ThreadSafeSemaphore
from mirror.transfer.event_loops import ask
from support.threads import there


class Use:
    """One use of a semaphore, by a task that may be cancelled."""

    def __init__(self, semaphore: ThreadSafeSemaphore) -> None:
        self.entered = 0
        self.left = 0
        self._semaphore = semaphore

    async def run(self) -> None:
        async with self._semaphore:
            self.entered += 1
            try:
                await asyncio.sleep(0)
            finally:
                self.left += 1


def flush(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop have some turns."""
    for _ in range(5):
        turn = threading.Event()
        loop.call_soon_threadsafe(turn.set)
        turn.wait()


async def all_are_free(semaphore: ThreadSafeSemaphore, count: int) -> None:
    """Exactly so many can be acquired."""
    for _ in range(count):
        await asyncio.wait_for(semaphore.acquire(), 10)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(semaphore.acquire(), 0.001)
    for _ in range(count):
        semaphore.release()


@given(
    moments=st.lists(
        st.tuples(st.integers(0, 25), st.booleans(), st.booleans(), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    again=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_what_was_acquired_is_released_once(
    moments: list[tuple[int, bool, bool, bool]], again: int
) -> None:
    """Cancelled at any moment, also more than once: as many are free as before.

    A moment is a number of turns of this loop, with or without a turn of the other loop after each,
    with that loop held up meanwhile or not, and for a task of that loop or of this one.
    """

    async def main() -> None:
        with there() as loop:
            semaphore = ThreadSafeSemaphore(2)
            uses: list[Use] = []

            async def begin_and_cancel(
                turns: int, *, flushed: bool, held_up: bool, away: bool
            ) -> None:
                use = Use(semaphore)
                uses.append(use)
                gate = threading.Event()
                if held_up:
                    loop.call_soon_threadsafe(gate.wait)
                task = group.create_task(ask(loop, use.run) if away else use.run())
                for _ in range(turns):
                    await asyncio.sleep(0)
                    if flushed and not held_up:
                        flush(loop)
                for _ in range(again + 1):
                    task.cancel()
                    await asyncio.sleep(0)
                gate.set()

            async with asyncio.TaskGroup() as group:
                for turns, flushed, held_up, away in moments:
                    await begin_and_cancel(turns, flushed=flushed, held_up=held_up, away=away)
            assert all(use.entered == use.left <= 1 for use in uses)
            await all_are_free(semaphore, 2)

    asyncio.run(main())


async def test_a_thousand_cancellations() -> None:
    """Tasks of two threads wait for one semaphore, and each is cancelled at another moment."""
    semaphore = ThreadSafeSemaphore(3)
    uses = [Use(semaphore) for _ in range(1000)]
    with there() as loop:
        async with asyncio.TaskGroup() as group:
            for number, use in enumerate(uses):
                task = group.create_task(ask(loop, use.run) if number % 2 else use.run())
                for _ in range(number % 17):
                    await asyncio.sleep(0)
                task.cancel()
                if number % 3:
                    await asyncio.sleep(0)
                    task.cancel()
    assert all(use.entered == use.left <= 1 for use in uses)
    assert any(use.entered for use in uses)
    await all_are_free(semaphore, 3)


async def test_first_come_first_served() -> None:
    """Whoever waits longest is next, and nobody overtakes; one who was cancelled is passed over."""
    semaphore, order = ThreadSafeSemaphore(1), list[int]()

    async def use(number: int) -> None:
        async with semaphore:
            order.append(number)

    await semaphore.acquire()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(5):
            tasks.append(group.create_task(use(number)))
            await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        semaphore.release()
    assert order == [0, 1, 3, 4]


async def test_never_more_than_its_value() -> None:
    """Tasks of four threads: at no moment do more hold it than it was made for; all get a turn."""
    semaphore, lock = ThreadSafeSemaphore(3), threading.Lock()
    holding, most, done = 0, 0, 0

    async def use() -> None:
        nonlocal holding, most, done
        async with semaphore:
            with lock:
                holding += 1
                most = max(most, holding)
            await asyncio.sleep(0)
            with lock:
                holding -= 1
                done += 1

    async def many() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(use())

    with ExitStack() as stack:
        loops = [stack.enter_context(there()) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            group.create_task(many())
            for loop in loops:
                group.create_task(ask(loop, many))
    assert done == 200
    assert holding == 0
    assert most == 3


async def test_a_turn_is_taken_at_once_only_if_one_is_free() -> None:
    """As ``acquire``, without a wait; nothing is held where none is free."""
    semaphore = ThreadSafeSemaphore(1)
    assert semaphore.acquire_at_once()
    assert not semaphore.acquire_at_once()
    semaphore.release()
    await all_are_free(semaphore, 1)
