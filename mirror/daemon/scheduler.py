"""The loop of the service: a thin shell of tasks and waits around what :mod:`rounds` decides."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from mirror.core.reporting.report import Failure, RepositoryReport
from mirror.core.timetable import Moment
from mirror.daemon.hands import Running, gates_of
from mirror.daemon.rounds import Rounds
from mirror.daemon.zone import LocalZone
from mirror.sync.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime, tzinfo

    from mirror.core.clock import Clock
    from mirror.core.domain.expansion import Mirror
    from mirror.daemon.hands import Hands, Watcher
    from mirror.daemon.jobs import Job
    from mirror.daemon.listings import Call, Listing
    from mirror.daemon.passes import Group, PassEnd

SLICE = 4.0
"""Seconds that the loop waits at most: it shows that it lives, and notices a clock that was set."""

_SHORTEST = 0.001

T = TypeVar("T")

log = structlog.get_logger()


class Scheduler:
    """Runs every mirror when it is due or asked for, and never twice at a time.

    Args:
        hands: What does the work.
        clock: The time and every wait.
        groups: The mirrors by their timetables, one group an interval.
        watcher: Who is told.
        at_once: Sessions at a time; those that wait for a host that is closed do not count.
        chance: Gives numbers in [0, 1), for the jitter.
        zone: That schedules are read in; the machine's by default.

    Attributes:
        alive_at: When its loop last turned, monotonic; every :data:`SLICE` seconds at least.
        running: The sessions that are under way, by the mirrors' keys.
    """

    def __init__(
        self,
        hands: Hands,
        clock: Clock,
        groups: Sequence[Group],
        *,
        watcher: Watcher,
        at_once: int = 8,
        chance: Callable[[], float] = random.random,
        zone: tzinfo | None = None,
    ) -> None:
        self._hands = hands
        self._clock = clock
        self._watcher = watcher
        self._chance = chance
        self._zone = zone or LocalZone()
        self._wake = asyncio.Event()
        self._stopping = False
        self._rounds = Rounds(hands, self._tell, at_once=at_once)
        self._rounds.take_over(groups, self._moment(), chance)
        self.running: dict[str, Running] = {}
        self.alive_at = clock.monotonic()

    async def run(self) -> None:
        """Run what is due, until :meth:`stop` and the end of the last session."""
        async with asyncio.TaskGroup() as tasks:
            while self._turn(tasks):
                await self._nap()

    def stop(self) -> None:
        """Start nothing new; sessions that are under way go on."""
        self._stopping = True
        self._wake.set()

    def request(
        self, source: str | None = None, repo: str | None = None, *, full: bool = False
    ) -> bool:
        """Ask for mirrors at once, whatever their timetable says and whether they failed before.

        Args:
            source: The name of a host; ``None`` for every mirror, where hosts that were given up
                are tried again, too.
            repo: ``OWNER/REPO``; ``None`` for every mirror of the host. One that is not known is
                looked for where it could be.
            full: Trust no stored ETag and no quarantine.

        Returns:
            Whether something was asked for.
        """
        if self._stopping:
            return False
        self._wake.set()
        if source is not None and repo is not None:
            return self._rounds.request_one(source, repo, self._moment(), full=full)
        if source is None:
            self._revive()
        return self._rounds.request_all(source, self._moment(), full=full)

    def replace(self, groups: Sequence[Group], hands: Hands, at_once: int | None = None) -> None:
        """Go on with another configuration; sessions that are under way go on with theirs.

        What is gone is not started any more; what waits keeps its place; what is due under the
        new configuration is run at once. Hosts are tried again, failures are forgotten.
        """
        self._cancel_listings()
        self._hands = hands
        self._revive()
        if at_once is not None:
            self._rounds.jobs.at_once = at_once
        self._rounds.replace(groups, hands, self._moment(), self._chance)
        self._wake.set()

    def waits_for(self, seconds: float) -> bool:
        """Whether all that runs needs hosts that take no work for longer than so many seconds."""
        return all(job.closed_for() > seconds for job in self._rounds.jobs.running.values())

    def mirror(self, key: str) -> Mirror | None:
        """The mirror that is known by a key."""
        return self._rounds.mirror(key)

    def next_run(self, mirror: Mirror) -> datetime | None:
        """When a mirror is run next, as far as that can be told; ``None`` for never."""
        return self._after(self._rounds.until_run(mirror, self._moment()))

    def next_tick(self) -> datetime | None:
        """When the next timetable ticks; ``None`` for never."""
        return self._after(self._rounds.until_tick(self._moment()))

    def _after(self, seconds: float) -> datetime | None:
        if self._stopping or math.isinf(seconds):
            return None
        return self._clock.now() + timedelta(seconds=seconds)

    def _moment(self) -> Moment:
        return Moment(self._clock.now().astimezone(self._zone), self._clock.monotonic())

    # --- the loop --------------------------------------------------------------------------------

    def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Do what is due; whether there is to be another turn."""
        self._wake.clear()
        self.alive_at = self._clock.monotonic()
        for gate in self._hands.gates.values():
            gate.look()
        if self._stopping:
            self._cancel_listings()
            return bool(self.running)
        self._rounds.tick(self._moment(), self._chance)
        for listing, call in self._rounds.listings_to_start():
            listing.task = tasks.create_task(self._list(listing, call, self._hands))
        for job in self._rounds.jobs.start(self._clock.monotonic()):
            self.running[job.mirror.key] = Running(job.mirror, self._clock.now())
            tasks.create_task(self._session(job, job.mirror, self._hands))
        return True

    async def _nap(self) -> None:
        """Wait for the next moment at which something can be due, or for news."""
        opens = [seconds for gate in self._hands.gates.values() if (seconds := gate.closed_for())]
        until_tick = self._rounds.until_tick(self._moment())
        seconds = max(_SHORTEST, min(SLICE, until_tick, *opens))

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._wake.set()

        async with asyncio.TaskGroup() as nap:
            sleeper = nap.create_task(self._clock.sleep(seconds))
            sleeper.add_done_callback(over)
            await self._wake.wait()
            sleeper.cancel()

    async def _list(self, listing: Listing, call: Call, hands: Hands) -> None:
        began = self._clock.monotonic()
        gate = hands.gates[listing.source]
        try:
            work = hands.discover(listing.group, listing.source, full=call.full)
            found = await _unless_stray(work)
        except Exception as error:
            log.exception("discovery.crashed", source=listing.source)
            found = Discovery((), (_crashed(f"{listing.source}:*", None, error),))
        gate.look()
        if self._rounds.listed(listing, found, self._moment()):
            gate.answered(began)
        self._wake.set()

    async def _session(self, job: Job, mirror: Mirror, hands: Hands) -> None:
        full = job.run is not None and job.run.full
        try:
            report = await _unless_stray(hands.sync(mirror, full=full))
        except Exception as error:
            log.exception("mirror.crashed", source=mirror.name)
            report = _crashed(mirror.name, str(mirror.target), error)
        gates = gates_of(hands, mirror)
        if report.status == "failed" and any(gate.given_up for gate in gates):
            report = replace(report, stopped=report.stopped or "its host was given up")
        for gate in gates:
            gate.look()
            if not report.stopped:
                gate.answered(job.since)
        del self.running[mirror.key]
        try:
            seconds = self._clock.monotonic() - job.since
            self._watcher.on_session(mirror, report, seconds)
        except Exception:  # who only watches ends no work
            log.exception("watcher.failed")
        self._rounds.ended(job, report, self._moment())
        self._wake.set()

    def _tell(self, end: PassEnd) -> None:
        try:
            self._watcher.on_pass(end)
        except Exception:  # as above
            log.exception("watcher.failed")

    def _revive(self) -> None:
        for gate in self._hands.gates.values():
            gate.revive()

    def _cancel_listings(self) -> None:
        for listing in self._rounds.listings.values():
            if listing.task is not None:
                listing.task.cancel()


async def _unless_stray(work: Awaitable[T]) -> T:
    """Await work; a cancellation that nobody asked this task for is an error of the work."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it was cancelled from within") from error


def _crashed(source: str, target: str | None, error: Exception) -> RepositoryReport:
    text = f"internal error, please report it: {type(error).__name__}: {error}"
    return RepositoryReport(source, target, "failed", failures=(Failure(text, "sync"),))
