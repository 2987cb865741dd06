"""Writes that are in flight when a run is cancelled: finished, or told to be unknown."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from mirror.core.dispatch import request_waits, write_is_sent
from mirror.errors import ClaimLost, NotFound
from mirror.sync.write_guard import guarded_writes

if TYPE_CHECKING:
    from collections.abc import Callable


class Host:
    """Answers a write when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.told: list[str] = []

    async def write(self) -> None:
        self.asked.set()
        await self.answers.wait()
        self.told.append("written")

    async def cancelled_run(
        self, *, grace: float, worthwhile: Callable[[], bool] = lambda: True
    ) -> None:
        """Run a write in a task that is cancelled while the write waits."""

        async def run() -> None:
            async with guarded_writes(grace) as guard:
                await guard.finish(
                    self.write(),
                    worthwhile=worthwhile,
                    unknown=lambda: self.told.append("unknown"),
                )

        async with asyncio.TaskGroup() as group:
            running = group.create_task(run())
            await self.asked.wait()
            running.cancel()
            if grace:
                asyncio.get_running_loop().call_soon(self.answers.set)
            with suppress(asyncio.CancelledError):
                await running
        assert running.cancelled()


async def test_no_further_request_is_sent_once_it_is_not_permitted() -> None:
    """A write of several requests ends before the next one, whatever it waited for meanwhile."""
    sent, lost = [], False

    def permit() -> None:
        if lost:
            raise ClaimLost("another process has it")

    async def write() -> None:
        nonlocal lost
        write_is_sent()
        sent.append("first")
        lost = True
        await asyncio.sleep(0)
        write_is_sent()
        sent.append("second")

    with pytest.raises(ClaimLost):
        async with guarded_writes(permit=permit) as guard:
            await guard.finish(write())
    assert sent == ["first"]


async def test_a_write_that_is_answered_soon_is_finished() -> None:
    """The run is cancelled, and yet what the write did is known."""
    host = Host()
    await host.cancelled_run(grace=30.0)
    assert host.told == ["written"]


async def test_a_write_that_is_not_answered_in_time_is_unknown() -> None:
    """Nobody waits for ever: then it is told that the result is not known."""
    host = Host()
    await host.cancelled_run(grace=0.0)
    assert host.told == ["unknown"]


async def test_what_takes_long_is_cut_off_at_once() -> None:
    """A transfer with bytes left to move is not waited for, and has certainly not arrived."""
    host = Host()
    await host.cancelled_run(grace=30.0, worthwhile=lambda: False)
    assert host.told == []


async def test_an_error_reaches_who_asked_and_nobody_else() -> None:
    """A write that fails cancels no other write of the group."""

    async def fail() -> None:
        raise NotFound("gone")

    host = Host()
    async with guarded_writes() as guard, asyncio.TaskGroup() as group:
        other = group.create_task(guard.finish(host.write()))
        await host.asked.wait()
        with pytest.raises(NotFound):
            await guard.finish(fail())
        host.answers.set()
    assert other.done()
    assert host.told == ["written"]


@pytest.mark.parametrize(("sent", "told"), [(False, []), (True, ["unknown"])])
async def test_a_write_that_waits_for_its_turn_is_not_waited_for(
    *, sent: bool, told: list[str]
) -> None:
    """Nothing is on its way that could be answered; it is unknown only if a part of it was sent."""
    host = Host()

    async def waiting() -> None:
        if sent:
            write_is_sent()
        with request_waits():
            await host.write()

    async def run() -> None:
        async with guarded_writes(3600.0) as guard:
            await guard.finish(waiting(), unknown=lambda: host.told.append("unknown"))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await host.asked.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert host.told == told
