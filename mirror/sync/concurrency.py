"""Runs an operation for many items at the same time, within a limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from mirror.errors import HostStopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

T = TypeVar("T")


async def run_each(
    items: Iterable[T], limit: int, operation: Callable[[T], Awaitable[object]]
) -> None:
    """Run an operation for each item, started in order, at most ``limit`` at the same time.

    Raises:
        HostStopped: An operation found its host disabled; the others were cancelled.
    """
    room = asyncio.Semaphore(limit)

    async def run(item: T) -> None:
        try:
            await operation(item)
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                await room.acquire()
                group.create_task(run(item))
    except* HostStopped as stopped:
        raise stopped.exceptions[0] from None
