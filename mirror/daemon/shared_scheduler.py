"""The scheduler of a daemon that shares its mirrors with others: the database holds the queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.daemon.base_scheduler import BaseScheduler, attempt
from mirror.daemon.cluster_view import ClusterView
from mirror.daemon.host_gates import closed_for, disabled, gates_of, revive, stopped_by_host
from mirror.daemon.job_queue import Run
from mirror.daemon.listings import list_repositories, matching_listings
from mirror.daemon.passes import Pass, Request
from mirror.daemon.shared_requests import SharedRequests, WaitingClient
from mirror.daemon.workload import SharedWorkload
from mirror.errors import DatabaseUnavailable, LedgerError
from mirror.sync.shared_work import run_claimed, unchanged
from mirror.waiting import wait_for_news

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime, tzinfo

    from mirror.cluster.queue import Due
    from mirror.core.claims import Claim
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.workers import Worker
    from mirror.daemon.gauges import ClusterState
    from mirror.open_ledger import Cluster
    from mirror.sync.discovery import Discovery

POLL_EVERY = 1.0
"""Seconds between two looks for work that is due; a request wakes the loop at once."""

LOOK_EVERY = 5.0
"""Seconds between two heartbeats, which also learn what other processes did."""

AGAIN = 2.0
"""Seconds after which an unavailable database is tried again."""

log = structlog.get_logger()


class SharedScheduler(BaseScheduler[SharedWorkload]):
    """Runs mirrors that are due, as far as other processes do not.

    A pass is this process's part of what was due at one time.

    Args:
        cluster: The database.
        speed: Returns the bytes a second that this process moves.
        workload, clock, on_session, on_pass, zone: See the base.

    Attributes:
        alive_at: When the event loop last turned, monotonic.
        trouble: Why nothing is begun now; empty if work goes on.
        loaded: The ledger was read.
        name: Of this process among the workers.
    """

    def __init__(
        self,
        workload: SharedWorkload,
        cluster: Cluster,
        clock: Clock,
        *,
        speed: Callable[[], float],
        on_session: Callable[[RepositoryReport, float], None],
        on_pass: Callable[[Pass], None],
        zone: tzinfo | None = None,
    ) -> None:
        super().__init__(workload, clock, on_session=on_session, on_pass=on_pass, zone=zone)
        self._store = cluster.store
        self._queue = cluster.queue
        self._limits = cluster.limits
        self.name = cluster.queue.name
        self._speed = speed
        self._news = asyncio.Event()
        self._view = ClusterView(cluster.queue)
        self._requests = SharedRequests(cluster.queue, clock)
        self._runs: dict[str, Run] = {}
        self._listing: set[str] = set()
        self._stops: set[str] = set()  # mirrors that were stopped by a host, and run again for that
        self._waves: dict[datetime, Pass] = {}
        self._more_is_due = False
        self._tick: datetime | None = None
        self.alive_at = clock.monotonic()
        self.trouble = "the database has not been reached yet"
        self.loaded = False
        self._load()

    async def run(self) -> None:
        """Run what is due, until :meth:`stop` and the end of the last run.

        Raises:
            LedgerTooNew: A later version of this program made the tables.
            LedgerError: The database refuses to make them.
        """
        async with asyncio.TaskGroup() as group:
            alive = group.create_task(self._prove_to_be_alive())
            try:
                if await self._prepare():
                    await self._work()
            finally:
                alive.cancel()
                self._interrupt_clients()
                self._end_passes()

    # --- requests --------------------------------------------------------------------------------

    def _load(self) -> None:
        self._published = False
        self._learn()

    def _learn(self) -> None:
        """Know the mirrors of the workload as they are now."""
        self._know(self._workload.mirrors)
        self._view.jobs = {job.key: job for job in self._workload.jobs(self._now())}

    def _request_all(self, *, full: bool) -> bool:
        self._requests.want(None, full=full)
        return bool(self._view.jobs)

    def _request_repository(self, source: str, repo: str, *, full: bool) -> bool:
        keys = [mirror.key for mirror in self._named.get((source, repo.casefold()), ())]
        keys = keys or matching_listings(self._workload.patterns, [repo], source)
        if keys:
            self._requests.want(keys, full=full, urgent=True)
        return bool(keys)

    def _begin_for_client(self, opened: Pass) -> None:
        client = WaitingClient(opened)
        self._requests.clients.append(client)
        patterns = opened.client.patterns if opened.client else ()
        keys = matching_listings(self._workload.patterns, patterns)
        opened.awaited.update(keys)
        self._want_mirrors(client, "", keys)

    def _want_mirrors(self, client: WaitingClient, listing: str, more: Sequence[str] = ()) -> None:
        """Request the mirrors of a client that a listing found, and more rows with them."""
        opened, keys = client.opened, list(more)
        for mirror in self._mirrors.values():
            if mirror.listing == listing and opened.covers(mirror):
                opened.note(mirror.key, "queued")
                keys.append(mirror.key)
        if keys:
            self._requests.want(keys, full=opened.request.full, urgent=True, client=client)
            self._wake.set()

    def _client_passes(self) -> Iterable[Pass]:
        return [client.opened for client in self._requests.clients]

    # --- what others ask -------------------------------------------------------------------------

    @property
    def running(self) -> Collection[Run]:
        """The runs of this process."""
        return self._runs.values()

    def _in_progress(self) -> set[str]:
        return {*self._runs, *self._listing}

    @property
    def workers(self) -> Sequence[Worker]:
        """All processes, this one included."""
        return self._view.workers

    @property
    def outdated(self) -> bool:
        """Whether another process has newer settings of a mirror."""
        return bool(self._view.other_settings)

    def running_elsewhere(self) -> list[tuple[Mirror, str, datetime]]:
        """The runs of other processes: the mirror, the worker's name, and when it began."""
        return self._view.elsewhere(self._mirrors, self._runs)

    def cluster_state(self) -> ClusterState:
        """The workers and the queue, and how many failures there were in all processes."""
        return self._view.state(self._mirrors, self._workload)

    def next_run(self, key: str) -> datetime | None:
        """When a mirror runs next; ``None`` for never, and where it waits only for its turn."""
        if self._stopping:
            return None
        if self._view.is_running(key):
            mirror = self._mirrors.get(key)
            return self._next_tick([mirror.interval], self._workload) if mirror else None
        return self._view.next_due(key)

    def is_queued(self, key: str) -> bool:
        """Whether a run of this mirror is requested and will begin; none is in progress."""
        return self._view.is_due(key) and not self._stopping

    def next_tick(self) -> datetime | None:
        """When the next timetable has mirrors due; ``None`` for never."""
        if self._stopping:
            return None
        return self._next_tick(self._workload.timetables, self._workload)

    def _next_tick(self, intervals: Iterable[float], workload: SharedWorkload) -> datetime | None:
        ticks = (workload.next_tick(one, self._now()) for one in intervals)
        return min((tick for tick in ticks if tick), default=None)

    def _now(self) -> datetime:
        """By the database's clock, in the zone of schedules."""
        return self._queue.now().astimezone(self._zone)

    # --- the loop --------------------------------------------------------------------------------

    async def _prove_to_be_alive(self) -> None:
        """Tell that the event loop turns: the database may take its time."""
        while True:
            self.alive_at = self._clock.monotonic()
            await self._clock.sleep(POLL_EVERY)

    async def _prepare(self) -> bool:
        """Wait for the database, and make its tables; ``False`` if a stop was requested before."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._store.prepare(patience=0)
            except DatabaseUnavailable as error:
                self.trouble = str(error)
                await wait_for_news(self._wake, AGAIN, self._clock)
            else:
                return True
        return False

    async def _work(self) -> None:
        async with (
            self._queue.claims.renewed(),
            self._limits.active(),
            asyncio.TaskGroup() as tasks,
        ):
            works = self._look_again_and_again(), self._queue.listen(self._on_notice)
            beside = [tasks.create_task(work) for work in works]
            try:
                while await self._turn(tasks):
                    seconds = AGAIN if self.trouble else POLL_EVERY
                    await wait_for_news(self._wake, seconds, self._clock)
            finally:
                for task in beside:
                    task.cancel()
                await self._leave()

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
            if not self._published:
                await self._publish()
            await self._requests.send()
            await self._ask_for_clients()
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

    async def _leave(self) -> None:
        try:
            await self._queue.leave()
        except LedgerError as error:  # it is removed when it has been silent for long
            log.debug("queue.not_left", error=str(error))

    async def _look_again_and_again(self) -> None:
        while True:
            if self.loaded:
                try:
                    await self._refresh()
                    await self._view.look(self._speed())
                except LedgerError as error:
                    self._note_trouble(error)
            self._news.clear()
            await wait_for_news(self._news, LOOK_EVERY, self._clock)

    async def _refresh(self) -> None:
        """Learn what other processes saved."""
        if await self._store.refresh(self._workload.index):
            self._workload.expand()
            self._learn()

    async def _publish(self) -> None:
        """Have the whole cluster use these settings."""
        generation = await self._queue.next_generation()
        await self._store.refresh(self._workload.index)
        self._workload.expand()
        self._learn()
        await self._queue.publish(generation, list(self._view.jobs.values()))
        await self._view.look(self._speed())
        self._view.judge_afresh()
        self._published = True
        if not self.loaded:
            self.loaded = True
            workers = len(self._view.workers)
            log.info("cluster.joined", workers=workers, mirrors=len(self._mirrors))

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        """Claim what is due, and begin it."""
        gates, limit = self._workload.gates, self._workload.limit
        free = limit - sum(not closed_for(run.gates) for run in self._runs.values())
        names = [name for name, gate in gates.items() if not gate.closed_for()]
        if free <= 0 or "target" not in names:
            return
        claimed = await self._queue.claim(free, names, self._view.other_settings)
        self._more_is_due = len(claimed) == free
        for due in claimed:
            job = self._view.jobs.get(due.claim.key)
            if self._stopping or job is None or job.settings != due.claim.settings:
                self._view.other_settings.add(due.claim.key)
                await self._queue.claims.release(due.claim, None, None, finished=False)
            else:
                self._begin(due, tasks)

    # --- runs ------------------------------------------------------------------------------------

    def _begin(self, due: Due, tasks: asyncio.TaskGroup) -> None:
        claim, workload, began = due.claim, self._workload, self._clock.monotonic()
        passes = [one.opened for one in self._requests.clients if one.waits_for(claim.key)]
        now = began
        if not due.urgent:
            opened = Pass(None, Request(now), due.due_at.astimezone(UTC), now)
            wave = self._waves.setdefault(due.due_at, opened)
            began = wave.began  # what is proven once a pass is proven for all of its mirrors
            passes.append(wave)
        request = Request(
            began,
            full=claim.full,
            explicit=claim.requested,
            urgent=due.urgent,
            passes=tuple(passes),
        )
        if (mirror := self._mirrors.get(claim.key)) is None:
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
        run = Run(mirror, request, gates_of(mirror, workload.gates), 0, now)
        self._runs[claim.key] = run
        tasks.create_task(self._session(run, claim, workload))

    async def _session(self, run: Run, claim: Claim, workload: SharedWorkload) -> None:
        mirror, request = run.mirror, run.request
        report: RepositoryReport | None = None
        done: RepositoryReport | None = None
        earlier: list[RepositoryReport] = []
        try:
            earlier = await self._requests.earlier(request.clients, claim.key)
            report, done = await run_claimed(
                lambda: attempt(mirror, workload.sync(mirror, request, claim)),
                self._queue.claims,
                claim,
                workload.context,
                partial(self._is_finished, run),
                lambda: self._next_tick([mirror.interval], workload),
            )
        except asyncio.CancelledError:
            self._cut(run, workload)
            raise
        except LedgerError as error:
            log.error("queue.failed", error=str(error))  # noqa: TRY400 - the database's, not ours
        finally:
            self._runs.pop(mirror.key, None)
            self._wake.set()
        if report is None:  # another process has it, and clients wait for that
            _forget(request, mirror.key)
            for client in self._requests.of(request.clients):
                client.earlier[mirror.key] += [done] if done else []
            return
        self._tell(self._on_session, report, self._clock.monotonic() - run.since)
        for one in request.passes:
            one.end_run(mirror.key, with_earlier(report, earlier), disabled(run.gates))

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

    async def _list(self, claim: Claim, request: Request, workload: SharedWorkload) -> None:
        """List an owner's repositories, for the whole cluster."""
        key, rules = claim.key, workload.patterns[claim.key]
        gate = workload.gates[rules[0].source_name]
        found: list[Discovery] = []
        finished: RepositoryReport | None = None
        try:
            finished, _ = await run_claimed(
                partial(self._discover, claim, workload, found),
                self._queue.claims,
                claim,
                workload.context,
                lambda report: report.status == "unchanged" or not gate.stopped,
                lambda: self._next_tick([rule.interval for rule in rules], workload),
            )
        except LedgerError as error:
            self._note_trouble(error)
        finally:
            self._listing.discard(key)
            self._wake.set()
        if finished is None:
            _forget(request, key)
            return
        for one in request.passes:
            one.end_listing(key, found[0].failed, found[0].requests, gate.stopped)
        if finished.status == "unchanged":
            self._learn()
            for client in self._requests.of(request.passes):
                self._want_mirrors(client, key)

    async def _discover(
        self, claim: Claim, workload: SharedWorkload, found: list[Discovery]
    ) -> RepositoryReport:
        key = claim.key
        generation = await self._queue.next_generation()
        discovery = await list_repositories(workload, key, full=claim.full)
        found.append(discovery)
        failed = [report for report in discovery.failed if report.target is None]
        if failed:
            return failed[0]
        await self._store.save_shared(workload.index)
        await self._queue.publish(generation, workload.jobs(self._now(), key), listing=key)
        return RepositoryReport(f"{key}/*", None, "unchanged")

    # --- passes ----------------------------------------------------------------------------------

    async def _ask_for_clients(self) -> None:
        """Learn what other processes did for the clients of this one."""
        ended = await self._requests.finished_elsewhere(self._in_progress())
        for client, key, (run, _), earlier in ended:
            opened = client.opened
            if key not in opened.awaited:
                continue
            if key in self._workload.patterns:
                await self._listed_elsewhere(client, key, run.report if run else None)
            elif run is None or (mirror := self._mirrors.get(key)) is None:
                opened.awaited.discard(key)  # it was removed
            else:
                report = with_earlier(run.report or unchanged(mirror, run), earlier)
                if opened.client:
                    opened.client.observer.mirror_started(mirror.name)
                    opened.client.observer.mirror_finished(report)
                opened.end_run(key, report)

    async def _listed_elsewhere(
        self, client: WaitingClient, key: str, failed: RepositoryReport | None
    ) -> None:
        await self._refresh()
        rules = self._workload.patterns[key]
        names = [f"{rule.source_name}:{rule.source}" for rule in rules]
        reports = [replace(failed, source=name) for name in names] if failed else []
        client.opened.end_listing(key, reports, {})
        if failed is None:
            self._want_mirrors(client, key)

    def _end_passes(self) -> None:
        """Report the passes that wait for nothing any more."""
        for one in self._requests.ended():
            self._end(one)
        if not self._more_is_due or self._stopping:
            for at, one in [(at, one) for at, one in self._waves.items() if not one.awaited]:
                del self._waves[at]
                if one.reports or one.listings:
                    self._end(one)


def _forget(request: Request, key: str) -> None:
    """Let no timetable's pass wait for what another process has; clients wait for that one."""
    for one in request.passes:
        if not one.client:
            one.awaited.discard(key)
