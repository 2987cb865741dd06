"""Work in the loop of another thread: what crosses, and what is awaited."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
import structlog

from mirror.errors import SourceChanged
from mirror.transfer.event_loops import ask, finish
from support.threads import there

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


async def test_what_is_told_on_the_way_comes_before_the_end() -> None:
    """Whoever asked has heard everything that the work told when it ends."""
    here, seen = asyncio.get_running_loop(), list[int]()

    async def work() -> None:
        for number in range(100):
            here.call_soon_threadsafe(seen.append, number)

    with there() as loop:
        await ask(loop, work)
    assert seen == list(range(100))


@pytest.mark.parametrize("ending", ["as cancelled", "by returning", "by an error"])
async def test_a_cancellation_is_waited_for(ending: str) -> None:
    """It ends the work, however long that takes to end, and only then whoever asked."""
    here, begun, slow = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    stages: list[str] = []

    async def work() -> None:
        here.call_soon_threadsafe(begun.set)
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
                here.call_soon_threadsafe(begun.set)
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
