"""Little memory, few descriptors, many releases, clocks that jump: bounded, and right in the end."""

from __future__ import annotations

import json
import resource
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Generated, GitHubState
from support.clock import START, MachineClock, VirtualClock
from support.seed import EVERYTHING
from support.world import World, only
from survival.processes import Ended, Limits, Running
from survival.ruins import differences
from survival.stories import DELETES, MIRROR, SOURCE, SPOOL, TARGET, publish, seed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator import RequestRecord

MIB = 2**20
RELEASES = 10_000
MOST_MEMORY = 400 * MIB
"""Of a process that holds ten thousand releases, in bytes."""


async def ended(world: World, *command: str, **limits: int) -> Ended:
    values = {getattr(resource, f"RLIMIT_{name}"): value for name, value in limits.items()}
    process = Running(world.directory, world.config_file, command, world.environ, Limits(values))
    return await process.ended()


@pytest.mark.parametrize("extra", ["", SPOOL], ids=["stream", "spool"])
async def test_few_descriptors_are_enough(
    extra: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """8 transfers and 16 connections a host need no more than 64 descriptors."""
    async with World(tmp_path, MIRROR, extra=extra, clock=MachineClock()) as world:
        seed(world)
        for number in range(4, 9):
            publish(world, number)
        world.expect()
        done = await ended(world, "sync", "--json", NOFILE=64)
        assert done.status == 0, done.told
        assert await differences(world) == []
        record_property(
            "survival_lack", [f"64 descriptors, {(extra and 'spool') or 'stream'}", "exit 0"]
        )


@pytest.mark.parametrize("most", [10, 14, 18, 24])
async def test_too_few_descriptors_are_told(
    most: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """It ends with a name for it, not with a crash; with more the next run finishes."""
    async with World(
        tmp_path, MIRROR, extra=SPOOL + "attempts = 2\n", clock=MachineClock()
    ) as world:
        seed(world)
        few = await ended(world, "sync", "--json", NOFILE=most)
        assert few.status in {0, 1}, few.told
        assert "Traceback" not in few.told
        assert "internal error" not in few.told
        if few.status:
            assert "Too many open files" in few.told
        done = await ended(world, "sync", "--json")
        assert done.status == 0, done.told
        assert await differences(world) == []
        record_property("survival_lack", [f"{most} descriptors", f"exit {few.status}, then 0"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("extra", ["", SPOOL], ids=["stream", "spool"])
async def test_assets_larger_than_memory(
    extra: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What is in flight is not in memory: 8 assets at once, each larger than all that there is."""
    size = (1000 if EVERYTHING else 200) * MIB
    async with World(tmp_path, MIRROR, extra=extra, clock=MachineClock()) as world:
        world.source.add_repository(SOURCE)
        world.source.add_release(
            SOURCE,
            "v1",
            assets={f"{n}.bin": Generated(seed=n, size=size) for n in range(2)},
        )
        idle = await ended(world, "plan")
        assert idle.status == 0, idle.told
        done = await ended(world, "sync", "--json", DATA=idle.peak + 160 * MIB)
        assert done.status == 0, done.told
        assert done.peak - idle.peak < 100 * MIB
        assert world.same() == []
        record_property(
            "survival_lack",
            [
                f"RLIMIT_DATA, 2 assets of {size // MIB} MiB, {(extra and 'spool') or 'stream'}",
                f"exit 0, peak {done.peak // MIB} MiB ({idle.peak // MIB} without)",
            ],
        )


@pytest.mark.timeout(300)
async def test_ten_thousand_releases(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One request a page, also when nothing changed; memory is bounded, also for a plan of all."""
    async with World(
        tmp_path, MIRROR + "releases = { latest = 5 }\n", clock=MachineClock()
    ) as world:
        world.source.add_repository(SOURCE)
        commit = world.source.move_tag(SOURCE, "v0")
        start = datetime(2020, 1, 1, tzinfo=UTC)
        for number in range(RELEASES):
            world.source.set_ref(world.source.repository(SOURCE), f"refs/tags/v{number}", commit)
            when = (start + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
            world.source.add_release(SOURCE, f"v{number}", date=when, body="text " * 20)
        first = await ended(world, "sync", "--json")
        assert first.status == 0, first.told
        assert sorted(world.published()) == [f"v{n}" for n in range(RELEASES - 5, RELEASES)]
        asked = world.source.count()
        assert asked <= RELEASES // 100 + 20
        for host in (world.source, world.target):
            host.reset_requests()
        idle = await ended(world, "sync", "--json")
        assert json.loads(idle.out)["status"] == "unchanged"
        # The last page is full: the one after it is asked for as well.
        assert world.source.count(status=304) >= RELEASES // 100
        assert world.source.count() <= RELEASES // 100 + 2
        assert world.target.count() == 1  # its credential is proven
        world.write_config(MIRROR)
        everything = await ended(world, "plan", "--json")
        assert everything.status == 0, everything.err
        planned = json.loads(everything.out)["totals"]["releases_created"]
        assert planned == RELEASES - 5
        for one in (first, idle, everything):
            assert one.peak < MOST_MEMORY, one.peak
        record_property(
            "survival_lack",
            [
                f"{RELEASES} releases",
                (
                    f"first {asked} requests, idle {RELEASES // 100}; peak"
                    f" {first.peak // MIB}, {idle.peak // MIB}, plan of all {everything.peak // MIB} MiB"
                ),
            ],
        )


@pytest.mark.parametrize("what", ["published", "deleted", "both"])
@pytest.mark.parametrize("page", [2, 3])
async def test_a_listing_that_changes_under_its_pages(what: str, page: int, tmp_path: Path) -> None:
    """Nothing is deleted or doubled for it, also with `on_delete`; the next pass has it all."""
    async with World(tmp_path, MIRROR + DELETES) as world:
        world.source.add_repository(SOURCE)
        for number in range(250):
            day = (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)).strftime("%Y-%m-%d")
            world.source.add_release(
                SOURCE, f"v{number}", date=f"{day}T00:00:00Z", assets={"a.bin": b"%d" % number}
            )
        assert only(await world.sync()).status == "ok"
        kept = {release.tag: release.id for release in world.target.releases(TARGET)}
        changed = False

        def change(record: RequestRecord) -> None:
            nonlocal changed
            if changed or record.route != "list-releases" or f"page={page}" not in record.query:
                return
            changed = True
            if what in {"published", "both"}:
                publish(world, 8000)
            if what in {"deleted", "both"}:
                world.source.delete_release(SOURCE, "v249")

        world.source.edit_release(SOURCE, "v249", body="so that all pages are read")
        world.source.on_request(change)
        report = await world.sync(full=True)
        assert changed
        assert report.status == "ok", report.to_json()
        now = {release.tag: release.id for release in world.target.releases(TARGET)}
        assert {tag: now.get(tag) for tag in kept if tag != "v249"} == {
            tag: number for tag, number in kept.items() if tag != "v249"
        }
        await world.sync(full=True)
        assert world.same() == []
        assert (await world.sync()).status == "unchanged"


class JumpingClock(VirtualClock):
    """A clock whose date somebody sets; what is measured goes on."""

    def jump(self, seconds: float) -> None:
        self.start += timedelta(seconds=seconds)


YEAR = 365 * 24 * 3600.0


@pytest.mark.parametrize("jump", [-10 * YEAR, -3600.0, -1.0, 3600.0, 10 * YEAR])
async def test_a_clock_that_jumps(jump: float, tmp_path: Path) -> None:
    """Nothing is sent again or deleted, no wait becomes endless, and what is new is mirrored."""
    clock = JumpingClock()
    async with World(tmp_path, MIRROR + DELETES, extra=SPOOL, clock=clock) as world:
        # The machine's clock jumps; those of the hosts go on.
        for host in (world.source, world.target):
            host.clock = lambda: START.timestamp() + clock.seconds
        seed(world)
        assert only(await world.sync()).status == "ok"
        ids = {asset.id for release in world.target.releases(TARGET) for asset in release.assets}
        for seconds in (jump, 0.0, -jump, 0.0):
            clock.jump(seconds)
            before = clock.seconds
            report = await world.sync()
            assert report.status in {"ok", "unchanged"}, report.to_json()
            assert clock.seconds - before < 600
            assert {
                a.id for release in world.target.releases(TARGET) for a in release.assets
            } == ids
        clock.jump(jump)
        publish(world, 8)
        assert only(await world.sync()).status == "ok"
        assert world.same() == []
        assert (await world.sync()).status == "unchanged"


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
async def test_a_limit_is_waited_out_by_the_host_s_clock(jump: float, tmp_path: Path) -> None:
    """A machine whose date is wrong by a year does not wait a year for a rate limit."""
    clock = JumpingClock()
    source = GitHubState(kind="github", rate_limit=20)
    async with World(tmp_path, MIRROR, source=source, clock=clock) as world:
        world.source.clock = lambda: clock.timestamp() - jump
        seed(world)
        before = clock.seconds
        report = await world.sync()
        assert report.status == "ok", report.to_json()
        assert clock.seconds - before < 4 * 3600
        assert world.same() == []
