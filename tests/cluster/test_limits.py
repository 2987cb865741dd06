from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from mirror.cluster.limits import CHANNEL, SharedRecord
from mirror.core.shared_limits import HOLD, Rates, Refusal, Report, UnitReport
from support.postgres import opened

if TYPE_CHECKING:
    from mirror.database.connection import Database

HOST = "https://api.github.com"
POINTS = Rates(points_per_minute=900)


def asks(holder: str, need: float = 5, *, held: float = 0) -> Report:
    """A process that needs some points now, and would like more."""
    return Report(holder, {"points": UnitReport(held=held, need=need, waiting=need, stock=60)})


async def test_processes_together_use_up_a_limit_and_never_exceed_it(postgres_url: str) -> None:
    """However their reports interleave, four processes get no more than the limit, and at least 95 % of it."""

    async def work(name: str, database: Database) -> float:
        record, got = SharedRecord(database, HOST, lambda: "c", POINTS), 0.0
        while True:
            settled = await record.settle(asks(name, held=got))
            if not (amount := settled.grants["points"].amount):
                return got
            got += amount

    async with AsyncExitStack() as stack:
        bases = [await stack.enter_async_context(opened(postgres_url)) for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(work(f"w{n}", base)) for n, base in enumerate(bases)]
    assert 0.95 * 900 <= sum(one.result() for one in works) <= 900


async def test_a_killed_process_returns_its_block_by_time(postgres_url: str) -> None:
    """What a dead process held counts as sent when it lapses, and is free again a minute after that."""
    async with opened(postgres_url) as database:
        record = SharedRecord(database, HOST, lambda: "c", POINTS)
        assert (await record.settle(asks("dead", 900))).grants["points"].amount == 900
        refused = await record.settle(asks("alive"))
        assert not refused.grants["points"].amount
        await pass_time(database, HOLD + 30)
        later = await record.settle(asks("alive"))
        assert not later.grants["points"].amount
        assert later.grants["points"].wait == pytest.approx(30, abs=3)
        await pass_time(database, 33)
        assert (await record.settle(asks("alive"))).grants["points"].amount >= 5


async def pass_time(database: Database, seconds: float) -> None:
    """Let the record look as many seconds older, since the clock is the database's."""
    await database.query(
        """
        UPDATE limits SET state = jsonb_set(jsonb_set(state, '{points}', coalesce((
            SELECT jsonb_agg(jsonb_build_array((one->>0)::float8 - %(s)s::float8, one->1))
            FROM jsonb_array_elements(state->'points') one), '[]')),
            '{holders}', coalesce((
            SELECT jsonb_object_agg(key, jsonb_set(value, '{2}',
                to_jsonb((value->>2)::float8 - %(s)s::float8)))
            FROM jsonb_each(state->'holders')), '{}'))
        """,
        {"s": seconds},
    )


async def test_a_pause_is_told_to_all_at_once(postgres_url: str) -> None:
    """A pause and a refusal are announced in the statement that saves them; ordinary reports are not."""
    told: asyncio.Queue[str] = asyncio.Queue()
    async with (
        asyncio.timeout(20),
        opened(postgres_url) as database,
        asyncio.TaskGroup() as group,
    ):
        record = SharedRecord(database, HOST, lambda: "c", POINTS)
        listening = group.create_task(database.listen(CHANNEL, told.put_nowait))
        assert not await told.get()  # it listens
        await record.settle(asks("a"))
        paused = await record.settle(Report("a", pause=120))
        assert await told.get() == record.key
        seen = await record.settle(Report("b"))
        assert seen.record.news == paused.record.news == 1
        assert seen.record.paused_until - seen.at == pytest.approx(120, abs=5)
        await record.settle(Report("b", refusal=Refusal("c", "Bad credentials")))
        assert await told.get() == record.key
        assert told.empty()
        listening.cancel()


async def test_a_new_credential_starts_with_what_was_sent_to_its_host(postgres_url: str) -> None:
    """A rotated token gets no second allowance; another host's has nothing to do with it."""
    async with opened(postgres_url) as database:
        first = SharedRecord(database, HOST, lambda: "old", POINTS)
        await first.settle(Report("a", {"points": UnitReport(answered=[(0.0, 900.0)])}))
        rotated = await SharedRecord(database, HOST, lambda: "new", POINTS).settle(asks("a"))
        assert not rotated.grants["points"].amount
        other = await SharedRecord(database, "https://ghes", lambda: "new", POINTS).settle(
            asks("a")
        )
        assert other.grants["points"].amount


async def test_a_report_costs_two_statements(postgres_url: str) -> None:
    """A report reads and saves; one that only looks is not saved, so that nobody else has to repeat."""
    async with opened(postgres_url) as database:
        record = SharedRecord(database, HOST, lambda: "c", POINTS)
        await record.settle(asks("a"))
        version = await database.query("SELECT version FROM limits")
        await record.settle(Report("b"))
        assert await database.query("SELECT version FROM limits") == version
        statements = 0
        query = database.query

        class Counting:
            async def query(self, *args: object, **more: object) -> object:
                nonlocal statements
                statements += 1
                return await query(*args, **more)  # type: ignore[arg-type]

        counted = SharedRecord(Counting(), HOST, lambda: "c", POINTS)  # type: ignore[arg-type]
        await counted.settle(asks("a"))
        assert statements == 2
