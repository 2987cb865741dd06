"""Work between event loops of several threads: each object is used in the loop it belongs to.

The large assets' bytes flow in loops of their own (:mod:`mirror.transfer.workers`); what is decided
about a host (credentials, limits, counts) stays in the loop that its client was opened in.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


async def ask(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do some work in a loop, here or in another thread, and wait until it has ended there.

    A cancellation is passed on, and waited for as well: nothing goes on behind the back of whoever
    asked. What the work returned in the moment of a cancellation is lost; what has to be given back
    is asked for by :func:`held`.

    Raises:
        RuntimeError: That loop is closed.
        Exception: Whatever the work raised, as it is.
    """
    if loop is asyncio.get_running_loop():
        return await work()
    errand = _Errand(loop, work)
    cancelled = await errand.end(passed_on=True)
    task = errand.task
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, so that nobody complains of it later
        raise cancelled
    return task.result()


async def finish(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """As :func:`ask`, for what has to be done in any case: a cancellation waits until it is.

    In the same loop that is up to the work, as it is with every ``finally``.
    """
    if loop is asyncio.get_running_loop():
        return await work()
    errand = _Errand(loop, work)
    cancelled = await errand.end(passed_on=False)
    result = errand.task.result()
    if cancelled is not None:
        raise cancelled
    return result


@asynccontextmanager
async def held(
    loop: asyncio.AbstractEventLoop, manager: AbstractAsyncContextManager[object]
) -> AsyncIterator[None]:
    """Enter and leave a context manager in a loop; what was entered is left in any case."""
    entered = False

    async def enter() -> None:
        nonlocal entered
        await manager.__aenter__()
        entered = True

    async def leave() -> None:
        await manager.__aexit__(None, None, None)

    try:
        await ask(loop, enter)
        yield
    finally:
        if entered:
            await finish(loop, leave)


def tell(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Call something in a loop: at once in the one that runs here, soon in another thread's."""
    if loop is asyncio.get_running_loop():
        call(*arguments)
    else:
        loop.call_soon_threadsafe(partial(call, *arguments))


class _Errand(Generic[T]):
    """Work on its way through another loop.

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
        """Wait until it has ended; the cancellation that came meanwhile, which ends it or does not."""
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
