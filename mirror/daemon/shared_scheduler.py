"""The scheduler of a daemon that shares its mirrors with others: the database holds the queue."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.daemon.base_scheduler import BaseScheduler, attempt
from mirror.daemon.host_gates import closed_for, disabled, gates_of, revive, stopped_by_host
from mirror.daemon.job_queue import Run
from mirror.daemon.membership import Membership
from mirror.daemon.passes import Pass, Request
from mirror.daemon.shared_requests import SharedRequests
from mirror.errors import DatabaseUnavailable, LedgerError
from mirror.sync.shared_work import run_claimed
from mirror.waiting import wait_for_news

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from datetime import datetime, tzinfo

    from mirror.cluster.queue import Due
    from mirror.core.claims import Claim
    from mirror.core.clock import Clock
    from mirror.daemon.base_scheduler import Watcher
    from mirror.daemon.workload import Workload
    from mirror.open_ledger import Cluster
    from mirror.sync.discovery import Discovery

POLL_EVERY = 1.0
"""Seconds between two looks for work that is due; a request wakes the loop at once."""

AGAIN = 2.0
"""Seconds after which an unavailable database is tried again."""

DATABASE_MAY_TAKE = 120.0
"""Seconds that one step of the loop may wait for the database: its statements end sooner."""

log = structlog.get_logger()


class SharedScheduler(BaseScheduler):
    """Runs mirrors that are due, as far as other processes do not.

    A pass is this process's part of what was due at one time.

    Args:
        cluster: The database.
        speed: Returns the bytes a second that this process moves.
        workload, clock, watcher, zone: See the base.

    Attributes:
        trouble: Why nothing is begun now; empty if work goes on.
        name: Of this process among the workers.
        cluster: What is known of the other processes.
    """

    def __init__(
        self,
        workload: Workload,
        cluster: Cluster,
        clock: Clock,
        watcher: Watcher,
        *,
        speed: Callable[[], float],
        zone: tzinfo | None = None,
    ) -> None:
        super().__init__(workload, clock, watcher, zone)
        self._store = cluster.store
        self._queue = cluster.queue
        self._limits = cluster.limits
        self.name = cluster.queue.name
        self._speed = speed
        self._news = asyncio.Event()
        self.cluster = Membership(cluster, self._known, self._zone)
        self._requests = SharedRequests(cluster.queue, clock, self._known)
        self._published: Workload | None = None  # in the database
        self._runs: dict[str, Run] = {}
        self._listing: set[str] = set()
        self._stops: set[str] = set()  # mirrors that were stopped by a host, and run again for that
        self._waves: dict[datetime, Pass] = {}
        self._more_is_due = False
        self._tick: datetime | None = None
        self.trouble = "the database has not been reached yet"
        self._load()

    async def run(self) -> None:
        """Run what is due, until :meth:`stop` and the end of the last run.

        Raises:
            LedgerTooNew: A later version of this program made the tables.
            LedgerError: The database refuses to make them.
        """
        try:
            if await self._prepare():
                await self._work()
        finally:
            self._interrupt_clients()
            self._end_passes()

    # --- requests --------------------------------------------------------------------------------

    def _load(self) -> None:
        self.cluster.learn(self._workload)

    def _request_all(self, *, full: bool) -> bool:
        self._requests.want(None, full=full)
        return bool(self.cluster.jobs)

    def _request_repository(self, source: str, repo: str, *, full: bool) -> bool:
        keys = self._known.of_repository(source, repo) or self._known.listings([repo], source)
        if keys:
            self._requests.want(keys, full=full, urgent=True)
        return bool(keys)

    def _begin_for_client(self, opened: Pass) -> None:
        self._requests.begin(opened, opened.client.patterns if opened.client else ())

    def _lost_runs(self, opened: Pass, key: str) -> Sequence[RepositoryReport]:
        return self._requests.lost_runs([opened], key)

    def _client_passes(self) -> Iterable[Pass]:
        return self._requests.passes

    # --- what others ask -------------------------------------------------------------------------

    @property
    def running(self) -> Collection[Run]:
        """The runs of this process."""
        return self._runs.values()

    def _in_progress(self) -> set[str]:
        return {*self._runs, *self._listing}

    def next_run(self, key: str) -> datetime | None:
        """When a mirror runs next; ``None`` for never, and where it waits only for its turn."""
        row, mirror = self.cluster.row(key), self._known.mirrors.get(key)
        if self._stopping or row is None:
            return None
        if row.owner is not None:
            return self._next_tick([mirror.interval], self._workload) if mirror else None
        return row.next_due if row.next_due > self._queue.now() else None

    def is_queued(self, key: str) -> bool:
        """Whether a run of this mirror is requested and will begin; none is in progress."""
        row = self.cluster.row(key)
        due = row is not None and row.owner is None and row.next_due <= self._queue.now()
        return due and key in self.cluster.jobs and not self._stopping

    def next_tick(self) -> datetime | None:
        """When the next timetable has mirrors due; ``None`` for never."""
        work = self._workload
        return None if self._stopping else self._next_tick(work.timetables, work)

    def _next_tick(self, intervals: Iterable[float], workload: Workload) -> datetime | None:
        ticks = (workload.next_tick(one, self.cluster.now()) for one in intervals)
        return min((tick for tick in ticks if tick), default=None)

    # --- the loop --------------------------------------------------------------------------------

    async def _prepare(self) -> bool:
        """Wait for the database, and make its tables; ``False`` if a stop was requested before."""
        while not self._stopping:
            self._wake.clear()
            self._step(math.inf)  # an upgrade of the tables takes what it takes
            try:
                await self._store.prepare(patience=0)
            except DatabaseUnavailable as error:
                self.trouble = str(error)
                self._step()
                await wait_for_news(self._wake, AGAIN, self._clock)
            else:
                return True
        return False

    async def _work(self) -> None:
        self._step(DATABASE_MAY_TAKE)
        async with (
            self._queue.claims.renewed(),
            self._limits.active(),
            asyncio.TaskGroup() as tasks,
        ):
            works = self._look_again_and_again(), self._queue.listen(self._on_notice)
            beside = [tasks.create_task(work) for work in works]
            try:
                while await self._turn(tasks):
                    self._step()
                    seconds = AGAIN if self.trouble else POLL_EVERY
                    await wait_for_news(self._wake, seconds, self._clock)
            finally:
                self._step(DATABASE_MAY_TAKE)
                for task in beside:
                    task.cancel()
                await self.cluster.leave()

    async def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Do what is due; whether there is to be another turn."""
        self._wake.clear()
        gates = self._workload.gates.values()
        for gate in gates:
            gate.revive_if_due()
        if self._stopping:
            self._interrupt_clients()
            self._end_passes()
            return bool(self._runs or self._listing)
        if self._tick is None or self._tick <= self._queue.now():
            self._tick = self.next_tick()
            revive(gates, blocked=True)
        self._give_up_disabled()
        try:
            self._step(DATABASE_MAY_TAKE)
            if self._published is not (workload := self._workload):
                await self.cluster.publish(workload, self._speed())
                self._published = workload
            self._step(DATABASE_MAY_TAKE)
            await self._requests.send()
            refresh = partial(self.cluster.refresh, self._workload)
            await self._requests.ask(self._in_progress(), refresh)
            self._requests.give_up(self.cluster.abandoned, self._in_progress())
            self._step(DATABASE_MAY_TAKE)
            await self._claim(tasks)
            self.trouble = ""
        except LedgerError as error:
            self._note_trouble(error)
        self._end_passes()
        return True

    def _note_trouble(self, error: LedgerError) -> None:
        if not (self.trouble or isinstance(error, DatabaseUnavailable)):
            log.error("queue.failed", error=str(error))
        self.trouble = str(error)

    def _on_notice(self) -> None:
        """Somebody requested something, or has new settings; perhaps this process."""
        revive(self._workload.gates.values())
        self._wake.set()
        self._news.set()

    async def _look_again_and_again(self) -> None:
        while True:
            if self.cluster.joined:
                try:
                    await self.cluster.refresh(self._workload)
                    await self.cluster.look(self._speed())
                except LedgerError as error:
                    self._note_trouble(error)
            self._news.clear()
            await wait_for_news(self._news, self._queue.claims.times.look_every, self._clock)

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        """Claim what is due, and begin it."""
        gates, limit = self._workload.gates, self._workload.limit
        free = limit - sum(not closed_for(run.gates) for run in self._runs.values())
        names = [name for name, gate in gates.items() if not gate.closed_for()]
        if free <= 0 or "target" not in names:
            return
        claimed = await self._queue.claim(free, names, self.cluster.other_settings)
        self._more_is_due = len(claimed) == free
        for due in claimed:
            job = self.cluster.jobs.get(due.claim.key)
            if self._stopping or job is None or job.settings != due.claim.settings:
                self.cluster.other_settings.add(due.claim.key)
                await self._queue.claims.release(due.claim, None, None, finished=False)
            else:
                self._begin(due, tasks)

    # --- runs ------------------------------------------------------------------------------------

    def _begin(self, due: Due, tasks: asyncio.TaskGroup) -> None:
        claim, workload, now = due.claim, self._workload, self._clock.monotonic()
        passes, began = self._requests.waiting_for(claim.key), now
        if not due.urgent:
            opened = Pass(None, Request(now), due.due_at.astimezone(UTC), now)
            wave = self._waves.setdefault(due.due_at, opened)
            began = wave.began  # what is proven once a pass is proven for all of its mirrors
            passes.append(wave)
        flags = {"full": claim.full, "explicit": claim.requested, "urgent": due.urgent}
        request = Request(began, **flags, passes=tuple(passes))
        if (mirror := self._known.mirrors.get(claim.key)) is None:
            for one in passes:
                one.awaited.add(claim.key)
            self._listing.add(claim.key)
            tasks.create_task(self._list(claim, request, workload))
            return
        if claim.entry:
            workload.index.mirrors[claim.key] = claim.entry
        for one in passes:
            if not one.client:
                one.note(claim.key, "queued")
        gates = gates_of(mirror, workload.gates)
        run = self._runs[claim.key] = Run(mirror, request, gates, 0, now)
        tasks.create_task(self._session(run, claim, workload))

    async def _session(self, run: Run, claim: Claim, workload: Workload) -> None:
        mirror, passes = run.mirror, run.request.passes
        earlier: list[RepositoryReport] = []

        async def work() -> RepositoryReport:
            earlier.extend(await self._requests.earlier(run.request.clients, claim.key))
            return await attempt(mirror, workload.sync(mirror, run.request, claim))

        try:
            finished = partial(self._is_finished, run)
            report, done = await self._run(work, claim, workload, finished, [mirror.interval])
        except asyncio.CancelledError:
            self._cut(run, workload)
            raise
        if report:
            self._tell(self._watcher.on_session, report, self._clock.monotonic() - run.since)
            for one in passes:
                one.end_run(mirror.key, with_earlier(report, earlier), disabled(run.gates))
        elif done:
            self._requests.lost(run.request.clients, mirror.key, done)

    async def _run(
        self,
        work: Callable[[], Awaitable[RepositoryReport]],
        claim: Claim,
        workload: Workload,
        finished: Callable[[RepositoryReport], bool],
        intervals: Sequence[float],
    ) -> tuple[RepositoryReport | None, RepositoryReport | None]:
        """Work on a mirror or a listing under a claim; see :func:`run_claimed`.

        If another process has it now, clients wait for that one, and a timetable's pass does not.
        """
        report = done = None
        claims, next_tick = self._queue.claims, partial(self._next_tick, intervals, workload)
        try:
            report, done = await run_claimed(
                work, claims, claim, workload.context, finished, next_tick
            )
        except LedgerError as error:
            self._note_trouble(error)
        else:
            self._wake.set()
        finally:
            self._runs.pop(claim.key, None)
            self._listing.discard(claim.key)
        for wave in () if report else self._waves.values():
            wave.awaited.discard(claim.key)
        return report, done

    def _is_finished(self, run: Run, report: RepositoryReport) -> bool:
        """Whether a run answers what it was begun for; else it is due again at once."""
        key, stopped = run.mirror.key, stopped_by_host(report, run.gates)
        # A mirror that is stopped again by hosts that are open is not run again at once.
        if stopped and (closed_for(run.gates) > 0 or key not in self._stops):
            self._stops.add(key)
            return False
        self._stops.discard(key)
        return report.status != "interrupted"

    # --- listings --------------------------------------------------------------------------------

    async def _list(self, claim: Claim, request: Request, workload: Workload) -> None:
        """List an owner's repositories, for the whole cluster."""
        key, rules = claim.key, workload.patterns[claim.key]
        gate = workload.gates[rules[0].source_name]
        found: list[Discovery] = []
        report, _ = await self._run(
            partial(self._discover, claim, workload, found),
            claim,
            workload,
            lambda report: report.status == "unchanged" or not gate.stopped,
            [rule.interval for rule in rules],
        )
        for one in request.passes if report else ():
            one.end_listing(key, found[0].failed, found[0].requests, gate.stopped)
        if report and not gate.stopped:
            self.cluster.learn(self._workload)
            self._requests.want_listed(request.clients, key)

    async def _discover(
        self, claim: Claim, workload: Workload, found: list[Discovery]
    ) -> RepositoryReport:
        found.append(await self.cluster.discover(workload, claim.key, full=claim.full))
        unchanged = RepositoryReport(f"{claim.key}/*", None, "unchanged")
        return next(iter(found[0].failed_listings), unchanged)

    # --- passes ----------------------------------------------------------------------------------

    def _end_passes(self) -> None:
        """Report the passes that wait for nothing any more."""
        for one in self._requests.ended():
            self._end(one)
        if not self._more_is_due or self._stopping:
            for at, one in [(at, one) for at, one in self._waves.items() if not one.awaited]:
                del self._waves[at]
                if one.reports or one.listings:
                    self._end(one)
