"""What a check found, one line for each thing that was looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from mirror.core.failure import Failure
from mirror.errors import HostStopped, MirrorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

State = Literal["ok", "warning", "failed", "unknown"]

T = TypeVar("T")

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at.

    Attributes:
        host: The host's configured name (``target``, ``github``).
        what: What was looked at (``token``, ``download``, a repository).
        status: ``unknown`` where it cannot be told.
        detail: What was found, and where it failed, what to do.
    """

    host: str
    what: str
    status: State
    detail: str


def failure(host: str, what: str, error: MirrorError, *, status: State = "failed") -> CheckResult:
    """What could not be looked at, and what to do; ``unknown`` where the host was given up before."""
    if isinstance(error, HostStopped):
        return not_tried(host, what)
    found = Failure.of(error)
    return CheckResult(host, what, status, f"{found.detail}; {found.advice}")


def not_tried(host: str, what: str) -> CheckResult:
    """What was not looked at, because its host failed before."""
    return CheckResult(host, what, "unknown", "skipped because of the failure above")


async def ask_each(asks: Iterable[Callable[[], Awaitable[T]]]) -> list[T | MirrorError]:
    """Ask some at once; an error is an answer too."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: Callable[[], Awaitable[T]]) -> T | MirrorError:
        async with slots:
            try:
                return await one()
            except MirrorError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(one)) for one in asks]
    return [task.result() for task in tasks]
