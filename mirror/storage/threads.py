"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


async def unbroken(work: Callable[..., T], *args: Any) -> T:
    """Run it in a thread, and to its end: cancelled work must not overtake the work after it."""
    running = asyncio.get_running_loop().run_in_executor(None, lambda: work(*args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        running.exception()  # Looked at: nobody else will.
        raise


async def each_unbroken(step: Callable[[T], object], items: Iterable[T]) -> None:
    """As :func:`unbroken`, a step for each item in turn; the event loop goes on between two steps."""
    loop, cancelled = asyncio.get_running_loop(), None
    for item in items:
        running = loop.run_in_executor(None, step, item)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            await asyncio.wait([running])  # cancelled once more, no further step is taken
            if running.exception():
                raise
            cancelled = error
    if cancelled:
        raise cancelled
