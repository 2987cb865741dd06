"""When each mirror is due: timetables and requests fill the queue; the loop starts the runs."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from mirror.core.timetable import Moment
from mirror.daemon.base_scheduler import BaseScheduler, attempt
from mirror.daemon.host_gates import disabled, gates_of, revive, stopped_by_host
from mirror.daemon.job_queue import JobQueue
from mirror.daemon.listings import Listings
from mirror.daemon.passes import Pass, Request
from mirror.waiting import wait_for_news

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.timetable import Ticker, Timetable
    from mirror.daemon.base_scheduler import Watcher
    from mirror.daemon.host_gates import Gates
    from mirror.daemon.job_queue import Run
    from mirror.daemon.workload import Workload
    from mirror.sync.discovery import Discovery

SLICE = 4.0
"""Longest wait of the loop, seconds: it proves to be alive, and notices a clock that was set."""

_SHORTEST = 0.001


class Scheduler(BaseScheduler):
    """Runs every mirror when it is due or requested, where no other process does.

    Args:
        chance: Returns numbers in [0, 1), for jitter.
        workload, clock, watcher, zone: See the base.

    Attributes:
        queue: The mirrors that wait and run.
        trouble, name, cluster: None: there is no other process.
    """

    trouble = ""
    name = ""
    cluster = None

    def __init__(
        self,
        workload: Workload,
        clock: Clock,
        watcher: Watcher,
        *,
        chance: Callable[[], float] = random.random,
        zone: tzinfo | None = None,
    ) -> None:
        super().__init__(workload, clock, watcher, zone)
        self._chance = chance
        self._timetables: dict[float, tuple[Timetable, Ticker]] = {}
        self._listings = Listings(self._listed, self._wake)
        self._members: Mapping[tuple[float, str], Sequence[Mirror]] = {}
        self._passes: list[Pass] = []
        self.queue = JobQueue(self._gates)
        self._load()

    async def run(self) -> None:
        """Run what is due, until :meth:`stop` and the end of the last run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while self._turn(tasks):
                    await self._nap()
        finally:
            self._listings.cancel()
            self._interrupt_clients()
            self._end_passes()

    # --- requests --------------------------------------------------------------------------------

    def _request_all(self, *, full: bool) -> bool:
        request = Request(self._clock.monotonic(), full=full, explicit=True)
        begun = [self._begin_pass(interval, request) for interval in self._timetables]
        return any(begun)

    def _request_repository(self, source: str, repo: str, *, full: bool) -> bool:
        request = Request(self._clock.monotonic(), full=full, explicit=True, urgent=True)
        mirrors = self._known.of_repository(source, repo)
        for key in mirrors:
            self.queue.request(key, replace(request, announced=True))
        listings = [] if mirrors else self._known.listings([repo], source)
        for key in listings:
            self._listings.request(key, request)
        return bool(mirrors or listings)

    def _begin_for_client(self, opened: Pass) -> None:
        patterns = opened.client.patterns if opened.client else ()
        self._request_mirrors(opened, self._mirrors_of(opened, ""))
        for key in self._known.listings(patterns):
            self._request_listing(opened, key)
        self._passes.append(opened)

    def _begin_pass(self, interval: float, request: Request) -> bool:
        """Request the mirrors of a timetable; whether there are any."""
        now = self._clock.now().astimezone(UTC)
        opened = Pass(interval, request, now, self._clock.monotonic())
        fixed = self._members.get((interval, ""), ())
        self._request_mirrors(opened, fixed)
        listings = [
            key
            for key, rules in self._known.patterns.items()
            if any(rule.interval == interval for rule in rules)
        ]
        for key in listings:
            self._request_listing(opened, key)
        if fixed or listings:
            self._passes.append(opened)
        return bool(fixed or listings)

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
        request, before = of.request, self._listings.awaiting(key)
        same = (one for one in before if one.interval == of.interval and not of.client)
        earlier = next(same, None)
        if earlier is None:
            of.awaited.add(key)
            request = replace(request, passes=(of,))
        else:
            earlier.request = request.merged(earlier.request)
            closed = self._workload.gates[self._known.source_of(key)].closed_for() > 0
            of.skip(max(1, len(self._mirrors_of(of, key))), held=closed)
        self._listings.request(key, request)

    # --- when ------------------------------------------------------------------------------------

    @property
    def running(self) -> Collection[Run]:
        """The runs in progress."""
        return self.queue.running.values()

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

    def _in_progress(self) -> set[str]:
        return self.queue.running.keys() | self._listings.running

    def _client_passes(self) -> Iterable[Pass]:
        return [one for one in self._passes if one.client]

    # --- a configuration -------------------------------------------------------------------------

    def _load(self) -> None:
        """Take over the workload; a timetable that has not changed goes on as it is."""
        self._listings.cancel()
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
        if not reloaded and mirrors == tuple(self._known.mirrors.values()):
            return []
        new = [mirror for mirror in mirrors if self.queue.get(mirror.key) is None]
        self.queue.update(mirrors, reloaded=reloaded)
        self._known.update(mirrors, self._workload.patterns)
        members: dict[tuple[float, str], list[Mirror]] = defaultdict(list)
        for mirror in mirrors:
            members[mirror.interval, mirror.listing].append(mirror)
        self._members = members
        return new

    def _gates(self, mirror: Mirror) -> Gates:
        return gates_of(mirror, self._workload.gates)

    # --- the loop --------------------------------------------------------------------------------

    def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Do what is due; whether there is to be another turn."""
        self._wake.clear()
        self._step()
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
                revive(self._workload.gates.values(), blocked=True)
                self._begin_pass(interval, Request(at))
        self._end_passes()
        self._listings.start(tasks, self._workload)
        for run in self.queue.start(moment.monotonic):
            tasks.create_task(self._session(run, self._workload))
        return True

    async def _nap(self) -> None:
        """Wait for the next moment at which something can be due, or for news."""
        gates = self._workload.gates.values()
        opens = [seconds for gate in gates if (seconds := gate.closed_for())]
        seconds = max(_SHORTEST, min(SLICE, self._until_tick(), *opens))
        await wait_for_news(self._wake, seconds, self._clock)

    def _listed(self, key: str, request: Request, found: Discovery) -> None:
        """Request the mirrors of a listing, and those that it found for the first time.

        If it failed, the mirrors are those of the last one.
        """
        new = [] if found.failed_listings else self._learn(found.mirrors)
        for one in request.passes:
            if key in one.awaited:  # else a client that was told already
                one.end_listing(key, found.failed, found.requests)
                self._request_mirrors(one, self._mirrors_of(one, key))
        served = {one.interval for one in request.passes}
        for mirror in new:
            if mirror.interval not in served:
                self.queue.request(mirror.key, replace(request, passes=()))

    async def _session(self, run: Run, workload: Workload) -> None:
        mirror = run.mirror
        try:
            report = await attempt(mirror, workload.sync(mirror, run.request))
        except asyncio.CancelledError:
            self._cut(run, workload)
            raise
        self._tell(self._watcher.on_session, report, self._clock.monotonic() - run.since)
        done = self.queue.end(run, host_stopped=stopped_by_host(report, run.gates))
        for one in run.request.passes if done else run.request.clients:
            one.end_run(mirror.key, report, disabled(run.gates))
        self._wake.set()

    def _end_passes(self) -> None:
        """Report the passes that wait for nothing any more."""
        for one in [one for one in self._passes if not one.awaited]:
            if one.has_news:
                self._passes.remove(one)
                self._end(one)
                continue
            # All of its mirrors were running: it waits for their next runs, or no pass would ever
            # end where every session takes longer than the interval.
            one.follow({key for key in one.late if self.queue.attach(key, one)})
            if not one.awaited:
                self._passes.remove(one)
