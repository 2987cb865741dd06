from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from mirror.core.claims import TIMES
from mirror.core.reporting.report import ActionReport, Observers, RepositoryReport
from mirror.core.timetable import Timetable
from mirror.daemon.passes import Client
from mirror.daemon.shared_scheduler import AGAIN, SharedScheduler
from mirror.daemon.status import HANGS_AFTER
from mirror.errors import ServerError
from support.fake_cluster import FakeDatabase
from support.stepped import SteppedClock
from support.workload import FakeWorkload, Group, Told, a_mirror, a_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

    from mirror.core.domain.mirror import Mirror


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


class Daemons:
    """Schedulers over one database, as of several processes, while the block runs."""

    def __init__(
        self,
        mirrors: list[Mirror],
        seconds: float = 10.0,
        *,
        at_once: int = 2,
        interval: float = 3600.0,
    ) -> None:
        self.clock = SteppedClock()
        self.database = FakeDatabase(self.clock)
        self.mirrors = mirrors
        self.seconds = seconds
        self.at_once = at_once
        self.group = Group(0.0, Timetable(interval, None, 0.0), ())
        self.workloads: list[FakeWorkload] = []
        self.schedulers: list[SharedScheduler] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.told: list[Told] = []

    def workload(self, **more: Any) -> FakeWorkload:
        share = self.workloads[0] if self.workloads else None
        workload = FakeWorkload(self.clock, self.mirrors, self.work, share=share, **more)
        workload.groups, workload.limit = (self.group,), self.at_once
        return workload

    async def work(self, mirror: Mirror) -> RepositoryReport:
        await self.clock.sleep(self.seconds)
        return a_report(mirror)

    @asynccontextmanager
    async def running(self, number: int = 2, work: Any = None) -> AsyncIterator[Daemons]:
        if work:
            self.work = work  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as tasks:
            for one in range(number):
                self.workloads.append(self.workload())
                self.told.append(Told())
                self.schedulers.append(
                    SharedScheduler(
                        self.workloads[-1],
                        self.database.cluster(f"daemon-{one}"),
                        self.clock,
                        self.told[-1],
                        speed=lambda: 0.0,
                    )
                )
                self.tasks.append(tasks.create_task(self.schedulers[-1].run()))
                await self.clock.settle()
            try:
                yield self
            finally:
                for task in self.tasks:
                    task.cancel()

    @property
    def begun(self) -> list[tuple[str, float]]:
        """The mirrors that were run, and when, in whichever process."""
        return [(run.key[-1], run.at) for run in self.workloads[0].sessions]


def named(names: str) -> list[Mirror]:
    return [a_mirror(name, fixed=True) for name in names]


async def test_daemons_share_what_is_due() -> None:
    """Each mirror runs once in an interval, in one process, as many at once as each allows."""
    async with Daemons(named("abcde"), interval=300.0).running() as it:
        await it.clock.pass_by(25)
        assert len(it.begun) == 5
        assert it.workloads[0].most[""] == 4
        assert {len(told.sessions) for told in it.told} <= {2, 3}
        await it.clock.pass_by(600)
    assert sorted(key for key, _ in it.begun) == sorted("abcde" * 3)
    assert it.workloads[0].overlapped == []


async def test_a_request_reaches_every_process() -> None:
    """It wakes all of them at once; what somebody asked for by name goes first."""
    async with Daemons(named("abcde"), at_once=1).running() as it:
        await it.clock.pass_by(60)
        before = len(it.begun)
        assert it.schedulers[0].request()
        assert it.schedulers[1].request("github", "owner/E", full=True)
        await it.clock.settle()
        assert "e" in {key for key, _ in it.begun[before:]}
        await it.clock.pass_by(60)
    assert sorted(key for key, _ in it.begun[before:]) == list("abcde")
    assert {run.full for run in it.workloads[0].sessions if run.key[-1] == "e"} == {False, True}


async def test_a_stop_hands_everything_to_others() -> None:
    """Nothing new is begun; what runs ends; what waits is run by the other one meanwhile."""
    async with Daemons(named("abcd"), at_once=1).running() as it:
        one, other = it.schedulers
        await it.clock.pass_by(1)
        one.stop()
        assert not one.request()
        assert one.next_tick() is None
        await it.clock.pass_by(1)
        assert not it.tasks[0].done()
        await it.clock.pass_by(10)
        assert it.tasks[0].done()
        assert [worker.name for worker in it.database.workers.values()] == ["daemon-1"]
        await it.clock.pass_by(30)
        assert len(it.begun) == 4
        assert len(other.running) == 0


async def test_a_cut_drain_hands_mirrors_back_at_once() -> None:
    """A run that is cancelled gives its claim back, and is run again by the other one."""
    async with Daemons(named("a"), seconds=100.0, at_once=1).running() as it:
        it.tasks[0].cancel()
        await it.clock.pass_by(1)  # the other one looks
        assert it.begun == [("a", 0), ("a", 1)]
        assert it.database.rows["mirrors/github-a"].owner == "daemon-1-id"


async def test_a_process_that_is_cut_off_is_replaced() -> None:
    """It stops its session in time; another one takes over when the claim is over, and alone reports."""
    async with Daemons(named("a"), seconds=100.0, at_once=1).running() as it:
        it.database.cut_off.add("daemon-0-id")
        await it.clock.pass_by(TIMES.lease - TIMES.margin + 1)
        assert it.workloads[0].open[""] == 0
        await it.clock.pass_by(TIMES.margin)
        assert it.begun == [("a", 0), ("a", TIMES.lease)]
        await it.clock.pass_by(100)
        assert [len(told.sessions) for told in it.told] == [0, 1]
    assert it.workloads[0].overlapped == []


async def test_a_process_with_older_settings_leaves_their_mirrors_alone() -> None:
    """It is shown as outdated until it was reloaded, too."""
    async with Daemons(named("abc")).running() as it:
        await it.clock.pass_by(60)
        newer = it.workload()
        newer.settings = "2"
        it.schedulers[1].replace(newer)
        await it.clock.pass_by(TIMES.look_every + 1)
        assert [bool(one.cluster.other_settings) for one in it.schedulers] == [True, False]
        done = len(it.told[0].sessions)
        it.schedulers[0].request()
        await it.clock.pass_by(60)
        assert len(it.told[0].sessions) == done
        assert len(it.told[1].sessions) >= 3
        it.schedulers[0].replace(newer)
        await it.clock.pass_by(TIMES.look_every + 1)
        assert [bool(one.cluster.other_settings) for one in it.schedulers] == [False, False]


async def test_a_client_does_not_wait_for_what_no_daemon_will_run() -> None:
    """Where a process that has ended has newer settings, it is told so; what is the same is run."""
    async with Daemons(named("ab")).running() as it:
        await it.clock.pass_by(60)
        it.database.rows["mirrors/github-b"].settings = "of a sync"
        await it.clock.pass_by(TIMES.look_every + 1)
        opened = it.schedulers[0].trigger(Client((), Observers()))
        await it.clock.pass_by(2 * TIMES.look_every + it.seconds)
        assert opened
        assert not opened.awaited
        found = {report.target: report for report in opened.reports}
        assert found["mirrors/github-a"].status == "ok"
        assert found["mirrors/github-b"].superseded


async def test_a_database_that_is_away_only_pauses_the_work() -> None:
    """It is looked for every two seconds; what runs goes on, and what is due begins when it is back."""
    async with Daemons(named("abc"), at_once=1).running(1) as it:
        (scheduler,) = it.schedulers
        it.database.available = False
        await it.clock.pass_by(20)
        assert scheduler.trouble
        assert len(it.begun) == 1
        before = it.database.statements
        await it.clock.pass_by(60)
        assert (
            it.database.statements - before
            <= 60 / AGAIN + 60 / TIMES.look_every + 60 / TIMES.renew_every + 1
        )
        it.database.available = True
        await it.clock.pass_by(AGAIN)
        assert not scheduler.trouble
        await it.clock.pass_by(60)
        assert {key for key, _ in it.begun} == set("abc")


async def test_an_idle_process_asks_seldom() -> None:
    """A look for what is due each second, and three statements each five seconds."""
    async with Daemons(named("abc")).running(1) as it:
        await it.clock.pass_by(60)
        before = it.database.statements
        await it.clock.pass_by(60)
        assert (
            it.database.statements - before
            <= 60 + 4 * 60 / TIMES.look_every + 60 / TIMES.renew_every
        )


async def test_a_host_that_is_down_pauses_only_its_own_work() -> None:
    """Its mirror is run again when the host is open, as no failure of a pass."""
    down = True

    async with Daemons(named("a"), seconds=1.0).running(1) as it:

        async def work(mirror: Mirror) -> RepositoryReport:
            if down:
                it.workloads[0].clients["github"].stop(ServerError("503", status=503))
                return a_report(mirror, "failed", stopped="503")
            return a_report(mirror)

        it.workloads[0].work = work
        await it.clock.pass_by(1)
        it.schedulers[0].request()
        await it.clock.pass_by(20)
        assert len(it.begun) == 2
        down = False
        await it.clock.pass_by(20)
        assert len(it.begun) == 3


async def test_a_client_is_told_what_a_cut_run_did_that_could_not_be_recorded() -> None:
    """The database is away when the service is told to stop at once: the report holds it all the same."""
    (mirror,) = named("a")
    action = ActionReport("create-release", "done", "v1")

    async def work(_: Mirror) -> RepositoryReport:
        try:
            await it.clock.sleep(100)
        except asyncio.CancelledError:
            return a_report(mirror, "failed").but(actions=(action,))  # it could not be saved
        return a_report(mirror)

    async with Daemons([mirror]).running(1, work) as it:
        (scheduler,) = it.schedulers
        await it.clock.pass_by(101)
        opened = scheduler.trigger(Client((), Observers()))
        assert opened
        await it.clock.pass_by(1)
        it.database.available = False
        it.tasks[0].cancel()
        await it.clock.pass_by(1)
    (report,) = opened.reports
    assert (report.status, report.actions) == ("interrupted", (action,))
    assert it.told[0].passes[-1] is opened


@pytest.mark.parametrize("how", ["away", "hangs", "hangs from the start"])
async def test_a_scheduler_that_is_stuck_shows(how: str) -> None:
    """One that waits for an unavailable database is not; a statement that never ends is no such wait."""
    daemons = Daemons(named("a"))
    daemons.database.hangs = how == "hangs from the start"
    async with daemons.running(1) as it:
        (scheduler,) = it.schedulers
        await it.clock.pass_by(5)
        it.database.hangs, it.database.available = how != "away", how != "away"

        async def longest(seconds: int) -> float:
            """Since it last proved to be alive."""
            silent = 0.0
            for _ in range(seconds // 5):
                await it.clock.pass_by(5)
                silent = max(silent, it.clock.monotonic() - scheduler.alive_at)
            return silent

        assert await longest(100) < 5
        if how == "hangs":
            assert await longest(100) > HANGS_AFTER
        else:  # to upgrade the tables may take long
            assert await longest(600) < 5
        it.database.hangs = False


async def test_a_client_is_told_what_another_process_did() -> None:
    """Also of a listing that failed there, for which it asks no more; what that found last is run."""
    daemons = Daemons([a_mirror("a")])
    daemons.group = Group(0.0, Timetable(3600.0, None, 0.0), ("github",))
    async with daemons.running(2) as it:
        await it.clock.pass_by(60)
        it.workloads[0].limit = 0
        it.workloads[1].failed = (RepositoryReport("github:owner/*", None, "failed"),)
        opened = it.schedulers[0].trigger(Client(("owner/a",), Observers()))
        await it.clock.pass_by(20)
        assert opened in it.told[0].passes
        told = {report.source: report.status for report in opened.reports}
        assert told == {"github:owner/*": "failed", "github:owner/a": "ok"}


async def test_a_reload_while_settings_are_published_is_not_lost() -> None:
    """Whichever statement is under way, the newest settings are published in the end."""
    for statements in range(8):
        async with Daemons(named("a")).running(1) as it:
            (scheduler,) = it.schedulers
            newer, newest = it.workload(), it.workload()
            newer.settings, newest.settings = "2", "3"
            await it.clock.pass_by(60)
            scheduler.replace(newer)
            it.database.hooks = [lambda: None] * statements
            it.database.hooks.append(partial(scheduler.replace, newest))
            await it.clock.pass_by(20)
            assert {row.settings for row in it.database.rows.values()} == {"3"}


async def test_a_run_that_cannot_begin_gives_its_claim_back() -> None:
    """What was done before could not be read for a client: the mirror is run when it can."""
    async with Daemons(named("a")).running(1) as it:
        await it.clock.pass_by(60)
        it.database.unreadable = True
        opened = it.schedulers[0].trigger(Client((), Observers()))
        await it.clock.pass_by(5)
        assert len(it.begun) == 1
        it.database.unreadable = False
        await it.clock.pass_by(20)
        assert len(it.begun) == 2
        assert opened in it.told[0].passes
