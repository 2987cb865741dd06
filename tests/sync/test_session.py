"""What a session remembers of a mirror: when it succeeded, and when the target was looked at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mirror.app import hold_ledger, open_app
from mirror.config import load_config, resolve_secrets
from mirror.core.ledger.index import Index
from mirror.emulator import Fault
from mirror.sync.discovery import Catalogue
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.ledger.index import IndexEntry
    from mirror.emulator import RequestRecord


def entry(world: World) -> IndexEntry:
    """What the index on disk holds of the mirror."""
    return Index.decode((world.ledger / "index.json").read_bytes()).mirrors["mirrors/tool"]


async def test_success_moves_only_when_nothing_is_wrong(tmp_path: Path) -> None:
    """A pass that leaves something quarantined is settled, and yet no success."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"a", "empty.bin": b""})
        assert (await world.sync()).status == "failed"
        world.clock.advance(60)
        report = await world.sync()
        assert only(report).status == "failed"
        known = entry(world)
        assert known.succeeded_at == 0
        assert known.settled_at == report.started_at.timestamp()
        world.source.delete_asset("octo/tool", "v1", "empty.bin")
        report = await world.sync(full=True)
        assert report.status in {"ok", "unchanged"}
        assert entry(world).succeeded_at == report.started_at.timestamp()
        world.clock.advance(60)
        report = await world.sync()
        assert report.status == "unchanged"
        assert entry(world).succeeded_at == report.started_at.timestamp()


async def test_the_report_tells_when_the_target_was_looked_at(tmp_path: Path) -> None:
    """A pass that asked only the source repeats the time of the pass before; an audit moves it."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"a"})
        first = await world.sync()
        assert only(first).target_checked_at == first.started_at
        world.clock.advance(60)
        report = await world.sync()
        assert report.status == "unchanged"
        assert only(report).target_checked_at == first.started_at
        for audit in (await world.plan(full=True), await world.sync(full=True)):
            assert only(audit).target_checked_at == audit.started_at


async def test_placeholder_tags_are_a_note(tmp_path: Path) -> None:
    """What every first sync does is normal: a note of that pass, no warning."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"a"})
        found = only(await world.sync())
        assert found.warnings == ()
        (note,) = found.notes
        assert note.startswith("1 tag points to a placeholder commit")
        assert only(await world.sync(full=True)).notes == ()


@pytest.mark.usefixtures("everything_large")
async def test_requests_belong_to_the_mirror_that_they_are_sent_for(tmp_path: Path) -> None:
    """Each mirror counts its own, also those that other threads send; together they are the pass's."""
    mirrors = "".join(
        f'[[mirrors]]\nsource = "octo/{name}"\ntarget = "mirrors/{name}"\n' for name in "ab"
    )
    async with World(tmp_path, mirrors) as world:
        for name, number in (("octo/a", 1), ("octo/b", 3)):
            world.source.add_repository(name)
            for tag in range(number):
                world.source.add_release(name, f"v{tag}", assets={"a.bin": b"a", "b.bin": b"b"})
        report = await world.sync()
        small, large = (one.requests["target"].total for one in report.repositories)
        assert 0 < small < large
        assert small + large == report.requests["target"].total
        named = sum("/mirrors/a" in record.path for record in world.target.requests)
        creating = 2  # the look at the owner, and the creation: neither names the repository
        assert named < small <= named + creating


async def test_both_sides_of_a_mirror_that_is_announced_are_read_at_once(tmp_path: Path) -> None:
    """It is as good as certain to be compared: the target is asked while the source answers."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"a"})
        assert (await world.sync()).status == "ok"

        def resume(record: RequestRecord) -> None:
            if record.route == "get-repository":
                world.source.faults.resume()

        world.target.on_request(resume)
        world.source.add_release("octo/tool", "v2", assets={"a.bin": b"b"})
        world.source.faults.add(Fault(kind="stall", route="list-releases", at_byte=0))
        config = load_config(world.config_file, world.environ)
        secrets = resolve_secrets(config, world.environ)
        async with (
            hold_ledger(config, secrets, clock=world.clock) as ledger,
            open_app(config, secrets, clock=world.clock, ledger=ledger) as app,
            asyncio.timeout(30),
        ):
            index = await ledger.store.load_index()
            runner = app.runner(index)
            (mirror,) = Catalogue(app.rules, runner.sources, index).mirrors
            began = world.clock.monotonic()
            assert (await runner.run(mirror, since=began, announced=True)).status == "ok"
        assert world.same() == []
