"""Which mirror is run next: one run at a time of each, so many at once, and none lost.

Decisions only: nothing is awaited here, and no clock is read.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mirror.core.domain.expansion import Mirror
    from mirror.daemon.passes import OpenPass

URGENT_IN_A_ROW = 3
"""So many that were asked for by name go first, then one of the others: nobody starves."""

Answer = Literal["asked", "running", "busy", "held"]
Ending = Literal["well", "failed", "stopped", "cut"]


class Gate(Protocol):
    """Whether a host takes work."""

    def closed_for(self) -> float:
        """Seconds until it may; 0 while it does."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """The wish that a mirror be run.

    Attributes:
        at: The moment that it counts from, monotonic: of a tick, before it was put off.
        full: Trust no stored ETag and no quarantine.
        explicit: Somebody wants it: it is not held back after failures.
        urgent: Before those whose turn it merely is.
        of: The passes that wait for the run.
    """

    at: float
    full: bool = False
    explicit: bool = False
    urgent: bool = False
    of: tuple[OpenPass, ...] = ()

    def merged(self, other: Ask | None) -> Ask:
        """One run for both."""
        if other is None:
            return self
        return Ask(
            max(self.at, other.at),
            self.full or other.full,
            self.explicit or other.explicit,
            self.urgent or other.urgent,
            self.of + other.of,
        )


@dataclass(slots=True, eq=False)
class Job:
    """What is known of one mirror's runs.

    Attributes:
        mirror: As the configuration has it now.
        gates: Of the hosts that its run needs, or needed when it began.
        ask: The next run: it waits for its turn, or for the end of the one that is under way.
        run: What the run that is under way was asked for.
        since: When that began, monotonic.
        failures: In a row.
        not_before: Monotonic: asks of an earlier moment are not heeded unless they are explicit.
        place: Its number in the queue; 0 while it stands in none.
        stops: Times in a row that a host was given up in the middle.
        gone: It is no longer configured; only its last run is still under way.
    """

    mirror: Mirror
    gates: tuple[Gate, ...]
    ask: Ask | None = None
    run: Ask | None = None
    since: float = 0.0
    failures: int = 0
    not_before: float = -math.inf
    place: int = 0
    stops: int = 0
    gone: bool = False

    def closed_for(self) -> float:
        """Seconds until all its hosts may take work."""
        return closed_for(self.gates)


def closed_for(gates: Iterable[Gate]) -> float:
    """Seconds until all of them may take work; 0 while they do."""
    return max((gate.closed_for() for gate in gates), default=0.0)


@dataclass(slots=True)
class _Lane:
    """Those who wait for the same hosts, in order; entries whose place was given up are passed over."""

    urgent: list[tuple[int, int, Job]] = field(default_factory=list)
    plain: list[tuple[int, int, Job]] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether there are entries, be they passed over."""
        return bool(self.urgent or self.plain)


class Jobs:
    """The mirrors that are known, wait and run, by their keys.

    Args:
        gates: Of the hosts that a mirror needs.
        hold: Seconds that a mirror is held back after so many failures in a row.
        at_once: Runs at the same time; those whose host is closed do not count.

    Attributes:
        at_once: As it was handed in; it may be changed.
        running: By the mirror's key.
    """

    def __init__(
        self,
        gates: Callable[[Mirror], Sequence[Gate]],
        hold: Callable[[Mirror, int], float],
        *,
        at_once: int,
    ) -> None:
        self._gates = gates
        self._hold = hold
        self.at_once = at_once
        self._jobs: dict[str, Job] = {}
        self._lanes: dict[tuple[Gate, ...], _Lane] = {}
        self._places = itertools.count(1)
        self._entries = itertools.count()
        self._urgent_in_a_row = 0
        self.running: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, key: str) -> Job | None:
        """What is known of a mirror."""
        return self._jobs.get(key)

    # --- what is asked for -----------------------------------------------------------------------

    def ask(self, mirror: Mirror, ask: Ask) -> Answer:
        """Ask for a run.

        Returns:
            ``asked``: the pass of the ask waits for it. ``running``: it runs, and is run once
            more after that, for which no pass waits. ``busy``: it has just begun to run, or an
            earlier pass waits for it.
            ``held``: the same, but its host took no work; or it is held back after failures.
        """
        job = self._known(mirror)
        if not (ask.explicit or ask.at >= job.not_before):
            return "held"
        if job.run is not None:
            if ask.at <= job.since and (job.run.full or not ask.full):
                return "held" if job.stops else "busy"  # it began after the wish
            job.ask = replace(ask, of=()).merged(job.ask)
            return "running"
        before = job.ask
        taken = before is not None and bool(before.of)
        job.ask = (replace(ask, of=()) if taken else ask).merged(before)
        if before is None or (ask.urgent and not before.urgent):
            self._queue(job, next(self._places))
        if not taken:
            return "asked"
        return "held" if job.closed_for() else "busy"

    def attach(self, key: str, waiting: OpenPass) -> bool:
        """Have a pass wait for the run after the one that is under way, if no other one does."""
        job = self._jobs.get(key)
        if job is None or job.ask is None or job.ask.of:
            return False
        job.ask = replace(job.ask, of=(waiting,))
        return True

    def _known(self, mirror: Mirror) -> Job:
        gates = tuple(self._gates(mirror))
        job = self._jobs.get(mirror.key)
        if job is None:
            job = self._jobs[mirror.key] = Job(mirror, gates)
        job.mirror, job.gone = mirror, False
        if job.run is None and job.gates != gates:
            job.gates = gates
            self._queue(job, next(self._places))
        return job

    def _queue(self, job: Job, place: int) -> None:
        if job.ask is None:
            return
        job.place = place
        lane = self._lanes.setdefault(job.gates, _Lane())
        heap = lane.urgent if job.ask.urgent else lane.plain
        heapq.heappush(heap, (place, next(self._entries), job))

    # --- what is started -------------------------------------------------------------------------

    def start(self, now: float) -> list[Job]:
        """Those whose turn it is; they count as running from here on.

        Args:
            now: Monotonic.
        """
        self._lanes = {gates: lane for gates, lane in self._lanes.items() if lane.taken}
        open_lanes = [lane for gates, lane in self._lanes.items() if not closed_for(gates)]
        if not open_lanes:
            return []
        counts = Counter(job.gates for job in self.running.values())
        busy = sum(count for gates, count in counts.items() if not closed_for(gates))
        free = self.at_once - busy
        started: list[Job] = []
        while free > 0 and (job := self._next(open_lanes)) is not None:
            job.run, job.ask, job.since = job.ask, None, now
            self.running[job.mirror.key] = job
            started.append(job)
            free -= 1
        return started

    def _next(self, lanes: Sequence[_Lane]) -> Job | None:
        urgent, plain = [lane.urgent for lane in lanes], [lane.plain for lane in lanes]
        turns = (urgent, plain)
        if self._urgent_in_a_row >= URGENT_IN_A_ROW:
            turns = (plain, urgent)
        for heaps in turns:
            if (job := _first(heaps)) is not None:
                self._urgent_in_a_row = self._urgent_in_a_row + 1 if heaps is urgent else 0
                return job
        return None

    # --- what ends -------------------------------------------------------------------------------

    def end(self, job: Job, ending: Ending) -> bool:
        """Note the end of a run, and queue the one that was asked for meanwhile.

        Args:
            job: One of :attr:`running`.
            ending: ``stopped``: its host was given up; it is run again, at its place, when the
                host is open, and that is no failure. ``cut``: by a stop, which says nothing.

        Returns:
            Whether that was the run which was asked for; not if it is to be run again.
        """
        run, job.run = job.run, None
        key = job.mirror.key
        if run is None or self.running.pop(key, None) is None:
            raise ValueError(f"{key} does not run")
        if job.gone:
            del self._jobs[key]
            return True
        # Stopped again and again by hosts that are open is nothing to be repeated at once.
        again = ending == "stopped" and (job.closed_for() > 0 or not job.stops)
        job.gates = tuple(self._gates(job.mirror))
        if again:
            job.stops += 1
            job.ask = run.merged(job.ask)
            self._queue(job, job.place)
            return False
        self._judge(job, run, ending)
        self._queue(job, next(self._places))
        return True

    def _judge(self, job: Job, run: Ask, ending: Ending) -> None:
        job.stops = 0
        if ending == "failed":
            job.failures += 1
            job.not_before = run.at + self._hold(job.mirror, job.failures)
        elif ending == "well":
            job.failures, job.not_before = 0, -math.inf
        if job.ask is not None and not (job.ask.explicit or job.ask.at >= job.not_before):
            job.ask = None

    # --- what is there at all --------------------------------------------------------------------

    def forget(self, key: str) -> tuple[OpenPass, ...]:
        """Start a mirror no more; a run that is under way goes on.

        Returns:
            The passes that waited for it in vain.
        """
        job = self._jobs.get(key)
        if job is None:
            return ()
        ask, job.ask = job.ask, None
        if job.run is not None:
            job.gone = True  # its key stays taken, so that nothing overlaps it
        else:
            del self._jobs[key]
        return ask.of if ask else ()

    def replace(self, mirrors: Mapping[str, Mirror]) -> list[tuple[OpenPass, str]]:
        """Go on with other mirrors, hosts and timetables; failures of the past are forgotten.

        Args:
            mirrors: All, by their keys; what is not there is gone.

        Returns:
            Passes that waited in vain, and for whom.
        """
        self._lanes = {}
        dropped: list[tuple[OpenPass, str]] = []
        for key, job in list(self._jobs.items()):
            job.failures, job.not_before, job.stops = 0, -math.inf, 0
            mirror = mirrors.get(key)
            if mirror is None:
                dropped += [(waiting, key) for waiting in self.forget(key)]
                continue
            job.mirror, job.gone = mirror, False
            if job.run is None:
                job.gates = tuple(self._gates(mirror))
                self._queue(job, job.place)
        return dropped


def _first(heaps: Sequence[list[tuple[int, int, Job]]]) -> Job | None:
    """Take the first in order out of several queues."""
    best: list[tuple[int, int, Job]] | None = None
    for heap in heaps:
        while heap and not _stands(heap[0]):
            heapq.heappop(heap)
        if heap and (best is None or heap[0] < best[0]):
            best = heap
    return heapq.heappop(best)[2] if best else None


def _stands(entry: tuple[int, int, Job]) -> bool:
    place, _, job = entry
    return job.place == place and job.ask is not None and job.run is None
