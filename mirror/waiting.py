"""Waits that end early, cancellations that go astray, and tasks that run beside a block of code."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from mirror.core.clock import Clock

    Start = Callable[[Coroutine[Any, Any, None]], None]

T = TypeVar("T")


async def wait_for_news(news: asyncio.Event, seconds: float, clock: Clock) -> None:
    """Wait until an event is set, for so many seconds at most; then it is set in any case."""

    def over(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            news.set()

    async with asyncio.TaskGroup() as nap:
        sleeper = nap.create_task(clock.sleep(seconds))
        sleeper.add_done_callback(over)
        await news.wait()
        sleeper.cancel()


async def unless_stray(work: Awaitable[T]) -> T:
    """Await work; a cancellation that nobody requested is an error of the work."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it was cancelled from within") from error


@asynccontextmanager
async def background() -> AsyncIterator[Start]:
    """Hand out a function that starts tasks, which are cancelled when the block ends.

    Raises:
        Exception: Whatever the block or a task raised; several errors as a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            yield lambda work: tasks.append(group.create_task(work))
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise
