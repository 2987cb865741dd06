"""What other people put at the target is theirs, and what they did to copies of ours is mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import GitHubState
from support.disturbance import (
    QUARTER,
    SOURCE,
    TARGET,
    WRITES,
    amiss,
    held,
    nothing,
    rename,
    settle,
    texts,
)
from support.world import World, only

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import Asset, RequestRecord

MIRROR = f'[[mirrors]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\n'
TAG = "v1"
OURS = b"bytes of the source, of a size"
EQUAL = b"bytes of people, of that size."
OTHER = b"what people attached"
AUDIT = 25 * 3600.0


def world_of(directory: Path, *, digests: bool = True, settings: str = "") -> World:
    """Two hosts that tell the SHA-256 of their assets, or not."""
    directory.mkdir(exist_ok=True)
    source = GitHubState(kind="github", digests=digests)
    target = GitHubState(version="3.17", digests=digests)
    return World(directory, MIRROR + settings, source=source, target=target)


async def mirrored(world: World, **assets: bytes) -> None:
    """A release that is at the target."""
    world.source.add_repository(SOURCE)
    world.source.add_release(
        SOURCE, TAG, assets={name.replace("_", "."): data for name, data in assets.items()}
    )
    report = await world.sync()
    assert report.status == "ok", texts(report)


@dataclass(frozen=True)
class Theirs:
    """An asset that people attached, and all that can be seen of it."""

    id: int
    name: str
    label: str | None
    sha256: str

    @classmethod
    def of(cls, asset: Asset) -> Theirs:
        return cls(asset.id, asset.name, asset.label, held(asset))

    def untouched(self, world: World) -> bool:
        found = world.target.assets.get(self.id)
        return found is not None and Theirs.of(found[2]) == self


def attach(world: World, name: str, data: bytes, *, label: str | None = None) -> Theirs:
    """People attach a file to the release at the target."""
    return Theirs.of(world.target.add_asset(TARGET, TAG, name, data, label=label))


def named(report: Report, asset: str, release: str = TAG) -> bool:
    """Whether a failure or a quarantined item is about this asset."""
    entry = only(report)
    found = {(item.release, item.asset) for item in entry.failures}
    return (release, asset) in found | {(item.release, item.asset) for item in entry.quarantined}


async def verify(world: World, *, full: bool = False, repair: bool = False) -> Report:
    """Verify as a user's next command does."""
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock) as app:
        return await app.verify(full=full, repair=repair)


async def looked_at(world: World, theirs: Theirs) -> list[Report]:
    """A pass, three more, an audit by the clock and one that is asked for: theirs outlives each."""
    reports = []
    for pause, full in ((0.0, False), *((QUARTER, False),) * 3, (AUDIT, False), (QUARTER, True)):
        world.clock.advance(pause)
        reports.append(await world.sync(full=full))
        assert theirs.untouched(world), texts(reports[-1])
    return reports


# -- a name that the source wants later -----------------------------------------------------------


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
@pytest.mark.parametrize("data", [OTHER, EQUAL], ids=["other-size", "equal-size"])
async def test_a_name_that_the_source_wants_later(
    data: bytes, digests: bool, tmp_path: Path
) -> None:
    """People attached `sbom.json`; later the source publishes one: theirs stays, and that is told.

    What else the source published arrives.
    """
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a")
        theirs = attach(world, "sbom.json", data)
        world.source.add_asset(SOURCE, TAG, "sbom.json", OURS)
        world.source.add_asset(SOURCE, TAG, "late.bin", b"late")
        for report in await looked_at(world, theirs):
            assert report.failed
            assert named(report, "sbom.json"), texts(report)
        released = world.published()[TAG]
        assert {asset.name for asset in released.assets} == {"a.bin", "late.bin", "sbom.json"}
        late = released.asset("late.bin")
        assert late is not None
        assert late.content.read(0, late.size) == b"late"
        world.target.delete_asset(TARGET, TAG, "sbom.json")
        world.clock.advance(AUDIT)
        assert (await world.sync()).status == "ok"
        nothing(amiss(world))


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_name_that_the_source_had_before(digests: bool, tmp_path: Path) -> None:
    """The source withdrew its `sbom.json`, people put theirs in its place, the source has one again.

    That a copy of ours once had the name does not make theirs ours.
    """
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a", sbom_json=OURS)
        world.source.delete_asset(SOURCE, TAG, "sbom.json")
        await world.sync()
        world.target.delete_asset(TARGET, TAG, "sbom.json")
        theirs = attach(world, "sbom.json", EQUAL)
        await world.sync(full=True)
        world.source.add_asset(SOURCE, TAG, "sbom.json", OURS)
        for report in await looked_at(world, theirs):
            assert report.failed
            assert named(report, "sbom.json"), texts(report)


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
@pytest.mark.parametrize("data", [OTHER, EQUAL], ids=["other-size", "equal-size"])
async def test_a_label_that_is_a_name_of_the_source(
    data: bytes, digests: bool, tmp_path: Path
) -> None:
    """People labelled their approval `sbom.json`: it stays as it is, and the source's arrives."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a")
        theirs = attach(world, "approval-of-our-team.txt", data, label="sbom.json")
        world.source.add_asset(SOURCE, TAG, "sbom.json", OURS)
        for report in await looked_at(world, theirs):
            assert not report.failed, texts(report)
            nothing(amiss(world, {theirs.id}))


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_label_of_the_source_under_a_name_that_changes(
    digests: bool, tmp_path: Path
) -> None:
    """Theirs has the label and the size of an asset whose name the server changes: still theirs."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a")
        theirs = attach(world, "approval-of-our-team.txt", EQUAL, label="Bill of materials")
        world.source.add_asset(SOURCE, TAG, "sbom (1).json", OURS, label="Bill of materials")
        for report in await looked_at(world, theirs):
            assert not report.failed, texts(report)
            nothing(amiss(world, {theirs.id}))


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_rename_at_the_source_to_a_name_of_theirs(digests: bool, tmp_path: Path) -> None:
    """An asset is renamed to what people's is called: theirs stays, the copy keeps its bytes, told."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=OURS)
        theirs = attach(world, "sbom.json", EQUAL)
        rename(world.source, SOURCE, TAG, {"a.bin": "sbom.json"})
        for report in await looked_at(world, theirs):
            assert report.failed
            assert "sbom.json" in texts(report)
        copy = world.published()[TAG].asset("a.bin")
        assert copy is not None
        assert copy.content.read(0, copy.size) == OURS


# -- what people do while a pass is at work ---------------------------------------------------------


def at(world: World, route: str, act: Callable[[RequestRecord], None]) -> None:
    """Do something once, at the first request of a route, before it is executed."""
    done = False

    def hook(record: RequestRecord) -> None:
        nonlocal done
        if not done and record.route == route:
            done = True
            act(record)

    world.target.on_request(hook)


async def test_a_file_that_is_attached_while_ours_is_on_its_way(tmp_path: Path) -> None:
    """People attach `sbom.json` just before ours is uploaded: theirs stays, and that is told."""
    async with world_of(tmp_path) as world:
        await mirrored(world, a_bin=b"a")
        world.source.add_asset(SOURCE, TAG, "sbom.json", OURS)
        made: list[Theirs] = []
        at(world, "upload-asset", lambda _: made.append(attach(world, "sbom.json", OTHER)))
        reports = [await world.sync()]
        (theirs,) = made
        reports += await looked_at(world, theirs)
        for report in reports:
            assert report.failed
            assert named(report, "sbom.json"), texts(report)
        assert {a.name for a in world.published()[TAG].assets} == {"a.bin", "sbom.json"}


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_copy_that_people_exchange_while_it_is_replaced(
    digests: bool, tmp_path: Path
) -> None:
    """People put a file of their own under the name of a copy that is just being replaced.

    Theirs stays; that is told; and what was uploaded to replace ours is not left in public.
    """
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=OURS)
        world.source.replace_asset(SOURCE, TAG, "a.bin", OURS[::-1])
        made: list[Theirs] = []

        def exchange(_: RequestRecord) -> None:
            world.target.delete_asset(TARGET, TAG, "a.bin")
            made.append(attach(world, "a.bin", EQUAL))

        at(world, "upload-asset", exchange)
        reports = [await world.sync()]
        (theirs,) = made
        reports += await looked_at(world, theirs)
        for report in reports:
            assert report.failed
            assert "a.bin" in texts(report)
        assert [asset.name for asset in world.published()[TAG].assets] == ["a.bin"]


SETTINGS = {
    "deleted": 'on_delete = "delete"\n',
    "deselected": 'on_deselect = "delete"\nreleases.latest = 1\n',
}


async def deleting(directory: Path, cause: str, attach_at: int) -> tuple[int, World, Report]:
    """A pass that would delete v1, to which people attach a file before the n-th look at it is answered.

    Theirs stays, in later passes, too.

    Returns:
        How often it was looked at before its deletion; the world; what the pass reports.
    """
    async with world_of(directory, settings=SETTINGS[cause]) as world:
        await mirrored(world, a_bin=b"a")
        if cause == "deleted":
            world.source.delete_release(SOURCE, TAG)
        world.source.add_release(SOURCE, "v2", assets={"a.bin": b"a2"})
        number = world.published()[TAG].id
        looks, deleted = 0, False
        made: list[Theirs] = []

        def watch(record: RequestRecord) -> None:
            nonlocal looks, deleted
            if f"/releases/{number}" not in record.path or deleted:
                return
            deleted = record.method in WRITES
            looks += not deleted
            if looks == attach_at and not made:
                made.append(attach(world, "people.txt", OTHER))

        world.target.on_request(watch)
        report = await world.sync()
        if made:
            assert TAG in world.published(), f"it was attached before look {attach_at}"
            assert made[0].untouched(world)
            await looked_at(world, made[0])
        return looks, world, report


@pytest.mark.parametrize("cause", SETTINGS)
async def test_a_file_that_is_attached_between_plan_and_deletion(
    cause: str, tmp_path: Path
) -> None:
    """Before a release is deleted it is read again, its assets too: one with people's file stays."""
    looks, world, report = await deleting(tmp_path / "quiet", cause, 0)
    assert TAG not in world.published()
    assert not report.failed, texts(report)
    assert looks, "nothing is looked at between plan and deletion"
    for nth in range(1, looks + 1):
        _, world, report = await deleting(tmp_path / f"look-{nth}", cause, nth)
        assert TAG in texts(report)
        assert "people.txt" in texts(report)


async def test_an_asset_that_people_exchange_between_plan_and_deletion(tmp_path: Path) -> None:
    """An asset vanished at the source; people put theirs in the copy's place: theirs is not deleted."""
    async with world_of(tmp_path, settings=SETTINGS["deleted"]) as world:
        await mirrored(world, a_bin=b"a", b_bin=OURS)
        world.source.delete_asset(SOURCE, TAG, "b.bin")
        release = world.published()[TAG]
        numbers = (release.id, *(asset.id for asset in release.assets))
        made: list[Theirs] = []

        def exchange(record: RequestRecord) -> None:
            if not made and any(f"/{number}" in record.path for number in numbers):
                world.target.delete_asset(TARGET, TAG, "b.bin")
                made.append(attach(world, "b.bin", EQUAL))

        world.target.on_request(exchange)
        await world.sync()
        (theirs,) = made
        await looked_at(world, theirs)


# -- what people do to copies of ours ---------------------------------------------------------------


def renamed_at_target(world: World, old: str, new: str) -> None:
    rename(world.target, TARGET, TAG, {old: new})


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_copy_that_people_renamed(digests: bool, tmp_path: Path) -> None:
    """A copy of ours has another name at the target: the next audit gives it its own, and no byte."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a", b_bin=b"b")
        renamed_at_target(world, "a.bin", "renamed-by-people.bin")
        world.target.reset_requests()
        report = await world.sync(full=True)
        assert not report.failed, texts(report)
        nothing(amiss(world))
        assert world.target.count(route="upload-asset") == 0
        nothing(await settle(world))


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_a_verification_sees_a_copy_that_people_renamed(
    digests: bool, tmp_path: Path
) -> None:
    """A consumer misses the name: `verify --full` says so, `--repair` brings it back."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=b"a", b_bin=b"b")
        renamed_at_target(world, "a.bin", "renamed-by-people.bin")
        for full in (False, True):
            report = await verify(world, full=full)
            found = [(d.release, d.asset) for d in only(report).differences]
            assert (TAG, "a.bin") in found
            assert report.failed
        repaired = await verify(world, full=True, repair=True)
        names = {asset.name for asset in world.published()[TAG].assets}
        assert "a.bin" in names, texts(repaired)
        await world.sync(full=True)
        nothing(await settle(world))


@pytest.mark.parametrize("label", [None, "Ours"], ids=["no-label", "label"])
async def test_a_copy_whose_label_people_edited(label: str | None, tmp_path: Path) -> None:
    """A copy of ours has another label at the target: the next audit gives it the source's."""
    async with world_of(tmp_path) as world:
        await mirrored(world, a_bin=b"a", b_bin=b"b")
        world.source.asset(SOURCE, TAG, "a.bin").label = label
        world.source.edit_release(SOURCE, TAG)
        await world.sync()
        world.target.asset(TARGET, TAG, "a.bin").label = "Edited by people"
        world.target.edit_release(TARGET, TAG)
        report = await world.sync(full=True)
        assert not report.failed, texts(report)
        assert (world.target.asset(TARGET, TAG, "a.bin").label or "") == (label or "")


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
@pytest.mark.parametrize("full", [True, False], ids=["audit", "pass"])
async def test_a_new_asset_under_the_name_that_people_gave_a_copy(
    full: bool, digests: bool, tmp_path: Path
) -> None:
    """The source publishes what people renamed a copy of ours to: both end under their own names.

    Both have one size, so that without digests only the ledger tells them apart.
    """
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=EQUAL, b_bin=b"b")
        renamed_at_target(world, "a.bin", "new.bin")
        world.source.add_asset(SOURCE, TAG, "new.bin", OURS)
        report = await world.sync(full=full)
        assert only(report).quarantined == (), texts(report)
        if not report.failed:
            nothing(amiss(world))
        nothing(await settle(world))


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no-digests"])
async def test_copies_whose_names_people_swapped(digests: bool, tmp_path: Path) -> None:
    """People gave two copies of one size each other's names: the next audit gives them back."""
    async with world_of(tmp_path, digests=digests) as world:
        await mirrored(world, a_bin=EQUAL, b_bin=OURS)
        rename(world.target, TARGET, TAG, {"a.bin": "b.bin", "b.bin": "a.bin"})
        report = await world.sync(full=True)
        if not report.failed:
            nothing(amiss(world))
        nothing(await settle(world))


async def test_a_file_of_theirs_that_equals_the_source_s(tmp_path: Path) -> None:
    """People attached what the source has: it serves, and is theirs when the source replaces it."""
    async with world_of(tmp_path) as world:
        await mirrored(world, a_bin=b"a")
        theirs = attach(world, "sbom.json", OURS)
        world.source.add_asset(SOURCE, TAG, "sbom.json", OURS)
        for report in await looked_at(world, theirs):
            assert not report.failed, texts(report)
        world.source.replace_asset(SOURCE, TAG, "sbom.json", EQUAL)
        for report in await looked_at(world, theirs):
            assert report.failed
            assert named(report, "sbom.json"), texts(report)


async def test_a_copy_that_people_renamed_and_whose_asset_vanished(tmp_path: Path) -> None:
    """It is ours by its id, whatever it is called: deleted where the settings say so."""
    async with world_of(tmp_path, settings=SETTINGS["deleted"]) as world:
        await mirrored(world, a_bin=b"a", b_bin=OURS)
        renamed_at_target(world, "b.bin", "renamed-by-people.bin")
        world.source.delete_asset(SOURCE, TAG, "b.bin")
        report = await world.sync()
        assert not report.failed, texts(report)
        assert [asset.name for asset in world.published()[TAG].assets] == ["a.bin"]


async def test_an_asset_that_is_replaced_and_deselected(tmp_path: Path) -> None:
    """What has its name now is not wanted either: the former copy is deleted as deselected."""
    async with world_of(tmp_path, settings='on_deselect = "delete"\n') as world:
        await mirrored(world, a_bin=b"a", b_bin=OURS)
        world.source.replace_asset(SOURCE, TAG, "b.bin", EQUAL)
        excluding = MIRROR + 'on_deselect = "delete"\nassets.exclude = ["b.bin"]\n'
        world.write_config(excluding)
        report = await world.sync()
        assert not report.failed, texts(report)
        assert [asset.name for asset in world.published()[TAG].assets] == ["a.bin"]


async def test_a_copy_that_people_rename_while_it_gets_its_name(tmp_path: Path) -> None:
    """The server changes the name, and people change it again before the pass ends: mended next."""
    async with world_of(tmp_path) as world:
        await mirrored(world, a_bin=b"a")
        world.source.add_asset(SOURCE, TAG, "my file.bin", OURS)
        seen: list[str] = []

        def meddle(record: RequestRecord) -> None:
            named_now = [asset.name for asset in world.published()[TAG].assets]
            if not seen and record.route == "update-asset" and "my.file.bin" in named_now:
                seen.append(record.path)
                renamed_at_target(world, "my.file.bin", "theirs.bin")

        world.target.on_request(meddle)
        await world.sync()
        if not seen:  # one request gave it name and label
            renamed_at_target(world, "my.file.bin", "theirs.bin")
        report = await world.sync(full=True)
        assert not report.failed, texts(report)
        nothing(amiss(world))


async def test_a_release_that_is_made_again_and_deselected(tmp_path: Path) -> None:
    """What has its tag now is not wanted either: the former copy is deleted as deselected."""
    async with world_of(tmp_path, settings=SETTINGS["deselected"]) as world:
        await mirrored(world, a_bin=b"a")
        world.source.delete_release(SOURCE, TAG)
        world.source.add_release(SOURCE, TAG, assets={"b.bin": OURS})
        world.source.add_release(SOURCE, "v2", assets={"a.bin": b"a2"})
        report = await world.sync()
        assert not report.failed, texts(report)
        assert set(world.published()) == {"v2"}
