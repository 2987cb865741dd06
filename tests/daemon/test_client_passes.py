"""The laws of clients, in both schedulers: alone, and with a database that others share."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from mirror.core.reporting.report import Observers, RepositoryReport
from mirror.core.timetable import Timetable
from mirror.daemon.passes import Client, Pass
from mirror.daemon.scheduler import Scheduler
from mirror.daemon.shared_scheduler import SharedScheduler
from mirror.errors import ServerError
from support.fake_cluster import FakeDatabase
from support.stepped import SteppedClock
from support.workload import FakeWorkload, Group, Told, a_mirror, a_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping

    from mirror.core.domain.mirror import Mirror

    Work = Callable[[Mirror], Awaitable[RepositoryReport]]

DOWN = ServerError("503 maintenance", status=503)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


class Stage:
    """A scheduler of either kind, which runs while the block does."""

    def __init__(
        self, kind: str, workload: FakeWorkload, at_once: int, sources: tuple[str, ...]
    ) -> None:
        assert isinstance(workload.clock, SteppedClock)
        self.clock = workload.clock
        self.workload = workload
        self.at_once = at_once
        self.group = Group(0.0, Timetable(3600.0, None, 0.0), sources)
        self.told = Told()
        self._set_up(workload)
        self.scheduler: Scheduler | SharedScheduler
        if kind == "alone":
            self.scheduler = Scheduler(workload, self.clock, self.told)
        else:
            self.database = FakeDatabase(self.clock)
            cluster = self.database.cluster("daemon")
            self.scheduler = SharedScheduler(
                workload, cluster, self.clock, self.told, speed=lambda: 0.0
            )

    def _set_up(self, workload: FakeWorkload) -> None:
        workload.groups, workload.limit = (self.group,), self.at_once

    def reload(self, workload: FakeWorkload) -> None:
        """Go on with another workload."""
        self._set_up(workload)
        self.scheduler.replace(workload)

    async def pass_by(self, seconds: float) -> None:
        await self.clock.pass_by(seconds)

    def trigger(self, *patterns: str, full: bool = False) -> Pass:
        opened = self.scheduler.trigger(Client(patterns, Observers()), full=full)
        assert opened is not None
        return opened


@asynccontextmanager
async def stage(
    kind: str,
    workload: FakeWorkload,
    *,
    at_once: int = 8,
    sources: tuple[str, ...] = ("github",),
) -> AsyncIterator[tuple[Stage, asyncio.Task[None]]]:
    it = Stage(kind, workload, at_once, sources)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(it.scheduler.run())
        await it.clock.settle()
        try:
            yield it, task
        finally:
            task.cancel()


def lasting(clock: SteppedClock, seconds: float) -> Work:
    """Sessions of so many seconds each."""

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(seconds)
        return a_report(mirror)

    return work


kinds = pytest.mark.parametrize("kind", ["alone", "shared"])


def outcome(of: Pass) -> dict[str, str]:
    """The status of each mirror in a pass, by its name."""
    return {report.source: report.status for report in of.reports}


@kinds
async def test_a_client_gets_a_run_of_each_mirror_that_began_after_its_request(kind: str) -> None:
    """Also of those that run already or that others wait for; nothing runs twice at a time."""
    clock = SteppedClock()
    names = "abc"
    workload = FakeWorkload(clock, [a_mirror(name) for name in names], lasting(clock, 10.0))
    async with stage(kind, workload, at_once=2) as (it, _):
        await it.pass_by(5)  # a and b run, c waits
        first, second = it.trigger(), it.trigger("owner/[bc]", full=True)
        await it.pass_by(100)
        assert outcome(first) == {f"github:owner/{name}": "ok" for name in names}
        assert outcome(second) == {f"github:owner/{name}": "ok" for name in "bc"}
        assert {session.key: session.full for session in workload.sessions} == {
            "mirrors/github-a": False,
            "mirrors/github-b": True,
            "mirrors/github-c": True,
        }
        assert [len(workload.times(a_mirror(name))) for name in names] == [2, 2, 1]
    assert workload.overlapped == []
    assert first in it.told.passes
    assert second in it.told.passes


@kinds
async def test_a_client_waits_for_no_back_off(kind: str) -> None:
    """What failed just now is tried at once, with the mark that somebody asked for it."""
    clock = SteppedClock()

    async def work(mirror: Mirror) -> RepositoryReport:
        return a_report(mirror, "failed")

    workload = FakeWorkload(clock, [a_mirror("a", fixed=True)], work)
    async with stage(kind, workload) as (it, _):
        await it.pass_by(61)
        opened = it.trigger()
        await it.pass_by(1)
        assert outcome(opened) == {"github:owner/a": "failed"}
        assert opened.request.explicit


@kinds
async def test_a_client_does_not_wait_for_a_host_that_is_disabled(kind: str) -> None:
    """The host is tried once more; what still needs it is told as not tried, and runs later."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [a_mirror(name, fixed=True) for name in "abc"])
    down = True

    async def work(mirror: Mirror) -> RepositoryReport:
        await clock.sleep(1.0)
        if down:
            workload.clients["github"].stop(DOWN)
            return a_report(mirror, "failed", stopped="503")
        return a_report(mirror)

    workload.work = work
    async with stage(kind, workload, at_once=1, sources=()) as (it, _):
        await it.pass_by(5)
        opened = it.trigger()
        await it.pass_by(2)
        assert outcome(opened) == {f"github:owner/{name}": "failed" for name in "abc"}
        assert len(workload.sessions) == 2  # one for the timetable, one for the client
        told = [failure.detail for report in opened.reports for failure in report.failures]
        assert told == ["503 maintenance"]  # the reason, once
        down = False
        await it.pass_by(100)
        assert len({session.key for session in workload.sessions}) == 3
    assert it.told.passes.count(opened) == 1


@kinds
async def test_a_client_is_told_of_a_listing_that_a_disabled_host_refused(kind: str) -> None:
    """Also where the listing waits for the host to come back."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [a_mirror("a")])
    report = RepositoryReport("github:owner/*", None, "failed", stopped="503")

    async def listing(_: str) -> None:
        workload.clients["github"].stop(DOWN)
        workload.failed = (report,)

    workload.listing = listing
    async with stage(kind, workload) as (it, _):
        opened = it.trigger("owner/a")
        await it.pass_by(2)
        assert outcome(opened) == {"github:owner/*": "failed"}
        workload.listing, workload.failed = None, ()
        await it.pass_by(100)
        assert len(workload.sessions) == 1


@kinds
async def test_a_listing_that_fails_holds_no_mirror_back(kind: str) -> None:
    """It is a failure without a target, and what it found last is run; also of a timetable."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [a_mirror("a")])
    workload.failed = (RepositoryReport("github:owner/*", None, "failed"),)
    async with stage(kind, workload) as (it, _):
        await it.pass_by(5)
        assert [outcome(one) for one in it.told.passes if not one.client] == [
            {"github:owner/*": "failed", "github:owner/a": "ok"}
        ]
        opened = it.trigger("owner/a")
        await it.pass_by(5)
        assert outcome(opened) == {"github:owner/*": "failed", "github:owner/a": "ok"}


@kinds
async def test_a_client_whose_patterns_match_nothing_waits_for_nothing(kind: str) -> None:
    """The pass ends with the listing that could have found something, and is empty."""
    clock = SteppedClock()
    workload = FakeWorkload(clock, [a_mirror("a")])
    async with stage(kind, workload) as (it, _):
        await it.pass_by(5)
        opened = it.trigger("owner/none")
        await it.pass_by(1)
        assert opened.empty
        assert opened in it.told.passes
        assert len(workload.sessions) == 1


@kinds
async def test_a_client_whose_mirrors_are_removed_is_told_of_the_others(kind: str) -> None:
    """A reload that removes what a client waits for ends the wait."""
    clock = SteppedClock()
    kept, gone = a_mirror("kept", fixed=True), a_mirror("gone", fixed=True)
    work = lasting(clock, 10.0)
    before = FakeWorkload(clock, [kept, gone], work)
    after = FakeWorkload(clock, [kept], work, share=before)
    async with stage(kind, before, at_once=1) as (it, _):
        opened = it.trigger()
        it.reload(after)
        await it.pass_by(50)
        assert outcome(opened) == {"github:owner/kept": "ok"}
        alone = it.trigger("owner/gone")
        await it.pass_by(1)
        assert alone.empty


@pytest.mark.parametrize("cut", [False, True])
@kinds
async def test_a_client_is_told_what_a_stop_interrupted(kind: str, cut: bool) -> None:
    """What runs is reported when it ends, also where it is cancelled; the rest is interrupted."""
    clock = SteppedClock()
    mirrors = [a_mirror(name, fixed=True) for name in "ab"]
    workload = FakeWorkload(clock, mirrors, lasting(clock, 10.0))
    async with stage(kind, workload, at_once=1) as (it, task):
        await it.pass_by(25)
        opened = it.trigger()
        await it.pass_by(5)
        it.scheduler.stop()
        assert it.scheduler.trigger(Client((), Observers())) is None
        await clock.settle()
        if cut:
            task.cancel()
        await it.pass_by(10)
        assert task.done()
    assert outcome(opened) == {
        "github:owner/a": "interrupted" if cut else "ok",
        "github:owner/b": "interrupted",
    }
    assert opened.interrupted
    assert it.told.passes[-1] is opened
