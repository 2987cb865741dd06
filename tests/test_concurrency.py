"""Operations that run at the same time: their results, and how they fail."""

from __future__ import annotations

import asyncio

import pytest

from mirror.concurrency import together
from mirror.errors import NotFound


async def test_results_come_in_the_order_of_the_operations() -> None:
    """Whichever ends first; each starts before any has ended."""
    second_ran = asyncio.Event()

    async def first() -> str:
        await second_ran.wait()
        return "first"

    async def second() -> int:
        second_ran.set()
        return 2

    assert await together(first(), second()) == ("first", 2)


async def test_the_first_failure_is_raised_as_it_is_and_ends_the_others() -> None:
    """Not as a group, however deep it was raised: callers handle it as of a single operation."""
    ended = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")

    async def failing() -> None:
        raise NotFound("gone")

    with pytest.raises(NotFound, match="gone"):
        await together(slow(), together(slow(), failing()))
    assert ended == ["slow", "slow"]
