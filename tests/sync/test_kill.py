"""Killed in the middle: the next run finishes, and everything is there once."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Generated
from support.clock import MachineClock
from support.process import run
from support.tamper import tamper
from support.world import World

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from mirror.emulator import RequestRecord

KILLS = 20
BYTES = 4 * sum(300_000 * part + 1 for part in range(4))
"""All that a run uploads."""


def seed(world: World) -> None:
    world.source.add_repository("octo/tool")
    for number in range(4):
        world.source.add_release(
            "octo/tool",
            f"v{number}",
            name=f"Release {number}",
            body="Thanks to everyone.",
            date=f"2026-0{number + 1}-01T00:00:00Z",
            assets={
                f"part-{part}.bin": Generated(seed=number * 10 + part, size=300_000 * part + 1)
                for part in range(4)
            },
        )


@pytest.mark.parametrize("number", range(KILLS))
async def test_killed_at_any_request_or_byte(number: int, tmp_path: Path) -> None:
    """`kill -9`, then `sync`: everything arrives once; no duplicate, no `starter`, no stray draft."""
    dice = random.Random(number)  # noqa: S311 - the same places every time
    at_request = dice.randint(1, 40) if number % 2 else 0
    at_byte = 0 if at_request else dice.randint(1, BYTES)
    async with World(tmp_path, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        running: list[asyncio.subprocess.Process] = []

        def kill() -> None:
            """At once, before the host goes on: what was asked has no answer yet."""
            while running:
                running.pop().kill()

        def count_request(_: RequestRecord) -> None:
            if len(world.target.requests) == at_request:
                kill()

        def count_bytes(_route: str, _size: int) -> None:
            uploads = (r.bytes_in for r in world.target.requests if r.route == "upload-asset")
            if at_byte and sum(uploads) >= at_byte:
                kill()

        async def remember(process: asyncio.subprocess.Process) -> None:
            running.append(process)

        world.target.on_request(count_request)
        world.target.on_bytes(count_bytes)
        killed = await run(world, "sync", "--json", during=remember)
        assert killed.status == -9, killed.err
        finished = await run(world, "sync", "--json")
        assert finished.status == 0, finished.out + finished.err
        assert world.same() == []
        tags = Counter(release.tag for release in world.target.releases("mirrors/tool"))
        assert set(tags.values()) == {1}
        again = await run(world, "sync", "--json")
        assert again.json()["status"] == "unchanged"


@pytest.mark.parametrize("route", ["upload-asset", "delete-asset", "update-asset"])
async def test_a_repair_that_was_killed_is_not_taken_for_done(route: str, tmp_path: Path) -> None:
    """Nothing changed at the source, and yet the next pass finishes what `--full` had begun."""
    async with World(tmp_path, clock=MachineClock()) as world:
        seed(world)
        await world.sync()
        tamper(world.target, "mirrors/tool", "v3", "part-1.bin")
        running: list[asyncio.subprocess.Process] = []

        def kill(record: RequestRecord) -> None:
            if record.route == route:
                for process in running:
                    process.kill()

        async def remember(process: asyncio.subprocess.Process) -> None:
            running.append(process)

        world.target.on_request(kill)
        killed = await run(world, "sync", "--full", during=remember)
        assert killed.status == -9, killed.err
        running.clear()
        finished = await run(world, "sync", "--json")
        assert finished.status == 0, finished.out + finished.err
        assert world.same() == []
