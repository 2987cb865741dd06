"""The database that daemons share, in memory and by a virtual clock: for laws of their scheduler."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from mirror.cluster.claims import DatabaseClaim, DatabaseClaims
from mirror.cluster.queue import URGENT, Due, Finished, Row, SharedQueue
from mirror.core.claims import TIMES, FinishedElsewhere, JobSettings
from mirror.core.reporting.workers import Worker
from mirror.errors import DatabaseUnavailable
from mirror.open_ledger import Cluster
from mirror.waiting import background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from mirror.core.claims import Claim
    from mirror.core.clock import Clock
    from mirror.core.ledger.index import Index, IndexEntry
    from mirror.core.reporting.report import RepositoryReport
    from mirror.storage.postgres_ledger import PostgresLedgerStore

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class FakeRow:
    """A row of the mirrors; see :mod:`mirror.database.schema`."""

    key: str
    next_due: datetime
    settings: str | None = None
    source: str = ""
    listing: str = ""
    generation: int = 0
    number: int = 0
    owner: str | None = None
    claimed_until: datetime = _LONG_AGO
    began_at: datetime | None = None
    ended_at: datetime | None = None
    requested_at: datetime | None = None
    requested_full: bool = False
    reports: list[tuple[int, datetime, RepositoryReport]] = field(default_factory=list)


class FakeDatabase:
    """What several fake queues share.

    Attributes:
        available: Statements are answered; else they fail at once.
        cut_off: The owners whose statements fail.
        hangs: Statements are never answered.
        unreadable: What runs did cannot be read.
        hooks: What happens during the next statements, one each.
        statements: How many were sent.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.available = True
        self.cut_off: set[str] = set()
        self.hangs = False
        self.unreadable = False
        self.hooks: list[Callable[[], object]] = []
        self.statements = 0
        self.rows: dict[str, FakeRow] = {}
        self.workers: dict[str, Worker] = {}
        self.listeners: list[Callable[[], object]] = []
        self.generation = self.published = 0

    async def statement(self, owner: str = "") -> datetime:
        """Send one; its time, later than that of each before."""
        self.statements += 1
        if self.hooks:
            self.hooks.pop(0)()
        if self.hangs:
            await asyncio.Event().wait()
        if not self.available or owner in self.cut_off:
            raise DatabaseUnavailable("the database is unavailable: it is a test")
        return self.clock.now() + timedelta(microseconds=self.statements)

    def notify(self) -> None:
        for told in self.listeners:
            told()

    def cluster(self, name: str) -> Cluster:
        """What one daemon needs to share the work."""
        queue = FakeQueue(self, name)
        store = cast("PostgresLedgerStore", _FakeStore(self))
        return Cluster(store, queue, cast("Any", _FakeLimits()), lambda: None)


class _FakeStore:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def prepare(self, *, patience: float) -> None:
        del patience
        await self._database.statement()

    async def refresh(self, index: Index) -> set[str]:
        del index
        await self._database.statement()
        return set()

    async def save_shared(self, index: Index) -> None:
        del index
        await self._database.statement()


class _FakeLimits:
    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        yield


class FakeClaims(DatabaseClaims):
    """Claims of one process."""

    def __init__(self, database: FakeDatabase, owner: str) -> None:
        self._fake = database
        self._clock = database.clock
        self.owner = owner
        self.times = TIMES
        self._held = {}
        self._claimed = {}

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        async with background() as start:
            start(self._renew())
            start(self._expire())
            yield

    async def renew(self) -> None:
        with suppress(DatabaseUnavailable):
            await self._renew_once()

    async def _renew_once(self) -> None:
        now = await self._fake.statement(self.owner)
        for claim in list(self._held.values()):
            row = self._fake.rows[claim.key]
            if row.number != claim.number:
                claim.lose()
            elif not claim.ending:
                row.claimed_until = now + timedelta(seconds=self.times.lease)
                claim.until = self._clock.boottime() + self.times.lease

    async def release(
        self,
        claim: Claim,
        entry: IndexEntry | None,
        report: RepositoryReport | None,
        *,
        finished: bool,
        next_due: datetime | None = None,
    ) -> bool:
        assert isinstance(claim, DatabaseClaim)
        del entry
        self.forget(claim)
        try:
            now = await self._fake.statement(self.owner)
        except DatabaseUnavailable:
            return False
        row = self._fake.rows[claim.key]
        if row.number != claim.number:
            return False
        assert row.began_at
        row.owner = None
        again = row.requested_at and row.requested_at > row.began_at
        changed = row.settings != claim.settings
        if finished:
            row.ended_at = now
            if not again:
                row.requested_at, row.requested_full = None, False
        if next_due and not (again or changed):
            row.next_due = next_due
        if report:
            row.reports.append((claim.number, now, report))
        return True

    async def reports(self, key: str, since: datetime) -> list[RepositoryReport]:
        if self._fake.unreadable:
            raise DatabaseUnavailable("the database is unavailable: it is a test")
        await self._fake.statement(self.owner)
        row = self._fake.rows[key]
        return [report for _, ended_at, report in row.reports if ended_at > since]


class FakeQueue(SharedQueue):
    """One process's part of the queue."""

    claims: FakeClaims

    def __init__(self, database: FakeDatabase, name: str) -> None:
        self.name = name
        self.claims = FakeClaims(database, f"{name}-id")
        self._fake = database
        self._seen = _LONG_AGO

    def now(self) -> datetime:
        return self._fake.clock.now()

    async def next_generation(self, *, patience: float = 0.0) -> int:
        del patience
        await self._fake.statement(self.claims.owner)
        self._fake.generation += 1
        return self._fake.generation

    async def publish(
        self,
        generation: int,
        jobs: Sequence[JobSettings],
        *,
        listing: str | None = None,
        patience: float = 0.0,
    ) -> None:
        del patience
        now, rows, news = await self._fake.statement(self.claims.owner), self._fake.rows, False
        given = {job.key: job for job in jobs}
        if listing is None:
            if self._fake.published > generation:
                return
            self._fake.published = generation
        elif rows[listing].settings != given[listing].settings:
            return
        for job in jobs:
            row = rows.setdefault(job.key, FakeRow(job.key, now))
            about = job.settings, job.source, job.listing
            if row.generation <= generation and about != (row.settings, row.source, row.listing):
                row.settings, row.source, row.listing = about
                row.generation, row.next_due = generation, min(row.next_due, now)
                news = True
            if row.settings == job.settings and job.next_tick:
                row.next_due = min(row.next_due, job.next_tick)
        for row in rows.values():
            mine = listing is None or row.listing == listing
            if row.settings and row.generation <= generation and mine and row.key not in given:
                row.settings, row.generation, news = None, generation, True
        if news:
            self._fake.notify()

    async def claim(
        self, limit: int, sources: Collection[str], excluded: Collection[str]
    ) -> list[Due]:
        now, rows = await self._fake.statement(self.claims.owner), self._fake.rows

        def is_due(row: FakeRow) -> bool:
            above = rows.get(row.listing)
            return (
                row.next_due <= now
                and row.settings is not None
                and row.source in sources
                and (row.owner is None or row.claimed_until < now)
                and row.key not in excluded
                and not (above and above.settings is not None and above.next_due <= now)
            )

        found = sorted(filter(is_due, rows.values()), key=lambda row: (row.next_due, not row.owner))
        claimed = []
        for row in found[:limit]:
            row.number, row.owner, row.began_at = row.number + 1, self.claims.owner, now
            row.claimed_until = now + timedelta(seconds=TIMES.lease)
            requested, full = row.requested_at is not None, row.requested_full
            claim = self.claims.hold(
                row.key,
                row.number,
                row.settings,
                self._fake.clock.boottime(),
                None,
                requested=requested,
                full=full,
            )
            ahead = timedelta(seconds=URGENT)
            urgent = bool(row.requested_at and row.next_due <= row.requested_at - ahead)
            claimed.append(Due(claim, row.next_due, urgent))
        return claimed

    async def request(self, keys: Sequence[str] | None, *, full: bool, urgent: bool) -> datetime:
        now = await self._fake.statement(self.claims.owner)
        for row in self._fake.rows.values():
            if row.settings is not None and (keys is None or row.key in keys):
                row.requested_at, row.requested_full = now, row.requested_full or full
                row.next_due = min(row.next_due, now - timedelta(seconds=URGENT if urgent else 0))
        self._fake.notify()
        return now

    async def finished(self, keys: Collection[str], since: datetime) -> dict[str, Finished]:
        await self._fake.statement(self.claims.owner)
        found = {}
        for row in (self._fake.rows[key] for key in keys if key in self._fake.rows):
            began, ended = row.began_at or _LONG_AGO, row.ended_at or _LONG_AGO
            done = row.owner is None and began > since and ended >= began
            if row.settings is None or done:
                last = next((r for n, _, r in row.reports if n == row.number), None)
                earlier = [r for n, at, r in row.reports if n < row.number and at > since]
                run = None if row.settings is None else FinishedElsewhere(None, last)
                found[row.key] = Finished(run, earlier)
        return found

    async def look(self) -> list[Row]:
        await self._fake.statement(self.claims.owner)
        return [
            Row(row.key, row.settings, row.owner, row.next_due, row.began_at, 0)
            for row in self._fake.rows.values()
        ]

    async def heartbeat(self, bytes_per_second: float, *, outdated: bool) -> None:
        now, owner = await self._fake.statement(self.claims.owner), self.claims.owner
        known = self._fake.workers.get(owner) or Worker(self.name, "", now, now, id=owner)
        self._fake.workers[owner] = replace(
            known, last_heartbeat=now, bytes_per_second=bytes_per_second, outdated=outdated
        )

    async def workers(self) -> list[Worker]:
        await self._fake.statement(self.claims.owner)
        return sorted(self._fake.workers.values(), key=lambda worker: worker.name)

    async def leave(self) -> None:
        await self._fake.statement(self.claims.owner)
        self._fake.workers.pop(self.claims.owner, None)

    async def listen(self, on_notice: Callable[[], object]) -> None:
        self._fake.listeners.append(on_notice)
        on_notice()
        try:
            await asyncio.Event().wait()
        finally:
            self._fake.listeners.remove(on_notice)
