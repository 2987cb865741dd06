"""The event loop that commands run on: the quickest that is installed."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on uvloop where the extra ``fast`` is installed."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(work)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        module = importlib.import_module("uvloop")
    except ImportError:  # it is optional, and not made for every system
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", module.new_event_loop)
