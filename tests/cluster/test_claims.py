from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.cluster.claims import DatabaseClaim, DatabaseClaims
from mirror.core.claims import TIMES, FinishedElsewhere, Superseded
from mirror.core.ledger.index import IndexEntry
from mirror.core.reporting.inheritance import KilledRun
from mirror.core.reporting.report import ActionReport, RepositoryReport
from mirror.database.connection import Database
from mirror.errors import ClaimLost
from support.clock import VirtualClock
from support.postgres import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "mirrors/tool"
SETTINGS = "1"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ENTRY = IndexEntry("github:octo/tool", KEY, releases=3)
REPORT = RepositoryReport(
    "github:octo/tool", KEY, "ok", (ActionReport("create-release", "done", "v1"),)
)


class Worker:
    """One process's claims, with a clock of its own."""

    def __init__(
        self, claims: DatabaseClaims, clock: VirtualClock, claimed: dict[str, int]
    ) -> None:
        self.claims = claims
        self.clock = clock
        self.claimed = claimed

    async def take(self) -> DatabaseClaim:
        claim = await self.claims.take(KEY, SETTINGS, LONG_AGO, accepts=False)
        assert isinstance(claim, DatabaseClaim)
        return claim


async def published(database: Database, settings: str | None = SETTINGS) -> None:
    """As some process has the mirror's settings."""
    await database.query(
        "INSERT INTO mirrors (key, settings) VALUES (%s, %s)"
        " ON CONFLICT (key) DO UPDATE SET settings = excluded.settings",
        (KEY, settings),
    )


@asynccontextmanager
async def worker(url: str, name: str) -> AsyncIterator[Worker]:
    clock, claimed = VirtualClock(), dict[str, int]()
    async with opened(url, clock) as database:
        await published(database)
        yield Worker(DatabaseClaims(database, clock, name, claimed), clock, claimed)


async def expire(url: str) -> None:
    """Let all claims end by the database's clock."""
    async with opened(url) as database:
        await database.query("UPDATE mirrors SET claimed_until = now() - interval '1 s'")


async def test_one_at_a_time(postgres_url: str) -> None:
    """While one process has a mirror, nobody else gets it; afterwards with a greater number."""
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        claim = await a.take()
        assert a.claimed == {KEY: claim.number}
        assert await b.claims.take(KEY, SETTINGS, LONG_AGO, accepts=False) is None
        assert await a.claims.release(claim, ENTRY, REPORT, finished=True)
        assert a.claimed == {}
        later = await b.take()
        assert later.number > claim.number
        assert later.entry == ENTRY


async def test_a_run_that_began_later_counts(postgres_url: str) -> None:
    """What another process began after mine and finished is mine; what it began before is not."""
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        before = await b.claims.now()
        claim = await a.take()
        between = await b.claims.now()
        await a.claims.release(claim, ENTRY, REPORT, finished=True)
        found = await b.claims.take(KEY, SETTINGS, before)
        assert found == FinishedElsewhere(ENTRY, REPORT)
        mine = await b.claims.take(KEY, SETTINGS, between)
        assert isinstance(mine, DatabaseClaim)
        assert mine.overlapped
        assert await b.claims.reports(KEY, between) == [REPORT]
        await b.claims.release(mine, None, None, finished=False)
        full = await b.claims.take(KEY, SETTINGS, before, accepts=False)
        assert isinstance(full, DatabaseClaim)
        assert full.overlapped, "also what a run that does not count did is told"


async def test_a_mirror_with_other_settings_is_not_claimed(postgres_url: str) -> None:
    """Nor one that was removed; what others did of it with other settings does not count."""
    async with (
        worker(postgres_url, "a") as a,
        worker(postgres_url, "b") as b,
        opened(postgres_url) as database,
    ):
        before = await b.claims.now()
        claim = await a.take()
        await a.claims.release(claim, ENTRY, REPORT, finished=True)
        await published(database, "2")
        assert await b.claims.take(KEY, SETTINGS, before) == Superseded(removed=False)
        await published(database, None)
        assert await b.claims.take(KEY, SETTINGS, before) == Superseded(removed=True)
        assert await b.claims.take(
            "mirrors/unknown", SETTINGS, LONG_AGO, accepts=False
        ) == Superseded(removed=True)


async def test_settings_that_change_during_a_run_need_another_run(postgres_url: str) -> None:
    """It is due at once, whatever the timetable of the run's process says."""
    async with worker(postgres_url, "a") as a, opened(postgres_url) as database:
        due = "SELECT next_due > now() FROM mirrors"
        later = datetime.now(UTC) + timedelta(days=1)
        for settings, expected in (SETTINGS, True), ("2", False):
            claim = await a.take()
            await database.query("UPDATE mirrors SET next_due = now()")
            await published(database, settings)
            await a.claims.release(claim, ENTRY, None, finished=True, next_due=later)
            assert await database.query(due) == [(expected,)]


async def test_a_run_that_was_cut_short_counts_for_nobody(postgres_url: str) -> None:
    """A claim that was handed back is free at once, and others run the mirror."""
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        before = await b.claims.now()
        await a.claims.release(await a.take(), None, None, finished=False)
        assert isinstance(await b.claims.take(KEY, SETTINGS, before), DatabaseClaim)


async def test_a_dead_claim_is_taken_over(postgres_url: str) -> None:
    """A process that did not renew its claim loses it: it can neither save nor give it back."""
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        dead = await a.take()
        await expire(postgres_url)
        assert (await b.take()).number == dead.number + 1
        assert not await a.claims.release(dead, ENTRY, REPORT, finished=True)


async def test_what_a_killed_run_intended_is_known_until_it_is_told(postgres_url: str) -> None:
    """To those that come after it, until one of them ends; a run that ended intends nothing."""
    intended = (ActionReport("publish-release", "planned", "v1"),)
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        dead = await a.take()
        await dead.intend(intended, REPORT.but(actions=()))
        await dead.tell(REPORT)
        for _ in range(2):  # the first one is killed, too, before it does anything
            await expire(postgres_url)
            later = await b.take()
            (run,) = await later.killed()
            assert run == KilledRun(dead.number, intended, REPORT.but(claim=dead.number))
        await later.intend(intended, REPORT)
        await b.claims.release(later, ENTRY, REPORT, finished=True)
        assert await (await a.take()).killed() == []


async def test_a_lost_reply_costs_nothing(postgres_url: str) -> None:
    """A claim is taken again by the process that has it already, with a greater number."""
    async with worker(postgres_url, "a") as a:
        first = await a.take()
        assert (await a.take()).number == first.number + 1


async def test_too_little_time_left(postgres_url: str) -> None:
    """By its own clock a process stops before its claim ends, whatever the database says."""
    async with worker(postgres_url, "a") as a:
        claim = await a.take()
        a.clock.advance(TIMES.lease - TIMES.margin - 1)
        claim.check()
        a.clock.advance(1)
        with pytest.raises(ClaimLost):
            claim.check()


async def test_a_suspended_machine_knows_that_its_claims_are_over(postgres_url: str) -> None:
    """Its timers stood still meanwhile: the first write after that is refused all the same."""
    async with worker(postgres_url, "a") as a:
        claim = await a.take()
        before = a.clock.monotonic()
        a.clock.suspend(TIMES.lease)
        assert a.clock.monotonic() == before
        with pytest.raises(ClaimLost):
            claim.check()
        claim.expire()
        assert claim.lost


async def test_losing_a_claim_stops_the_work(postgres_url: str) -> None:
    """What runs under a claim is cancelled when the claim is lost; a cancellation of one's own stays one."""
    async with worker(postgres_url, "a") as a:
        claim = await a.take()

        async def work(under: DatabaseClaim) -> None:
            async with under.held():
                await asyncio.Event().wait()

        asyncio.get_running_loop().call_soon(claim.lose)
        with pytest.raises(ClaimLost):
            await work(claim)
        other = await a.take()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work(other))
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()


class LateDatabase(Database):
    """A database whose response to the giving back of a claim comes late."""

    def __init__(self, url: str) -> None:
        super().__init__(lambda: url, VirtualClock())
        self.carried_out, self.answer = asyncio.Event(), asyncio.Event()

    async def query(self, statement: Any, *about: Any, **more: Any) -> Any:
        rows = await super().query(statement, *about, **more)
        if "WITH ended" in statement:
            self.carried_out.set()
            await self.answer.wait()
        return rows


async def test_what_is_given_back_cannot_be_lost(postgres_url: str) -> None:
    """A renewal that finds it given back already does not take it for taken over."""
    async with opened(postgres_url) as ready, LateDatabase(postgres_url) as database:
        await published(ready)
        claims = DatabaseClaims(database, VirtualClock(), "a", {})
        claim = await claims.take(KEY, SETTINGS, LONG_AGO, accepts=False)
        assert isinstance(claim, DatabaseClaim)
        async with asyncio.TaskGroup() as group:
            given_back = group.create_task(claims.release(claim, ENTRY, REPORT, finished=True))
            await database.carried_out.wait()
            await claims.renew()
            database.answer.set()
        assert given_back.result()
        assert not claim.lost


async def test_renewal(postgres_url: str) -> None:
    """A renewed claim has its whole time again; one that somebody took over is lost."""
    async with worker(postgres_url, "a") as a, worker(postgres_url, "b") as b:
        claim = await a.take()
        a.clock.advance(TIMES.lease - TIMES.margin - 1)
        await a.claims.renew()
        a.clock.advance(TIMES.lease - TIMES.margin - 1)
        claim.check()
        await expire(postgres_url)
        await b.take()
        await a.claims.renew()
        assert claim.lost
