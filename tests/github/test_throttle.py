from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mirror.errors import AuthError, HostStopped, RateLimited
from mirror.github import RateLimit, Throttle
from support.clock import START, VirtualClock


async def test_no_more_connections_than_allowed() -> None:
    """So many requests at once, and the others one after the other."""
    throttle = Throttle(VirtualClock(), max_connections=3)
    now = most = 0

    async def request() -> None:
        nonlocal now, most
        async with throttle.slot():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(request())
    assert most == 3


async def test_writes_are_evenly_spaced() -> None:
    """80 a minute are one each 0.75 s, not 80 at once; reads do not wait for them."""
    clock = VirtualClock()
    throttle = Throttle(clock, writes_per_minute=80)
    starts: list[float] = []

    async def write() -> None:
        async with throttle.slot(write=True):
            starts.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(write())
    assert starts == pytest.approx([0, 0.75, 1.5, 2.25, 3])
    clock.advance(100)
    await write()
    assert starts[-1] == 103  # what was not used is not saved up
    async with throttle.slot():
        assert clock.monotonic() == 103


async def test_a_pause_holds_everyone() -> None:
    """One answer with a limit is enough: all requests of the host wait for its end."""
    clock = VirtualClock()
    throttle = Throttle(clock)
    throttle.pause(START + timedelta(seconds=100))
    throttle.pause(START + timedelta(seconds=40))
    times: list[float] = []

    async def request() -> None:
        async with throttle.slot():
            times.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(request())
    assert times == [100, 100, 100]


async def test_a_limit_is_not_waited_for_longer_than_an_hour_and_a_bit() -> None:
    """A wait has an end: what lasts longer is raised at once."""
    clock = VirtualClock()
    throttle = Throttle(clock, name="github")
    throttle.pause(START + timedelta(hours=2))
    with pytest.raises(RateLimited) as caught:
        async with throttle.slot():
            pass
    assert caught.value.retry_at == START + timedelta(hours=2)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("reserve", "remaining", "waits"),
    [(0, 1, False), (0, 0, True), (50, 51, False), (50, 50, True)],
)
async def test_the_reserve_is_left_for_others(reserve: int, remaining: int, *, waits: bool) -> None:
    """No more than the reserve left: wait for the next window instead of using it up."""
    clock = VirtualClock()
    throttle = Throttle(clock, reserve=reserve)
    throttle.learn(RateLimit(5000, remaining, int(START.timestamp()) + 900))
    async with throttle.slot():
        assert clock.monotonic() == pytest.approx(901 if waits else 0)


async def test_absent_limits_pause_nothing() -> None:
    """Servers without limits say nothing."""
    clock = VirtualClock()
    throttle = Throttle(clock, reserve=50)
    throttle.learn(RateLimit())
    throttle.learn(RateLimit(remaining=0))
    async with throttle.slot():
        assert clock.monotonic() == 0


async def test_what_is_stopped_stays_stopped_until_the_next_pass() -> None:
    """The first reason is told to everyone after; a new pass tries again."""
    throttle = Throttle(VirtualClock(), name="target")
    throttle.stop(AuthError("target: bad credentials", status=401))
    throttle.stop(AuthError("another"))
    with pytest.raises(HostStopped, match="bad credentials") as caught:
        async with throttle.slot():
            pass
    assert caught.value.status == 401
    assert not caught.value.retryable
    throttle.reset()
    assert throttle.stopped is None
    async with throttle.slot():
        pass


async def test_what_waits_notices_that_the_host_was_stopped() -> None:
    """Neither a long pause nor the wait for a connection hides it."""
    clock = VirtualClock()
    throttle = Throttle(clock, max_connections=1)
    outcomes: list[str] = []

    async def request() -> None:
        try:
            async with throttle.slot():
                outcomes.append("sent")
        except HostStopped:
            outcomes.append("stopped")

    async with asyncio.TaskGroup() as group, throttle.slot():
        group.create_task(request())
        await asyncio.sleep(0)
        throttle.stop(AuthError("no"))
    throttle.reset()
    throttle.pause(START + timedelta(hours=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(request())
        await asyncio.sleep(0)
        throttle.stop(AuthError("no"))
    assert outcomes == ["stopped", "stopped"]
    assert clock.monotonic() <= 60
