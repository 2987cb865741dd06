"""Small assets are opened at the source before their turn, and nothing else changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from support.clock import VirtualClock
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import RequestRecord

ONE_AT_A_TIME = "[sync]\ntransfers = 1\n"
ASSETS = {f"{name}.bin": name.encode() * size for name, size in [("c", 3), ("a", 5), ("b", 4)]}
IN_ORDER = ["a.bin", "b.bin", "c.bin"]


def seed(world: World) -> None:
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets=ASSETS)


def downloads(world: World) -> int:
    return sum(record.route == "download-asset" for record in world.source.requests)


def watch_uploads(world: World) -> tuple[list[int], list[str]]:
    """How many assets the source was asked for when each upload was answered, and its name."""
    opened: list[int] = []
    names: list[str] = []

    def look(record: RequestRecord) -> None:
        if record.route == "upload-asset":
            opened.append(downloads(world))
            names.append(record.query.partition("name=")[2])

    world.target.on_request(look)
    return opened, names


async def sync_with_a_stalled_upload(world: World, opened: int) -> Report:
    """A pass whose first upload goes on when so many assets have been asked for."""
    world.target.faults.add(Fault(kind="stall", route="upload-asset", at_byte=1, times=1))

    def resume(_: RequestRecord) -> None:
        if downloads(world) >= opened:
            world.target.faults.resume()

    world.source.on_request(resume)
    async with asyncio.timeout(30):
        return await world.sync()


async def test_the_next_one_is_opened_while_the_last_is_uploaded(tmp_path: Path) -> None:
    """The largest is still the next; each is asked for once."""
    async with World(tmp_path, extra=ONE_AT_A_TIME) as world:
        seed(world)
        _, names = watch_uploads(world)
        await sync_with_a_stalled_upload(world, 2)
        assert names == IN_ORDER
        assert downloads(world) == 3
        assert world.same() == []


@pytest.mark.parametrize(
    "extra",
    ['transfer = "spool"\n', 'bandwidth = "1GB/s"\n', ""],
    ids=["spool", "bandwidth", "no connection to spare"],
)
async def test_nothing_is_opened_ahead_where_it_must_not_be(extra: str, tmp_path: Path) -> None:
    """Not onto the disk, not past a bandwidth limit, not with the connections of its API."""
    async with World(tmp_path, extra=ONE_AT_A_TIME + extra) as world:
        if not extra:
            world.source_limits += "\nmax_connections = 2\n"
            world.write_config()
        seed(world)
        opened, names = watch_uploads(world)
        assert (await world.sync()).status == "ok"
        assert (opened, names) == ([1, 2, 3], IN_ORDER)


async def test_an_opening_that_fails_is_the_first_attempt(tmp_path: Path) -> None:
    """It is tried again in its turn, and counted once."""
    async with World(tmp_path, extra=ONE_AT_A_TIME) as world:
        seed(world)
        asset = next(a for r in world.source.releases("octo/tool") for a in r.assets if a.size == 4)
        fault = Fault(kind="status", route="download-asset", match=f"/{asset.id}", status=502)
        world.source.faults.add(fault)
        report = await sync_with_a_stalled_upload(world, 2)
        assert only(report).failures == ()
        assert report.requests["github"].retried == 1
        assert downloads(world) == 4
        assert world.same() == []


@pytest.mark.parametrize("refused", [0, 1])
async def test_behind_it_only_the_address_is_asked_for(refused: int, tmp_path: Path) -> None:
    """It is used where its turn is near; a refusal is the first attempt, and counted once."""
    async with World(tmp_path, extra=ONE_AT_A_TIME) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={**ASSETS, "d.bin": b"dd"})
        last = next(a for r in world.source.releases("octo/tool") for a in r.assets if a.size == 2)
        if refused:
            fault = Fault(
                kind="status", route="download-asset", match=f"/{last.id}", status=502, times=1
            )
            world.source.faults.add(fault)
        stall = Fault(kind="stall", route="upload-asset", match="b.bin", at_byte=1, times=1)
        world.target.faults.add(stall)
        opened: list[int] = []

        def look(record: RequestRecord) -> None:
            if record.route == "download-asset" and record.path.endswith(f"/{last.id}"):
                opened.append(sum(r.route == "storage-download" for r in world.source.requests))
                world.target.faults.resume()

        world.source.on_request(look)
        async with asyncio.timeout(30):
            report = await world.sync()
        assert opened[0] < 4
        assert downloads(world) == 4 + refused
        assert report.requests["github"].retried == refused
        assert world.same() == []


class WatchedClock(VirtualClock):
    """Notes how many transfer slots are free during each long wait."""

    def __init__(self) -> None:
        super().__init__()
        self.free: list[int] = []
        self.world: World

    async def sleep(self, seconds: float) -> None:
        if seconds >= 300:
            assert self.world.app is not None
            self.free.append(self.world.app.shared.slots.free)
        await super().sleep(seconds)


async def test_an_opening_that_is_told_to_wait_holds_no_slot(tmp_path: Path) -> None:
    """Its host's pause is waited for outside of the slot, in which another host's asset may be."""
    clock = WatchedClock()
    async with World(tmp_path, extra=ONE_AT_A_TIME, clock=clock) as world:
        clock.world = world
        seed(world)
        world.source.delete_asset("octo/tool", "v1", "c.bin")
        asset = next(a for r in world.source.releases("octo/tool") for a in r.assets if a.size == 4)
        later = {"Retry-After": "600"}
        fault = Fault(
            kind="status", route="download-asset", match=f"/{asset.id}", status=503, headers=later
        )
        world.source.faults.add(fault)
        report = await sync_with_a_stalled_upload(world, 2)
        assert report.status == "ok"
        assert clock.free
        assert set(clock.free) == {1}
        assert report.requests["github"].retried == 1
        assert world.same() == []
