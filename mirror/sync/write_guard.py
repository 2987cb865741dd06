"""Finishes the writes that are in flight when a run is cancelled, so that their result is known."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mirror.concurrency import first_error
from mirror.core.dispatch import watched
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mirror.core.dispatch import Dispatch

T = TypeVar("T")

GRACE = 5.0
"""Seconds that a write in flight has to be answered after its run was cancelled. A host usually
answers within one; whoever waits for the program to stop does not wait long."""


class WriteGuard:
    """Runs writes to their end, whatever is cancelled meanwhile.

    Args:
        group: Holds the writes; it outlives whoever waits for them.
        grace: Seconds that a write has to end after a cancellation.
        permit: Called before each request that changes something; raises if it must not be sent.
    """

    def __init__(self, group: asyncio.TaskGroup, grace: float, permit: Callable[[], None]) -> None:
        self._group = group
        self._grace = grace
        self._permit = permit

    async def finish(
        self,
        write: Coroutine[Any, Any, T],
        *,
        worthwhile: Callable[[], bool] = lambda: True,
        unknown: Callable[[], object] = lambda: None,
    ) -> T:
        """Run a write, with the record of what it did, to its end.

        Args:
            write: What is not to be cut off while it waits for an answer.
            worthwhile: Whether an answer can be expected soon; if not, a cancellation ends it.
            unknown: Called if a write that was worthwhile, and was sent at least in part, did not
                end in time.

        Raises:
            asyncio.CancelledError: The caller was cancelled. The write has ended.
            Exception: As the write raised it.
        """
        with watched(self._permit) as dispatch:
            task = self._group.create_task(_caught(write))
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError:
            await self._end(task, dispatch, worthwhile, unknown)
            raise
        if isinstance(result, _Raised):
            raise result.error
        return result

    async def _end(
        self,
        task: asyncio.Task[Any],
        dispatch: Dispatch,
        worthwhile: Callable[[], bool],
        unknown: Callable[[], object],
    ) -> None:
        if task.done():
            return
        expected = worthwhile() and not dispatch.unsent
        if expected and not dispatch.waiting:  # else nothing is on its way that would be answered
            with suppress(asyncio.CancelledError):  # a second one ends the wait
                await asyncio.wait([task], timeout=self._grace)
        if task.done():
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
        if expected and task.cancelled():
            unknown()


class _Raised:
    """An error as a value: raised in the group, it would cancel the other writes."""

    def __init__(self, error: Exception) -> None:
        self.error = error


async def _caught(write: Coroutine[Any, Any, T]) -> T | _Raised:
    try:
        return await write
    except Exception as error:  # noqa: BLE001 - raised where the write is awaited
        return _Raised(error)


@asynccontextmanager
async def guarded_writes(
    grace: float = GRACE, permit: Callable[[], None] = lambda: None
) -> AsyncIterator[WriteGuard]:
    """Guard the writes that the block makes; all of them have ended when it is left.

    Args:
        grace: Seconds that a write has to end after a cancellation.
        permit: Called before each request that changes something; raises if it must not be sent.

    Raises:
        MirrorError: As the block raised it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield WriteGuard(group, grace, permit)
    except* MirrorError as failed:
        raise first_error(failed) from None
