"""Row 21: 100,000 mirrors in one database, for two intervals of virtual time and as fast as it goes.

The database's clock is virtual, too: a schema whose ``now()`` goes before PostgreSQL's own is in
front of the search path. The machines are queues as daemons have them; a run is a wait.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.ledger import entry
from benchmarks.measure import Contender, Line, Sample, at_most, exactly, plain
from benchmarks.stage.postgres import PostgresServer
from benchmarks.stage.scene import MIB
from mirror.cluster.claims import DatabaseClaims
from mirror.cluster.queue import SharedQueue
from mirror.core.claims import JobSettings
from mirror.core.ledger.index import encode_entry
from mirror.database import schema
from mirror.database.connection import Database
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.cluster.queue import Due

MIRRORS = 100_000
MACHINES = 4
SLOTS = 40
"""Runs at once on each machine; the mirrors need about 84 of the 160."""

INTERVAL = 900.0
RUNS = ((0.95, 0.5), (0.999, 5.0), (1.0, 40.0))
"""Seconds of a run, and the part of all runs that take at most that."""

TICK = 0.5
"""Virtual seconds between two looks at the queue."""

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

_VIRTUAL = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.clock (at timestamptz NOT NULL);
INSERT INTO virtual.clock VALUES ('2026-11-21 09:00+00');
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT at FROM virtual.clock';
"""
_SEARCH_PATH = "options=-csearch_path%3Dvirtual%2Cpublic%2Cpg_catalog"


class Clock(SystemClock):
    """Virtual time of day and monotonic time; what waits, waits in real time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The virtual time."""
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.seconds

    def boottime(self) -> float:
        """The same: it is never suspended."""
        return self.seconds


@dataclass(eq=False)
class Machine:
    """One daemon's part of the queue."""

    queue: SharedQueue
    running: list[tuple[float, str, Due]] = field(default_factory=list)
    alive: bool = True


@dataclass
class Found:
    """What was seen in the virtual time."""

    runs: dict[str, int] = field(default_factory=dict)
    longest_overdue: float = 0.0
    longest_takeover: float = 0.0


@contextmanager
def database(mirrors: int) -> Iterator[tuple[PostgresServer, str]]:
    """A private server, and a database in it that knows these mirrors; its clock is virtual."""
    with tempfile.TemporaryDirectory(prefix="rm-b-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = PostgresServer(directory / "pg", durable=True)
        server.create()
        server.start()
        try:
            url = server.new_database()
            asyncio.run(_fill(server, url, mirrors))
            yield server, url
        finally:
            server.stop()


async def _fill(server: PostgresServer, url: str, mirrors: int) -> None:
    async with Database(lambda: url, SystemClock()) as connections:
        await schema.prepare(connections, patience=10)
    with server.connected(url) as connection:
        connection.execute(_VIRTUAL.encode())
    async with AsyncExitStack() as stack:
        (machine,) = await _machines(stack, url, Clock(), 1)
        jobs = [
            JobSettings(f"mirrors/r{n:06d}", "1", "github", "", START + timedelta(seconds=INTERVAL))
            for n in range(mirrors)
        ]
        await machine.queue.publish(await machine.queue.next_generation(), jobs)
    body = encode_entry(entry("r00000"))
    with server.connected(url) as connection:
        connection.execute("UPDATE mirrors SET entry = %s", (body,))
        # As if they had been added one by one over an interval.
        connection.execute(
            "UPDATE mirrors SET next_due = timestamptz '2026-11-21 09:00+00' + n * %s"
            " FROM (SELECT key, (row_number() OVER ()) AS n FROM mirrors) AS numbered"
            " WHERE mirrors.key = numbered.key",
            (timedelta(seconds=INTERVAL / mirrors),),
        )
        connection.execute("VACUUM ANALYZE mirrors")


async def _machines(
    stack: AsyncExitStack, url: str, clock: SystemClock, count: int, search_path: str = _SEARCH_PATH
) -> list[Machine]:
    found = []
    for number in range(count):
        whole = f"{url}&{search_path}" if search_path else url
        connections = await stack.enter_async_context(Database(lambda it=whole: it, clock))  # type: ignore[misc]
        owner = f"m{number}:{number}:{random.random()}"  # noqa: S311 - a name
        claims = DatabaseClaims(connections, clock, owner, {})
        found.append(Machine(SharedQueue(connections, clock, claims, owner)))
    return found


async def simulated(server: PostgresServer, url: str, seconds: float) -> Found:
    """Run the machines for so many virtual seconds; one of them dies, another takes its place."""
    clock, found = Clock(), Found()
    dice = random.Random(1)  # noqa: S311 - the same runs every time
    deaths: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        machines = await _machines(stack, url, clock, MACHINES + 1)
        spare = machines.pop()
        connection = stack.enter_context(server.connected(url))
        while clock.seconds < seconds:
            clock.seconds += TICK
            connection.execute("UPDATE virtual.clock SET at = %s", (clock.now(),))
            if spare not in machines and clock.seconds > seconds / 3:
                dead = machines.pop()
                deaths = dict.fromkeys((due.claim.key for *_, due in dead.running), clock.seconds)
                machines.append(spare)
            async with asyncio.TaskGroup() as group:
                for machine in machines:
                    group.create_task(_turn(machine, clock, dice, found, deaths))
    return found


async def _turn(
    machine: Machine, clock: Clock, dice: random.Random, found: Found, deaths: dict[str, float]
) -> None:
    """End the runs that are over, and begin others."""
    while machine.running and machine.running[0][0] <= clock.seconds:
        _, key, due = heapq.heappop(machine.running)
        next_due = clock.now() + timedelta(seconds=INTERVAL)
        await machine.queue.claims.release(due.claim, None, None, finished=True, next_due=next_due)
        found.runs[key] = found.runs.get(key, 0) + 1
    for due in await machine.queue.claim(SLOTS - len(machine.running), ["github"], []):
        key, lot = due.claim.key, dice.random()
        length = next(length for share, length in RUNS if lot <= share)
        heapq.heappush(machine.running, (clock.seconds + length, key, due))
        if key in deaths:
            found.longest_takeover = max(found.longest_takeover, clock.seconds - deaths.pop(key))
        else:
            overdue = (clock.now() - due.due_at).total_seconds()
            found.longest_overdue = max(found.longest_overdue, overdue)


async def claimed(url: str, seconds: float) -> float:
    """Claims and releases of all mirrors a second, by four machines of one process."""
    count = 0
    async with AsyncExitStack() as stack:
        machines = await _machines(stack, url, SystemClock(), MACHINES, "")

        async def work(machine: Machine) -> None:
            nonlocal count
            later = datetime(2100, 1, 1, tzinfo=UTC)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                some = await machine.queue.claim(8, ["github"], [])
                if not some:
                    return
                for due in some:
                    await machine.queue.claims.release(
                        due.claim, None, None, finished=True, next_due=later
                    )
                    count += 1

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for machine in machines:
                group.create_task(work(machine))
        return count / (time.monotonic() - began)


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """100,000 mirrors that are due every 15 minutes, evenly spread."""
    mirrors = 1000 if options.quick else MIRRORS
    seconds = 2 * INTERVAL
    with database(mirrors) as (server, url):

        def run() -> Sample:
            began = time.monotonic()
            found = asyncio.run(simulated(server, url, seconds))
            took = time.monotonic() - began
            with server.connected(url) as connection:
                connection.execute("VACUUM mirrors")
                row = connection.execute("SELECT pg_total_relation_size('mirrors')").fetchone()
                connection.execute("UPDATE mirrors SET next_due = now(), owner = NULL")
                connection.execute("VACUUM mirrors")
            starved = sum(found.runs.get(f"mirrors/r{n:06d}", 0) < 1 for n in range(mirrors))
            return {
                "seconds": took,
                "runs": float(sum(found.runs.values())),
                "starved": float(starved),
                "overdue": found.longest_overdue,
                "takeover": found.longest_takeover,
                "size": float(row[0]) if row else 0.0,
                "claims": asyncio.run(claimed(url, 10.0)),
            }

        lines = [
            Line("mirrors that starved", plain("run", "starved"), exactly(0)),
            Line("longest overdue", plain("run", "overdue"), at_most(30), "s"),
            Line("longest takeover after a death", plain("run", "takeover"), at_most(60), "s"),
            Line("size on disk of the mirrors' rows", plain("run", "size", 1 / MIB), unit="MiB"),
            Line("claims a second, four machines in one process", plain("run", "claims")),
            Line("runs", plain("run", "runs")),
            Line("real time of the simulation", plain("run"), unit="s"),
        ]
        yield Plan([Contender("run", run)], lines)


ROW = Row("21", "100,000 mirrors over one database", "cluster_scale", stage, (), warm_up=False)

if __name__ == "__main__":
    main(ROW)
