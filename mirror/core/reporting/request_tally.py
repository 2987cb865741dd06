"""Counts the requests that are sent for one piece of work, whatever else is sent at the same time."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.core.reporting.report import RequestCount

_tally: ContextVar[dict[str, RequestCount] | None] = ContextVar("tally", default=None)


@contextmanager
def tallied() -> Iterator[Mapping[str, RequestCount]]:
    """Count, by host, the requests of the block.

    The count follows the context variables into the block's tasks, and into the threads that transfer
    bytes for them.
    """
    tally: dict[str, RequestCount] = {}
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)


def counted() -> Mapping[str, RequestCount]:
    """What was counted so far for the work that asks."""
    return _tally.get() or {}


def tally(host: str, count: RequestCount) -> None:
    """Add to the count of the work that sends it; the caller holds a lock for the host."""
    counts = _tally.get()
    if counts is not None:
        before = counts.get(host)
        counts[host] = before.plus(count) if before else count
