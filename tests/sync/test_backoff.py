"""Items that fail alike pass after pass: what they cost, what the report says, what tries them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.text.timestamps import iso
from mirror.emulator import Fault
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report

MINUTES = 60.0


def requests(report: Report) -> tuple[int, int]:
    return report.requests["github"].total, report.requests["target"].total


async def one_item_that_fails(world: World, fault: Fault) -> list[tuple[Report, tuple[int, int]]]:
    """Passes every 15 minutes, until the item is delayed by half an hour."""
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets={"good": b"1", "bad": b"22"})
    (world.source if fault is LIST else world.target).faults.add(fault)
    passes = []
    for _ in range(3):
        report = await world.sync()
        passes.append((report, requests(report)))
        world.clock.advance(15 * MINUTES - world.clock.seconds % (15 * MINUTES))
    return passes


BAD = Fault(kind="status", route="upload-asset", match="bad", status=502, times=None)
PUBLISH = Fault(kind="status", route="update-release", status=502, times=None)
READ = Fault(kind="status", route="get-repository", status=502, times=None)
LIST = Fault(kind="status", route="list-releases", status=502, times=None)


@pytest.mark.parametrize(
    ("fault", "idle"),
    [(BAD, (1, 1)), (PUBLISH, (1, 1)), (READ, (1, 0)), (LIST, (0, 0))],
    ids=["asset", "release", "mirror", "source"],
)
async def test_between_its_tries_an_item_costs_nothing(
    fault: Fault, idle: tuple[int, int], tmp_path: Path
) -> None:
    """One conditional request a pass tells that nothing changed; none where that is what fails.

    The target is asked once for all mirrors, to prove its credential.
    """
    async with World(tmp_path) as world:
        first, second, third = await one_item_that_fails(world, fault)
        assert [only(report).failures[0].next_attempt for report, _ in (first,)] == [None]
        told = only(second[0]).failures[0].next_attempt
        assert told is not None
        assert told <= iso(world.clock.start + timedelta(minutes=45))
        assert told > iso(world.clock.start + timedelta(minutes=30))
        assert third[1] == idle
        assert third[0].status == "failed"
        assert only(third[0]).failures == only(second[0]).failures
        again = await world.sync()  # after 45 minutes
        assert sum(requests(again)) > sum(idle)
        assert only(again).failures[0].next_attempt > told  # type: ignore[operator]
        world.source.faults.clear()
        world.target.faults.clear()
        assert requests(await world.sync())[1] == idle[1]
        world.clock.advance(60 * MINUTES)
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert (await world.sync()).status == "unchanged"


@pytest.mark.parametrize("what", ["full", "item", "settings"])
async def test_what_tries_an_item_before_its_time(what: str, tmp_path: Path) -> None:
    """``--full``, a changed item and changed settings; what else the source changes goes on."""
    async with World(tmp_path) as world:
        await one_item_that_fails(world, BAD)
        world.source.add_release("octo/tool", "v2", assets={"more": b"333"})
        report = await world.sync("octo/*")
        assert set(world.published()) == {"v2"}
        assert only(report).failures[0].asset == "bad"
        world.target.faults.clear()
        if what == "item":
            world.source.delete_asset("octo/tool", "v1", "bad")
            world.source.add_asset("octo/tool", "v1", "bad", b"4444")
        if what == "settings":
            world.write_config(world.mirrors + 'body.footer = "footer"\n')
        assert (await world.sync(full=what == "full")).status == "ok"
        assert set(world.published()) == {"v1", "v2"}


async def test_a_plan_tells_what_is_delayed(tmp_path: Path) -> None:
    """It plans as sync would: nothing, until the time has come."""
    async with World(tmp_path) as world:
        await one_item_that_fails(world, BAD)
        world.clock.advance(-10 * MINUTES)
        plan = await world.plan()
        assert [action.action for action in only(plan).actions] == []
        assert only(plan).failures[0].next_attempt
        world.clock.advance(30 * MINUTES)
        plan = await world.plan()
        assert "upload-asset" in [action.action for action in only(plan).actions]


async def test_a_mirror_that_failed_as_a_whole_is_tried_when_its_source_changes(
    tmp_path: Path,
) -> None:
    """A new release does not wait for the end of the delay."""
    async with World(tmp_path) as world:
        await one_item_that_fails(world, READ)
        world.clock.advance(-10 * MINUTES)
        world.target.faults.clear()
        assert (await world.sync()).status == "failed"
        world.source.add_release("octo/tool", "v2", assets={"more": b"333"})
        assert (await world.sync()).status == "ok"
        assert set(world.published()) == {"v1", "v2"}


@pytest.mark.parametrize("why", ["stopped", "disabled"])
async def test_a_mirror_that_could_be_looked_at_again_is_not_left_alone(
    why: str, tmp_path: Path
) -> None:
    """Also where the pass that somebody asked for was cut off: the next one goes on with its drafts."""
    async with World(tmp_path) as world:
        await one_item_that_fails(world, READ)
        await world.sync()
        world.target.faults.clear()
        if why == "disabled":
            world.target.faults.add(Fault(kind="status", route="upload-asset", status=401))

        def stop(record: Any) -> None:
            if record.route == "create-release" and world.app and why == "stopped":
                world.app.stop.request()

        world.target.on_request(stop)
        await world.sync(full=True)
        assert len(world.drafts()) == 1
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []
