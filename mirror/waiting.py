"""Waits: one that ends early when there is news, and one that takes no cancellation for its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mirror.core.clock import Clock

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
