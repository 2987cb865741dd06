"""Killed at any request and any byte, again and again: the next run finishes, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mirror.storage.spool import OLD
from support.process import run
from support.seed import SEED, sample
from survival.processes import Ended, Limits, Running
from survival.ruins import differences, orphans, ruins, unreadable
from survival.stories import STORIES, Blow, blows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator import RequestRecord
    from support.world import World

LOTS = 200
SAMPLED = 15
AS_A_USER = 8
"""Every so many lots the clean run is a process that was started from nothing."""

BODIES = {"upload-asset", "storage-download", "archive-download", "git-upload-pack", "push"}
STOPPED = {"sync": {0, 143}, "verify": {0, 143}, "daemon": {0, 143}}


def named(number: int) -> str:
    return f"{STORIES[number % len(STORIES)].name}-{number}"


DRAWN: list[int] = sample(range(LOTS), SAMPLED, named)


class Fate:
    """Hits a process at the moment that a blow says; afterwards it knows nothing of the world."""

    def __init__(self, blow: Blow) -> None:
        self.blow = blow
        self.victim: Running | None = None
        self.struck = False
        self._left = blow.number

    def watch(self, world: World) -> None:
        for host in (world.source, world.target):
            host.on_request(self._request)
            host.on_bytes(self._bytes)

    def _request(self, _: RequestRecord) -> None:
        if self.blow.at == "request":
            self._count()

    def _bytes(self, route: str, _: int) -> None:
        if self.blow.at == "bytes" and route in BODIES:
            self._count()

    def _count(self) -> None:
        if self.victim is None or self.struck:
            return
        self._left -= 1
        if self._left > 0:
            return
        self.struck = True
        if self.blow.later:
            asyncio.get_running_loop().call_later(self.blow.later, self.strike)
        else:
            self.strike()

    def strike(self) -> None:
        victim = self.victim
        if victim is None or not victim.running:
            return
        kind = self.blow.kind
        if kind.startswith("kill"):
            victim.signal(signal.SIGKILL, children=kind == "kill-all")
            return
        victim.signal(signal.SIGTERM)
        if kind == "term-twice":
            asyncio.get_running_loop().call_later(0.02, self._again)

    def _again(self) -> None:
        if self.victim is not None and self.victim.running:
            self.victim.signal(signal.SIGTERM)


async def lived(world: World, command: tuple[str, ...], fate: Fate) -> Ended:
    """Run a command to its end, whichever that is; a daemon with nothing left to do is struck then."""
    fate.watch(world)
    process = Running(world.directory, world.config_file, command, world.environ, Limits())
    fate.victim = process
    async with asyncio.TaskGroup() as group:
        idle = group.create_task(strike_when_idle(process, fate, command))
        ended = await process.ended()
        fate.victim = None
        idle.cancel()
    return ended


async def strike_when_idle(process: Running, fate: Fate, command: tuple[str, ...]) -> None:
    while command[0] == "daemon" and "pass.finished" not in process.err:  # noqa: ASYNC110 - a process
        await asyncio.sleep(0.05)
    if command[0] == "daemon":
        await asyncio.sleep(0.1)
        fate.strike()


# Where a kill cuts off a git of the emulator that is just being started, asyncio loses its pipes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", DRAWN, ids=named)
async def test_killed_anywhere(
    number: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """After any kill a clean run ends well; every byte is there, once; and the next one is idle."""
    story = STORIES[number % len(STORIES)]
    dice = random.Random(f"{SEED} {number}")  # noqa: S311 - the same places every time
    async with story.world(tmp_path) as world:
        await story.prepare(world)
        for blow in blows(story, dice):
            ended = await lived(world, story.command, Fate(blow))
            record_property(
                "survival_blow", [story.name, blow.kind, ended.status, dict(ruins(world))]
            )
            check_end(blow, ended, story.command[0], world)
            assert await unreadable(world) == [], blow
        await check_recovery(world, as_a_user=number % AS_A_USER == 0)
        record_property("survival_compared", len(contents_of(world)))
    gc.collect()


def check_end(blow: Blow, ended: Ended, command: str, world: World) -> None:
    assert "Traceback" not in ended.err, ended.err
    if blow.kind.startswith("kill"):
        assert ended.status in {-signal.SIGKILL, 0}, (blow, ended.told)
    else:
        assert ended.status in STOPPED[command], (blow, ended.told)
        assert orphans(world.ledger) == [], (blow, ended.told)


async def check_recovery(world: World, *, as_a_user: bool) -> None:
    if as_a_user:
        finished = await run(world, "sync", "--json")
        assert finished.status == 0, finished.out + finished.err
    else:
        report = await world.sync()
        assert report.status in {"ok", "unchanged"}, report.to_json()
    # What was tampered with is seen by who looks; nothing else is left for that.
    await world.sync(full=True)
    assert await differences(world) == []
    assert world.target.invariants.open_windows == []
    assert orphans(world.ledger) == []
    assert await unreadable(world) == []
    world.target.reset_requests()
    again = await world.sync()
    assert again.status == "unchanged", again.to_json()
    world.clock.advance(OLD + 24 * 3600)
    await world.sync()
    assert [r.route for r in world.target.requests if r.method != "GET"] == []
    assert list(world.ledger.glob("spool/*")) == []


def contents_of(world: World) -> Counter[str]:
    return Counter(asset.sha256 for r in world.published().values() for asset in r.assets)
