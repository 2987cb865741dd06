"""Work between the loops of two threads: what crosses, what is waited for, what is given back."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.errors import SourceChanged
from mirror.github.throttle import Throttle
from mirror.loops import ask, finish, held, tell
from support.clock import VirtualClock
from support.threads import there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def thread() -> str:
    return threading.current_thread().name


async def test_a_result_crosses() -> None:
    """The work is done in the other loop's thread, and its result is what was returned there."""
    thing = object()

    async def work() -> tuple[object, str]:
        return thing, await thread()

    with there() as loop:
        for way in (ask, finish):
            result, where = await way(loop, work)
            assert result is thing
            assert where == "there"


async def test_an_error_crosses() -> None:
    """The very exception that was raised there is raised here; also by work that never began."""
    error = SourceChanged("replaced")

    async def work() -> None:
        raise error

    def none() -> None:
        raise error

    with there() as loop:
        for way in (ask, finish):
            with pytest.raises(SourceChanged) as caught:
                await way(loop, work)
            assert caught.value is error
            with pytest.raises(SourceChanged):
                await way(loop, none)  # type: ignore[arg-type]


async def test_the_same_loop_is_asked_directly() -> None:
    """No task and no turn of the loop lie between, and a cancellation goes straight into it."""
    task = asyncio.current_task()

    async def work() -> object:
        return asyncio.current_task()

    for way in (ask, finish):
        coroutine = way(asyncio.get_running_loop(), work)
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        assert ended.value.value is task


async def test_context_goes_along() -> None:
    """What a log line is bound to here, it is bound to there; nothing comes back."""
    WHO.set("octo/tool")

    async def work() -> tuple[str, object]:
        seen = WHO.get(), structlog.contextvars.get_contextvars().get("release")
        WHO.set("somebody else")
        return seen

    with structlog.contextvars.bound_contextvars(release="v1"), there() as loop:
        assert await ask(loop, work) == ("octo/tool", "v1")
    assert WHO.get() == "octo/tool"


async def test_a_closed_loop_is_told() -> None:
    """A loop that is closed does no work: that is an error, and no wait without an end."""
    with there() as loop:
        pass
    for way in (ask, finish):
        with pytest.raises(RuntimeError, match="closed"):
            await way(loop, thread)


async def test_telling_goes_to_the_thread() -> None:
    """A call is made at once in this loop, soon in another thread's, in the order of telling."""
    here, seen = asyncio.get_running_loop(), list[tuple[str, int]]()

    def call(number: int) -> None:
        seen.append((threading.current_thread().name, number))

    tell(here, call, 0)
    assert seen == [(threading.current_thread().name, 0)]
    seen.clear()
    with there() as loop:
        for number in range(100):
            tell(loop, call, number)
        await ask(loop, thread)  # as it is handed over after them
    assert seen == [("there", number) for number in range(100)]


async def test_what_is_told_on_the_way_comes_before_the_end() -> None:
    """Whoever asked has heard everything that the work told when it ends."""
    here, seen = asyncio.get_running_loop(), list[int]()

    async def work() -> None:
        for number in range(100):
            tell(here, seen.append, number)

    with there() as loop:
        await ask(loop, work)
    assert seen == list(range(100))


@pytest.mark.parametrize("ending", ["as cancelled", "by returning", "by an error"])
async def test_a_cancellation_is_waited_for(ending: str) -> None:
    """It ends the work, however long that takes to end, and only then whoever asked."""
    here, begun, slow = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    stages: list[str] = []

    async def work() -> None:
        tell(here, begun.set)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stages.append("cancelled")
            await ask(here, slow.wait)
            stages.append("cleaned up")
            if ending == "by an error":
                raise SourceChanged("replaced") from None
            if ending == "as cancelled":
                raise

    with there() as loop:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ask(loop, work))
            await begun.wait()
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
                flush(loop)
            assert stages == ["cancelled"]
            assert not task.done()
            slow.set()
        assert task.cancelled()
        assert stages == ["cancelled", "cleaned up"]


async def test_a_cancellation_before_it_begins() -> None:
    """Work that was not begun yet is never begun."""
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    with there() as loop:
        gate = threading.Event()
        loop.call_soon_threadsafe(gate.wait)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ask(loop, work))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            gate.set()
        assert task.cancelled()
    assert not began


async def test_a_cancellation_in_the_moment_of_success() -> None:
    """Whoever asked is cancelled all the same, and nobody complains of a result that is lost."""
    for fail in (False, True):

        async def work(fail: bool = fail) -> None:
            if fail:
                raise SourceChanged("replaced")

        with there() as loop:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(ask(loop, work))
                await asyncio.sleep(0)
                flush(loop)  # it has ended there; not yet heard here
                task.cancel()
            assert task.cancelled()


def flush(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop have some turns."""
    for _ in range(5):
        turn = threading.Event()
        loop.call_soon_threadsafe(turn.set)
        turn.wait()


async def test_a_time_out_around_it() -> None:
    """A time-out around the question strikes as one around any other wait."""
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with there() as loop:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ask(loop, work)
        assert ended == [True]
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()


async def test_a_question_within_a_question() -> None:
    """Here → there → here → there: the result comes all the way, and so does a cancellation."""
    here, begun = asyncio.get_running_loop(), asyncio.Event()
    ended: list[str] = []

    with there() as loop:

        async def through(*, wait: bool) -> str:
            async def innermost() -> str:
                if not wait:
                    return await thread()
                tell(here, begun.set)
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(await thread())
                raise AssertionError

            async def middle() -> str:
                try:
                    return await ask(loop, innermost)
                finally:
                    ended.append(await thread())

            return await ask(loop, lambda: ask(here, middle))

        assert await through(wait=False) == "there"
        ended.clear()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(through(wait=True))
            await begun.wait()
            task.cancel()
        assert task.cancelled()
        assert ended == ["there", threading.current_thread().name]


async def test_what_must_be_finished_is() -> None:
    """A cancellation waits for what has to be done in any case, and is raised after it."""
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(await thread())

    with there() as loop:
        gate = threading.Event()
        loop.call_soon_threadsafe(gate.wait)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(finish(loop, work))
            for _ in range(3):
                await asyncio.sleep(0)
                task.cancel()
            gate.set()
        assert task.cancelled()
    assert done == ["there"]


async def test_what_cannot_be_entered_is_not_left() -> None:
    """An error on the way in is told; nothing is given back that was not taken."""
    left: list[bool] = []

    @asynccontextmanager
    async def closed() -> AsyncIterator[None]:
        raise SourceChanged("replaced")
        yield
        left.append(True)

    with there() as loop, pytest.raises(SourceChanged):
        async with held(loop, closed()):
            raise AssertionError
    assert not left


class Counted:
    """A slot that counts; each way takes some turns of its loop."""

    def __init__(self, throttle: Throttle) -> None:
        self.entered = 0
        self.left = 0
        self._throttle = throttle

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)
        await self._throttle.take(write=False)
        self.entered += 1

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._throttle.give_back()
        self.left += 1


@given(
    moments=st.lists(
        st.tuples(st.integers(0, 25), st.booleans(), st.booleans()), min_size=1, max_size=6
    ),
    again=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_what_was_entered_is_left_once(moments: list[tuple[int, bool, bool]], again: int) -> None:
    """Cancelled at any moment, also more than once: as many slots are free as before.

    A moment is a number of turns of this loop, with or without a turn of the other loop after each,
    and with that loop held up meanwhile or not.
    """

    async def main() -> None:
        with there() as loop:
            throttle = Throttle(VirtualClock(), max_connections=2)
            slots: list[Counted] = []

            async def use(slot: Counted) -> None:
                async with held(loop, slot):
                    await asyncio.sleep(0)

            async def begin_and_cancel(turns: int, *, flushed: bool, held_up: bool) -> None:
                slots.append(Counted(throttle))
                gate = threading.Event()
                if held_up:
                    loop.call_soon_threadsafe(gate.wait)
                task = group.create_task(use(slots[-1]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                    if flushed and not held_up:
                        flush(loop)
                for _ in range(again + 1):
                    task.cancel()
                    await asyncio.sleep(0)
                gate.set()

            async with asyncio.TaskGroup() as group:
                for turns, flushed, held_up in moments:
                    await begin_and_cancel(turns, flushed=flushed, held_up=held_up)
            assert all(slot.entered == slot.left <= 1 for slot in slots)
            for _ in range(2):  # all of them are free
                await asyncio.wait_for(ask(loop, lambda: throttle.take(write=False)), 10)

    asyncio.run(main())


async def test_a_thousand_cancellations() -> None:
    """TransferSlots of this loop, held from another: none is lost, none is given back twice."""
    here = asyncio.get_running_loop()
    throttle = Throttle(VirtualClock(), max_connections=3)
    slots = [Counted(throttle) for _ in range(1000)]

    async def use(slot: Counted) -> None:
        async with held(here, slot):
            await asyncio.sleep(0)

    with there() as loop:
        async with asyncio.TaskGroup() as group:
            for number, slot in enumerate(slots):
                task = group.create_task(ask(loop, lambda slot=slot: use(slot)))  # type: ignore[misc]
                for _ in range(number % 17):
                    await asyncio.sleep(0)
                task.cancel()
                if number % 3:
                    await asyncio.sleep(0)
                    task.cancel()
    assert all(slot.entered == slot.left <= 1 for slot in slots)
    assert any(slot.entered for slot in slots)
    for _ in range(3):
        await asyncio.wait_for(throttle.take(write=False), 10)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(throttle.take(write=False), 0.01)
