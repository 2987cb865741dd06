"""An upload of a process that was cut off lasts at the target, and keeps its name from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator import Generated
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import Release, RequestRecord

TARGET = "mirrors/tool"
BLOCKED = "part-2.bin"


def draft(world: World) -> Release | None:
    releases = world.target.releases(TARGET) if TARGET in world.target.names else ()
    return next((release for release in releases if release.draft), None)


async def test_a_release_is_held_while_an_upload_is_under_way(tmp_path: Path) -> None:
    """No name is given up because of an asset that nobody sees: nothing is quarantined or published."""
    async with World(tmp_path) as world:
        assets = {f"part-{number}.bin": Generated(seed=number, size=1000) for number in range(3)}
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets=assets)
        world.expect()

        def keep_uploading(_: RequestRecord) -> None:
            if release := draft(world):
                release.arriving.add(BLOCKED)

        world.target.on_request(keep_uploading)
        for _ in range(2):
            report = only(await world.sync())
            (failure,) = report.failures
            assert (failure.asset, failure.kind, failure.final) == (BLOCKED, "rejected", False)
            assert report.quarantined == ()
            assert world.published() == {}
            world.clock.advance(900)

        world.target.log.request_hooks.remove(keep_uploading)
        release = draft(world)
        assert release
        release.arriving.clear()
        assert (await world.sync(full=True)).status == "ok"
        assert world.same() == []


async def test_a_name_is_waited_for_within_a_pass(tmp_path: Path) -> None:
    """If the server gives the upload up soon, the same pass finishes the release."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={BLOCKED: Generated(seed=1, size=1000)})
        world.expect()

        def keep_uploading(_: RequestRecord) -> None:
            if release := draft(world):
                early = world.clock.monotonic() < 60
                (release.arriving.add if early else release.arriving.discard)(BLOCKED)

        world.target.on_request(keep_uploading)
        assert (await world.sync()).status == "ok"
        assert world.clock.monotonic() >= 30
        assert world.same() == []
