"""The scheduler of a daemon that shares its mirrors with others: the database holds the queue."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.selection import could_match
from mirror.core.failure import Failure
from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.daemon.gauges import ClusterState
from mirror.daemon.job_queue import Run, closed_for
from mirror.daemon.listings import unless_stray
from mirror.daemon.local_zone import LocalZone
from mirror.daemon.passes import Pass, Request
from mirror.errors import DatabaseUnavailable, LedgerError
from mirror.sync.discovery import Discovery
from mirror.sync.mirror_runner import crashed, interrupted, not_tried
from mirror.sync.shared_work import run_claimed, unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from mirror.cluster.queue import Due, Row
    from mirror.core.claims import Claim, JobSettings
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.workers import Worker
    from mirror.daemon.passes import Client
    from mirror.daemon.workload import SharedWorkload
    from mirror.errors import MirrorError
    from mirror.open_ledger import Cluster

POLL_EVERY = 1.0
"""Seconds between two looks for work that is due; a request wakes the loop at once."""

LOOK_EVERY = 5.0
"""Seconds between two heartbeats, which also learn what other processes did."""

AGAIN = 2.0
"""Seconds after which an unavailable database is tried again."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Waiting:
    """A client that waits for mirrors, whichever process runs them.

    Attributes:
        since: When its request was made, by the database's clock; ``None`` while it is not.
        earlier: What runs of this process did that lost their claims, by the mirror's key.
    """

    opened: Pass
    since: datetime | None = None
    earlier: dict[str, list[RepositoryReport]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request that is not in the database yet; no keys stand for all."""

    keys: Sequence[str] | None
    full: bool = False
    urgent: bool = False
    client: _Waiting | None = None


class SharedScheduler:
    """Runs mirrors that are due, as far as other processes do not.

    Args:
        workload: What there is to do.
        cluster: The database.
        clock: The time and every wait.
        speed: Returns the bytes a second that this process moves.
        on_session: Called when a mirror's run ended, with its seconds.
        on_pass: Called when a pass ended: this process's part of what was due at one time.
        zone: The time zone of schedules; the machine's by default.

    Attributes:
        alive_at: When the event loop last turned, monotonic.
        trouble: Why nothing is begun now; empty if work goes on.
        loaded: The ledger was read.
        name: Of this process among the workers.
        rows: Of all mirrors and listings in the cluster.
        workers: All processes, this one included.
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
        self._workload = workload
        self._store = cluster.store
        self._queue = cluster.queue
        self._limits = cluster.limits
        self.name = cluster.queue.name
        self._clock = clock
        self._speed = speed
        self._on_session = on_session
        self._on_pass = on_pass
        self._zone = zone or LocalZone()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._stopping = False
        self._published = False
        self._jobs: Mapping[str, JobSettings] = {}
        self._mirrors: Mapping[str, Mirror] = {}
        self._other_settings: set[str] = set()
        self._runs: dict[str, Run] = {}
        self._listing: set[str] = set()
        self._stops: dict[str, int] = {}
        self._wanted: list[_Wanted] = []
        self._clients: list[_Waiting] = []
        self._waves: dict[datetime, Pass] = {}
        self._more_is_due = False
        self._tick: datetime | None = None
        self._asked_at = float("-inf")
        self.alive_at = clock.monotonic()
        self.trouble = "the database has not been reached yet"
        self.loaded = False
        self.rows: dict[str, Row] = {}
        self.workers: Sequence[Worker] = ()
        self._learn()

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

    def stop(self) -> None:
        """Claim nothing new; runs in progress go on."""
        self._stopping = True
        self._wake.set()

    def replace(self, workload: SharedWorkload) -> None:
        """Go on with another configuration, for the whole cluster; runs in progress go on."""
        self._workload = workload
        self._published = False
        self._revive()
        self._learn()
        self._wake.set()

    # --- requests --------------------------------------------------------------------------------

    def request(
        self, source: str | None = None, repo: str | None = None, *, full: bool = False
    ) -> bool:
        """Have mirrors run at once, by any process, whether they are due and whether they failed.

        Args:
            source: The name of a source; ``None`` for every mirror.
            repo: ``OWNER/REPO``; if it is not known, the patterns that match it are listed.
            full: Trust no stored ETag and no quarantine.

        Returns:
            Whether something was requested.
        """
        if self._stopping:
            return False
        if source is None or repo is None:
            self._want(_Wanted(None, full))
            return bool(self._jobs)
        keys = [
            mirror.key
            for mirror in self._mirrors.values()
            if (mirror.source_name, mirror.source.key) == (source, repo.casefold())
        ]
        keys = keys or self._listings([repo], source)
        if keys:
            self._want(_Wanted(keys, full, urgent=True))
        return bool(keys)

    def trigger(self, client: Client, *, full: bool = False) -> Pass | None:
        """Have what a client selects run at once, by any process.

        Args:
            client: Waits for the end.
            full: Trust no stored ETag and no quarantine.

        Returns:
            The pass, which ends when each mirror has had a run that began after this call;
            ``None`` if nothing new is started any more.
        """
        if self._stopping:
            return None
        began = self._clock.monotonic()
        request = Request(began, full=full, explicit=True, urgent=True)
        opened = Pass(None, request, self._clock.now().astimezone(UTC), began, client=client)
        waiting = _Waiting(opened)
        self._clients.append(waiting)
        keys = self._listings(client.patterns)
        opened.awaited.update(keys)
        self._want_mirrors(waiting, "", keys)
        return opened

    def _want_mirrors(self, client: _Waiting, listing: str, more: Sequence[str] = ()) -> None:
        """Request the mirrors of a client that a listing found, and more rows with them."""
        opened, keys = client.opened, list(more)
        for mirror in self._mirrors.values():
            if mirror.listing == listing and opened.covers(mirror):
                opened.note(mirror.key, "queued")
                keys.append(mirror.key)
        if keys:
            self._want(_Wanted(keys, opened.request.full, urgent=True, client=client))

    def _want(self, wanted: _Wanted) -> None:
        self._wanted.append(wanted)
        self._revive()
        self._wake.set()

    def _listings(self, patterns: Sequence[str], source: str | None = None) -> list[str]:
        """The listings that could find what the patterns select; all without a pattern."""
        return [
            key
            for key, rules in self._workload.patterns.items()
            for name in [rules[0].source_name]
            if source in {None, name}
            and (
                not patterns
                or any(could_match(p, name, rule.source) for p in patterns for rule in rules)
            )
        ]

    # --- what others ask -------------------------------------------------------------------------

    @property
    def running(self) -> Collection[Run]:
        """The runs of this process."""
        return self._runs.values()

    def running_elsewhere(self) -> list[tuple[Mirror, str, datetime]]:
        """The runs of other processes: the mirror, the worker's name, and when it began."""
        names = {worker.id: worker.name for worker in self.workers}
        return [
            (mirror, names.get(row.owner, row.owner), row.began_at)
            for row in self.rows.values()
            if row.owner and row.began_at and row.key not in self._runs
            if (mirror := self._mirrors.get(row.key))
        ]

    def cluster_state(self) -> ClusterState:
        """The workers and the queue, and how many failures there were in all processes."""
        now = self._queue.now()
        waits = [
            (now - row.next_due).total_seconds()
            for row in self.rows.values()
            if row.settings is not None and row.owner is None and row.next_due <= now
        ]
        failures: Counter[str] = Counter()
        for row in self.rows.values():
            if mirror := self._mirrors.get(row.key):
                failures[mirror.name] += row.failures
            for rule in self._workload.patterns.get(row.key, ()):
                failures[f"{rule.source_name}:{rule.source}"] += row.failures
        return ClusterState(self.workers, len(waits), max(waits, default=0.0), failures)

    @property
    def outdated(self) -> bool:
        """Whether another process has newer settings of a mirror."""
        return bool(self._other_settings)

    def next_run(self, key: str) -> datetime | None:
        """When a mirror runs next; ``None`` for never, and where it waits only for its turn."""
        row = self.rows.get(key)
        if self._stopping or row is None or row.settings is None:
            return None
        if row.owner is not None:
            mirror = self._mirrors.get(key)
            return self._next_tick([mirror.interval], self._workload) if mirror else None
        return row.next_due if row.next_due > self._queue.now() else None

    def is_queued(self, key: str) -> bool:
        """Whether a run of this mirror is requested and will begin; none is in progress."""
        row = self.rows.get(key)
        due = row is not None and row.owner is None and row.next_due <= self._queue.now()
        return due and key in self._jobs and not self._stopping

    def next_tick(self) -> datetime | None:
        """When the next timetable has mirrors due; ``None`` for never."""
        return (
            None if self._stopping else self._next_tick(self._workload.timetables, self._workload)
        )

    def waits_for(self, seconds: float) -> bool:
        """Whether every run needs a host that is closed for longer than so many seconds."""
        return all(closed_for(run.gates) > seconds for run in self._runs.values())

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
                await self._nap(AGAIN, self._wake)
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
                    await self._nap(AGAIN if self.trouble else POLL_EVERY, self._wake)
            finally:
                for task in beside:
                    task.cancel()
                await self._leave()

    async def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Do what is due; whether there is to be another turn."""
        self._wake.clear()
        for gate in self._workload.gates.values():
            gate.revive_if_due()
        if self._stopping:
            self._interrupt_clients()
            self._end_passes()
            return bool(self._runs or self._listing)
        if self._tick is None or self._tick <= self._queue.now():
            self._tick = self.next_tick()
            self._revive(blocked=True)
        self._give_up_disabled()
        try:
            if not self._published:
                await self._publish()
            await self._send_requests()
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

    async def _nap(self, seconds: float, news: asyncio.Event) -> None:
        """Wait for so long, or for news."""

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                news.set()

        async with asyncio.TaskGroup() as nap:
            sleeper = nap.create_task(self._clock.sleep(seconds))
            sleeper.add_done_callback(over)
            await news.wait()
            sleeper.cancel()

    def _on_notice(self) -> None:
        """Somebody requested something, or has new settings; perhaps this process."""
        self._revive()
        self._wake.set()
        self._news.set()

    async def _leave(self) -> None:
        try:
            await self._queue.leave()
        except LedgerError as error:  # it is removed when it has been silent for long
            log.debug("queue.not_left", error=str(error))

    # --- the database ----------------------------------------------------------------------------

    async def _look_again_and_again(self) -> None:
        while True:
            if self.loaded:
                try:
                    await self._look()
                except LedgerError as error:
                    self._note_trouble(error)
            self._news.clear()
            await self._nap(LOOK_EVERY, self._news)

    async def _look(self) -> None:
        """Tell that this process is alive, and learn what others did."""
        await self._refresh()
        for row in await self._queue.look():
            self.rows[row.key] = row
            self._judge(row)
        await self._queue.heartbeat(self._speed(), outdated=self.outdated)
        self.workers = await self._queue.workers()

    async def _refresh(self) -> None:
        if await self._store.refresh(self._workload.index):
            self._workload.expand()
            self._learn()

    def _judge(self, row: Row) -> None:
        """See whether a row has the settings that this process knows."""
        mine = self._jobs.get(row.key)
        if row.settings == (mine.settings if mine else None):
            self._other_settings.discard(row.key)
        else:
            self._other_settings.add(row.key)

    def _learn(self) -> None:
        """Know the mirrors of the workload as they are now."""
        workload = self._workload
        self._mirrors = {mirror.key: mirror for mirror in workload.mirrors}
        self._jobs = {job.key: job for job in workload.jobs(self._now())}

    async def _publish(self) -> None:
        """Have the whole cluster use these settings."""
        generation = await self._queue.next_generation()
        await self._store.refresh(self._workload.index)
        self._workload.expand()
        self._learn()
        await self._queue.publish(generation, list(self._jobs.values()))
        self._other_settings.clear()
        await self._look()
        for row in self.rows.values():
            self._judge(row)
        self._published = True
        if not self.loaded:
            self.loaded = True
            log.info("cluster.joined", workers=len(self.workers), mirrors=len(self._mirrors))

    async def _send_requests(self) -> None:
        while self._wanted:
            wanted = self._wanted[0]
            keys, full, urgent = wanted.keys, wanted.full, wanted.urgent
            when = await self._queue.request(keys, full=full, urgent=urgent)
            self._wanted.pop(0)
            if wanted.client and wanted.client.since is None:
                wanted.client.since = when

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        """Claim what is due, and begin it."""
        gates, limit = self._workload.gates, self._workload.limit
        free = limit - sum(not closed_for(run.gates) for run in self._runs.values())
        names = [name for name, gate in gates.items() if not gate.closed_for()]
        if free <= 0 or "target" not in names:
            return
        claimed = await self._queue.claim(free, names, self._other_settings)
        self._more_is_due = len(claimed) == free
        for due in claimed:
            job = self._jobs.get(due.claim.key)
            if self._stopping or job is None or job.settings != due.settings:
                self._other_settings.add(due.claim.key)
                await self._queue.claims.release(due.claim, None, None, finished=False)
            else:
                self._begin(due, tasks)

    # --- runs ------------------------------------------------------------------------------------

    def _begin(self, due: Due, tasks: asyncio.TaskGroup) -> None:
        claim, workload, now = due.claim, self._workload, self._clock.monotonic()
        passes = [one.opened for one in self._clients if self._waits_for(one, claim.key)]
        began = now
        if not due.urgent:
            request = Request(now)
            opened = Pass(None, request, due.due_at.astimezone(UTC), now)
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
        gates = workload.gates[mirror.source_name], workload.gates["target"]
        run = self._runs[claim.key] = Run(mirror, request, gates, 0, now)
        tasks.create_task(self._session(run, claim, workload))

    def _waits_for(self, client: _Waiting, key: str) -> bool:
        return client.since is not None and key in client.opened.awaited

    async def _session(self, run: Run, claim: Claim, workload: SharedWorkload) -> None:
        mirror, request = run.mirror, run.request
        report: RepositoryReport | None = None
        done: RepositoryReport | None = None
        earlier: list[RepositoryReport] = []
        try:
            earlier = await self._earlier(request.clients, claim.key)
            report, done = await run_claimed(
                partial(self._attempt, run, claim, workload),
                self._queue.claims,
                claim,
                workload.context,
                partial(self._is_finished, run, workload),
                lambda: self._next_tick([mirror.interval], workload),
            )
        except asyncio.CancelledError:
            for one in request.clients:
                one.interrupted = True
                one.end_run(mirror.key, workload.done_by(mirror))
            raise
        except LedgerError as error:
            log.error("queue.failed", error=str(error))  # noqa: TRY400 - the database's, not ours
        finally:
            self._runs.pop(mirror.key, None)
            self._wake.set()
        if report is None:  # another process has it, and clients wait for that
            for one in request.passes:
                if not one.client:
                    one.awaited.discard(mirror.key)
            for waiting in self._clients:
                if done and waiting.opened in request.clients:
                    waiting.earlier[mirror.key].append(done)
            return
        self._tell(self._on_session, report, self._clock.monotonic() - run.since)
        disabled = _disabled(mirror, workload)
        for one in request.passes:
            one.end_run(mirror.key, with_earlier(report, earlier), disabled)

    async def _attempt(self, run: Run, claim: Claim, workload: SharedWorkload) -> RepositoryReport:
        try:
            return await unless_stray(workload.sync(run.mirror, run.request, claim))
        except Exception as error:
            log.exception("mirror.crashed", source=run.mirror.name)
            return crashed(run.mirror, error)

    async def _earlier(self, clients: Iterable[Pass], key: str) -> list[RepositoryReport]:
        """What runs that were cut short did for clients before this one."""
        waiting = [one for one in self._clients if one.opened in clients]
        since = min((one.since for one in waiting if one.since), default=None)
        told = await self._queue.claims.reports(key, since) if since else []
        return [*told, *(report for one in waiting for report in one.earlier[key])]

    def _is_finished(self, run: Run, workload: SharedWorkload, report: RepositoryReport) -> bool:
        """Whether a run answers what it was begun for; else it is due again at once."""
        key = run.mirror.key
        disabled = _disabled(run.mirror, workload)
        stopped = bool(report.stopped or (report.status == "failed" and disabled))
        # A mirror that is stopped again by hosts that are open is not run again at once.
        if stopped and (closed_for(run.gates) > 0 or key not in self._stops):
            self._stops[key] = self._stops.get(key, 0) + 1
            return False
        self._stops.pop(key, None)
        return report.status != "interrupted"

    # --- listings --------------------------------------------------------------------------------

    async def _list(self, claim: Claim, request: Request, workload: SharedWorkload) -> None:
        """List an owner's repositories, for the whole cluster."""
        gate = workload.gates[workload.patterns[claim.key][0].source_name]
        found: list[Discovery] = []
        finished: RepositoryReport | None = None
        try:
            finished, _ = await run_claimed(
                partial(self._discover, claim, workload, found),
                self._queue.claims,
                claim,
                workload.context,
                lambda report: report.status == "unchanged" or not gate.stopped,
                lambda: self._next_tick(
                    [r.interval for r in workload.patterns[claim.key]], workload
                ),
            )
        except LedgerError as error:
            self._note_trouble(error)
        finally:
            self._listing.discard(claim.key)
            self._wake.set()
        for one in request.passes:
            if finished is None:
                if not one.client:
                    one.awaited.discard(claim.key)
                continue
            one.listed.append(found[0].requests)
            one.end_listing(claim.key, found[0].failed, gate.stopped)
        if finished and finished.status == "unchanged":
            self._learn()
            for waiting in self._clients:
                if waiting.opened in request.passes:
                    self._want_mirrors(waiting, claim.key)

    async def _discover(
        self, claim: Claim, workload: SharedWorkload, found: list[Discovery]
    ) -> RepositoryReport:
        key = claim.key
        generation = await self._queue.next_generation()
        try:
            discovery = await unless_stray(workload.discover(key, full=claim.full))
        except Exception as error:
            log.exception("discovery.crashed", source=key)
            failure = Failure.of(error, "list-repositories")
            report = RepositoryReport(f"{key}/*", None, "failed", failures=(failure,))
            discovery = Discovery((), (report,))
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
        now = self._clock.monotonic()
        if now - self._asked_at < POLL_EVERY:
            return
        self._asked_at = now
        for waiting in self._clients:
            opened, here = waiting.opened, {*self._listing, *self._runs}
            keys = opened.awaited - here
            if waiting.since is None or not keys:
                continue
            for key, (run, earlier) in (await self._queue.finished(keys, waiting.since)).items():
                if key not in opened.awaited:
                    continue
                if key in self._workload.patterns:
                    await self._listed_elsewhere(waiting, key, run.report if run else None)
                elif run is None or (mirror := self._mirrors.get(key)) is None:
                    opened.awaited.discard(key)  # it was removed
                else:
                    before = *earlier, *waiting.earlier[key]
                    report = with_earlier(run.report or unchanged(mirror, run), before)
                    if opened.client:
                        opened.client.observer.mirror_started(mirror.name)
                        opened.client.observer.mirror_finished(report)
                    opened.end_run(key, report)

    async def _listed_elsewhere(
        self, waiting: _Waiting, key: str, failed: RepositoryReport | None
    ) -> None:
        await self._refresh()
        rules = self._workload.patterns[key]
        names = [f"{rule.source_name}:{rule.source}" for rule in rules]
        waiting.opened.end_listing(key, [replace(failed, source=n) for n in names if failed])
        if failed is None:
            self._want_mirrors(waiting, key)

    def _give_up_disabled(self) -> None:
        """Tell clients what is not run, because its host is disabled: they do not wait for it."""
        gates = self._workload.gates
        if not any(gate.stopped for gate in gates.values()):
            return
        for opened in (waiting.opened for waiting in self._clients):
            for key in opened.awaited - {*self._listing, *self._runs}:
                if rules := self._workload.patterns.get(key):
                    if error := gates[rules[0].source_name].stopped:
                        opened.end_listing(key, [not_tried(f"{key}/*", None, error)], error)
                elif (mirror := self._mirrors.get(key)) and (
                    error := _disabled(mirror, self._workload)
                ):
                    report = not_tried(mirror.name, str(mirror.target), error)
                    opened.end_run(key, report, error)

    def _interrupt_clients(self) -> None:
        """Tell clients what is not begun any more."""
        for opened in (waiting.opened for waiting in self._clients):
            for key in opened.awaited - {*self._listing, *self._runs}:
                opened.interrupted = True
                opened.awaited.discard(key)
                if mirror := self._mirrors.get(key):
                    opened.end_run(key, interrupted(mirror))

    def _end_passes(self) -> None:
        """Report the passes that wait for nothing any more."""
        ended = [one.opened for one in self._clients if not one.opened.awaited]
        self._clients = [one for one in self._clients if one.opened.awaited]
        if not self._more_is_due or self._stopping:
            waves = [(at, one) for at, one in self._waves.items() if not one.awaited]
            for at, one in waves:
                del self._waves[at]
                if one.reports or one.listings:
                    ended.append(one)
        for one in ended:
            one.seconds = self._clock.monotonic() - one.began
            self._tell(self._on_pass, one)

    def _tell(self, callback: Callable[..., None], *facts: object) -> None:
        try:
            callback(*facts)
        except Exception:  # it must not end the loop
            log.exception("callback.failed")

    def _revive(self, *, blocked: bool = False) -> None:
        """Try the hosts again that are disabled.

        Args:
            blocked: Only those whose credential was refused: each pass tries it again.
        """
        for gate in self._workload.gates.values():
            if not blocked or (gate.stopped and gate.stopped.blocked):
                gate.revive()


def _disabled(mirror: Mirror, workload: SharedWorkload) -> MirrorError | None:
    """Why one of a mirror's hosts is disabled; ``None`` if none is."""
    gates = workload.gates[mirror.source_name], workload.gates["target"]
    return next((gate.stopped for gate in gates if gate.stopped), None)
