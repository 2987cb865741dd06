from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import structlog.testing

from mirror.core.dispatch import watched
from mirror.errors import AuthError, HostStopped, RateLimited
from mirror.github import RateLimit, RateLimiter
from mirror.github.settings import Limits
from support.clock import START, VirtualClock


async def test_no_more_connections_than_allowed() -> None:
    """So many requests at once, and the others one after the other."""
    rate_limiter = RateLimiter(VirtualClock(), limits=Limits(max_connections=3))
    now = most = 0

    async def request() -> None:
        nonlocal now, most
        async with rate_limiter.slot():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(request())
    assert most == 3


async def test_what_fits_is_not_delayed_and_the_rest_waits_its_turn() -> None:
    """The first writes of a minute go at once; each later one a minute after one of them."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, limits=Limits(writes_per_minute=3))
    starts: list[float] = []

    async def write() -> None:
        async with rate_limiter.slot(write=True):
            starts.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(7):
            group.create_task(write())
    assert starts == [0, 0, 0, 60, 60, 60, 120]
    async with rate_limiter.slot():  # reads do not wait for writes
        assert clock.monotonic() == 120


async def test_a_write_that_waits_holds_no_connection() -> None:
    """Writes wait for an hour's limit before they hold a connection: reads go on meanwhile."""
    clock = VirtualClock()
    limits = Limits(max_connections=1, writes_per_hour=1)
    rate_limiter = RateLimiter(clock, limits=limits)
    read_at = -1.0

    async def write() -> None:
        async with rate_limiter.slot(write=True):
            pass

    async def read() -> None:
        nonlocal read_at
        await clock.sleep(60)
        async with rate_limiter.slot():
            read_at = clock.monotonic()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(write())
        group.create_task(read())
    assert (read_at, clock.monotonic()) == (60, 3600)


async def test_writes_and_reads_share_the_points() -> None:
    """A read costs 1 point, a write 5; first come, first served, so that no write starves."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, limits=Limits(points_per_minute=10))
    starts: list[tuple[str, float]] = []

    async def send(method: str) -> None:
        async with rate_limiter.points(method):
            starts.append((method, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for method in ("GET", "GET", "POST", "DELETE", "GET", "GET", "PATCH"):
            group.create_task(send(method))
    assert starts == [
        ("GET", 0),
        ("GET", 0),
        ("POST", 0),
        ("DELETE", 60),
        ("GET", 60),
        ("GET", 60),
        ("PATCH", 120),
    ]


async def test_a_wait_is_told_once_and_cancelled_at_no_cost() -> None:
    """One log event a limit, however many wait; a cancelled write takes nothing of the limit."""
    clock = VirtualClock()
    told: list[tuple[str, float]] = []
    rate_limiter = RateLimiter(
        clock,
        name="github",
        limits=Limits(max_connections=1, writes_per_minute=2),
        on_paced=lambda limit, seconds: told.append((limit, seconds)),
    )
    async with rate_limiter.slot(write=True):
        blocked = asyncio.ensure_future(rate_limiter.take(write=True))  # noqa: TID251 - cancelled
        await asyncio.sleep(0)
        blocked.cancel()
        await asyncio.wait([blocked])
    starts = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            async with rate_limiter.slot(write=True):
                starts.append(clock.monotonic())
    assert starts == [0, 60, 60, 120]
    assert told[0] == ("2 writes a minute", 60)
    paced = [line for line in logs if line["event"] == "github.paced"]
    assert [(line["limit"], line["host"]) for line in paced] == [("2 writes a minute", "github")]


async def test_what_was_sent_survives_the_process() -> None:
    """Another limiter, restored from the first one's account, admits nothing that the first would not."""
    clock = VirtualClock()
    limits = Limits(writes_per_minute=80, writes_per_hour=3)
    first = RateLimiter(clock, limits=limits)
    for _ in range(3):
        async with first.slot(write=True):
            clock.advance(10)
    clock.advance(600)
    sent = first.allowance.writes.sent()
    second = RateLimiter(clock, limits=limits)
    second.allowance.restore((), sent)
    second.allowance.restore((), sent)  # only the first call counts
    assert (first.paced_for(), second.paced_for()) == (2980, 2980)


async def test_a_pause_holds_everyone() -> None:
    """One answer with a limit is enough: all requests of the host wait for its end."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock)
    rate_limiter.pause(START + timedelta(seconds=100))
    rate_limiter.pause(START + timedelta(seconds=40))
    times: list[float] = []

    async def request() -> None:
        async with rate_limiter.slot():
            times.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(request())
    assert times == [100, 100, 100]


async def test_a_limit_is_not_waited_for_longer_than_an_hour_and_a_bit() -> None:
    """A wait has an end: what lasts longer is raised at once."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, name="github")
    rate_limiter.pause(START + timedelta(hours=2))
    with pytest.raises(RateLimited) as caught:
        async with rate_limiter.slot():
            pass
    assert caught.value.retry_at == START + timedelta(hours=2)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("pause", "ended"), [(timedelta(days=3), True), (timedelta(hours=1), False)]
)
def test_a_pause_of_days_can_be_ended(pause: timedelta, ended: bool) -> None:
    """Whoever asks for a pass ends it; one that is awaited anyway stays."""
    rate_limiter = RateLimiter(VirtualClock())
    rate_limiter.pause(START + pause)
    rate_limiter.end_long_pause()
    assert (rate_limiter.paused_until is None) == ended
    assert (rate_limiter.paused_for() == 0) == ended


async def test_the_seconds_until_a_pause_ends() -> None:
    """A later limit prolongs it; an earlier one does not shorten it."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock)
    assert rate_limiter.paused_for() == 0
    rate_limiter.pause(START + timedelta(seconds=100))
    clock.advance(60)
    assert rate_limiter.paused_for() == 40
    rate_limiter.pause(START + timedelta(seconds=80))
    assert rate_limiter.paused_for() == 40
    rate_limiter.pause(START + timedelta(seconds=660))
    assert rate_limiter.paused_for() == 600
    clock.advance(601)
    assert rate_limiter.paused_for() == 0
    assert rate_limiter.paused_until is None


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
async def test_a_clock_that_is_set_does_not_prolong_a_pause(jump: timedelta) -> None:
    """The end of a limit is a time of day, but nobody waits longer than when it was announced."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock)
    rate_limiter.pause(clock.now() + timedelta(seconds=100))
    clock.start += jump
    assert rate_limiter.paused_for() == (100 if jump < timedelta(0) else 0)
    async with rate_limiter.slot():
        assert clock.monotonic() == (100 if jump < timedelta(0) else 0)


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(0), timedelta(days=400)])
async def test_a_clock_that_is_set_hides_no_later_pause(jump: timedelta) -> None:
    """The pause that ends last counts, also if its time of day is before that of an earlier one."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock)
    rate_limiter.pause(clock.now() + timedelta(seconds=100))
    clock.start += jump
    rate_limiter.pause(clock.now() + timedelta(seconds=300))
    rate_limiter.pause(clock.now() + timedelta(seconds=200))
    async with rate_limiter.slot():
        assert clock.monotonic() == 300


async def test_a_pause_is_logged_when_it_begins_and_when_it_ends() -> None:
    """Not for each request that waits."""
    rate_limiter = RateLimiter(VirtualClock(), name="github")
    with structlog.testing.capture_logs() as logs:
        for seconds in (100, 101, 102):
            rate_limiter.pause(START + timedelta(seconds=seconds))
        for _ in range(3):
            async with rate_limiter.slot():
                pass
    assert [(line["event"], line["host"]) for line in logs] == [
        ("github.throttled", "github"),
        ("github.throttle_ended", "github"),
    ]


@pytest.mark.parametrize(
    ("reserve", "remaining", "waits"),
    [(0, 1, False), (0, 0, True), (50, 51, False), (50, 50, True)],
)
async def test_the_reserve_is_left_for_others(reserve: int, remaining: int, *, waits: bool) -> None:
    """No more than the reserve left: wait for the next window instead of using it up."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, limits=Limits(rate_limit_reserve=reserve))
    rate_limiter.learn(RateLimit(5000, remaining, int(START.timestamp()) + 900))
    async with rate_limiter.slot():
        assert clock.monotonic() == pytest.approx(901 if waits else 0)


async def test_absent_limits_pause_nothing() -> None:
    """Servers without limits say nothing."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, limits=Limits(rate_limit_reserve=50))
    rate_limiter.learn(RateLimit())
    rate_limiter.learn(RateLimit(remaining=0))
    async with rate_limiter.slot():
        assert clock.monotonic() == 0


async def test_nothing_passes_while_the_circuit_is_open() -> None:
    """The error names the first reason; once it is half-open, requests pass."""
    rate_limiter = RateLimiter(VirtualClock(), name="target")
    rate_limiter.breaker.trip(0, AuthError("target: bad credentials", status=401))
    rate_limiter.breaker.trip(0, AuthError("another"))
    with pytest.raises(HostStopped, match="bad credentials") as caught:
        async with rate_limiter.slot():
            pass
    assert caught.value.status == 401
    assert not caught.value.retryable
    rate_limiter.breaker.half_open()
    async with rate_limiter.slot():
        pass


async def test_what_waits_notices_that_the_host_was_stopped() -> None:
    """Neither a long pause nor the wait for a connection hides it."""
    clock = VirtualClock()
    rate_limiter = RateLimiter(clock, limits=Limits(max_connections=1))
    outcomes: list[str] = []

    async def request() -> None:
        try:
            async with rate_limiter.slot():
                outcomes.append("sent")
        except HostStopped:
            outcomes.append("stopped")

    async with asyncio.TaskGroup() as group, rate_limiter.slot():
        group.create_task(request())
        await asyncio.sleep(0)
        rate_limiter.breaker.trip(0, AuthError("no"))
    rate_limiter.breaker.half_open()
    rate_limiter.pause(START + timedelta(hours=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(request())
        await asyncio.sleep(0)
        rate_limiter.breaker.trip(0, AuthError("no"))
    assert outcomes == ["stopped", "stopped"]
    assert clock.monotonic() <= 60


async def test_a_write_that_waits_is_known_to_be_unsent() -> None:
    """Until its first request is sent: then somebody has to see what became of it."""
    rate_limiter = RateLimiter(VirtualClock(), limits=Limits(max_connections=1))
    seen: list[tuple[bool, bool]] = []

    async def write() -> None:
        with watched() as dispatch:
            async with rate_limiter.slot(write=True):
                async with rate_limiter.points("GET"):
                    seen.append((dispatch.unsent, dispatch.sent))
                async with rate_limiter.points("POST"):
                    seen.append((dispatch.unsent, dispatch.sent))

    await write()
    assert seen == [(False, False), (False, True)]
    async with rate_limiter.slot(), asyncio.TaskGroup() as group:
        with watched() as dispatch:
            waiting = group.create_task(rate_limiter.take(write=True))
        await asyncio.sleep(0)
        assert dispatch.unsent
        waiting.cancel()
