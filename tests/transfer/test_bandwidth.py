"""One byte budget over all transfers."""

from __future__ import annotations

import asyncio
import hashlib
import time
from itertools import accumulate, cycle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.retry import RetryPolicy
from mirror.system_clock import SystemClock
from mirror.transfer.bandwidth import Bandwidth
from mirror.transfer.pipe import pipe
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

RATE = 1_000_000
CHUNKS = st.lists(st.integers(500, 300_000), min_size=1, max_size=4)


async def moved(
    chunks: Sequence[Sequence[int]], seconds: float, rate: int = RATE
) -> tuple[list[tuple[float, int]], list[int]]:
    """Let transfers move these chunks over and over: what moved when, and what each has moved."""
    clock = VirtualClock()
    bandwidth = Bandwidth(rate, clock)
    log: list[tuple[float, int]] = []
    sums = [0] * len(chunks)

    async def transfer(number: int, sizes: Sequence[int]) -> None:
        lane = bandwidth.lane()
        for size in cycle(sizes):
            left = size
            while left:
                part = min(left, bandwidth.piece)
                await lane.pace(part)
                if clock.monotonic() >= seconds:
                    return
                log.append((clock.monotonic(), part))
                sums[number] += part
                left -= part

    async with asyncio.TaskGroup() as group:
        for number, sizes in enumerate(chunks):
            group.create_task(transfer(number, sizes))
    return log, sums


@settings(max_examples=15, deadline=None)
@given(st.lists(CHUNKS, min_size=1, max_size=6))
def test_the_budget_is_kept(chunks: list[list[int]]) -> None:
    """Whatever moves in whatever chunks: 10 seconds hold 10 seconds' worth, within 5 %."""
    worth = [max(sizes) for sizes in chunks]
    if max(worth) < 10_000:  # a million turns of a loop prove no more than some thousands
        chunks = [[size * 50 for size in sizes] for sizes in chunks]
    log, _ = asyncio.run(moved(chunks, 21.0))
    sums = [0, *accumulate(size for _, size in log)]
    last = 0
    for first, (begin, _) in enumerate(log):
        while last < len(log) and log[last][0] < begin + 10:
            last += 1
        in_all = sums[last] - sums[first]
        assert in_all <= RATE * 10 * 1.05
        if begin + 10 < 21:
            assert in_all >= RATE * 10 * 0.95


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(2_000, 300_000), min_size=1), min_size=2, max_size=6))
def test_shares_are_equal(chunks: list[list[int]]) -> None:
    """Transfers that want as much get as much, to within a chunk, whatever their chunks are."""
    _, sums = asyncio.run(moved(chunks, 10.0))
    piece = Bandwidth(RATE, VirtualClock()).piece
    assert max(sums) - min(sums) <= 2 * piece


async def test_a_large_chunk_lets_others_pass() -> None:
    """While one pays for a minute's worth of bytes, another one moves half of the bandwidth."""
    clock = VirtualClock()
    bandwidth = Bandwidth(RATE, clock)
    small = 0

    async def rival() -> None:
        nonlocal small
        lane = bandwidth.lane()
        while clock.monotonic() < 10:
            await lane.pace(10_000)
            small += 10_000

    async with asyncio.TaskGroup() as group:
        large = group.create_task(bandwidth.pace(60 * RATE))
        await rival()
        large.cancel()
    assert small == pytest.approx(5 * RATE, rel=0.05)


async def test_who_was_away_saves_nothing_up() -> None:
    """A transfer that stood still neither catches up nor is behind: it shares from now on."""
    clock = VirtualClock()
    bandwidth = Bandwidth(RATE, clock)
    away, busy = bandwidth.lane(), bandwidth.lane()
    while clock.monotonic() < 5:
        await busy.pace(50_000)
    sums = [0, 0]

    async def transfer(number: int) -> None:
        lane = (away, busy)[number]
        while clock.monotonic() < 10:
            await lane.pace(50_000)
            sums[number] += 50_000

    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(0))
        group.create_task(transfer(1))
    assert abs(sums[0] - sums[1]) <= 100_000


async def test_an_idle_line_saves_up_a_tenth_of_a_second() -> None:
    """After an hour of silence the peak is small."""
    clock = VirtualClock()
    bandwidth = Bandwidth(RATE, clock)
    clock.advance(3600)
    lane, at_once = bandwidth.lane(), 0
    while clock.monotonic() == 3600:
        await lane.pace(5_000)
        at_once += 5_000
    assert at_once <= RATE * 0.13


async def test_no_limit_costs_nothing() -> None:
    """Without a limit nobody waits, and nothing is cut into pieces."""
    clock = VirtualClock()
    bandwidth = Bandwidth(0, clock)
    await bandwidth.pace(10**15)
    await bandwidth.lane().pace(10**15)
    assert bandwidth.piece == 0
    assert clock.slept == []
    with pytest.raises(ValueError, match="not a bandwidth"):
        Bandwidth(-1, clock)


async def test_who_is_cancelled_pays_nothing_and_blocks_nobody() -> None:
    """A transfer that is given up while it waits leaves its turn, and the others their rate."""
    clock = VirtualClock()
    bandwidth = Bandwidth(RATE, clock)
    await bandwidth.pace(RATE // 4)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bandwidth.pace(RATE // 50)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[:9]:
            task.cancel()
    assert clock.monotonic() <= 0.25
    await bandwidth.pace(1)
    assert clock.monotonic() <= 0.35


class Bytes:
    """A source of so many zero bytes, in large chunks."""

    def __init__(self, size: int) -> None:
        self.size = size

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        from contextlib import asynccontextmanager  # noqa: PLC0415 - this helper's alone

        @asynccontextmanager
        async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
            async def chunks() -> AsyncIterator[bytes]:
                for start in range(offset, self.size, 2**20):
                    yield bytes(min(2**20, self.size - start))

            yield chunks()

        return opened()


class Socket:
    """A sink that writes to a connection, and returns how many bytes the other end got."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> int:  # noqa: ARG002 - as the protocol says
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        async for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer)


async def test_real_time_and_real_sockets() -> None:
    """Three transfers through sockets take the time that their bytes take, and no pause is a stall."""
    size, rate = 3_000_000, 10_000_000

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = 0
        while data := await reader.read(2**20):
            got += len(data)
        writer.write(str(got).encode())
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = SystemClock()
    bandwidth = Bandwidth(rate, clock)

    async def copy() -> None:
        piped = await pipe(
            Bytes(size),
            Socket(port),
            sha256=hashlib.sha256(bytes(size)).hexdigest(),
            clock=clock,
            retry=RetryPolicy(),
            stall_timeout=0.5,
            response_timeout=5.0,
            pace=bandwidth.lane().pace,
            piece=bandwidth.piece,
        )
        assert piped.reply == size

    async with server:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(copy())
        took = time.monotonic() - started
    assert took >= 3 * size / rate * 0.9
    assert took < 3 * size / rate * 1.5
