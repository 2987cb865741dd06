"""The main job: releases arrive at the target, complete and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator import AssetSpec
from support.world import World, only

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


async def test_a_second_pass_asks_each_host_once(tmp_path: Path) -> None:
    """An idle mirror costs one conditional request a page; the target's credential is proven."""
    async with World(tmp_path) as world:
        seed(world)
        await world.sync()
        world.source.reset_requests()
        world.target.reset_requests()
        report = await world.sync()
        assert report.status == "unchanged"
        (request,) = world.source.requests
        assert (request.route, "if-none-match" in request.headers) == ("list-releases", True)
        assert [request.route for request in world.target.requests] == ["get-meta"]
        assert only(report).status == "unchanged"
        await world.sync()
        assert world.source.requests[-1].status == 304


async def test_no_moment_shows_half_a_release_or_a_wrong_latest(tmp_path: Path) -> None:
    """Published releases are whole at every change; latest is the source's whenever it is there."""
    async with World(tmp_path) as world:
        seed(world)
        world.expect()
        await world.sync()
        assert list(world.target.violations) == []
        latest = await world.download(
            f"{world.source_host.api_url}/repos/octo/tool/releases/latest"
        )
        assert b'"v1.1.0"' in latest


async def test_a_wider_filter_brings_what_it_adds(tmp_path: Path) -> None:
    """Changed settings are looked at even where the source did not change."""
    narrow = """[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
releases = { latest = 1, prereleases = false }
"""
    async with World(tmp_path, narrow) as world:
        seed(world)
        await world.sync()
        assert set(world.published()) == {"v1.1.0"}
        world.write_config(narrow.replace("latest = 1, prereleases = false", ""))
        report = await world.sync()
        assert report.totals()["releases_created"] == 2
        assert world.same() == []


async def test_many_releases_and_many_assets_arrive(tmp_path: Path) -> None:
    """150 releases of one repository and 250 assets of one release take pages, and arrive."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        for number in range(150):
            day = f"2025-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z"
            assets = {"a.txt": f"{number}".encode()}
            if number == 70:
                assets = {f"part-{part:03}.bin": f"{part}".encode() for part in range(250)}
            world.source.add_release("octo/tool", f"v0.{number}", date=day, assets=assets)
        report = await world.sync()
        assert report.status == "ok", [f.to_json() for f in only(report).failures][:3]
        assert world.same() == []
        again = await world.sync()
        assert again.status == "unchanged"
        assert again.requests["github"].total == 2
        assert again.requests["target"].total == 1  # its credential is proven


async def test_a_wildcard_brings_all_that_have_releases_and_makes_no_others(tmp_path: Path) -> None:
    """120 repositories take pages; those without a release are not created at the target."""
    pattern = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
    async with World(tmp_path, pattern) as world:
        for number in range(120):
            world.source.add_repository(f"octo/tool-{number}")
            if number % 4:
                world.source.add_release(
                    f"octo/tool-{number}", "v1", assets={"a": f"{number}".encode()}
                )
        report = await world.sync()
        assert report.status == "ok"
        for number in range(120):
            if number % 4:
                assert world.same(f"octo/tool-{number}", f"mirrors/tool-{number}") == []
        made = world.target.count(route="create-repository")
        assert made == 90
        world.source.reset_requests()
        world.target.reset_requests()
        assert (await world.sync()).status == "unchanged"
        assert world.source.count() == 2 + 120
        assert all("if-none-match" in request.headers for request in world.source.requests)
        assert world.target.count() == 1  # for all mirrors together: its credential is proven


async def test_a_lost_ledger_costs_no_upload(tmp_path: Path) -> None:
    """What is at the target already is recognised by name, size and digest."""
    async with World(tmp_path) as world:
        seed(world)
        await world.sync()
        for path in sorted(world.ledger.rglob("*.json")):
            path.unlink()
        world.target.reset_requests()
        report = await world.sync()
        assert report.status in {"ok", "unchanged"}
        assert [r.method for r in world.target.requests if r.method != "GET"] == []
        assert world.same() == []


async def test_a_replaced_asset_is_exchanged_without_its_name_being_missed(tmp_path: Path) -> None:
    """New bytes arrive under another name, are verified, and only then take the old one's place."""
    async with World(tmp_path) as world:
        seed(world)
        await world.sync()
        world.source.replace_asset("octo/tool", "v1.0.0", "checksums.txt", b"xyz")
        report = await world.sync()
        assert report.totals()["assets_replaced"] == 1
        assert any("replaced at the source" in text for text in only(report).warnings)
        assert world.same() == []
        assert (await world.sync()).status == "unchanged"


async def test_a_plan_writes_nothing_and_counts_what_a_sync_costs(tmp_path: Path) -> None:
    """The estimate is what sync then uses, beyond what planning itself used."""
    async with World(tmp_path) as world:
        seed(world)
        plan = await world.plan()
        assert plan.pending
        assert not world.ledger.exists()
        assert {r.method for r in world.target.requests} == {"GET"}
        used = {name: count.total for name, count in plan.requests.items()}
        report = await world.sync()
        added = {name: count.total - used[name] for name, count in report.requests.items()}
        assert plan.estimated_requests() == added


async def test_what_others_made_is_completed_and_left_alone(tmp_path: Path) -> None:
    """A published release of others gets what it lacks; its text and its assets stay."""
    async with World(tmp_path) as world:
        seed(world)
        world.target.add_repository("mirrors/tool")
        world.target.add_release(
            "mirrors/tool",
            "v1.0.0",
            name="Ours",
            body="Our own words",
            assets={"checksums.txt": b"other", "extra": b"e"},
        )
        draft = world.target.add_release("mirrors/tool", "v1.1.0", name="Not ready", draft=True)
        report = await world.sync()
        copy = world.published()["v1.0.0"]
        assert (copy.name, copy.body) == ("Ours", "Our own words")
        assert {a.name for a in copy.assets} == {"checksums.txt", "extra", "tool-linux.tar.gz"}
        assert any("left alone" in text for text in only(report).warnings)
        assert draft.id in {release.id for release in world.drafts()}
        waiting = {f.release for f in only(report).failures}
        assert waiting == {"v1.1.0", "v2.0.0-rc.1"}, "the target lacks their tags"
