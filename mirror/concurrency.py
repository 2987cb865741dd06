"""Awaits several operations at the same time, each of which fails as if it ran alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")
U = TypeVar("U")


@overload
async def together(
    first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U], /
) -> tuple[T, U]: ...


@overload
async def together(*operations: Coroutine[Any, Any, T]) -> tuple[T, ...]: ...


async def together(*operations: Coroutine[Any, Any, Any]) -> Sequence[Any]:
    """Run operations that do not depend on each other; their results, in order.

    Raises:
        Exception: The first that an operation raised, as it is; the other operations were cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(operation) for operation in operations]
    except BaseExceptionGroup as failed:
        raise first_error(failed) from None
    return tuple(task.result() for task in tasks)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, however deep."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error
