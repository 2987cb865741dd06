"""Operations for many items: how many run at once, and what ends them."""

from __future__ import annotations

import asyncio

import pytest

from mirror.errors import HostStopped
from mirror.sync.concurrency import run_each


async def test_no_more_run_at_once_than_allowed() -> None:
    """Items are started in order, each as soon as there is room."""
    running, most, started = 0, 0, []

    async def operation(item: int) -> None:
        nonlocal running, most
        started.append(item)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await run_each(range(10), 3, operation)
    assert (most, started) == (3, list(range(10)))


async def test_a_disabled_host_ends_all() -> None:
    """It is raised once, not as a group; the other operations are cancelled."""
    cancelled = []

    async def operation(item: int) -> None:
        if item in {1, 2}:
            raise HostStopped("disabled")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(HostStopped):
        await run_each(range(4), 4, operation)
    assert sorted(cancelled) == [0, 3]
