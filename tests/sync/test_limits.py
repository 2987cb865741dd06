"""Passes over many mirrors at an emulated github.com that enforces its secondary limits."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import pytest
import structlog

from mirror.core.ledger.index import HostRecord, Index
from mirror.emulator import GitHubState
from mirror.sync.batch import SAVE_INDEX_EVERY
from support.clock import PatientClock, VirtualClock
from support.seed import EVERYTHING
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mirror.core.reporting.report import Report

# github.com's limits at full size; else both are smaller, and the passes as long.
MIRRORS, POINTS, A_MINUTE, AN_HOUR = (2000, 900, 80, 500) if EVERYTHING else (80, 40, 16, 200)
AT_ONCE = "[sync]\nrepositories = 64\n"
LIMITS = f"""
points_per_minute = {POINTS}
writes_per_minute = {A_MINUTE}
writes_per_hour = {AN_HOUR}
"""


def github() -> GitHubState:
    """A host that answers 403 and 429 above github.com's limits; the primary one is off."""
    return GitHubState(
        kind="github",
        rate_limit=0,
        points_per_minute=POINTS,
        creations_per_minute=A_MINUTE,
        creations_per_hour=AN_HOUR,
    )


class Use(NamedTuple):
    """What a pass sent to the limited host.

    Attributes:
        seconds: Until its last request; what it does afterwards waits for no limit.
        demanded: The same of the fastest client that the limits allow.
        whole: The whole pass.
    """

    requests: int
    points: int
    created: int
    refused: int
    seconds: float
    demanded: float
    whole: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.points} points, {self.created} created,"
            f" {self.refused} refused; the last after {self.seconds:.0f} s, where the limits demand"
            f" {self.demanded:.0f} s; the whole pass took {self.whole:.0f} s"
        )


def use(host: GitHubState, began: float, ended: float) -> Use:
    """Sum up the log."""
    log = [record for record in host.requests if record.origin in {"api", "uploads"}]
    costs = [1 if record.method in {"GET", "HEAD"} else 5 for record in log]
    created = [record.method in {"POST", "PUT", "PATCH"} for record in log]
    return Use(
        len(log),
        sum(costs),
        sum(created),
        sum(record.status in {403, 429} for record in log),
        log[-1].time - began,
        max(
            fastest(costs, POINTS, 60),
            fastest(created, A_MINUTE, 60),
            fastest(created, AN_HOUR, 3600),
        ),
        ended - began,
    )


def fastest(costs: Sequence[int], limit: int, seconds: float) -> float:
    """When the last request can be sent if each is sent as soon as one limit allows it."""
    now, total = 0.0, 0
    sent: deque[tuple[float, int]] = deque()
    for cost in costs:
        while total + cost > limit:
            moment, amount = sent.popleft()
            now, total = max(now, moment + seconds), total - amount
        sent.append((now, cost))
        total += cost
    return now


def world_of(directory: Path, source: GitHubState, target: GitHubState | None = None) -> World:
    """Two hosts whose clock stands still while requests are under way: they take no time."""

    def requests() -> tuple[int, int]:
        hosts = (world.source, world.target)
        return sum(len(host.requests) for host in hosts), sum(host.count() for host in hosts)

    clock = PatientClock(requests)
    fill(source, MIRRORS)
    world = World(
        directory, mirrors(MIRRORS), source=source, target=target, extra=AT_ONCE, clock=clock
    )
    world.target.add_organization("octo")
    return world


def mirrors(count: int) -> str:
    return "".join(f'[[mirrors]]\nsource = "octo/tool-{n}"\n' for n in range(count))


def fill(source: GitHubState, count: int) -> None:
    """Repositories with one release of one small asset each."""
    for number in range(count):
        name = f"octo/tool-{number}"
        source.add_repository(name)
        source.add_release(name, "v1", assets={"a.txt": b"a"})


async def measured(world: World, host: GitHubState) -> tuple[Report, Use]:
    host.reset_requests()
    began = world.time()
    report = await world.sync()
    return report, use(host, began, world.time())


def tell(what: str, used: Use) -> None:
    """Print the figures; `pytest -rP` shows them."""
    sys.stdout.write(f"{MIRRORS} mirrors, {what}: {used}\n")


@pytest.mark.timeout(1800 if EVERYTHING else 120)
async def test_as_a_source(tmp_path: Path) -> None:
    """Points: no 403, no 429, and no pass takes 5 % longer than the limit demands; a small one no time."""
    source = github()
    world = world_of(tmp_path, source)
    world.source_limits = LIMITS
    async with world:
        first, cold = await measured(world, source)
        tell("github.com as the source", cold)
        world.clock.advance(60)
        second, idle = await measured(world, source)
        tell("unchanged", idle)
    assert (first.status, second.status) == ("ok", "unchanged")
    for one in (cold, idle):
        assert one.refused == 0
        assert one.seconds <= one.demanded * 1.05 + 1


@pytest.mark.timeout(3600 if EVERYTHING else 120)
async def test_as_the_target(tmp_path: Path) -> None:
    """Writes: no 403, no 429, and the pass takes no 5 % longer than the limits demand."""
    target = github()
    world = world_of(tmp_path, GitHubState(kind="ghes", version="3.17"), target)
    world.target_limits = LIMITS
    async with world:
        report, used = await measured(world, target)
        tell("github.com as the target", used)
    assert report.status == "ok"
    assert used.refused == 0
    assert used.seconds <= used.demanded * 1.05 + 1


class SavingClock(VirtualClock):
    """A virtual clock on which a long wait takes long enough for the disk.

    Args:
        saved: Whether the index on disk tells of the wait.
    """

    def __init__(self, saved: Callable[[], bool]) -> None:
        super().__init__()
        self._saved = saved

    async def sleep(self, seconds: float) -> None:
        while seconds >= SAVE_INDEX_EVERY and not self._saved():  # noqa: ASYNC110 - a turn of the loop
            await asyncio.sleep(0)
        await super().sleep(seconds)


async def test_a_run_goes_on_with_the_limits_of_the_last_one(tmp_path: Path) -> None:
    """Cron starts a process every few minutes: together they write no more in any hour.

    A reload and a restart are the same: the index tells the counts.
    """
    saves: set[int] = set()

    def saved() -> bool:
        if not kept_of(world, "target").paced_by:
            return False
        saves.add((world.ledger / "index.json").stat().st_mtime_ns)
        return True

    clock = SavingClock(saved)
    async with World(tmp_path, mirrors(2), clock=clock) as world:
        world.target_limits = "writes_per_hour = 8\n"
        world.write_config()
        world.target.add_organization("octo")
        fill(world.source, 2)
        assert (await world.sync("octo/tool-0")).status == "ok"
        assert world.clock.seconds < 60
        world.clock.advance(300)
        kept: list[HostRecord] = []
        world.target.on_request(lambda _: kept.append(kept_of(world, "target")))
        assert (await world.sync("octo/tool-1")).status == "ok"
        # Saved before the wait: a run that is killed during it forgets nothing.
        waited = next(record for record in kept if record.paced_by)
        assert waited.paced_by == "8 writes an hour"
        assert sum(count for _, count in waited.writes) == 8
        assert len(saves) == 1, "an hour in which nothing is sent is saved once"
        writes = [r.time for r in world.target.requests if r.method in {"POST", "PUT", "PATCH"}]
    assert len(writes) == 16
    assert all(later - earlier >= 3600 for earlier, later in zip(writes, writes[8:], strict=False))


def kept_of(world: World, host: str) -> HostRecord:
    """What the index on disk says of a host."""
    return Index.decode((world.ledger / "index.json").read_bytes()).hosts[host]


async def test_the_index_remembers_when_a_token_expires(tmp_path: Path) -> None:
    """As the host last said; a pass in which it was not asked forgets nothing."""
    async with World(tmp_path, mirrors(1)) as world:
        fill(world.source, 1)
        world.target.add_organization("octo")
        (token,) = world.target.tokens.values()
        token.expires = "2026-11-25 09:00:00 UTC"
        with structlog.testing.capture_logs() as logs:
            await world.sync()
        told = [(line["host"], line["expires_at"]) for line in logs if "token" in line["event"]]
        assert told == [("target", "2026-11-25T09:00:00Z")]
        assert kept_of(world, "target").token_expires_at == 1795597200
        assert kept_of(world, "github").token_expires_at == 0
