"""Requests are counted for the work that sends them."""

from __future__ import annotations

import asyncio

from mirror.core.reporting.report import RequestCount
from mirror.core.reporting.request_tally import tallied, tally


async def test_work_at_the_same_time_counts_apart() -> None:
    """Tasks count for the block that started them, whatever runs between; outside, nobody counts."""
    turn = asyncio.Event()

    async def work(number: int) -> dict[str, RequestCount]:
        with tallied() as counts:
            async with asyncio.TaskGroup() as group:
                for _ in range(number):
                    group.create_task(send())
        return dict(counts)

    async def send() -> None:
        tally("target", RequestCount(1, retried=1))
        await turn.wait()
        tally("github", RequestCount(1, not_modified=1))

    async with asyncio.TaskGroup() as group:
        few, many = group.create_task(work(1)), group.create_task(work(4))
        await asyncio.sleep(0)
        turn.set()
    tally("target", RequestCount(1))
    assert few.result() == {"target": RequestCount(1, 0, 1), "github": RequestCount(1, 1, 0)}
    assert many.result() == {"target": RequestCount(4, 0, 4), "github": RequestCount(4, 4, 0)}
