from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.domain.mirror import Mirror
from mirror.core.reporting.report import Observers, RepositoryReport
from mirror.core.timetable import Timetable
from mirror.daemon.passes import Client, Pass
from mirror.daemon.scheduler import SLICE, Scheduler
from mirror.errors import AuthError, ServerError
from support.clock import START
from support.stepped import SteppedClock
from support.workload import FakeWorkload, Group, Told, a_mirror, a_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping

    Work = Callable[[Mirror], Awaitable[RepositoryReport]]

DOWN = ServerError("503 maintenance", status=503)


def a_group(
    interval: float = 60.0,
    *,
    own: float = 0.0,
    sources: tuple[str, ...] = ("github",),
    succeeded_at: float = 0.0,
    jitter: float = 0.0,
) -> Group:
    """A group that is due at once."""
    return Group(own, Timetable(interval, None, jitter), sources, succeeded_at)


class Stage:
    """A scheduler that runs while the block does."""

    def __init__(
        self, clock: SteppedClock, workload: FakeWorkload, scheduler: Scheduler, told: Told
    ):
        self.clock = clock
        self.workload = workload
        self.scheduler = scheduler
        self.told = told

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and what happens up to its end."""
        await self.clock.pass_by(seconds)

    def reload(self, workload: FakeWorkload, *groups: Group, limit: int | None = None) -> None:
        """Go on with another workload."""
        workload.groups = groups
        workload.limit = limit or self.workload.limit
        self.scheduler.replace(workload)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@asynccontextmanager
async def stage(workload: FakeWorkload, *groups: Group, **options: Any) -> AsyncIterator[Stage]:
    clock = workload.clock
    assert isinstance(clock, SteppedClock)
    workload.groups = groups or (a_group(),)
    workload.limit = options.pop("at_once", 8)
    told = options.pop("told", None) or Told()
    scheduler = Scheduler(workload, clock, told, **{"zone": UTC, **options})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(scheduler.run())
        await clock.settle()
        try:
            yield Stage(clock, workload, scheduler, told)
        finally:
            task.cancel()


def lasting(clock: SteppedClock, seconds: dict[str, float], default: float = 0.0) -> Work:
    """Sessions of so many seconds each, by the mirror's name."""

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(seconds.get(mirror.source.name, default))
        return a_report(mirror)

    return work


# --- ticks ---------------------------------------------------------------------------------------


async def test_every_mirror_is_run_at_every_tick() -> None:
    """At once where it is due, then at each point of the grid; a pass ends with its last session."""
    clock = SteppedClock()
    mirrors = [a_mirror(name) for name in "abc"]
    workload = FakeWorkload(clock, mirrors, lasting(clock, {"c": 5.0}))
    async with stage(workload) as it:
        await it.pass_by(185)
    for mirror in mirrors:
        assert workload.times(mirror) == [0, 60, 120, 180]
    assert [(end.seconds, len(end.reports), end.good) for end in it.told.passes] == [
        (5, 3, True)
    ] * 4
    assert [end.started_at for end in it.told.passes] == [
        START + timedelta(minutes=n) for n in range(4)
    ]
    assert [(report.source, seconds) for report, seconds in it.told.sessions[:3]] == [
        ("github:owner/a", 0),
        ("github:owner/b", 0),
        ("github:owner/c", 5),
    ]


async def test_what_is_not_due_is_waited_for() -> None:
    """After a restart the grid goes on from the last success."""
    clock = SteppedClock()
    mirror = a_mirror("a")
    workload = FakeWorkload(clock, [mirror])
    async with stage(workload, a_group(succeeded_at=START.timestamp() - 20)) as it:
        assert it.scheduler.next_tick() == START + timedelta(seconds=40)
        assert it.scheduler.next_run(mirror.key) == START + timedelta(seconds=40)
        await it.pass_by(100)
    assert workload.times(mirror) == [40, 100]


async def test_what_waits_for_its_turn_is_queued() -> None:
    """Neither what runs nor what is not due is; once the scheduler stops, nothing is."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [a_mirror("a"), a_mirror("b")], lasting(clock, {}, 20.0))

    def queued(scheduler: Scheduler) -> list[bool]:
        return [scheduler.is_queued(job.mirror.key) for job in scheduler.queue]

    async with stage(workload, at_once=1) as it:
        assert queued(it.scheduler) == [False, True]
        await it.pass_by(1)
        it.scheduler.request()
        assert queued(it.scheduler) == [False, True]
        await it.pass_by(19)
        assert queued(it.scheduler) == [True, False]
        it.scheduler.stop()
        assert queued(it.scheduler) == [False, False]


async def test_mirrors_with_an_interval_of_their_own_keep_it() -> None:
    """Each group by its own timetable, with its own passes."""
    clock = SteppedClock()
    often, seldom = a_mirror("often", interval=10.0), a_mirror("seldom")
    workload = FakeWorkload(clock, [often, seldom])
    async with stage(workload, a_group(), a_group(10.0, own=10.0)) as it:
        await it.pass_by(65)
    assert workload.times(often) == [0, 10, 20, 30, 40, 50, 60]
    assert workload.times(seldom) == [0, 60]
    assert [end.interval for end in it.told.passes].count(10.0) == 7


async def test_a_schedule_in_local_time() -> None:
    """A cron line by the wall's clock, across a change of it."""
    clock = SteppedClock(datetime(2026, 3, 29, 0, 0, tzinfo=UTC))
    mirror = a_mirror("a")
    workload = FakeWorkload(clock, [mirror])
    group = Group(0.0, Timetable(None, "30 2,4 * * *"), ("github",), clock.start.timestamp())
    async with stage(workload, group, zone=ZoneInfo("Europe/Berlin")) as it:
        await it.pass_by(3 * 3600)
    assert workload.times(mirror) == [3600, 9000]


@pytest.mark.parametrize("jump", [timedelta(hours=30), timedelta(days=800)])
async def test_a_clock_that_is_set_is_noticed(jump: timedelta) -> None:
    """Within a slice of the loop: what was skipped runs once, and what is to come is not lost."""
    clock = SteppedClock()
    mirror = a_mirror("a")
    workload = FakeWorkload(clock, [mirror])
    group = Group(0.0, Timetable(None, "0 3 * * *"), ("github",), START.timestamp())
    async with stage(workload, group) as it:
        await it.pass_by(100)
        assert workload.times(mirror) == []
        clock.start += jump
        await it.pass_by(SLICE)
        assert len(workload.times(mirror)) == 1
        clock.start -= jump
        await it.pass_by(18 * 3600)
        assert len(workload.times(mirror)) == 2


async def test_the_loop_shows_that_it_lives() -> None:
    """Every five seconds at least, also when there is nothing to do for days."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [])
    async with stage(workload, a_group(86400.0)) as it:
        seen = []
        for _ in range(60):
            await it.pass_by(5.0)
            seen.append(clock.monotonic() - it.scheduler.alive_at)
    assert max(seen) <= 5


# --- no overlap ----------------------------------------------------------------------------------


async def test_requests_that_come_while_it_runs_become_one_run() -> None:
    """However many, and by whom; full wins."""
    clock = SteppedClock()
    mirror = a_mirror("a")
    workload = FakeWorkload(clock, [mirror], lasting(clock, {"a": 10.0}))
    async with stage(workload, a_group(1000.0)) as it:
        await it.pass_by(1)
        assert it.scheduler.request("github", "owner/a")
        assert it.scheduler.request("github", "OWNER/A", full=True)
        assert it.scheduler.request("github", "owner/a")
        assert it.scheduler.request()
        await it.pass_by(100)
    assert [(run.at, run.full) for run in workload.sessions] == [(0, False), (10, True)]
    assert workload.overlapped == []


async def test_requests_that_come_while_it_waits_become_one_run() -> None:
    """It is run once for all of them."""
    clock = SteppedClock()
    first, second = a_mirror("a"), a_mirror("b")
    workload = FakeWorkload(clock, [first, second], lasting(clock, {}, 10.0))
    async with stage(workload, a_group(1000.0), at_once=1) as it:
        for _ in range(3):
            it.scheduler.request("github", "owner/b", full=True)
        await it.pass_by(100)
    assert [(run.key, run.at, run.full) for run in workload.sessions] == [
        (first.key, 0, False),
        (second.key, 10, True),
    ]


async def test_a_mirror_that_never_ends_delays_nobody() -> None:
    """Others keep their times; its own pass is open while it runs, all later ones end."""
    clock = SteppedClock()
    slow, quick = a_mirror("slow"), a_mirror("quick")
    done = asyncio.Event()

    async def work(mirror: Mirror) -> RepositoryReport:
        if mirror is slow:
            await done.wait()
        return a_report(mirror)

    workload = FakeWorkload(clock, [slow, quick], work)
    async with stage(workload) as it:
        await it.pass_by(245)
        assert workload.times(quick) == [0, 60, 120, 180, 240]
        assert [(len(end.reports), end.asked, end.busy) for end in it.told.passes] == [
            (1, 2, 1)
        ] * 4
        done.set()
        await it.pass_by(1)
        assert [len(end.reports) for end in it.told.passes] == [1, 1, 1, 1, 2]
        assert it.told.passes[-1].seconds == 245
        assert workload.times(slow) == [0, 245]  # one more run for all that was asked meanwhile
        await it.pass_by(60)
        assert len(it.told.passes[-1].reports) == 2
    assert workload.overlapped == []


async def test_passes_end_where_every_session_is_longer_than_the_interval() -> None:
    """A pass whose mirrors were all running is about their next runs."""
    clock = SteppedClock()
    mirror = a_mirror("a")
    workload = FakeWorkload(clock, [mirror], lasting(clock, {}, 150.0))
    async with stage(workload) as it:
        await it.pass_by(1000)
    assert workload.times(mirror) == [0, 150, 300, 450, 600, 750, 900]
    assert len(it.told.passes) == 6
    assert all(len(end.reports) == 1 for end in it.told.passes)


async def test_no_more_at_once_than_allowed() -> None:
    """And never fewer while somebody waits."""
    clock = SteppedClock()
    mirrors = [a_mirror(f"m{n:02}") for n in range(40)]
    workload = FakeWorkload(clock, mirrors, lasting(clock, {}, 10.0))
    async with stage(workload, a_group(1000.0), at_once=8) as it:
        await it.pass_by(51)
        assert it.told.passes[0].seconds == 50
    assert workload.most[""] == 8


async def test_who_is_asked_for_by_name_goes_first() -> None:
    """A release is mirrored at once although a hundred wait; these are not starved."""
    clock = SteppedClock()
    mirrors = [a_mirror(f"m{n:03}") for n in range(100)]
    workload = FakeWorkload(clock, mirrors, lasting(clock, {}, 1.0))
    async with stage(workload, a_group(1000.0), at_once=1) as it:
        for n in range(99, 89, -1):
            assert it.scheduler.request("github", f"owner/m{n:03}")
        await it.pass_by(15)
    order = [int(run.key[-3:]) for run in workload.sessions[:15]]
    assert order == [0, 99, 98, 97, 1, 96, 95, 94, 2, 93, 92, 91, 3, 90, 4]


# --- requests ------------------------------------------------------------------------------------


async def test_a_repository_that_no_pass_has_seen_is_looked_for() -> None:
    """The wildcards that could hold it are listed, and it alone is run."""
    clock = SteppedClock()
    old = a_mirror("old")
    workload = FakeWorkload(clock, [old])
    async with stage(workload, a_group(1000.0)) as it:
        new = a_mirror("New")
        workload.found.append(new)
        assert it.scheduler.request("github", "owner/new")
        assert not it.scheduler.request("github", "somebody/else")
        assert not it.scheduler.request("elsewhere", "owner/new")
        await clock.settle()
        assert workload.times(new) == [0]
        assert workload.times(old) == [0]
        assert len(workload.listed) == 2
        assert len(it.told.passes) == 1
        assert it.scheduler.request("github", "owner/gone")  # it could have been there
        await clock.settle()
    assert len(workload.sessions) == 2


async def test_a_request_while_the_listing_is_under_way_lists_once_more() -> None:
    """What it holds may be older than the request."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [])
    new = a_mirror("new")

    async def listing(_: str) -> None:
        await clock.sleep(5.0)

    async with stage(workload, a_group(1000.0)) as it:
        workload.listing = listing
        it.scheduler.request(full=True)
        await it.pass_by(1)
        it.scheduler.request("github", "owner/new")
        it.scheduler.request("github", "owner/new")
        await it.pass_by(4)
        workload.found.append(new)
        await it.pass_by(20)
    assert [(at, full) for at, _, full in workload.listed] == [(0, False), (0, True), (5, False)]
    assert workload.times(new) == [10]


async def test_a_mirror_that_is_configured_by_name_waits_for_no_listing() -> None:
    """It runs at each tick while a listing hangs, and where no pattern is configured none is made."""
    clock = SteppedClock()
    fixed, found = a_mirror("fixed", fixed=True), a_mirror("found")
    workload = FakeWorkload(clock, [fixed, found])

    async def listing(_: str) -> None:
        await asyncio.Event().wait()

    workload.listing = listing
    async with stage(workload) as it:
        await it.pass_by(130)
    assert workload.times(fixed) == [0, 60, 120]
    assert workload.times(found) == []
    assert len(workload.listed) == 1
    alone = FakeWorkload(SteppedClock(), [fixed])
    async with stage(alone, a_group(sources=())) as it:
        await it.pass_by(70)
        assert len(it.told.passes) == 2
    assert alone.times(fixed) == [0, 60]
    assert alone.listed == []


async def test_a_mirror_that_a_listing_finds_for_the_first_time_runs_at_once() -> None:
    """Also where another timetable's tick had the owner listed."""
    clock = SteppedClock()
    often, new = a_mirror("often", interval=30.0), a_mirror("new", interval=1000.0)
    workload = FakeWorkload(clock, [often])
    async with stage(workload, a_group(30.0, own=30.0), a_group(1000.0, own=1000.0)) as it:
        await it.pass_by(10)
        workload.found.append(new)
        await it.pass_by(30)
    assert workload.times(new) == [30]


async def test_a_search_for_one_repository_is_no_full_sync_of_the_others() -> None:
    """A webhook for an unknown repository while a tick waits for the listing concerns it alone."""
    clock = SteppedClock()
    old, new = a_mirror("old"), a_mirror("new")
    workload = FakeWorkload(clock, [old])
    workload.clients["github"].paused_until = START + timedelta(seconds=20)
    async with stage(workload, a_group(1000.0)) as it:
        await it.pass_by(10)
        workload.found.append(new)
        assert it.scheduler.request("github", "owner/new", full=True)
        await it.pass_by(20)
    assert [(run.key, run.full) for run in workload.sessions if run.key == old.key] == [
        (old.key, False)
    ]
    assert len(workload.times(new)) == 1


async def test_every_mirror_can_be_asked_for() -> None:
    """All groups and sources at once, without moving the grid."""
    clock = SteppedClock()
    one, other = a_mirror("a"), a_mirror("b", source="second", interval=30.0)
    workload = FakeWorkload(clock, [one, other], sources=("github", "second"))
    groups = (a_group(50.0), a_group(30.0, own=30.0, sources=("second",)))
    async with stage(workload, *groups) as it:
        await it.pass_by(7)
        assert it.scheduler.request()
        await it.pass_by(1)
        await it.pass_by(52)
    assert workload.times(one) == [0, 7, 50]
    assert workload.times(other) == [0, 7, 30, 60]


# --- failures ------------------------------------------------------------------------------------


def failing(clock: SteppedClock, bad: set[str], status: str = "failed") -> Work:
    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(1.0)
        return a_report(mirror, status if mirror.source.name in bad else "ok")

    return work


async def test_a_mirror_that_fails_keeps_its_times() -> None:
    """Its session decides what is tried again, and knows whether somebody asked for it."""
    clock = SteppedClock()
    bad = a_mirror("bad")
    workload = FakeWorkload(clock, [bad], failing(clock, {"bad"}))
    async with stage(workload, a_group(600.0)) as it:
        await it.pass_by(1250)
        assert it.scheduler.next_run(bad.key) == START + timedelta(seconds=1800)
        assert it.scheduler.request("github", "owner/bad")
        await it.pass_by(50)
    assert workload.times(bad) == [0, 600, 1200, 1250]
    assert [session.explicit for session in workload.sessions] == [False, False, False, True]
    assert [end.good for end in it.told.passes] == [False] * 3


async def test_passes_end_where_long_sessions_fail() -> None:
    """A pass counts every mirror that it was about, also where sessions outlast the interval."""
    clock = SteppedClock()
    bad = a_mirror("bad")

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(150.0)
        return a_report(mirror, "failed")

    workload = FakeWorkload(clock, [bad], work)
    async with stage(workload) as it:
        await it.pass_by(3000)
        assert len(it.scheduler._passes) <= 1
    assert all(len(end.reports) + end.held + end.busy == end.asked for end in it.told.passes)


async def test_quarantine_is_no_failure() -> None:
    """What is settled needs no patience: it is run at each tick."""
    clock = SteppedClock()
    mirror = a_mirror("a")

    async def work(one: Mirror) -> RepositoryReport:
        return RepositoryReport(one.name, str(one.target), "failed")

    workload = FakeWorkload(clock, [mirror], work)
    async with stage(workload) as it:
        await it.pass_by(300)
    assert workload.times(mirror) == [0, 60, 120, 180, 240, 300]
    assert not it.told.passes[0].good


class Odd(Exception):
    """Nobody expects it."""


async def test_nothing_that_is_raised_ends_the_scheduler() -> None:
    """Neither in a session, nor in a listing, nor by who is told; each is a failure of its own."""
    clock = SteppedClock()
    bad, good = a_mirror("bad"), a_mirror("good")
    errors: list[BaseException] = [Odd("one"), asyncio.CancelledError("two")]

    async def work(mirror: Mirror) -> RepositoryReport:
        if mirror is bad and errors:
            raise errors.pop(0)
        return a_report(mirror)

    workload = FakeWorkload(clock, [bad, good], work)
    odd: list[BaseException] = []

    async def listing(_: str) -> None:
        if odd:
            raise odd.pop()

    workload.listing = listing

    class Careless(Told):
        def on_session(self, report: RepositoryReport, seconds: float) -> None:
            super().on_session(report, seconds)
            raise Odd

        def on_pass(self, end: Any) -> None:
            super().on_pass(end)
            raise Odd

    told = Careless()
    async with stage(workload, told=told) as it:
        await it.pass_by(130)
        odd += [Odd("three")]
        await it.pass_by(60)
        odd += [asyncio.CancelledError("four")]
        await it.pass_by(125)
    assert workload.times(good) == [0, 60, 120, 180, 240, 300]
    assert workload.times(bad) == [0, 60, 120, 180, 240, 300]
    failures = [report.failures[0].error for report, _ in told.sessions if report.failures]
    assert failures[0] == "internal error: Odd: one"
    assert len(failures) == 2
    assert [len(end.reports) for end in told.passes] == [2, 2, 2, 3, 3, 2]
    good_ones = [end.good for end in told.passes]
    assert good_ones == [False, False, True, False, False, True]


# --- hosts ---------------------------------------------------------------------------------------


class Hosts:
    """Two sources and a target; a host that is down stops the sessions that need it."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.first, self.second = a_mirror("a"), a_mirror("b", source="second")
        self.more = a_mirror("c")
        self.workload = FakeWorkload(
            self.clock,
            [self.first, self.more, self.second],
            self.work,
            sources=("github", "second"),
        )
        self.down: set[str] = set()
        self.group = a_group(sources=("github", "second"))

    async def work(self, mirror: Mirror) -> RepositoryReport:
        await self.clock.sleep(1.0)
        for name in (mirror.source_name, "target"):
            if name in self.down:
                self.workload.clients[name].stop(DOWN)
                return a_report(mirror, "failed", stopped="503 maintenance")
        return a_report(mirror)


async def test_a_host_that_is_down_pauses_only_its_own_work() -> None:
    """Its mirrors are run again when it is open, as no failure; others keep their times."""
    hosts = Hosts()
    hosts.down.add("github")
    async with stage(hosts.workload, hosts.group) as it:
        await it.pass_by(50)
        assert hosts.workload.times(hosts.first) == [0, 31]  # tried once in a while
        hosts.down.clear()
        await it.pass_by(50)
        assert hosts.workload.times(hosts.first) == [0, 31, 92]
        assert hosts.workload.times(hosts.second) == [0, 60]
        await it.pass_by(21)
        assert hosts.workload.times(hosts.first) == [0, 31, 92, 120]  # not held back
    ends = [(end.seconds, len(end.reports), end.held, end.good) for end in it.told.passes]
    assert ends == [(32, 1, 2, False), (93, 3, 0, True), (1, 3, 0, True)]


async def test_a_target_that_is_down_pauses_everything() -> None:
    """Every mirror needs it; each is run once when it is back."""
    hosts = Hosts()
    hosts.down.add("target")
    async with stage(hosts.workload, hosts.group) as it:
        await it.pass_by(20)
        hosts.down.clear()
        await it.pass_by(30)
    assert hosts.workload.times(hosts.second) == [0, 31]
    assert [len(end.reports) for end in it.told.passes] == [3]


async def test_a_request_for_all_tries_hosts_at_once() -> None:
    """SIGUSR1 does not wait for the end of a pause."""
    hosts = Hosts()
    hosts.down.add("github")
    async with stage(hosts.workload, hosts.group) as it:
        await it.pass_by(5)
        hosts.down.clear()
        it.scheduler.request()
        await it.pass_by(1)
    assert hosts.workload.times(hosts.first) == [0, 5]


async def test_a_listing_that_was_stopped_by_its_host_is_made_again() -> None:
    """The mirrors of the host come when it is open; those of others at once."""
    hosts = Hosts()
    workload = hosts.workload
    down = True

    async def listing(source: str) -> None:
        stopped = source == "github" and down
        if stopped:
            workload.clients["github"].stop(DOWN)
        report = RepositoryReport("github:owner/*", None, "failed", stopped="503")
        workload.failed = (report,) if stopped else ()

    workload.listing = listing
    async with stage(workload, hosts.group) as it:
        await it.pass_by(20)
        assert workload.times(hosts.second) == [0]
        assert workload.times(hosts.first) == []
        down = False
        await it.pass_by(20)
        assert workload.times(hosts.first) == [30]
    assert [(end.seconds, len(end.reports), end.good) for end in it.told.passes] == [(31, 3, True)]


async def test_sessions_of_a_host_out_of_limit_hold_no_slot() -> None:
    """They wait inside; the mirrors of another host are run meanwhile, and none of the paused."""
    clock = SteppedClock()
    paused = [a_mirror(f"p{n}") for n in range(6)]
    others = [a_mirror(f"o{n}", source="second") for n in range(6)]
    workload = FakeWorkload(clock, [*paused, *others], sources=("github", "second"))

    async def work(mirror: Mirror) -> RepositoryReport:
        if mirror.source_name == "github" and clock.monotonic() < 1000:
            workload.clients["github"].paused_until = START + timedelta(seconds=1000)
            await clock.sleep(1000 - clock.monotonic())
        await clock.sleep(1.0)
        return a_report(mirror)

    workload.work = work
    async with stage(workload, a_group(100.0, sources=("github", "second")), at_once=2) as it:
        await it.pass_by(990)
        assert [len(workload.times(mirror)) for mirror in paused] == [1, 1, 0, 0, 0, 0]
        assert [len(workload.times(mirror)) for mirror in others] == [10] * 6
        assert len(it.scheduler.queue.running) == 2
        await it.pass_by(40)
        assert [len(workload.times(mirror)) for mirror in paused] == [2, 2, 1, 1, 1, 1]
        assert workload.most[""] == 4
    assert workload.overlapped == []


async def test_those_who_wait_for_a_host_keep_their_places() -> None:
    """When it is open again they are run in the order that they were asked for in."""
    clock = SteppedClock()
    mirrors = [a_mirror(f"m{n}") for n in range(9)]
    workload = FakeWorkload(clock, mirrors)
    down = True

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(1.0)
        if down:
            workload.clients["github"].stop(DOWN)
            return a_report(mirror, "failed", stopped="503")
        return a_report(mirror)

    workload.work = work
    async with stage(workload, a_group(1000.0), at_once=2) as it:
        await it.pass_by(5)
        assert len(workload.sessions) == 2
        down = False
        await it.pass_by(60)
    assert [run.key for run in workload.sessions[2:]] == [mirror.key for mirror in mirrors]


async def test_a_host_that_stops_everybody_though_it_is_open_is_not_hammered() -> None:
    """A session that is stopped again and again by nobody waits for the next tick."""
    clock = SteppedClock()
    mirror = a_mirror("a")

    async def work(one: Mirror) -> RepositoryReport:
        return a_report(one, "failed", stopped="by nobody")

    workload = FakeWorkload(clock, [mirror], work)
    async with stage(workload) as it:
        await it.pass_by(70)
    assert workload.times(mirror) == [0, 0, 60, 60]
    assert len(it.told.passes) == 2


# --- clients: their laws are in test_client_passes.py ----------------------------------------------


def trigger(it: Stage, *patterns: str, full: bool = False) -> Pass:
    opened = it.scheduler.trigger(Client(patterns, Observers()), full=full)
    assert opened is not None
    return opened


@pytest.mark.parametrize("how", ["tick", "SIGUSR1", "trigger"])
async def test_a_refused_credential_is_tried_once_a_pass(how: str) -> None:
    """Each pass tries it again, with one mirror; and so does whoever asks for one."""
    clock = SteppedClock()
    mirrors = [a_mirror(name, fixed=True) for name in "abc"]
    workload = FakeWorkload(clock, mirrors)
    refused = True

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(1.0)
        if refused:
            workload.clients["target"].stop(AuthError("401", status=401))
            return a_report(mirror, "failed", stopped="401")
        return a_report(mirror)

    workload.work = work
    async with stage(workload, a_group(900.0), at_once=1) as it:
        await it.pass_by(890)
        assert [session.at for session in workload.sessions] == [0]
        refused = False
        if how == "SIGUSR1":
            it.scheduler.request()
        elif how == "trigger":
            trigger(it)
        await it.pass_by(5 if how != "tick" else 20)
        assert {mirror.key for mirror in mirrors} == {one.key for one in workload.sessions[1:]}


# --- stop ----------------------------------------------------------------------------------------


async def test_a_stop_starts_nothing_and_waits_for_what_runs() -> None:
    """``run`` returns with the last session; listings are not waited for."""
    clock = SteppedClock()
    mirrors = [a_mirror(name) for name in "abcd"]
    workload = FakeWorkload(clock, mirrors, lasting(clock, {}, 10.0))
    workload.groups, workload.limit = (a_group(20.0),), 2
    told = Told()
    scheduler = Scheduler(workload, clock, told)

    async def listing(_: str) -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(scheduler.run())
        await clock.settle()
        workload.listing = listing
        scheduler.request()
        await clock.settle()
        scheduler.stop()
        assert not scheduler.request()
        assert not scheduler.request("github", "owner/d")
        assert scheduler.next_tick() is None
        assert scheduler.next_run(mirrors[3].key) is None
        await clock.settle()
        assert not task.done()
        await clock.pass_by(10)
        assert task.done()
    assert len(workload.sessions) == 2
    assert scheduler.queue.running == {}
    await scheduler.run()  # once stopped, it does nothing
    assert len(workload.sessions) == 2


async def test_a_cancellation_goes_through() -> None:
    """It ends the sessions, and is not swallowed."""
    clock = SteppedClock()
    ended: list[str] = []

    async def work(mirror: Mirror) -> RepositoryReport:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(mirror.source.name)
        return a_report(mirror)

    workload = FakeWorkload(clock, [a_mirror("a"), a_mirror("b")], work)
    workload.groups = (a_group(),)
    told = Told()
    scheduler = Scheduler(workload, clock, told)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(scheduler.run())
        await clock.settle()
        task.cancel()
    assert task.cancelled()
    assert sorted(ended) == ["a", "b"]


# --- reload --------------------------------------------------------------------------------------


async def test_a_reload_takes_over_while_sessions_run() -> None:
    """What is new is run at once, what is gone is not started, what runs goes on and never twice."""
    clock = SteppedClock()
    kept, gone, waits, new = (a_mirror(name) for name in ("kept", "gone", "waits", "new"))
    work = lasting(clock, {}, 100.0)
    before = FakeWorkload(clock, [kept, gone, waits], work)
    after = FakeWorkload(clock, [kept, waits, new], work, share=before)
    async with stage(before, a_group(1000.0), at_once=2) as it:
        await it.pass_by(10)
        assert set(it.scheduler.queue.running) == {kept.key, gone.key}
        assert it.scheduler.request("github", "owner/gone")
        it.reload(after, a_group(1000.0), limit=3)
        await it.pass_by(1)
        assert set(it.scheduler.queue.running) == {kept.key, gone.key, waits.key}
        await it.pass_by(500)
    assert before.times(kept) == [0, 100]
    assert before.times(gone) == [0]
    assert before.times(waits) == [10]
    assert before.times(new) == [100]
    assert before.overlapped == []
    assert it.told.passes[0].seconds == 110
    assert sum(len(end.reports) for end in it.told.passes) == 5 - 1  # one run was asked by two


async def test_a_mirror_that_is_taken_out_and_put_back_does_not_overlap() -> None:
    """Its key is taken while the old session runs, also by another source."""
    clock = SteppedClock()
    old = a_mirror("a")
    moved = Mirror(replace(old.rule, settings="other settings"), old.source, old.target)
    work = lasting(clock, {}, 100.0)
    first = FakeWorkload(clock, [old], work)
    second = FakeWorkload(clock, [], work, share=first)
    third = FakeWorkload(clock, [moved], work, share=first)
    async with stage(first, a_group(1000.0)) as it:
        await it.pass_by(10)
        it.reload(second, a_group(1000.0))
        await it.pass_by(10)
        it.reload(third, a_group(1000.0))
        assert it.scheduler.request("github", "owner/a")
        await it.pass_by(10)
        assert it.scheduler.queue.running[old.key].mirror is old
        await it.pass_by(100)
        assert it.scheduler.queue.running[old.key].mirror is moved
    assert first.times(old) == [0, 100]
    assert first.overlapped == []


async def test_a_reload_changes_timetables() -> None:
    """One that stays the same keeps its grid; another one begins anew."""
    clock = SteppedClock()
    mirror, own = a_mirror("a"), a_mirror("b", interval=45.0)
    workload = FakeWorkload(clock, [mirror, own])
    async with stage(workload, a_group(60.0), a_group(45.0, own=45.0)) as it:
        await it.pass_by(10)
        now = START.timestamp() + 5
        groups = (a_group(20.0, succeeded_at=now), a_group(45.0, own=45.0, succeeded_at=now))
        it.reload(workload, *groups)
        await it.pass_by(55)
    assert workload.times(mirror) == [0, 25, 45, 65]
    assert workload.times(own) == [0, 45]


async def test_a_reload_repeats_the_listing_that_was_under_way() -> None:
    """The old one is given up; what it was asked for is asked of the new configuration."""
    clock = SteppedClock()
    mirror = a_mirror("a")
    before, after = FakeWorkload(clock, [mirror]), FakeWorkload(clock, [mirror])

    async def listing(_: str) -> None:
        await asyncio.Event().wait()

    before.listing = listing
    async with stage(before, a_group(1000.0)) as it:
        assert len(before.listed) == 1
        fresh = a_group(1000.0, succeeded_at=START.timestamp())
        it.reload(after, fresh)
        await it.pass_by(1)
        assert len(it.told.passes) == 1
    assert (len(before.sessions), len(after.sessions)) == (0, 1)


async def test_a_repository_that_is_gone_is_forgotten() -> None:
    """A whole listing without it ends its waiting; one that failed ends nothing."""
    clock = SteppedClock()
    busy, gone = a_mirror("busy"), a_mirror("gone")
    workload = FakeWorkload(clock, [busy, gone], lasting(clock, {}, 100.0))
    async with stage(workload, a_group(30.0), at_once=1) as it:
        workload.found.remove(gone)
        workload.failed = (RepositoryReport("github:other/*", None, "failed"),)
        await it.pass_by(31)
        assert it.scheduler.is_queued(gone.key)
        workload.failed = ()
        await it.pass_by(30)
        assert not it.scheduler.queue.running.keys() - {busy.key}
        await it.pass_by(100)
    assert workload.times(gone) == []


# --- many ----------------------------------------------------------------------------------------


async def test_ten_thousand_mirrors_cost_what_they_are() -> None:
    """A tick looks at each gate a few times a session, not at each mirror for each session."""
    clock = SteppedClock()
    mirrors = [a_mirror(f"m{n}") for n in range(10_000)]
    workload = FakeWorkload(clock, mirrors)
    looks = 0
    for gate in workload.gates.values():
        real = gate.closed_for

        def counted(real: Callable[[], float] = real) -> float:
            nonlocal looks
            looks += 1
            return real()

        gate.closed_for = counted  # type: ignore[method-assign]  # it counts, and changes nothing
    async with stage(workload, a_group(100_000.0)) as it:
        await it.pass_by(0)
        assert len(it.told.passes[0].reports) == 10_000
    assert looks < 40 * len(mirrors)


async def test_a_soak_misses_nothing() -> None:
    """200 mirrors, 200 ticks, faults sprinkled: no run is missed, none overlaps, every pass ends."""
    clock, dice = SteppedClock(), random.Random(20261121)  # noqa: S311 - a dice
    mirrors = [a_mirror(f"m{n}") for n in range(200)]

    async def work(mirror: Mirror) -> RepositoryReport:
        kind = dice.random()
        if kind < 0.1:
            await clock.sleep(dice.choice([0.01, 0.05, 0.05, 2.5]))
        if kind > 0.999:
            raise Odd
        return a_report(mirror, "failed" if kind > 0.99 else "ok")

    workload = FakeWorkload(clock, mirrors, work)
    async with stage(workload, a_group(1.0, jitter=0.3), at_once=64, chance=dice.random) as it:
        await it.pass_by(200)
        assert len(it.scheduler.queue) == 200
    assert workload.overlapped == []
    assert workload.most[""] <= 64
    assert len(it.told.passes) >= 190
    reports = sum(len(end.reports) for end in it.told.passes)
    assert reports <= len(workload.sessions) <= 201 * 200
    begun: dict[str, list[float]] = {}
    for session in workload.sessions:
        begun.setdefault(session.key, []).append(session.at)
    for times in begun.values():
        # A tick and a long session.
        assert max(b - a for a, b in pairwise(times)) < 40
    answered = sum(len(end.reports) + end.held + end.busy for end in it.told.passes)
    assert answered == sum(end.asked for end in it.told.passes)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.lists(
        st.tuples(
            st.floats(0, 90),
            st.sampled_from(["one", "all", "full", "client", "stop", "limit", "reload"]),
        ),
        max_size=25,
    ),
)
def test_whatever_happens_nothing_overlaps_and_nothing_is_lost(
    seed: int, at_once: int, events: list[tuple[float, str]]
) -> None:
    """After any events, each mirror that is asked for is run, within the bound and never twice.

    Each client is told once of each mirror that it selects.
    """
    asyncio.run(_whatever_happens(seed, at_once, events))


async def _whatever_happens(seed: int, at_once: int, events: list[tuple[float, str]]) -> None:
    clock, dice = SteppedClock(), random.Random(seed)  # noqa: S311 - a dice
    mirrors = [a_mirror(f"m{n}", source=dice.choice(["github", "second"])) for n in range(7)]
    sources = ("github", "second")
    refused = AuthError("401", status=401)

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(dice.choice([0.0, 1.0, 30.0, 100.0]))
        stopped = any(
            workload.clients[name].stopped
            for workload in generations[-1:]
            for name in (mirror.source_name, "target")
        )
        if stopped:
            return a_report(mirror, "failed", stopped="given up")
        return a_report(mirror, dice.choice(["ok", "ok", "unchanged", "failed"]))

    generations = [FakeWorkload(clock, mirrors, work, sources=sources)]
    first = generations[0]
    group = a_group(60.0, jitter=10.0, sources=sources)
    clients: list[Pass] = []
    async with stage(first, group, at_once=at_once, chance=dice.random) as it:
        for wait, event in events:
            await it.pass_by(wait)
            workload, mirror = generations[-1], dice.choice(mirrors)
            client = workload.clients[dice.choice(["github", "second", "target"])]
            if event == "one":
                assert it.scheduler.request(mirror.source_name, str(mirror.source))
            elif event in {"all", "full"}:
                assert it.scheduler.request(full=event == "full")
            elif event == "client":
                patterns = dice.choice([(), ("owner/m[0-3]",), ("second:*",)])
                clients.append(trigger(it, *patterns, full=dice.random() < 0.3))
            elif event == "stop":
                client.stop(dice.choice([DOWN, refused]))
            elif event == "limit":
                client.paused_until = clock.now() + timedelta(seconds=dice.randrange(600))
            else:
                generations.append(FakeWorkload(clock, mirrors, work, share=first, sources=sources))
                it.reload(generations[-1], group)
        before, now = len(first.sessions), clock.monotonic()
        assert it.scheduler.request()
        await it.pass_by(2500)
        ran = {session.key for session in first.sessions[before:] if session.at >= now}
        assert ran == {mirror.key for mirror in mirrors}
        assert it.told.passes
        for opened in clients:
            assert it.told.passes.count(opened) == 1
            told = sorted(report.source for report in opened.reports)
            selected = sorted(mirror.name for mirror in mirrors if opened.covers(mirror))
            assert told == selected or any("*" in name for name in told)
    assert first.overlapped == []
    assert first.most[""] <= at_once * (3 * len(events) + 1)
