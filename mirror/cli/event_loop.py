"""The event loop that commands run on: uvloop if it is installed."""

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
"""New objects between two runs of the garbage collector."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Like ``asyncio.run``, on uvloop if the extra ``fast`` is installed."""
    # Modules stay loaded, and a request leaves hundreds of objects behind, few of them in cycles:
    # collecting every 700 objects, Python's default, takes a tenth of an idle pass.
    gc.freeze()
    # Older generations are collected five times as often as the threshold alone would have it: a
    # daemon that runs for months must not accumulate objects that became part of a cycle late.
    gc.set_threshold(OBJECTS, 4, 20)
    results: list[T] = []

    async def kept() -> None:
        results.append(await work)

    # The runner restores SIGINT's handler, and `signal` formats the one it replaces: the task with
    # its result, which may be a report of thousands of mirrors.
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(kept())
    return results[0]


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        module = importlib.import_module("uvloop")
    except ImportError:  # optional, and not available on every platform
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", module.new_event_loop)
