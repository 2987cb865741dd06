"""When each mirror is due: timetables and requests fill the queue; the loop starts the runs."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import structlog

from mirror.core.timetable import Moment
from mirror.daemon.job_queue import JobQueue
from mirror.daemon.listings import Listings, unless_stray
from mirror.daemon.local_zone import LocalZone
from mirror.daemon.passes import Pass, Request
from mirror.sync.mirror_runner import crashed, interrupted, not_tried

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.report import RepositoryReport
    from mirror.core.reporting.workers import Worker
    from mirror.core.timetable import Ticker, Timetable
    from mirror.daemon.job_queue import Run
    from mirror.daemon.passes import Client
    from mirror.daemon.workload import HostGate, Workload
    from mirror.sync.discovery import Discovery

SLICE = 4.0
"""Longest wait of the loop, seconds: it proves to be alive, and notices a clock that was set."""

_SHORTEST = 0.001

log = structlog.get_logger()


class Scheduler:
    """Runs every mirror when it is due or requested.

    Args:
        workload: What there is to do.
        clock: The time and every wait.
        on_session: Called when a mirror's run ended, with its seconds.
        on_pass: Called when a pass ended.
        chance: Returns numbers in [0, 1), for jitter.
        zone: The time zone of schedules; the machine's by default.

    Attributes:
        queue: The mirrors that wait and run.
        alive_at: When its loop last turned, monotonic; every :data:`SLICE` seconds at least.
        trouble, name, workers: Empty: there is no other process.
    """

    trouble = ""
    name = ""
    workers: Sequence[Worker] = ()

    def __init__(
        self,
        workload: Workload,
        clock: Clock,
        *,
        on_session: Callable[[RepositoryReport, float], None],
        on_pass: Callable[[Pass], None],
        chance: Callable[[], float] = random.random,
        zone: tzinfo | None = None,
    ) -> None:
        self._workload = workload
        self._clock = clock
        self._on_session = on_session
        self._on_pass = on_pass
        self._chance = chance
        self._zone = zone or LocalZone()
        self._wake = asyncio.Event()
        self._stopping = False
        self._timetables: dict[float, tuple[Timetable, Ticker]] = {}
        self._listings = Listings(self._listed, self._wake)
        self._mirrors: tuple[Mirror, ...] = ()
        self._members: Mapping[tuple[float, str], Sequence[Mirror]] = {}
        self._named: Mapping[tuple[str, str], Sequence[Mirror]] = {}
        self._passes: list[Pass] = []
        self.queue = JobQueue(self._gates)
        self.alive_at = clock.monotonic()
        self._load()

    async def run(self) -> None:
        """Run what is due, until :meth:`stop` and the end of the last run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while self._turn(tasks):
                    await self._nap()
        finally:
            self._interrupt_clients()
            self._end_passes()

    def stop(self) -> None:
        """Start nothing new; runs in progress go on."""
        self._stopping = True
        self._wake.set()

    def replace(self, workload: Workload) -> None:
        """Go on with another configuration; runs in progress go on with theirs.

        Mirrors that were removed are not started any more; what waits keeps its place; what is due
        under the new configuration runs at once. Hosts are tried again.
        """
        self._listings.cancel()
        self._workload = workload
        self._revive()
        self._load()
        self._wake.set()

    # --- requests --------------------------------------------------------------------------------

    def request(
        self, source: str | None = None, repo: str | None = None, *, full: bool = False
    ) -> bool:
        """Run mirrors at once, whatever their timetable says and whether they failed before.

        Args:
            source: The name of a source; ``None`` for every mirror, and then hosts that were
                stopped are tried again.
            repo: ``OWNER/REPO``; ``None`` for every mirror of the source. If it is not known, the
                patterns that match it are listed.
            full: Trust no stored ETag and no quarantine.

        Returns:
            Whether something was requested.
        """
        if self._stopping:
            return False
        self._wake.set()
        request = Request(self._clock.monotonic(), full=full, explicit=True)
        if source is not None and repo is not None:
            return self._request_repository(source, repo, replace(request, urgent=True))
        if source is None:
            self._revive()
        begun = [self._begin_pass(one, request, source) for one in self._timetables]
        return any(begun)

    def trigger(self, client: Client, *, full: bool = False) -> Pass | None:
        """Run what a client selects at once, whatever failed before; hosts are tried again.

        Args:
            client: Waits for the end.
            full: Trust no stored ETag and no quarantine.

        Returns:
            The pass, which ends when each mirror has had a run that began after this call;
            ``None`` if nothing new is started any more.
        """
        if self._stopping:
            return None
        self._wake.set()
        self._revive()
        began = self._clock.monotonic()
        request = Request(began, full=full, explicit=True, urgent=True)
        opened = Pass(None, request, self._clock.now().astimezone(UTC), began, client=client)
        self._request_mirrors(opened, self._mirrors_of(opened, ""))
        for key in self._listings.selected(client.patterns):
            self._request_listing(opened, key)
        self._passes.append(opened)
        return opened

    def _request_repository(self, source: str, repo: str, request: Request) -> bool:
        if mirrors := self._named.get((source, repo.casefold())):
            for mirror in mirrors:
                self.queue.request(mirror.key, request)
            return True
        found = self._listings.matching(source, repo)
        for key in found:
            self._listings.request(key, request)
        return bool(found)

    def _begin_pass(self, interval: float, request: Request, source: str | None = None) -> bool:
        """Request the mirrors of a timetable, or those of one source; whether there are any."""
        now = self._clock.now().astimezone(UTC)
        opened = Pass(interval, request, now, self._clock.monotonic())
        fixed = self._members.get((interval, ""), ())
        asked = [mirror for mirror in fixed if source in {None, mirror.source_name}]
        self._request_mirrors(opened, asked)
        listings = self._listings.of(interval, source)
        for key in listings:
            self._request_listing(opened, key)
        if asked or listings:
            self._passes.append(opened)
        return bool(asked or listings)

    def _mirrors_of(self, of: Pass, listing: str) -> list[Mirror]:
        """The mirrors of a pass that a listing found, or those configured by name for ``""``."""
        return [
            mirror
            for (interval, found_by), mirrors in self._members.items()
            if found_by == listing and of.interval in {None, interval}
            for mirror in mirrors
            if of.covers(mirror)
        ]

    def _request_mirrors(self, of: Pass, mirrors: Iterable[Mirror]) -> None:
        request = replace(of.request, passes=(of,))
        for mirror in mirrors:
            of.note(mirror.key, self.queue.request(mirror.key, request))

    def _request_listing(self, of: Pass, key: str) -> None:
        request, before = of.request, self._listings.waiting(key)
        same = (one for one in before if one.interval == of.interval and not of.client)
        earlier = next(same, None)
        if earlier is None:
            of.awaited.add(key)
            request = replace(request, passes=(of,))
        else:
            earlier.request = request.merged(earlier.request)
            closed = self._workload.gates[self._listings.source(key)].closed_for() > 0
            of.skip(max(1, len(self._mirrors_of(of, key))), held=closed)
        self._listings.request(key, request)

    # --- when ------------------------------------------------------------------------------------

    @property
    def running(self) -> Collection[Run]:
        """The runs in progress."""
        return self.queue.running.values()

    def running_elsewhere(self) -> Sequence[tuple[Mirror, str, datetime]]:
        """Nothing runs in other processes."""
        return ()

    def cluster_state(self) -> None:
        """There is no cluster."""

    def next_run(self, key: str) -> datetime | None:
        """When a mirror runs next; ``None`` for never, and where it waits only for its turn."""
        job = self.queue.get(key)
        if job is None:
            return None
        if self.is_queued(key):
            closed_for = job.closed_for()
            return self._after(closed_for) if closed_for else None
        _, ticker = self._timetables[job.mirror.interval]
        return self._after(ticker.wait(self._moment()))

    def is_queued(self, key: str) -> bool:
        """Whether a run of this mirror is requested and will begin; none is in progress."""
        job = self.queue.get(key)
        waits = job is not None and job.waiting is not None and key not in self.queue.running
        return waits and not self._stopping

    def next_tick(self) -> datetime | None:
        """When the next timetable ticks; ``None`` for never."""
        return self._after(self._until_tick())

    def waits_for(self, seconds: float) -> bool:
        """Whether every run needs a host that is closed for longer than so many seconds."""
        runs = self.queue.running.values()
        return all(max(gate.closed_for() for gate in run.gates) > seconds for run in runs)

    def _until_tick(self) -> float:
        moment = self._moment()
        waits = (ticker.wait(moment) for _, ticker in self._timetables.values())
        return min(waits, default=math.inf)

    def _after(self, seconds: float) -> datetime | None:
        if self._stopping or math.isinf(seconds):
            return None
        return self._clock.now() + timedelta(seconds=seconds)

    def _moment(self) -> Moment:
        return Moment(self._clock.now().astimezone(self._zone), self._clock.monotonic())

    # --- a configuration -------------------------------------------------------------------------

    def _load(self) -> None:
        """Take over the workload; a timetable that has not changed goes on as it is."""
        work, moment = self._workload, self._moment()
        self.queue.limit = work.limit
        self._learn(work.mirrors, reloaded=True)
        gone = self._listings.update(work.patterns)
        for one in self._passes:
            one.awaited -= gone
        due = []
        before, self._timetables = self._timetables, {}
        for interval, timetable in work.timetables.items():
            success = work.last_success(interval)
            kept, ticker = before.get(interval, (None, None))
            if ticker is None or kept != timetable:
                ticker = timetable.ticker(moment, success, self._chance())
            elif timetable.first(success, moment.now) <= 0:
                due.append(interval)
            self._timetables[interval] = timetable, ticker
        for interval in due:
            self._begin_pass(interval, Request(moment.monotonic))

    def _learn(self, mirrors: tuple[Mirror, ...], *, reloaded: bool = False) -> list[Mirror]:
        """Know these mirrors and no others; those that are new."""
        if mirrors == self._mirrors and not reloaded:
            return []
        new = [mirror for mirror in mirrors if self.queue.get(mirror.key) is None]
        self.queue.update(mirrors, reloaded=reloaded)
        self._mirrors = mirrors
        members: dict[tuple[float, str], list[Mirror]] = defaultdict(list)
        named: dict[tuple[str, str], list[Mirror]] = defaultdict(list)
        for mirror in mirrors:
            members[mirror.interval, mirror.listing].append(mirror)
            named[mirror.source_name, mirror.source.key].append(mirror)
        self._members, self._named = members, named
        return new

    def _gates(self, mirror: Mirror) -> tuple[HostGate, ...]:
        gates = self._workload.gates
        return gates[mirror.source_name], gates["target"]

    # --- the loop --------------------------------------------------------------------------------

    def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Do what is due; whether there is to be another turn."""
        self._wake.clear()
        self.alive_at = self._clock.monotonic()
        for gate in self._workload.gates.values():
            gate.revive_if_due()
        if self._stopping:
            self._listings.cancel()
            self._interrupt_clients()
            self._end_passes()
            return bool(self.queue.running)
        self._give_up_disabled()
        moment = self._moment()
        for interval, (_, ticker) in self._timetables.items():
            if (at := ticker.turn(moment, self._chance())) is not None:
                self._revive(blocked=True)
                self._begin_pass(interval, Request(at))
        self._end_passes()
        self._listings.start(tasks, self._workload)
        for run in self.queue.start(moment.monotonic):
            tasks.create_task(self._session(run, self._workload))
        return True

    def _give_up_disabled(self) -> None:
        """Tell clients what is not run, because its host is disabled: they do not wait for it."""
        gates = self._workload.gates
        stopped = {name: gate.stopped for name, gate in gates.items() if gate.stopped}
        if not stopped:
            return
        for key in {key for one in self._passes if one.client for key in one.awaited}:
            if key in self._listings:
                if error := stopped.get(self._listings.source(key)):
                    for one in self._listings.give_up(key):
                        one.end_listing(key, [not_tried(f"{key}/*", None, error)], error)
            elif (job := self.queue.get(key)) and key not in self.queue.running:
                mirror = job.mirror
                if error := stopped.get(mirror.source_name) or stopped.get("target"):
                    for one in self.queue.give_up(key):
                        report = not_tried(mirror.name, str(mirror.target), error)
                        one.end_run(key, report, error)

    def _interrupt_clients(self) -> None:
        """Tell clients what is not begun any more."""
        for one in self._passes:
            if one.client is None:
                continue
            for key in one.awaited - self.queue.running.keys():
                one.interrupted = True
                one.awaited.discard(key)
                if job := self.queue.get(key):
                    one.end_run(key, interrupted(job.mirror))

    async def _nap(self) -> None:
        """Wait for the next moment at which something can be due, or for news."""
        gates = self._workload.gates.values()
        opens = [seconds for gate in gates if (seconds := gate.closed_for())]
        seconds = max(_SHORTEST, min(SLICE, self._until_tick(), *opens))

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._wake.set()

        async with asyncio.TaskGroup() as nap:
            sleeper = nap.create_task(self._clock.sleep(seconds))
            sleeper.add_done_callback(over)
            await self._wake.wait()
            sleeper.cancel()

    def _listed(self, key: str, request: Request, found: Discovery) -> None:
        """Request the mirrors of a listing, and those that it found for the first time."""
        complete = all(report.target is not None for report in found.failed)
        new = self._learn(found.mirrors) if complete else []
        for one in request.passes:
            one.listed.append(found.requests)
            one.end_listing(key, found.failed)
            if complete:
                self._request_mirrors(one, self._mirrors_of(one, key))
        served = {one.interval for one in request.passes}
        for mirror in new:
            if mirror.interval not in served:
                self.queue.request(mirror.key, replace(request, passes=()))

    async def _session(self, run: Run, workload: Workload) -> None:
        mirror = run.mirror
        try:
            report = await unless_stray(workload.sync(mirror, run.request))
        except asyncio.CancelledError:
            for one in run.request.clients:
                one.interrupted = True
                one.end_run(mirror.key, workload.done_by(mirror))
            raise
        except Exception as error:
            log.exception("mirror.crashed", source=mirror.name)
            report = crashed(mirror, error)
        gates = workload.gates[mirror.source_name], workload.gates["target"]
        disabled = next((gate.stopped for gate in gates if gate.stopped), None)
        host_stopped = bool(report.stopped or (report.status == "failed" and disabled))
        self._tell(self._on_session, report, self._clock.monotonic() - run.since)
        done = self.queue.end(run, host_stopped=host_stopped)
        for one in run.request.passes if done else run.request.clients:
            one.end_run(mirror.key, report, disabled)
        self._wake.set()

    def _end_passes(self) -> None:
        """Report the passes that wait for nothing any more."""
        for one in [one for one in self._passes if not one.awaited]:
            if one.has_news:
                one.seconds = self._clock.monotonic() - one.began
                self._passes.remove(one)
                self._tell(self._on_pass, one)
                continue
            # All of its mirrors were running: it waits for their next runs, or no pass would ever
            # end where every session takes longer than the interval.
            one.follow({key for key in one.late if self.queue.attach(key, one)})
            if not one.awaited:
                self._passes.remove(one)

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
