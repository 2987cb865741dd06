from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mirror.daemon.host_gates import closed_for
from mirror.daemon.job_queue import JobQueue
from mirror.daemon.passes import Request
from support.stepped import SteppedClock
from support.workload import FakeClient, a_mirror

if TYPE_CHECKING:
    from mirror.core.domain.mirror import Mirror

SOURCES = ("github", "second")
MIRRORS = [a_mirror(f"m{n}", source=SOURCES[n % 2]) for n in range(6)]

OPERATION = st.one_of(
    st.tuples(
        st.just("ask"),
        st.integers(0, 5),
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
    ),
    st.tuples(st.just("start"), st.just(0), st.just(())),
    st.tuples(
        st.just("end"),
        st.integers(0, 5),
        st.booleans(),
    ),
    st.tuples(st.just("gate"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("forget"), st.integers(0, 5), st.just(())),
    st.tuples(st.just("replace"), st.sets(st.integers(0, 5)), st.just(())),
)


class SomeGate(FakeClient):
    def __init__(self) -> None:
        super().__init__(SteppedClock())
        self.seconds = 0.0

    def closed_for(self) -> float:
        return self.seconds


class World:
    """Jobs, and what is owed to those who asked."""

    def __init__(self, at_once: int) -> None:
        self.now = 0.0
        self.gates = {name: SomeGate() for name in (*SOURCES, "target")}
        self.jobs = JobQueue(self._gates, limit=at_once)
        self.mirrors: dict[str, Mirror] = {}
        self.at_once = at_once
        self.owed: dict[str, bool] = {}
        self.runs: Counter[str] = Counter()

    def _gates(self, mirror: Mirror) -> tuple[SomeGate, ...]:
        return self.gates[mirror.source_name], self.gates["target"]

    def do(self, operation: str, which: object, how: object) -> None:
        self.now += 1
        getattr(self, operation)(which, how)
        self.check()

    def ask(self, which: int, how: tuple[bool, bool, bool]) -> None:
        mirror, (full, explicit, urgent) = MIRRORS[which], how
        self.mirrors[mirror.key] = mirror
        self.jobs.update(self.mirrors.values())
        answer = self.jobs.request(mirror.key, Request(self.now, full, explicit, urgent))
        if answer in {"queued", "running"}:
            self.owed[mirror.key] = self.owed.get(mirror.key, False) or full

    def start(self, *_: object) -> None:
        before = sum(not closed_for(run.gates) for run in self.jobs.running.values())
        started = self.jobs.start(self.now)
        assert before + len(started) <= max(before, self.at_once)
        for run in started:
            assert not closed_for(run.gates)
            key = run.mirror.key
            self.runs[key] += 1
            assert run.request.full >= self.owed.pop(key, False)  # full wins
        waiting = [
            job
            for job in self.jobs
            if job.waiting and job.mirror.key not in self.jobs.running and not job.closed_for()
        ]
        assert not waiting or before + len(started) >= self.at_once  # nobody waits for nothing

    def end(self, which: int, host_stopped: object) -> None:
        run = self.jobs.running.get(MIRRORS[which].key)
        if run is not None:
            key = run.mirror.key
            settled = self.jobs.end(run, host_stopped=bool(host_stopped))
            self.runs[key] -= 1
            if not settled:
                assert host_stopped
                job = self.jobs.get(key)
                assert job is not None
                assert job.waiting is not None

    def gate(self, which: int, closed: object) -> None:
        list(self.gates.values())[which].seconds = 60.0 if closed else 0.0

    def forget(self, which: int, _: object) -> None:
        self.mirrors.pop(MIRRORS[which].key, None)
        self.jobs.update(self.mirrors.values())
        self.owed.pop(MIRRORS[which].key, None)

    def replace(self, which: set[int], _: object) -> None:
        self.mirrors = {MIRRORS[n].key: MIRRORS[n] for n in which}
        self.jobs.update(self.mirrors.values(), reloaded=True)
        for key in set(self.owed) - set(self.mirrors):
            del self.owed[key]

    def check(self) -> None:
        assert all(count <= 1 for count in self.runs.values())
        assert set(self.jobs.running) == {key for key, count in self.runs.items() if count}


@given(st.integers(1, 4), st.lists(OPERATION, max_size=60))
def test_nothing_is_doubled_and_nothing_is_lost(
    at_once: int, operations: list[tuple[str, object, object]]
) -> None:
    """Whatever is asked, ends, closes and changes: what was asked for is run once hosts are open."""
    world = World(at_once)
    for operation, which, how in operations:
        world.do(operation, which, how)
    for name in range(3):
        world.do("gate", name, how=False)
    for _ in range(4 * len(MIRRORS)):
        world.do("start", 0, ())
        for n in range(len(MIRRORS)):
            world.do("end", n, how=False)
    assert world.owed == {}
    assert not world.jobs.running
    assert not [job for job in world.jobs if job.waiting]


def test_a_queue_does_not_grow() -> None:
    """Places that were given up are no memory that is lost."""
    world = World(1)
    for _ in range(1000):
        for n in range(len(MIRRORS)):
            world.do("ask", n, (False, False, True))
            world.do("forget", n, ())
        world.do("start", 0, ())
    assert len(world.jobs) == 0
    assert sum(len(lane.urgent) + len(lane.plain) for lane in world.jobs._lanes.values()) == 0
