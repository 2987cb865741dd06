"""Source archives: attached once, and never exchanged for their bytes."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Fault
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import Asset

MIRROR = (
    '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\nassets.source_archives = true\n'
)
TAR, ZIP = "tool-v1.tar.gz", "tool-v1.zip"


def seed(world: World, tag: str = "v1", assets: dict[str, bytes] | None = None) -> None:
    if "octo/tool" not in world.source.names:
        world.source.add_repository("octo/tool")
    world.source.add_release(
        "octo/tool", tag, date="2026-01-01T00:00:00Z", assets=assets or {"tool.bin": b"tool" * 99}
    )


def copies(world: World, tag: str = "v1") -> dict[str, Asset]:
    return {asset.name: asset for asset in world.published()[tag].assets}


def uploads(world: World) -> int:
    return world.target.count(route="upload-asset")


async def content(world: World, name: str, tag: str = "v1") -> bytes:
    return bytes(copies(world, tag)[name].content.read(0, copies(world, tag)[name].size))


async def test_archives_arrive_once(tmp_path: Path) -> None:
    """Both archives of the tag arrive whole with the other assets; then there is nothing to do."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        report = await world.sync()
        assert report.status == "ok", report.to_json()
        assert set(copies(world)) == {"tool.bin", TAR, ZIP}
        with tarfile.open(fileobj=io.BytesIO(await content(world, TAR))) as archive:
            (root,) = {name.split("/")[0] for name in archive.getnames()}
        assert root.startswith("octo-tool-")
        assert zipfile.ZipFile(io.BytesIO(await content(world, ZIP))).testzip() is None
        done = {a.asset: a for a in only(report).actions if a.action == "upload-asset"}
        for name in (TAR, ZIP):
            assert done[name].bytes == copies(world)[name].size
            assert done[name].sha256 == copies(world)[name].sha256
        assert list((world.ledger / "spool").iterdir()) == []
        assert (await world.sync()).status == "unchanged"
        report = await world.sync(full=True)
        assert (report.status, uploads(world)) == ("unchanged", 3)


async def test_their_host_gets_no_token(tmp_path: Path) -> None:
    """The archive's host is another origin; the tag is named by its full ref."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        found = [r for r in world.source.requests if r.route == "archive-download"]
        assert [r.authorization for r in found] == [None, None]
        asked = [r.path for r in world.source.requests if r.route in {"get-tarball", "get-zipball"}]
        assert all(path.endswith("/refs/tags/v1") for path in asked)


async def test_a_plan_shows_them_without_bytes(tmp_path: Path) -> None:
    """Nobody knows an archive's length beforehand: the plan names it, and counts its requests."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        document = (await world.plan()).to_json()
        actions = {a["asset"]: a for a in document["repositories"][0]["actions"] if "asset" in a}
        assert "bytes" not in actions[TAR]
        assert "bytes" not in actions[ZIP]
        assert document["totals"]["assets_uploaded"] == 3
        assert document["totals"]["bytes_uploaded"] == 396
        assert document["estimated_requests"]["github"] == 3
        assert world.source.count(route="archive-download") == 0


async def test_other_bytes_are_no_reason_to_upload(tmp_path: Path) -> None:
    """A ledger that is lost, and an archive that would be another one now, change nothing."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        before = {name: asset.id for name, asset in copies(world).items()}
        world.source.move_tag("octo/tool", "v1", date="2026-05-05T00:00:00Z")
        shutil.rmtree(world.ledger)
        report = await world.sync()
        assert only(report).failures == ()
        assert {name: asset.id for name, asset in copies(world).items()} == before
        assert (await world.sync(full=True)).status == "unchanged"
        assert uploads(world) == 3


async def test_what_is_missing_at_the_target_is_made_again(tmp_path: Path) -> None:
    """An archive that somebody removed is attached again; the other one is left alone."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        kept = copies(world)[ZIP].id
        world.target.delete_asset("mirrors/tool", "v1", TAR)
        assert (await world.sync(full=True)).status == "ok"
        assert set(copies(world)) == {"tool.bin", TAR, ZIP}
        assert copies(world)[ZIP].id == kept
        assert uploads(world) == 4


async def test_an_archive_that_the_source_lacks_is_named(tmp_path: Path) -> None:
    """404 for one archive: a failure with its name; the release waits, all else is there already."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.source.faults.add(Fault(kind="status", route="get-tarball", status=404, times=None))
        report = await world.sync()
        (failure,) = only(report).failures
        assert (failure.asset, failure.release, failure.status_code) == (TAR, "v1", 404)
        assert "no tarball of the tag v1" in failure.error
        assert world.published() == {}
        world.source.faults.clear()
        assert (await world.sync()).status == "ok"
        assert set(copies(world)) == {"tool.bin", TAR, ZIP}
        assert uploads(world) == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="truncate", route="archive-download", at_byte=50, keep_length=False, times=2),
        Fault(kind="reset-midway", route="archive-download", at_byte=50, times=2),
        Fault(kind="html", route="archive-download", times=2),
        Fault(kind="status", route="archive-download", status=503, times=2),
    ],
    ids=lambda fault: fault.kind,
)
async def test_half_an_archive_never_arrives(tmp_path: Path, fault: Fault) -> None:
    """What is cut off, or no archive at all, is fetched again before anything is uploaded."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.source.faults.add(fault)
        report = await world.sync()
        assert report.status == "ok", report.to_json()
        assert uploads(world) == 3
        with tarfile.open(fileobj=io.BytesIO(await content(world, TAR))) as archive:
            assert archive.getnames()
        assert zipfile.ZipFile(io.BytesIO(await content(world, ZIP))).testzip() is None


async def test_an_upload_that_fails_fetches_no_second_archive(tmp_path: Path) -> None:
    """Retries are sent from disk, so that the bytes are the same ones."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.faults.add(Fault(kind="lost-reply", route="upload-asset", match=ZIP))
        world.target.faults.add(Fault(kind="status", route="upload-asset", match=TAR, times=2))
        assert (await world.sync()).status == "ok"
        assert set(copies(world)) == {"tool.bin", TAR, ZIP}
        assert world.source.count(route="archive-download") == 2


async def test_one_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    """Above `max_size`, which nobody knows before: quarantined by name, and the release is out."""
    async with World(tmp_path, f'{MIRROR}assets.max_size = "50B"\n') as world:
        seed(world, assets={"a": b"a"})
        report = await world.sync()
        assert {item.asset for item in only(report).quarantined} == {TAR, ZIP}
        assert all("more than 50 bytes" in item.error for item in only(report).quarantined)
        assert set(copies(world)) == {"a"}
        world.source.reset_requests()
        await world.sync()
        assert world.source.count(route="archive-download") == 0


async def test_filters_of_names_are_not_for_them(tmp_path: Path) -> None:
    """They are asked for by a setting of their own; `latest` says of how many releases."""
    settings = 'assets.include = ["nothing"]\nassets.exclude = ["*.zip"]\nassets.latest = 1\n'
    async with World(tmp_path, MIRROR + settings) as world:
        seed(world)
        seed(world, "nightly/two")
        world.source.release("octo/tool", "nightly/two").published_at = "2026-03-01T00:00:00Z"
        assert (await world.sync()).status == "ok"
        assert set(copies(world, "nightly/two")) == {
            "tool-nightly-two.tar.gz",
            "tool-nightly-two.zip",
        }
        assert copies(world) == {}


async def test_an_asset_of_the_source_comes_before_an_archive(tmp_path: Path) -> None:
    """A name that the source's own asset has is that asset's, whenever it appears."""
    async with World(tmp_path, MIRROR) as world:
        seed(world, assets={ZIP: b"their own"})
        assert (await world.sync()).status == "ok"
        assert await content(world, ZIP) == b"their own"
        assert set(copies(world)) == {ZIP, TAR}
        world.source.add_asset("octo/tool", "v1", TAR, b"later")
        assert (await world.sync()).status == "ok"
        assert await content(world, TAR) == b"later"
        assert set(copies(world)) == {ZIP, TAR}
        assert (await world.sync(full=True)).status == "unchanged"


@pytest.mark.parametrize("deselect", ["keep", "delete"])
async def test_archives_that_are_no_longer_asked_for(tmp_path: Path, deselect: str) -> None:
    """Turned off, they stay; with `on_deselect = "delete"` they go. `on_delete` never takes them."""
    rules = f'on_delete = "delete"\non_deselect = "{deselect}"\n'
    async with World(tmp_path, MIRROR + rules) as world:
        seed(world)
        await world.sync()
        assert (await world.sync(full=True)).status == "unchanged"
        world.write_config(MIRROR.replace("true", "false") + rules)
        report = await world.sync()
        assert only(report).failures == ()
        expected = {"tool.bin", TAR, ZIP} if deselect == "keep" else {"tool.bin"}
        assert set(copies(world)) == expected
        world.write_config(MIRROR + rules)
        assert only(await world.sync()).failures == ()
        assert set(copies(world)) == {"tool.bin", TAR, ZIP}


async def test_the_ledger_keeps_them_apart(tmp_path: Path) -> None:
    """In the ledger an archive has an id below 0 and no digest of the source's."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        document: Any = json.loads((world.ledger / "mirrors" / "tool.json").read_text())
        entries = {a["source_name"]: a for a in document["releases"][0]["assets"]}
        for name in (TAR, ZIP):
            assert entries[name]["source_id"] < 0
            assert entries[name]["source_digest"] is None
            assert entries[name]["sha256"] == copies(world)[name].sha256
        assert entries[TAR]["source_id"] != entries[ZIP]["source_id"]
