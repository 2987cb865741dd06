from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mirror.cluster.claims import DatabaseClaims
from mirror.cluster.queue import Due, SharedQueue
from mirror.core.claims import JobSettings
from mirror.core.reporting.report import ActionReport, RepositoryReport
from support.clock import MachineClock
from support.postgres import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mirror.database.connection import Database

LATER = datetime(2100, 1, 1, tzinfo=UTC)
LISTING = "github:octo"
REPORT = RepositoryReport(
    "github:octo/a", "m/a", "ok", (ActionReport("create-release", "done", "v1"),)
)


class Worker:
    """One process's part of the queue."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        clock = MachineClock()
        self.claims = DatabaseClaims(database, clock, f"{name}-id", {})
        self.queue = SharedQueue(database, clock, self.claims, name)

    async def start(self, *jobs: JobSettings) -> None:
        """Start, or reload, with these settings."""
        await self.queue.publish(await self.queue.next_generation(), jobs)

    async def claim(self, limit: int = 10, excluded: Sequence[str] = ()) -> list[Due]:
        return await self.queue.claim(limit, ["github"], excluded)

    async def keys(self) -> list[str]:
        return [due.claim.key for due in await self.claim()]

    async def end(
        self, due: Due, *, next_due: datetime | None = LATER, report: RepositoryReport | None = None
    ) -> None:
        finished = next_due is not None
        await self.claims.release(due.claim, None, report, finished=finished, next_due=next_due)


@asynccontextmanager
async def workers(url: str) -> AsyncIterator[tuple[Worker, Worker]]:
    async with opened(url) as one, opened(url) as other:
        yield Worker(one, "a"), Worker(other, "b")


def job(key: str, settings: str = "1", *, source: str = "github", listing: str = "") -> JobSettings:
    return JobSettings(key, settings, source, listing, LATER)


async def test_what_is_due_is_claimed_once(postgres_url: str) -> None:
    """Up to the limit, by one process only, of hosts that accept work; and then not before it is due."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"), job("m/b"), job("m/c"), job("m/x", source="other"))
        first = await a.claim(2)
        assert len(first) == 2
        (rest,) = await b.claim()
        assert {due.claim.key for due in (*first, rest)} == {"m/a", "m/b", "m/c"}
        assert await a.claim() == []
        await a.end(first[0])
        assert await b.claim() == []


async def test_what_was_cut_short_is_due_at_once(postgres_url: str) -> None:
    """A process that stops hands its mirrors back, and the claim of a dead one ends."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"), job("m/b"))
        first, second = await a.claim()
        await a.end(first, next_due=None)
        assert await b.keys() == [first.claim.key]
        await a.database.query("UPDATE mirrors SET claimed_until = now() - interval '1 s'")
        assert second.claim.key in await b.keys()
        assert not await a.claims.release(second.claim, None, None, finished=True)


async def test_what_a_dead_process_had_is_claimed_first(postgres_url: str) -> None:
    """However many mirrors became due at the same time, a dead process's are taken over at once."""
    async with workers(postgres_url) as (a, b):
        await a.start(*(job(f"m/{number}") for number in range(10)))
        begun = {due.claim.key for due in await a.claim(2)}
        await a.database.query(
            "UPDATE mirrors SET claimed_until = now() - interval '1 s' WHERE owner IS NOT NULL"
        )
        assert {due.claim.key for due in await b.claim(2)} == begun


async def test_a_lost_response_strands_nothing(postgres_url: str) -> None:
    """What a process claimed without hearing of it, it claims again; what it knows of, it does not."""
    async with workers(postgres_url) as (a, _):
        await a.start(job("m/a"), job("m/b"))
        known, stranded = await a.claim()
        a.claims.forget(stranded.claim)
        (again,) = await a.claim()
        assert again.claim.key == stranded.claim.key
        assert again.claim.number > stranded.claim.number
        assert known.claim.key != again.claim.key


async def test_the_newest_settings_win(postgres_url: str) -> None:
    """Each mirror has those of the last start or reload; what is new, changed or gone is told apart."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"), job("m/b"), job("m/gone"))
        for due in await a.claim():
            await a.end(due)
        await b.start(job("m/a"), job("m/b", "2"), job("m/new"))
        rows = {row.key: row.settings for row in await a.queue.look()}
        assert rows == {"m/a": "1", "m/b": "2", "m/gone": None, "m/new": "1"}
        assert {due.claim.key: due.claim.settings for due in await b.claim()} == {
            "m/b": "2",
            "m/new": "1",
        }


async def test_an_earlier_start_does_not_undo_a_later_one(postgres_url: str) -> None:
    """A process that read its settings before another one did loses, however slow it was."""
    async with workers(postgres_url) as (a, b):
        slow = await a.queue.next_generation()
        await b.start(job("m/a", "2"), job("m/b", "2"))
        await a.queue.publish(slow, [job("m/a", "1")])
        assert {row.settings for row in await b.queue.look()} == {"2"}
        slow = await a.queue.next_generation()
        await b.start(job("m/a", "2"), job("m/b", "2"))
        await a.queue.publish(slow, [job("m/a", "3"), job("m/new", "3")])
        assert {row.settings for row in await b.queue.look()} == {"2"}


async def test_starts_at_the_same_time_are_not_mixed(postgres_url: str) -> None:
    """All mirrors have the settings of one of them, and those that it does not have are removed."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/0", "a"), job("m/1", "b"))
        for number in range(10):
            async with asyncio.TaskGroup() as group:
                for worker, name in (a, "a"), (b, "b"):
                    jobs = [job(key, name) for key in ("m/0", "m/1", f"m/{name}{number}")]
                    group.create_task(worker.start(*jobs))
            found = {row.key: row.settings for row in await a.queue.look() if row.settings}
            (name,) = set(found.values())
            assert found == dict.fromkeys(("m/0", "m/1", f"m/{name}{number}"), name)


async def test_a_listing_with_former_settings_publishes_nothing(postgres_url: str) -> None:
    """What it found is for the process with the newest settings to judge, which lists again."""
    async with workers(postgres_url) as (a, b):
        await a.start(job(LISTING), job("m/a", listing=LISTING))
        generation = await a.queue.next_generation()
        await b.start(job(LISTING, "2"), job("m/a", "2"))
        generation += 2  # also one that began later
        for found in ([job("m/b", listing=LISTING)], [job("m/a", listing=LISTING)]):
            await a.queue.publish(generation, [job(LISTING), *found], listing=LISTING)
        rows = {row.key: row.settings for row in await a.queue.look()}
        assert rows == {LISTING: "2", "m/a": "2"}


async def test_excluded_mirrors_are_left_alone(postgres_url: str) -> None:
    """An outdated process asks for none of the mirrors that it has other settings of."""
    async with workers(postgres_url) as (a, _):
        await a.start(job("m/a"), job("m/b"))
        assert [due.claim.key for due in await a.claim(excluded=["m/a"])] == ["m/b"]


async def test_a_request_reaches_all(postgres_url: str) -> None:
    """It is due at once, goes before what is merely due, and a run that began later answers it."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"), job("m/b"), job("m/c"))
        for due in await a.claim():
            await a.end(due)
        await a.queue.request(None, full=False, urgent=False)
        since = await b.queue.request(["m/c"], full=True, urgent=True)
        first, *others = await b.claim()
        assert (first.claim.key, first.urgent, first.claim.full) == ("m/c", True, True)
        assert [(due.urgent, due.claim.full, due.claim.requested) for due in others] == [
            (False, False, True)
        ] * 2
        assert await a.queue.finished(["m/c"], since) == {}
        await b.end(first, report=REPORT)
        (done,) = (await a.queue.finished(["m/c", "m/a"], since)).values()
        assert done.run
        assert done.run.report == REPORT
        assert await b.claim() == []


async def test_a_request_during_a_run_needs_another_run(postgres_url: str) -> None:
    """The run began before it: the mirror is due again at once, once."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"))
        (due,) = await a.claim()
        since = await b.queue.request(["m/a"], full=False, urgent=True)
        await a.end(due, report=REPORT)
        assert await b.queue.finished(["m/a"], since) == {}
        (again,) = await b.claim()
        await b.end(again)
        (done,) = (await a.queue.finished(["m/a"], since)).values()
        assert done.run
        assert done.run.report is None
        assert await b.claim() == []


async def test_a_listing_goes_before_its_mirrors(postgres_url: str) -> None:
    """Mirrors that a listing found wait until it was made; what it no longer finds is removed."""
    async with workers(postgres_url) as (a, b):
        await a.start(job(LISTING), job("m/a", listing=LISTING), job("m/fixed"))
        claimed = {due.claim.key: due for due in await a.claim()}
        assert claimed.keys() == {LISTING, "m/fixed"}
        assert await b.claim() == []
        generation = await a.queue.next_generation()
        found = [job(LISTING), job("m/b", listing=LISTING)]
        await a.queue.publish(generation, found, listing=LISTING)
        await a.end(claimed[LISTING])
        assert await b.keys() == ["m/b"]


async def test_workers(postgres_url: str) -> None:
    """They tell what they do; a stopped one leaves, a dead one is shown for an hour."""
    async with workers(postgres_url) as (a, b):
        await a.start(job("m/a"))
        await a.claim()
        await a.queue.heartbeat(2.6, outdated=False)
        await b.queue.heartbeat(0, outdated=True)
        one, other = await b.queue.workers()
        assert (one.name, one.mirrors, one.bytes_per_second, one.outdated) == ("a", 1, 3, False)
        assert (other.name, other.mirrors, other.outdated) == ("b", 0, True)
        await a.queue.leave()
        assert [worker.name for worker in await b.queue.workers()] == ["b"]
        await b.database.query("UPDATE workers SET last_heartbeat = now() - interval '2 h'")
        await a.queue.heartbeat(0, outdated=False)
        assert [worker.name for worker in await b.queue.workers()] == ["a"]


async def test_a_shorter_interval_counts_at_once(postgres_url: str) -> None:
    """What is due later than the new timetable has it is due when that says."""
    async with workers(postgres_url) as (a, _):
        await a.start(job("m/a"))
        (due,) = await a.claim()
        await a.end(due)
        soon = datetime.now(UTC) + timedelta(hours=1)
        await a.start(JobSettings("m/a", "1", "github", "", soon))
        (row,) = await a.queue.look()
        assert row.next_due == soon
