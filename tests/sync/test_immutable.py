"""A target with immutable releases: nothing is sent that it refuses, and no tag is burned by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import GitHubState
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report

DAY = 25 * 3600
MIRROR = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'


def a_world(directory: Path, settings: str = "") -> World:
    source, target = GitHubState(kind="github"), GitHubState(kind="ghes", version="3.20")
    source.add_repository("octo/tool", immutable_releases=True)
    for number in range(3):
        tag, date = f"v{number}", f"2026-0{number + 1}-01T00:00:00Z"
        source.add_release("octo/tool", tag, date=date, assets={"a.bin": tag.encode()})
    target.add_repository("mirrors/tool", immutable_releases=True)
    for number in range(3):
        target.move_tag("mirrors/tool", f"v{number}")
    return World(directory, MIRROR + settings, source=source, target=target)


def writes(world: World) -> list[str]:
    """The writes to the target since the last call."""
    found = [r.route for r in world.target.requests if r.method != "GET"]
    world.target.reset_requests()
    return found


def kinds(report: Report) -> list[tuple[str | None, str]]:
    repo = only(report)
    failures: list[Any] = [*repo.failures, *repo.quarantined]
    return list(dict.fromkeys((item.asset or item.release, item.kind) for item in failures))


async def test_the_report_says_what_is_immutable(tmp_path: Path) -> None:
    """A note, at the source first, then at the target; nothing is wrong."""
    async with a_world(tmp_path) as world:
        first = only(await world.sync())
        assert first.status == "ok"
        assert [note.split(";")[0] for note in first.notes if "immutable" in note] == [
            "3 releases are immutable at the source"
        ]
        again = only(await world.sync(full=True))
        assert again.status == "unchanged"
        assert [note.split(":")[0] for note in again.notes] == [
            "3 releases are immutable at the target"
        ]


@pytest.mark.parametrize(
    ("settings", "found"),
    [('on_change = "follow"\n', [("a.bin", "immutable")]), ('on_change = "keep"\n', [])],
)
async def test_a_changed_asset_is_not_sent(
    settings: str, found: list[tuple[str, str]], tmp_path: Path
) -> None:
    """``follow`` is a failure for good with advice, ``keep`` a warning; no request is wasted."""
    async with a_world(tmp_path, settings) as world:
        await world.sync()
        writes(world)
        world.source.replace_asset("octo/tool", "v1", "a.bin", b"other")
        report = await world.sync()
        assert kinds(report) == found
        assert writes(world) == []
        advice = [failure.advice for failure in only(report).failures]
        assert all('on_change = "keep"' in text for text in advice)
        assert report.failed == bool(found)
        world.clock.advance(DAY)
        assert kinds(await world.sync()) == found
        assert writes(world) == []
        # Text and flags still follow.
        world.source.edit_release("octo/tool", "v1", body="New text")
        await world.sync()
        assert writes(world) == ["update-release"]


async def test_what_was_deselected_is_kept_unless_its_tag_may_be_burned(tmp_path: Path) -> None:
    """``on_deselect`` alone deletes no immutable copy: its tag could never be used again."""
    async with a_world(tmp_path) as world:
        await world.sync()
        world.write_config(MIRROR + 'releases.latest = 2\non_deselect = "delete"\n')
        report = await world.sync()
        assert set(world.published()) == {"v0", "v1", "v2"}
        assert any("burns its tag" in text for text in only(report).warnings)
        world.write_config(world.mirrors + 'on_delete = "delete"\n')
        plan = await world.plan()
        assert [a.action for a in only(plan).actions] == ["delete-release"]
        assert any("burns its tag" in text for text in only(plan).warnings)
        await world.sync()
        assert set(world.published()) == {"v1", "v2"}
        # The tag is known to be burned: what is selected again is not even begun.
        writes(world)
        world.write_config(MIRROR)
        report = await world.sync()
        assert kinds(report) == [("v0", "immutable")]
        assert "under another tag" in only(report).failures[0].advice
        assert writes(world) == []


@pytest.mark.parametrize("ledger", ["kept", "lost"])
async def test_a_tag_that_is_released_again_is_found_out(ledger: str, tmp_path: Path) -> None:
    """Somebody deleted the immutable copy: with the ledger before a byte is sent, without it once."""
    async with a_world(tmp_path) as world:
        await world.sync()
        world.target.delete_release("mirrors/tool", "v1")
        world.source.delete_release("octo/tool", "v1")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"again"})
        if ledger == "lost":
            (world.ledger / "mirrors" / "tool.json").unlink()
        writes(world)
        assert kinds(await world.sync()) == [("v1", "immutable")]
        sent = writes(world)
        assert (sent == []) == (ledger == "kept")
        for _ in range(2):
            world.clock.advance(DAY)
            assert kinds(await world.sync()) == [("v1", "immutable")]
            assert writes(world) == []


async def test_a_release_that_got_another_tag_is_left_alone(tmp_path: Path) -> None:
    """The tag of an immutable release cannot change: that is told, and nothing is tried."""
    async with a_world(tmp_path) as world:
        world.source.repository("octo/tool").immutable_releases = False
        for release in world.source.releases("octo/tool"):
            release.immutable = False
        await world.sync()
        writes(world)
        world.source.move_tag("octo/tool", "v1.0")
        world.source.release("octo/tool", "v1").tag = "v1.0"
        world.source.edit_release("octo/tool", "v1.0", name="Renamed")
        assert kinds(await world.sync()) == [("v1.0", "immutable")]
        assert writes(world) == []
