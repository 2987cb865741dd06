"""Which mirror runs next: one run of a mirror at a time, a limit for all, no request lost.

Decisions only: nothing is awaited and no clock is read. All times are monotonic seconds.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mirror.daemon.host_gates import closed_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mirror.core.domain.mirror import Mirror
    from mirror.daemon.host_gates import Gates
    from mirror.daemon.passes import Answer, Pass, Request

URGENT_IN_A_ROW = 3
"""Urgent runs that start in a row before one of the others does, so that no mirror starves."""


@dataclass(slots=True, eq=False)
class Job:
    """A mirror, and what is requested of it.

    Attributes:
        mirror: As the current configuration has it.
        gates: The hosts that it needs.
        waiting: The next run: it waits for its turn, or for the end of the current run.
        place: Its position in the queue.
        stops: Runs in a row that ended because a host stopped.
    """

    mirror: Mirror
    gates: Gates
    waiting: Request | None = None
    place: int = 0
    stops: int = 0

    def closed_for(self) -> float:
        """Seconds until all its hosts may accept work."""
        return closed_for(self.gates)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run in progress.

    Attributes:
        mirror: As it was configured when the run began.
        gates: The hosts that it needs.
        place: Its position in the queue before it began.
        since: When it began.
    """

    mirror: Mirror
    request: Request
    gates: Gates
    place: int
    since: float


@dataclass(slots=True)
class _Lane:
    """Mirrors that need the same hosts, as heaps of (place, key); outdated entries are skipped."""

    urgent: list[tuple[int, str]] = field(default_factory=list)
    plain: list[tuple[int, str]] = field(default_factory=list)


class JobQueue:
    """All known mirrors, those that wait, and those that run, by their keys.

    A mirror whose host is closed waits in a lane of its own, and a run whose host is closed does
    not count against the limit, so that one host never holds up the mirrors of another.

    Args:
        gates: The hosts that a mirror needs.
        limit: Runs at the same time; it may be changed.

    Attributes:
        running: The runs in progress. A mirror that was removed stays here until its run ends.
    """

    def __init__(self, gates: Callable[[Mirror], Gates], *, limit: int = 8) -> None:
        self._gates = gates
        self.limit = limit
        self.running: dict[str, Run] = {}
        self._jobs: dict[str, Job] = {}
        self._lanes: dict[Gates, _Lane] = {}
        self._places = itertools.count(1)
        self._urgent_in_a_row = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, key: str) -> Job | None:
        """A mirror's job."""
        return self._jobs.get(key)

    def update(self, mirrors: Iterable[Mirror], *, reloaded: bool = False) -> None:
        """Know these mirrors and no others. Runs in progress go on; what waits keeps its place.

        Args:
            mirrors: All of them.
            reloaded: Their configuration is new: hosts are other objects.
        """
        before, self._jobs = self._jobs, {}
        if reloaded:
            self._lanes = {}
        for mirror in mirrors:
            gates = self._gates(mirror)
            job = before.pop(mirror.key) if mirror.key in before else Job(mirror, gates)
            self._jobs[mirror.key] = job
            moved, job.mirror, job.gates = gates != job.gates, mirror, gates
            if reloaded:
                job.stops = 0
                self._enqueue(job, job.place)
            elif moved:
                self._enqueue(job, next(self._places))
        for key, job in before.items():
            for waiting in job.waiting.passes if job.waiting else ():
                waiting.awaited.discard(key)

    def request(self, key: str, request: Request) -> Answer:
        """Request a run of a mirror; requests that wait for the same run become one.

        Returns:
            ``queued``: the request's pass waits for the run. ``running``: the mirror is running,
            and runs once more for this request, but no pass waits for that yet. ``busy``: it has
            just begun to run, or an earlier pass waits for it. ``held``: the same, but its host is
            closed. A client's pass always waits for a run that begins after its request:
            ``queued``.
        """
        job, run = self._jobs[key], self.running.get(key)
        if request.clients:
            self._wait(job, request)
            return "queued"
        if run is not None:
            if request.at <= run.since and (run.request.full or not request.full):
                return "held" if job.stops else "busy"  # it began after the request
            job.waiting = replace(request, passes=()).merged(job.waiting)
            return "running"
        taken = _is_awaited(key, job.waiting)
        self._wait(job, replace(request, passes=()) if taken else request)
        if not taken:
            return "queued"
        return "held" if job.closed_for() else "busy"

    def _wait(self, job: Job, request: Request) -> None:
        before = job.waiting
        job.waiting = request.merged(before)
        if before is None or (request.urgent and not before.urgent):
            self._enqueue(job, next(self._places))

    def attach(self, key: str, waiting: Pass) -> bool:
        """Have a pass wait for a mirror's next run, if one is requested and no pass waits for it."""
        job = self._jobs.get(key)
        if job is None or job.waiting is None or _is_awaited(key, job.waiting):
            return False
        job.waiting = replace(job.waiting, passes=(*job.waiting.passes, waiting))
        return True

    def start(self, now: float) -> list[Run]:
        """Take the mirrors whose turn it is; they count as running from here on."""
        self._lanes = {
            gates: lane for gates, lane in self._lanes.items() if lane.urgent or lane.plain
        }
        lanes = [lane for gates, lane in self._lanes.items() if not closed_for(gates)]
        if not lanes:
            return []
        free = self.limit - sum(not closed_for(run.gates) for run in self.running.values())
        started: list[Run] = []
        while free > len(started) and (job := self._next(lanes)) is not None:
            assert job.waiting is not None  # noqa: S101 - or it would not be in the queue
            run = Run(job.mirror, job.waiting, job.gates, job.place, now)
            job.waiting = None
            self.running[job.mirror.key] = run
            started.append(run)
        return started

    def end(self, run: Run, *, host_stopped: bool = False) -> bool:
        """Record the end of a run, and queue the run that was requested meanwhile.

        Args:
            run: One of :attr:`running`.
            host_stopped: The mirror runs again, at its place, when its hosts are open.

        Returns:
            Whether the request is done; not if the mirror is to run again for it, for which no
            client waits.
        """
        key = run.mirror.key
        if self.running.get(key) is not run:
            raise ValueError(f"{key} is not running")
        del self.running[key]
        job = self._jobs.get(key)
        if job is None:
            return True
        # A mirror that is stopped again by hosts that are open is not run again at once.
        if host_stopped and (closed_for(run.gates) > 0 or not job.stops):
            job.stops += 1
            job.waiting = run.request.merged(job.waiting)
            self._enqueue(job, run.place)
            return False
        job.stops = 0
        self._enqueue(job, next(self._places))
        return True

    def _enqueue(self, job: Job, place: int) -> None:
        key = job.mirror.key
        if job.waiting is None or key in self.running:
            return
        job.place = place
        lane = self._lanes.setdefault(job.gates, _Lane())
        heapq.heappush(lane.urgent if job.waiting.urgent else lane.plain, (place, key))

    def _next(self, lanes: Sequence[_Lane]) -> Job | None:
        urgent, plain = [lane.urgent for lane in lanes], [lane.plain for lane in lanes]
        turns = (urgent, plain) if self._urgent_in_a_row < URGENT_IN_A_ROW else (plain, urgent)
        for heaps in turns:
            if (job := self._first(heaps)) is not None:
                self._urgent_in_a_row = self._urgent_in_a_row + 1 if heaps is urgent else 0
                return job
        return None

    def _first(self, heaps: Sequence[list[tuple[int, str]]]) -> Job | None:
        """Take the first in order out of several heaps."""
        for heap in heaps:
            while heap and not self._is_current(*heap[0]):
                heapq.heappop(heap)
        first = min((heap for heap in heaps if heap), key=lambda heap: heap[0], default=None)
        return self._jobs[heapq.heappop(first)[1]] if first else None

    def _is_current(self, place: int, key: str) -> bool:
        job = self._jobs.get(key)
        return (
            job is not None
            and job.place == place
            and job.waiting is not None
            and key not in self.running
        )


def _is_awaited(key: str, request: Request | None) -> bool:
    """Whether a pass waits for what is requested; a client may have been told already."""
    return request is not None and any(key in one.awaited for one in request.passes)
