"""The event loop that commands run on: the quickest that is installed."""

from __future__ import annotations

import asyncio
import gc
import importlib
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")

OBJECTS = 50_000
"""New objects after which the collector looks for cycles among them."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on uvloop where the extra ``fast`` is installed."""
    # What was imported stays, and a request leaves hundreds of objects behind it, nearly none of
    # them in a cycle: looking through all of it every 700 objects takes a tenth of an idle pass.
    gc.freeze()
    # The older ones are looked through as often as if it were a fifth of that: a service for months
    # must not gather what came into a cycle late.
    gc.set_threshold(OBJECTS, 4, 20)
    results: list[T] = []

    async def kept() -> None:
        results.append(await work)

    # The runner restores SIGINT's handler, and `signal` writes out what that holds: the task with
    # its result. A report of thousands of mirrors is none that anyone would read there.
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(kept())
    return results[0]


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        module = importlib.import_module("uvloop")
    except ImportError:  # it is optional, and not made for every system
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", module.new_event_loop)
