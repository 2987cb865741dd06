"""Real processes that share the limits of one credential at an emulated github.com."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest
from psycopg import sql

from mirror.core.shared_limits import HOLD
from mirror.emulator import Emulator, Fault, GitHubState
from support.postgres import opened
from support.seed import EVERYTHING
from support.sender import FastClock, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# At full size: github.com's limits, and the machine's time. Else time runs faster, for hosts,
# processes and database alike.
POINTS, WRITES, FACTOR, MINUTES = (900, 80, 1.0, 4) if EVERYTHING else (120, 12, 20.0, 1)
USED = 0.95 if EVERYTHING else 0.6
RETURNED = HOLD + 55
"""Seconds after which what a killed process held may be sent by others."""
TOKEN = "a-token-of-the-test"


@dataclass
class Cluster:
    """An emulated github.com, a database, and the processes that send."""

    host: GitHubState
    emulator: Emulator
    url: str
    clock: FastClock
    statements: int = 0
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, name: str, writers: int = 4) -> asyncio.subprocess.Process:
        settings = Settings(
            name=name,
            url=self.emulator.url,
            api_url=self.emulator.api_url,
            token=TOKEN,
            database=self.url,
            points=self.host.points_per_minute,
            writes=self.host.creations_per_minute,
            readers=4,
            writers=writers,
            clock=self.clock,
        )
        tests = str(Path(__file__).parents[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.sender",
            msgspec.json.encode(settings).decode(),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": tests},
        )
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        self.running.append(process)
        return process

    async def stop(self) -> None:
        for process in self.running:
            if process.returncode is None:
                with suppress(ProcessLookupError):  # it was killed
                    process.terminate()
            out, _ = await process.communicate()
            if process.returncode == 0:
                self.statements += json.loads(out.splitlines()[-1])["statements"]
        self.running.clear()

    def costs(self) -> list[tuple[float, int]]:
        """What the host counted: (time, points)."""
        read = {"GET", "HEAD"}
        return [(one.time, 1 if one.method in read else 5) for one in self.host.requests]

    def created(self) -> list[tuple[float, int]]:
        return [(one.time, 1) for one in self.host.requests if one.method == "POST"]

    def refused(self) -> int:
        return sum(one.status in {403, 429} for one in self.host.requests)

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


@asynccontextmanager
async def cluster(
    url: str, *, points: int = POINTS, writes: int = WRITES, factor: float = FACTOR
) -> AsyncIterator[Cluster]:
    clock = FastClock(time.time(), factor)
    host = GitHubState(
        kind="github",
        rate_limit=0,
        points_per_minute=points,
        creations_per_minute=writes,
        clock=clock.timestamp,
    )
    host.add_token(TOKEN, login="mirror-bot", admin=True)
    host.add_repository("octo/tool")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA fast")
        began = sql.Literal(clock.began)
        fast = sql.SQL(
            "CREATE FUNCTION fast.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql"
            " RETURN to_timestamp({} + {} * (extract(epoch FROM pg_catalog.clock_timestamp())::float8 - {}))"
        )
        connection.execute(fast.format(began, sql.Literal(clock.factor), began))
    async with opened(url):
        pass
    url = f"{url}&options=-csearch_path%3Dfast,pg_catalog,public"
    async with Emulator(host) as emulator:
        running = Cluster(host, emulator, url, clock)
        try:
            yield running
        finally:
            await running.stop()


def most(counted: list[tuple[float, int]], seconds: float = 60) -> int:
    """What any period held at most."""
    best = total = first = 0
    for moment, cost in counted:
        total += cost
        while counted[first][0] <= moment - seconds:
            total -= counted[first][1]
            first += 1
        best = max(best, total)
    return best


@pytest.mark.timeout(600 if EVERYTHING else 60)
@pytest.mark.parametrize("killed", [False, True] if EVERYTHING else [True])
async def test_four_processes_use_a_limit_up_and_never_exceed_it(
    postgres_url: str, *, killed: bool
) -> None:
    """As the host counts. No request is refused, and hardly any is left unused.

    A fifth process is killed before with a block in hand: that counts as sent, and is free later.
    """
    async with cluster(postgres_url) as running:
        if killed:
            process = await running.start("killed")
            await running.wait(2)
            process.kill()
        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(running.start(name))
        await running.wait(60 * MINUTES + (RETURNED if killed else 0) + 25)
        await running.stop()
        costs, created = running.costs(), running.created()
        demanded = max(fastest(costs, POINTS), fastest(created, WRITES))
        seconds = costs[-1][0] - costs[0][0]
        sys.stdout.write(
            f"{len(costs)} requests, {running.refused()} refused; at most {most(costs)} of {POINTS}"
            f" points and {most(created)} of {WRITES} writes in a minute; in {seconds:.0f} s, where the"
            f" limits demand {demanded:.0f} s: {demanded / seconds:.1%} used;"
            f" {running.statements} statements\n"
        )
        assert running.refused() == 0
        assert most(costs) <= POINTS
        assert most(created) <= WRITES
        if killed:
            after = [one for one in costs if one[0] >= costs[0][0] + RETURNED]
            assert most(after) >= USED * POINTS
        else:
            assert demanded >= USED * seconds


def fastest(counted: list[tuple[float, int]], limit: int) -> float:
    """When the last request can be sent at the earliest, if each minute holds so much."""
    now, total, sent = 0.0, 0, deque[tuple[float, int]]()
    for _, cost in counted:
        while total + cost > limit:
            moment, amount = sent.popleft()
            now, total = max(now, moment + 60), total - amount
        sent.append((now, cost))
        total += cost
    return now


@pytest.mark.timeout(60)
async def test_a_pause_holds_all_processes_within_a_second(postgres_url: str) -> None:
    """One answer with a limit is enough for all, at a host without limits of ours, too."""
    async with cluster(postgres_url, points=0, writes=0, factor=1.0) as running:
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(running.start(name, writers=0))
        fault = Fault(kind="status", status=429, headers={"Retry-After": "60"})
        running.host.faults.add(fault)
        async with asyncio.timeout(20):
            while not running.refused():  # noqa: ASYNC110 - of other processes
                await asyncio.sleep(0.01)
        paused = next(one.time for one in running.host.requests if one.status == 429)
        await asyncio.sleep(1.5)
        await running.stop()
        last = running.host.requests[-1].time
        sys.stdout.write(
            f"{len(running.host.requests)} requests; the last one {last - paused:.3f} s after the pause\n"
        )
        assert running.refused() == 1
        assert last - paused < 1
