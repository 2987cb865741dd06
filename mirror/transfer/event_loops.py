"""Run a coroutine in the event loop of another thread, and wait for its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


async def ask(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work in another thread's loop.

    A cancellation is passed on, and the end of the work is awaited all the same: nothing continues
    unnoticed. If the work returns in the moment of a cancellation, its result is lost.

    Raises:
        RuntimeError: That loop is closed.
        Exception: Whatever the work raised, as it is.
    """
    errand = _Errand(loop, work)
    cancelled = await errand.end(passed_on=True)
    task = errand.task
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it
        raise cancelled
    return task.result()


async def finish(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """As :func:`ask`, for cleanup: a cancellation is raised only after the work has ended."""
    errand = _Errand(loop, work)
    cancelled = await errand.end(passed_on=False)
    result = errand.task.result()
    if cancelled is not None:
        raise cancelled
    return result


class _Errand(Generic[T]):
    """Work in another loop.

    Attributes:
        task: The work, once it has begun there.
    """

    def __init__(
        self, there: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> None:
        self.task: asyncio.Task[T]
        self._there = there
        self._work = work
        self._here = asyncio.get_running_loop()
        self._over = self._here.create_future()
        there.call_soon_threadsafe(self._begin)

    async def end(self, *, passed_on: bool) -> asyncio.CancelledError | None:
        """Wait for the end; return the cancellation that came meanwhile, passed on or not."""
        cancelled: asyncio.CancelledError | None = None
        while not self._over.done():
            try:
                await asyncio.wait([self._over])
            except asyncio.CancelledError as error:
                cancelled = error
                if passed_on:
                    self._there.call_soon_threadsafe(self._cancel)
        return cancelled

    def _begin(self) -> None:
        self.task = self._there.create_task(self._do())
        self.task.add_done_callback(self._ended)

    async def _do(self) -> T:
        return await self._work()

    def _cancel(self) -> None:
        self.task.cancel()

    def _ended(self, _: object) -> None:
        self._here.call_soon_threadsafe(self._over.set_result, None)
