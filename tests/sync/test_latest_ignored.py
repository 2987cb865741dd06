"""A target that does not let a mirror choose its latest release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

MIRROR = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'


async def test_a_target_that_ignores_make_latest_is_asked_once(tmp_path: Path) -> None:
    """Told once as a warning, then as a note; never counted as an update, nor as a failure."""
    async with World(tmp_path, MIRROR) as world:
        world.target.has_make_latest = False
        world.source.add_repository("octo/tool")
        for number in (1, 2, 3):
            date = f"2026-0{number}-01T00:00:00Z"
            world.source.add_release("octo/tool", f"v{number}", date=date, latest=number == 2)
        await world.sync()
        assert world.latest() == "v3"
        first = await world.sync(full=True)
        assert first.totals()["releases_updated"] == 0
        (warning,) = only(first).warnings
        assert warning.startswith("v2: the target ignored that it is to be the latest release")
        world.target.reset_requests()
        for _ in range(2):
            again = only(await world.sync(full=True))
            assert (again.status, again.warnings) == ("unchanged", ())
            assert any("v2 is the source's latest release, but" in note for note in again.notes)
        assert not [r.route for r in world.target.requests if r.method != "GET"]
        # Another release becomes the source's latest: it is asked for again.
        world.source.edit_release("octo/tool", "v1", latest=True)
        report = only(await world.sync(full=True))
        assert report.warnings[0].startswith("v1: the target ignored")


async def test_a_server_that_heeds_make_latest_is_asked_whenever_it_shows_another(
    tmp_path: Path,
) -> None:
    """What people change at the target is mended again and again."""
    async with World(tmp_path, MIRROR) as world:
        world.source.add_repository("octo/tool")
        for tag in ("v1", "v2"):
            world.source.add_release("octo/tool", tag)
        await world.sync()
        for _ in range(3):
            world.target.edit_release("mirrors/tool", "v1", latest=True)
            report = await world.sync(full=True)
            assert report.totals()["releases_updated"] == 1
            assert world.latest() == "v2"
