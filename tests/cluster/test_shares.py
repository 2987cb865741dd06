"""Processes that share a credential, each with the code of a real one, and a record in memory."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.cluster.limits import Settled, SharedRecord
from mirror.cluster.shares import POLL, CredentialShare, DatabaseLimits
from mirror.core.share import NO_NEWS
from mirror.core.shared_limits import USE, LimitRecord, Rates, settle
from mirror.errors import AuthError, DatabaseUnavailable, HostStopped, RateLimited
from mirror.github import RateLimit
from mirror.github.allowance import Allowance
from mirror.github.settings import Limits
from mirror.github.shared_state import SharedState
from mirror.transfer.event_loops import ask
from mirror.waiting import background
from support.clock import START, PatientClock, VirtualClock
from support.postgres import opened
from support.sender import FastClock
from support.threads import there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mirror.core.shared_limits import Report

REFUSED = AuthError("bad credentials", host="github", status=401)


class QuietClock(PatientClock):
    """A clock that advances when nothing else happens in the event loop."""

    POLL = 0.0005

    def __init__(self) -> None:
        super().__init__(lambda: (0, 0))


class MemoryRecord(SharedRecord):
    """The record of a credential, kept in memory by a clock that differs from that of processes.

    Attributes:
        away: It cannot be reached.
        reports, looks: How often it was used.
        told: Points that were sent, in all.
    """

    def __init__(self, clock: VirtualClock, rates: Rates) -> None:
        self.credential = lambda: "token"
        self.clock, self.rates = clock, rates
        self.record = LimitRecord()
        self.away = False
        self.reports = self.looks = 0
        self.told = 0.0

    def now(self) -> float:
        return self.clock.boottime() + 1e9

    async def settle(self, report: Report) -> Settled:
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable("away")
        self.reports += 1
        if points := report.units.get("points"):
            self.told += sum(cost for _, cost in points.answered)
        self.record, grants = settle(self.record, self.now(), report, self.rates)
        return Settled(self.record, self.now(), grants)

    async def look(self) -> Settled:
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable("away")
        self.looks += 1
        return Settled(self.record, self.now(), {})


class Cluster:
    """Several processes in one event loop."""

    def __init__(self, limits: Limits, clock: VirtualClock | None = None) -> None:
        self.clock = clock or QuietClock()
        self.limits = limits
        rates = Rates(limits.points_per_minute, limits.writes_per_minute, limits.writes_per_hour)
        self.record = MemoryRecord(self.clock, rates)
        self.shares: list[CredentialShare] = []
        self._start: Callable[[Any], None] | None = None

    @asynccontextmanager
    async def running(self, processes: int) -> AsyncIterator[list[SharedState]]:
        async with background() as start:
            self._start = start
            yield [await self.process() for _ in range(processes)]

    async def process(self) -> SharedState:
        """One more, as it is at the begin of a pass."""
        name = f"p{len(self.shares)}"
        share = CredentialShare(self.record, self.record.rates, self.clock, name, lambda: 0.5)
        self.shares.append(share)
        share.begin()
        await share.look()
        assert self._start
        self._start(share.run())
        allowance = Allowance(self.clock, self.limits, share)
        state = SharedState("github", self.clock, self.limits, github=True, allowance=allowance)
        state.revive()
        return state

    async def spread(self) -> None:
        """As notices do: everyone looks, once everything is told."""
        await self.clock.sleep(0.01)
        for share in self.shares:
            share.must_look()
        await self.clock.sleep(0.01)


async def send(state: SharedState, method: str = "GET") -> None:
    """Send a request, which is answered at once."""
    async with state.rate_limiter.slot(write=method == "POST"):
        state.rate_limiter.check()
        async with state.rate_limiter.points(method):
            pass


async def test_processes_share_a_limit_and_nobody_starves() -> None:
    """Each gets its turn; no minute holds more than the limit, whoever sends."""
    cluster = Cluster(Limits(points_per_minute=60, writes_per_minute=4))
    sent: list[tuple[float, int, str]] = []

    async def work(number: int, state: SharedState, method: str) -> None:
        while cluster.clock.seconds < 300:
            await send(state, method)
            sent.append((cluster.clock.seconds, number, method))

    async with cluster.running(3) as states, asyncio.TaskGroup() as group:
        for number, state in enumerate(states):
            for method in ("GET", "GET", "POST"):
                group.create_task(work(number, state, method))
    for begin, _, _ in sent:
        minute = [(who, method) for moment, who, method in sent if begin <= moment < begin + 60]
        assert sum(1 if method == "GET" else 5 for _, method in minute) <= 60
        assert sum(method == "POST" for _, method in minute) <= 4
    steady = [one for one in sent if 60 <= one[0] < 300]
    assert sum(1 if method == "GET" else 5 for _, _, method in steady) >= 0.9 * 240
    assert {(who, method) for _, who, method in steady} == {
        (who, method) for who in range(3) for method in ("GET", "POST")
    }


async def test_what_fits_waits_for_one_report() -> None:
    """Requests that fit cost no statement each: the block that one report fetches lasts for seconds."""
    cluster = Cluster(Limits(points_per_minute=900))
    async with cluster.running(1) as (state,):
        for _ in range(40):
            await send(state)
            await cluster.clock.sleep(0.25)
        assert cluster.record.reports <= 6


async def test_a_process_that_ends_returns_its_block() -> None:
    """What it did not send is free at once for the others, and it counts for itself afterwards."""
    cluster = Cluster(Limits(points_per_minute=60))
    async with cluster.running(1) as (state,):
        await send(state)
        assert cluster.record.record.holders
    assert not cluster.record.record.holders
    assert sum(cost for _, cost in cluster.record.record.points) == 1
    await send(state)
    assert sum(cost for _, cost in cluster.record.record.points) == 1


async def test_a_pause_holds_the_requests_of_all() -> None:
    """One answer with a limit is enough for all processes, also at a host without limits of ours."""
    cluster = Cluster(Limits())
    async with cluster.running(2) as (one, other):
        one.rate_limiter.pause(START + timedelta(seconds=100))
        await cluster.spread()
        assert other.rate_limiter.paused_for() == pytest.approx(100, abs=1)
        await send(other)
        assert cluster.clock.seconds == pytest.approx(100, abs=1)
        late = await cluster.process()
        assert late.rate_limiter.paused_for() == 0


async def test_the_reserve_is_left_for_others_by_all() -> None:
    """Once one process hears that no more is left than the reserve, all wait for the reset."""
    cluster = Cluster(Limits(rate_limit_reserve=50))
    async with cluster.running(2) as (one, other):
        one.rate_limiter.learn(RateLimit(5000, 50, int(START.timestamp()) + 900))
        await cluster.spread()
        assert other.rate_limiter.paused_for() == pytest.approx(901, abs=1)
        assert cluster.record.record.news == 1


async def test_a_long_pause_that_a_pass_ended_stays_ended() -> None:
    """A pause is heeded once: what other processes hear later does not begin it again."""
    cluster = Cluster(Limits())
    async with cluster.running(2) as (one, other):
        one.rate_limiter.pause(START + timedelta(days=2))
        await cluster.spread()
        with pytest.raises(RateLimited):
            await send(other)
        other.revive()
        await send(other)
        one.trip(REFUSED)
        one.revive()
        one.proven()
        await cluster.spread()
        other.revive()
        await send(other)


async def test_a_refused_credential_stops_all_and_each_pass_sends_one_proof() -> None:
    """Nobody asks with it again but one request a pass; once one is accepted, all go on."""
    cluster = Cluster(Limits(points_per_minute=900))
    async with cluster.running(2) as (one, other):
        one.trip(REFUSED)
        await cluster.spread()
        with pytest.raises(HostStopped, match="bad credentials") as caught:
            await send(other)
        assert caught.value.status == 401
        late = await cluster.process()
        assert late.breaker.state == "half-open", "its pass sends a proof, too"
        await send(late)
        late.proven()
        await cluster.spread()
        for state in (one, other):
            await send(state)
            assert state.breaker.state == "half-open"
        assert cluster.record.record.refusal is None


async def test_an_old_refusal_concerns_no_new_credential() -> None:
    """A process whose secret was replaced is not stopped by what was said of the former one."""
    cluster = Cluster(Limits())
    async with cluster.running(2) as (one, other):
        one.trip(REFUSED)
        await cluster.clock.sleep(0.01)
        cluster.record.credential = lambda: "another token"
        await cluster.spread()
        await send(other)


async def test_without_the_database_a_block_is_used_for_a_while() -> None:
    """Then requests wait until the database is back; what was sent meanwhile is told."""
    cluster = Cluster(Limits(points_per_minute=900))
    sent: list[float] = []
    async with cluster.running(1) as (state,):
        for _ in range(40):  # so that it has a stock
            await send(state)
            await cluster.clock.sleep(0.5)
        cluster.record.away = True
        went = cluster.clock.seconds

        async def work() -> None:
            while len(sent) < 30:
                await send(state)
                sent.append(cluster.clock.seconds - went)

        async with asyncio.TaskGroup() as group:
            working = group.create_task(work())
            await cluster.clock.sleep(60)
            assert not working.done()
            assert sent
            assert max(sent) <= USE
            alone = len(sent)
            cluster.record.away = False
        assert len(sent) == 30 > alone
    assert cluster.record.told == 70


async def test_a_suspended_machine_does_not_use_what_it_had() -> None:
    """Its block went back to the others meanwhile, though its timers stood still."""
    cluster = Cluster(Limits(points_per_minute=900))
    async with cluster.running(1) as (state,):
        for _ in range(40):  # so that it has a stock
            await send(state)
            await cluster.clock.sleep(0.5)
        unit = cluster.shares[0].unit("points")
        unit.enqueue(1)
        assert unit.take(1)
        cluster.clock.suspend(60)
        unit.enqueue(1)
        assert not unit.take(1)


async def test_a_request_that_is_given_up_asks_for_nothing() -> None:
    """A cancelled request leaves the queue, whether it was next or not."""
    cluster = Cluster(Limits(points_per_minute=60))
    async with cluster.running(2) as (one, other):
        for _ in range(60):
            await send(one)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send(other)) for _ in range(3)]
            await cluster.clock.sleep(5)
            tasks[0].cancel()
            tasks[1].cancel()
            await cluster.clock.sleep(5)
        assert not tasks[2].cancelled()
        assert cluster.clock.seconds < 75
        assert other.rate_limiter.paced_for() == 0
        held = cluster.record.record.holders.get("p1")
        assert held is None or held.points < 60


async def test_what_waits_notices_that_the_host_was_stopped() -> None:
    """Within seconds, although nothing is granted."""
    cluster = Cluster(Limits(points_per_minute=60))
    async with cluster.running(2) as (one, other):
        for _ in range(60):
            await send(one)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(stopped(other))
            await cluster.clock.sleep(20)
            one.trip(REFUSED)
            await cluster.spread()
            await cluster.clock.sleep(6)
            assert waiting.done()


async def stopped(state: SharedState) -> None:
    with pytest.raises(HostStopped):
        await send(state)


async def test_a_request_that_was_sent_before_counts_when_it_is_answered() -> None:
    """A process begins to share while a request of its own is under way."""
    cluster = Cluster(Limits(points_per_minute=60))
    clock, limits = cluster.clock, cluster.limits
    share = CredentialShare(cluster.record, cluster.record.rates, clock, "p")
    state = SharedState(
        "github", clock, limits, github=True, allowance=Allowance(clock, limits, share)
    )
    async with background() as start, state.rate_limiter.points("POST"):
        share.begin()
        start(share.run())
        await send(state)
        async with state.rate_limiter.points("GET"):
            await cluster.clock.sleep(1)
            assert cluster.record.record.holders["p"].points >= 1
    assert cluster.record.told == 7
    assert state.rate_limiter.allowance.points.wait(55)[0] > 0
    assert state.rate_limiter.allowance.points.wait(53)[0] == 0


async def test_threads_take_from_the_same_block() -> None:
    """A request of another thread waits in its own event loop, and is woken there."""
    cluster = Cluster(Limits(points_per_minute=60), VirtualClock())
    async with cluster.running(1) as (state,):
        with there() as loop:

            async def several() -> None:
                for _ in range(20):
                    await send(state)

            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(ask(loop, several))
                group.create_task(several())
                group.create_task(cluster.clock.sleep(30))
    assert cluster.record.told == 40


@pytest.mark.parametrize(
    ("notices", "sends", "looks"),
    [(False, True, 60), (False, False, 4), (True, True, 4), (True, False, 0)],
)
async def test_where_no_notice_arrives_everyone_looks_each_second(
    *, notices: bool, sends: bool, looks: int
) -> None:
    """While requests are sent; else rarely. Where notices arrive, nobody has to look while nothing is sent."""
    cluster = Cluster(Limits())
    async with cluster.running(1):
        (share,) = cluster.shares
        share.must_look()
        await cluster.clock.sleep(0.01)
        before = cluster.record.looks
        for _ in range(60):
            await cluster.clock.sleep(POLL / 2)
            if sends:
                share.news()
            await cluster.clock.sleep(POLL / 2)
            share.look_if_used(notices=notices)
        await cluster.clock.sleep(0.01)
        assert cluster.record.looks - before == looks


async def test_notices_are_proven_by_one_of_our_own(postgres_url: str) -> None:
    """Unless it comes back, notices do not arrive. A pause that another process hears of arrives by one."""
    async with AsyncExitStack() as stack:
        clock, shares = FastClock(time.time(), 20), []
        for name in "ab":
            database = await stack.enter_async_context(opened(postgres_url))
            limits = DatabaseLimits(database, clock, name)
            shares.append(limits.share("https://ghes", lambda: "token", Rates()))
            await stack.enter_async_context(limits.active())
            await until(lambda limits=limits: limits._notices)  # type: ignore[misc]
        one, other = shares
        one.pause(100)
        await until(lambda: other.news().paused_until > 0)


async def until(good: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not good():  # noqa: ASYNC110 - of a socket
            await asyncio.sleep(0.01)


async def test_without_news_nothing_is_heeded() -> None:
    """A process that shares nothing yet has no news."""
    cluster = Cluster(Limits())
    share = CredentialShare(cluster.record, Rates(), cluster.clock, "p")
    assert share.news() is NO_NEWS
    share.pause(10)
    assert not cluster.record.reports
