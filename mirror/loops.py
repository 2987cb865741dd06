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
    here = asyncio.get_running_loop()
    if loop is here:
        return await work()
    errand: _Errand[T] = _Errand(loop, work, here)
    loop.call_soon_threadsafe(errand.begin)
    cancelled: asyncio.CancelledError | None = None
    while not errand.over.done():
        try:
            await asyncio.wait([errand.over])
        except asyncio.CancelledError as error:
            cancelled = error
            loop.call_soon_threadsafe(errand.cancel)
    task = errand.task
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, so that nobody complains of it later
        raise cancelled
    return task.result()


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
            await ask(loop, leave)


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
        over: Of the loop that asked: done when the work has ended.
    """

    def __init__(
        self,
        there: asyncio.AbstractEventLoop,
        work: Callable[[], Coroutine[Any, Any, T]],
        here: asyncio.AbstractEventLoop,
    ) -> None:
        self.task: asyncio.Task[T]
        self.over = here.create_future()
        self._there = there
        self._work = work
        self._here = here

    def begin(self) -> None:
        self.task = self._there.create_task(self._work())
        self.task.add_done_callback(self._end)

    def cancel(self) -> None:
        self.task.cancel()

    def _end(self, _: object) -> None:
        self._here.call_soon_threadsafe(self.over.set_result, None)
