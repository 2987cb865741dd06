"""Counts the requests that are sent for one piece of work, whatever else is sent at the same time."""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

from mirror.core.reporting.report import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from mirror.core.reporting.report import RequestCount

_tally: ContextVar[dict[str, RequestCount] | None] = ContextVar("tally", default=None)


class tallied:  # noqa: N801 - a context manager; a class for speed: every mirror needs one
    """Count, by host, the requests of the block.

    The count follows the context variables into the block's tasks, and into the threads that transfer
    bytes for them.
    """

    __slots__ = ("_token",)

    _token: Token[dict[str, RequestCount] | None]

    def __enter__(self) -> Mapping[str, RequestCount]:
        counts: dict[str, RequestCount] = {}
        self._token = _tally.set(counts)
        return counts

    def __exit__(self, *_: object) -> None:
        _tally.reset(self._token)


def counted() -> Mapping[str, RequestCount]:
    """What was counted so far for the work that asks; equal counts are one object."""
    counts = _tally.get()
    return _shared(tuple(counts.items())) if counts else NOTHING


@lru_cache(maxsize=64)  # thousands of mirrors send the same few requests
def _shared(counts: tuple[tuple[str, RequestCount], ...]) -> Mapping[str, RequestCount]:
    return dict(counts)


def tally(host: str, count: RequestCount) -> None:
    """Add to the count of the work that sends it; the caller holds a lock for the host."""
    counts = _tally.get()
    if counts is not None:
        before = counts.get(host)
        counts[host] = before.plus(count) if before else count
