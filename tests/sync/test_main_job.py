"""The main job: releases arrive at the target, complete and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import World, only

from mirror.emulator import AssetSpec

if TYPE_CHECKING:
    from pathlib import Path


def seed(world: World) -> None:
    world.source.add_repository("octo/tool")
    world.source.add_release(
        "octo/tool",
        "v1.0.0",
        name="One",
        body="First.\r\n\r\n* thanks to everyone",
        date="2026-01-01T00:00:00Z",
        assets={
            "tool-linux.tar.gz": AssetSpec(b"linux" * 1000, "application/gzip", "Linux build"),
            "checksums.txt": AssetSpec(b"abc", "text/plain"),
        },
    )
    world.source.add_release(
        "octo/tool", "v1.1.0", name="", body="", date="2026-02-01T00:00:00Z", assets={"a": b"1"}
    )
    world.source.add_release(
        "octo/tool",
        "v2.0.0-rc.1",
        name="Two, soon",
        body="x",
        prerelease=True,
        date="2026-03-01T00:00:00Z",
    )


async def test_releases_arrive_whole_and_equal(tmp_path: Path) -> None:
    """After one pass the target holds every release, byte for byte and field for field."""
    async with World(tmp_path) as world:
        seed(world)
        report = await world.sync()
        assert report.to_json()["totals"]["failures"] == 0, report.to_json()
        assert world.same() == []
        assert report.status == "ok"
        assert report.totals()["assets_uploaded"] == 3
        assert world.target.repository("mirrors/tool").private


async def test_a_second_pass_asks_the_source_once_and_the_target_nothing(tmp_path: Path) -> None:
    """An idle mirror costs one conditional request a page."""
    async with World(tmp_path) as world:
        seed(world)
        await world.sync()
        world.source.reset_requests()
        world.target.reset_requests()
        report = await world.sync()
        assert report.status == "unchanged"
        assert [(r.route, r.status) for r in world.source.requests] == [("list-releases", 304)]
        assert list(world.target.requests) == []
        assert only(report).status == "unchanged"
