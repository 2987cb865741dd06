"""Each name holds its own bytes: whatever moved at the source, and wherever a pass was cut off."""

from __future__ import annotations

import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import AssetSpec, Fault, Generated, GitHubState
from support.disturbance import (
    KINDS,
    QUARTER,
    SOURCE,
    TARGET,
    WRITES,
    Kind,
    Scene,
    amiss,
    hit_at_each_write,
    nothing,
    rename,
    settle,
    texts,
    untrue,
)
from support.tamper import tamper
from support.world import World, only
from survival.processes import Ended, Limits, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mirror.core.reporting.report import Report

MIRROR = f'[[mirrors]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\n'
NONE, AT_SOURCE, AT_TARGET, BOTH = "no-digests", "source-digests", "target-digests", "digests"
DIGESTS = (NONE, AT_SOURCE, AT_TARGET, BOTH)
TAG = "v1"


def world_of(directory: Path, *, digests: str = BOTH, settings: str = "", most: int = 0) -> World:
    """Two hosts of which both, one, or none tell the SHA-256 of their assets."""
    directory.mkdir(exist_ok=True)
    source = GitHubState(kind="github", digests=digests in {BOTH, AT_SOURCE})
    target = GitHubState(version="3.17", digests=digests in {BOTH, AT_TARGET}, max_assets=most)
    return World(directory, MIRROR + settings, source=source, target=target)


def bytes_of(name: str, turn: int = 0) -> bytes:
    """An asset's bytes; those of all names are of one size."""
    return f"{turn:03} bytes of {name:>20}".encode()


async def mirrored(world: World, *names: str) -> None:
    """A release with assets of one size, which is at the target."""
    world.source.add_repository(SOURCE)
    world.source.add_release(
        SOURCE, TAG, name="One", assets={name: bytes_of(name) for name in names}
    )
    report = await world.sync()
    assert report.status == "ok", texts(report)
    nothing(amiss(world))


async def verify(world: World, *, full: bool = False, repair: bool = False) -> Report:
    """Verify as a user's next command does."""
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock) as app:
        return await app.verify(full=full, repair=repair)


# -- names that change hands ----------------------------------------------------------------------

SWAP = {"a.bin": "b.bin", "b.bin": "a.bin"}
THREE = {"a.bin": "b.bin", "b.bin": "c.bin", "c.bin": "a.bin"}
FOUR = {"a.bin": "b.bin", "b.bin": "c.bin", "c.bin": "d.bin", "d.bin": "a.bin"}
CHAIN = {"a.bin": "b.bin", "b.bin": "c.bin"}
LONG_CHAIN = {"a.bin": "b.bin", "b.bin": "c.bin", "c.bin": "d.bin"}


async def moved(world: World, names: Mapping[str, str]) -> None:
    """All is mirrored; then assets take each other's names."""
    await mirrored(world, *names, "other.bin")
    rename(world.source, SOURCE, TAG, names)


async def published_anew(world: World, names: Mapping[str, str]) -> None:
    """All is mirrored; then assets are uploaded again under each other's names, with new ids."""
    await mirrored(world, *names, "other.bin")
    for old, new in names.items():
        world.source.replace_asset(SOURCE, TAG, new, bytes_of(old))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digests", DIGESTS)
async def test_two_assets_that_swap_names(digests: str, kind: Kind, tmp_path: Path) -> None:
    """Two assets of one size swap names: wherever a pass is hit, each name ends with its own bytes.

    At no time does a pass call it done while a name holds the other's bytes.
    """
    scene = Scene(partial(world_of, digests=digests), partial(moved, names=SWAP))
    nothing(await hit_at_each_write(tmp_path, scene, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digests", [NONE, AT_TARGET])
async def test_two_assets_that_are_published_anew_under_swapped_names(
    digests: str, kind: Kind, tmp_path: Path
) -> None:
    """Uploaded again under each other's names: each name ends with its own bytes, and so told."""
    scene = Scene(partial(world_of, digests=digests), partial(published_anew, names=SWAP))
    nothing(await hit_at_each_write(tmp_path, scene, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digests", [NONE, BOTH])
@pytest.mark.parametrize("names", [THREE, FOUR], ids=["three", "four"])
async def test_names_that_rotate(
    names: Mapping[str, str], digests: str, kind: Kind, tmp_path: Path
) -> None:
    """Wherever a pass is hit: each name ends with its own bytes, and nothing else is left in public."""
    scene = Scene(partial(world_of, digests=digests), partial(moved, names=names))
    nothing(await hit_at_each_write(tmp_path, scene, kind))


@pytest.mark.parametrize("digests", [NONE, BOTH])
@pytest.mark.parametrize("names", [SWAP, THREE, FOUR], ids=["two", "three", "four"])
async def test_names_that_rotate_cost_no_upload(
    names: Mapping[str, str], digests: str, tmp_path: Path
) -> None:
    """Digests or the ledger prove the bytes: one quiet pass gives them their names, and sends none."""
    async with world_of(tmp_path, digests=digests) as world:
        await moved(world, names)
        world.target.reset_requests()
        report = await world.sync()
        assert report.status == "ok", texts(report)
        nothing(amiss(world))
        assert world.target.count(route="upload-asset") == 0
        nothing(await settle(world))


@pytest.mark.parametrize(
    ("digests", "kind"),
    [(NONE, "refused"), (NONE, "down"), *((BOTH, kind) for kind in KINDS)],
)
async def test_names_that_rotate_cost_no_upload_wherever_a_pass_is_hit(
    digests: str, kind: Kind, tmp_path: Path
) -> None:
    """No byte is sent again while digests, or a ledger that nothing happened to, prove what is there."""
    scene = Scene(partial(world_of, digests=digests), partial(moved, names=THREE), uploads=0)
    nothing(await hit_at_each_write(tmp_path, scene, kind))


async def shifted(world: World, names: Mapping[str, str]) -> None:
    """All is mirrored; then names move on by one, and a new asset takes the first one."""
    await moved(world, names)
    world.source.add_asset(SOURCE, TAG, "a.bin", bytes_of("a.bin", 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digests", [NONE, BOTH])
@pytest.mark.parametrize("names", [CHAIN, LONG_CHAIN], ids=["two", "three"])
async def test_names_that_move_on_by_one(
    names: Mapping[str, str], digests: str, kind: Kind, tmp_path: Path
) -> None:
    """A new asset takes the first name of a chain: wherever a pass is hit, all end as they should.

    No byte but the new one's is sent, while digests or the ledger prove what is there.
    """
    proven = digests == BOTH or kind in {"refused", "down"}
    scene = Scene(
        partial(world_of, digests=digests),
        partial(shifted, names=names),
        uploads=1 if proven else None,
    )
    nothing(await hit_at_each_write(tmp_path, scene, kind))


PATCHES = {
    "slow": Fault(kind="delay", route="update-asset", seconds=0.3),
    "slow-second": Fault(kind="delay", route="update-asset", seconds=0.3, nth=2),
    "502": Fault(kind="status", route="update-asset", status=502),
    "502-second": Fault(kind="status", route="update-asset", status=502, nth=2),
    "502-for-the-pass": Fault(kind="status", route="update-asset", status=502, times=None),
}


@pytest.mark.parametrize("digests", [NONE, BOTH])
@pytest.mark.parametrize("fault", PATCHES)
async def test_a_name_that_is_about_to_be_free_is_waited_for(
    fault: str, digests: str, tmp_path: Path
) -> None:
    """Renamed a → b, b → c and a new a: one slow or failed rename quarantines nothing, and all arrives."""
    async with world_of(tmp_path, digests=digests) as world:
        await shifted(world, CHAIN)
        world.target.faults.add(PATCHES[fault])
        reports = [await world.sync()]
        world.target.faults.clear()
        nothing(untrue(world, reports[0]))
        for _ in range(2):
            world.clock.advance(QUARTER)
            reports.append(await world.sync())
        assert [only(report).quarantined for report in reports] == [(), (), ()]
        nothing(amiss(world))
        assert not reports[-1].failed, texts(reports[-1])
        nothing(await settle(world))


async def test_a_digest_that_contradicts_the_record_is_believed(tmp_path: Path) -> None:
    """The target's digests say that two copies hold each other's bytes: what was recorded is wrong.

    The names swap at the source as well, so that only the digests tell that all is right already.
    """
    async with world_of(tmp_path, digests=AT_TARGET) as world:
        await mirrored(world, "a.bin", "b.bin")
        tamper(world.target, TARGET, TAG, "a.bin", bytes_of("b.bin"))
        tamper(world.target, TARGET, TAG, "b.bin", bytes_of("a.bin"))
        assert len(amiss(world)) == 2
        report = await world.sync(full=True)
        nothing(untrue(world, report))
        nothing(await settle(world))
    async with world_of(tmp_path / "again", digests=AT_TARGET) as world:
        await moved(world, SWAP)
        tamper(world.target, TARGET, TAG, "a.bin", bytes_of("b.bin"))
        tamper(world.target, TARGET, TAG, "b.bin", bytes_of("a.bin"))
        nothing(amiss(world))
        report = await world.sync()
        nothing(untrue(world, report))
        nothing(await settle(world))


# -- other bytes under the same name and of the same size -----------------------------------------


async def replaced(world: World) -> None:
    """All is mirrored; then one asset is replaced by another of its size."""
    await mirrored(world, "a.bin", "b.bin")
    world.source.replace_asset(SOURCE, TAG, "a.bin", bytes_of("a.bin", 1))


def replaced_again(world: World) -> None:
    world.source.replace_asset(SOURCE, TAG, "a.bin", bytes_of("a.bin", 2))


def taken_back(world: World) -> None:
    world.source.replace_asset(SOURCE, TAG, "a.bin", bytes_of("a.bin"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "afterwards",
    [None, replaced_again, taken_back],
    ids=["once", "replaced-again", "taken-back"],
)
async def test_a_replacement_of_the_same_size_that_only_the_ledger_knows(
    afterwards: Callable[[World], None] | None, kind: Kind, tmp_path: Path
) -> None:
    """No digests, one size: wherever the exchange is hit, the name ends with the newest bytes.

    Also where the source replaces them once more, or puts the first ones back, before the next pass.
    """
    scene = Scene(partial(world_of, digests=NONE), replaced, afterwards)
    nothing(await hit_at_each_write(tmp_path, scene, kind))


async def unmirrored(world: World) -> None:
    """A release that is not at the target yet."""
    world.source.add_repository(SOURCE)
    assets = {name: bytes_of(name) for name in ("a.bin", "b.bin", "c.bin")}
    world.source.add_release(SOURCE, TAG, name="One", assets=assets)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_replaced_while_its_release_was_a_draft(kind: Kind, tmp_path: Path) -> None:
    """No digests, one size: hit while a release is first put together, whose asset is then replaced.

    What the draft holds already is never published as what the source has since.
    """
    scene = Scene(partial(world_of, digests=NONE), unmirrored, replaced_again)
    nothing(await hit_at_each_write(tmp_path, scene, kind))


# -- processes that are killed, or told to stop -----------------------------------------------------


async def struck(
    world: World, *command: str, number: signal.Signals, when: Callable[[], bool]
) -> Ended:
    """Run a command, and send it a signal as soon as that is so."""
    process = Running(world.directory, world.config_file, command, world.environ, Limits())
    hit = False

    def look(*_: object) -> None:
        nonlocal hit
        if not hit and when():
            hit = True
            process.signal(number)

    world.target.on_request(look)
    world.target.on_bytes(look)
    world.target.change_listeners.append(look)
    ended = await process.ended()
    assert hit, ended.told
    for hooks in (world.target.log.request_hooks, world.target.log.bytes_hooks):
        hooks.clear()
    world.target.change_listeners.remove(look)
    return ended


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_stopped_during_a_long_upload(number: signal.Signals, tmp_path: Path) -> None:
    """The small assets of a draft have arrived, a large one has not: then a small one is replaced.

    The new one has the same size, and no host tells digests. The old bytes are never published.
    """
    async with world_of(tmp_path, digests=NONE) as world:
        world.write_config(extra='[daemon]\ndrain_timeout = "300ms"\n')
        await unmirrored(world)
        world.source.add_asset(SOURCE, TAG, "large.bin", Generated(seed=1, size=400_000))
        world.target.faults.add(
            Fault(kind="stall", route="upload-asset", match="large.bin", at_byte=1000, times=None)
        )

        def small_ones_arrived() -> bool:
            drafts = world.drafts() if TARGET in world.target.names else []
            return any(len(draft.assets) == 3 for draft in drafts)

        ended = await struck(world, "sync", number=number, when=small_ones_arrived)
        assert ended.status == (-9 if number == signal.SIGKILL else 143), ended.told
        assert world.published() == {}
        world.target.faults.clear()
        replaced_again(world)
        nothing(await settle(world))


@pytest.mark.parametrize("nth", range(1, 4))
async def test_a_swap_whose_process_is_killed(nth: int, tmp_path: Path) -> None:
    """`kill -9` at a write of a swap, without digests: the next passes give each name its bytes."""
    async with world_of(tmp_path, digests=NONE) as world:
        await moved(world, SWAP)
        world.target.reset_requests()

        def written() -> bool:
            return sum(record.method in WRITES for record in world.target.requests) >= nth

        ended = await struck(world, "sync", number=signal.SIGKILL, when=written)
        assert ended.status == -9, ended.told
        nothing(await settle(world))


# -- settings that are changed, and changed back ----------------------------------------------------

FEWER = 'on_deselect = "delete"\n'
DESELECTED = {
    "releases": FEWER + "releases.latest = 1\n",
    "assets": FEWER + 'assets.exclude = ["b.*"]\n',
}


async def four_releases(world: World) -> None:
    world.source.add_repository(SOURCE)
    for number in range(4):
        world.source.add_release(
            SOURCE,
            f"v{number}",
            date=f"2026-01-{number + 1:02}T00:00:00Z",
            assets={name: bytes_of(name, number) for name in ("a.bin", "b.bin")},
        )
    report = await world.sync()
    assert report.status == "ok", texts(report)


def original_settings(world: World) -> None:
    world.write_config(MIRROR)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", DESELECTED)
async def test_settings_that_are_changed_and_changed_back(
    settings: str, kind: Kind, tmp_path: Path
) -> None:
    """Hit while other settings delete: under the first ones all comes back, and is told till then."""

    async def prepare(world: World) -> None:
        await four_releases(world)
        world.write_config(MIRROR + DESELECTED[settings])

    scene = Scene(world_of, prepare, original_settings, detour=True)
    nothing(await hit_at_each_write(tmp_path, scene, kind))


async def test_settings_that_are_changed_back_after_a_kill(tmp_path: Path) -> None:
    """`kill -9` after the first of three deletions: the first settings bring all of it back."""
    async with world_of(tmp_path) as world:
        await four_releases(world)
        world.write_config(MIRROR + DESELECTED["releases"])

        def one_is_gone() -> bool:
            return len(world.published()) < 4

        ended = await struck(world, "sync", number=signal.SIGKILL, when=one_is_gone)
        assert ended.status == -9, ended.told
        original_settings(world)
        nothing(await settle(world))


# -- repairs --------------------------------------------------------------------------------------


async def adopted_again(world: World) -> None:
    """All was mirrored; then the ledger was lost, and the copies were found again."""
    await mirrored(world, "a.bin", "b.bin")
    shutil.rmtree(world.ledger)
    report = await world.sync()
    assert not report.failed, texts(report)


async def test_a_repair_mends_what_nothing_proves(tmp_path: Path) -> None:
    """No digests, no recorded SHA-256: a rotten copy gets the source's bytes, and they stay right."""
    async with world_of(tmp_path, digests=NONE) as world:
        await adopted_again(world)
        tamper(world.target, TARGET, TAG, "a.bin", b"x" * len(bytes_of("a.bin")))
        repaired = await verify(world, repair=True)
        assert not repaired.failed, texts(repaired)
        nothing(amiss(world))
        later = [await verify(world), await world.sync(), await verify(world, full=True)]
        assert not any(report.failed for report in later)
        assert not any("a.bin" in texts(report) for report in later)
        nothing(await settle(world))


@pytest.mark.parametrize("route", ["upload-asset", "delete-asset", "update-asset"])
@pytest.mark.parametrize("lost", [True, False], ids=["ledger-lost", "ledger-kept"])
async def test_a_repair_that_fails_does_not_make_it_good(
    route: str, lost: bool, tmp_path: Path
) -> None:
    """What a repair found rotten and could not mend is known as wrong until it is mended."""
    async with world_of(tmp_path, digests=NONE) as world:
        await (adopted_again(world) if lost else mirrored(world, "a.bin", "b.bin"))
        tamper(world.target, TARGET, TAG, "a.bin", b"x" * len(bytes_of("a.bin")))
        world.target.faults.add(Fault(kind="status", route=route, status=500, times=None))
        repaired = await verify(world, repair=True)
        assert repaired.failed
        told = await verify(world)
        assert told.failed
        assert "a.bin" in texts(told)
        assert not any("source's bytes" in text for text in only(told).warnings)
        world.clock.advance(QUARTER)
        assert (await world.sync()).failed
        world.target.faults.clear()
        nothing(await settle(world))
        assert not (await verify(world, full=True)).failed


@pytest.mark.parametrize("digests", DIGESTS)
async def test_a_first_copy_that_is_kept_outlives_a_tampered_source(
    digests: str, tmp_path: Path
) -> None:
    """With `on_change = "keep"` a repair leaves the good first copy, and tells of the source's."""
    async with world_of(tmp_path, digests=digests, settings='on_change = "keep"\n') as world:
        await mirrored(world, "a.bin", "b.bin")
        tamper(world.source, SOURCE, TAG, "a.bin", b"x" * len(bytes_of("a.bin")))
        for full in (False, True):
            repaired = await verify(world, full=full, repair=True)
            kept = world.target.asset(TARGET, TAG, "a.bin").content
            assert kept.read(0, kept.size) == bytes_of("a.bin")
            assert "a.bin" in texts(repaired)
        await world.sync(full=True)
        kept = world.target.asset(TARGET, TAG, "a.bin").content
        assert kept.read(0, kept.size) == bytes_of("a.bin")


# -- labels -----------------------------------------------------------------------------------------

LABELS = [None, "One label", "Another label"]
NAMES = {
    "plain": ("a.bin", "c.bin"),
    "to-changed": ("a.bin", "my new file.bin"),
    "from-changed": ("my old file.bin", "c.bin"),
    "both-changed": ("my old file.bin", "my new file.bin"),
}


def labels(world: World) -> dict[str, str]:
    """What people see of each asset at the target: its label, if it has one."""
    return {a.name: a.label or "" for a in world.published()[TAG].assets}


def wanted_labels(world: World) -> dict[str, str]:
    """The source's labels; where the server changes a name and there is none: the original name."""
    wanted = {}
    for asset in world.source.release(SOURCE, TAG).assets:
        name = asset.name.replace(" ", ".")
        wanted[name] = asset.label or ("" if name == asset.name else asset.name)
    return wanted


@pytest.mark.parametrize("after", LABELS)
@pytest.mark.parametrize("before", LABELS[:2])
@pytest.mark.parametrize("names", NAMES)
async def test_a_rename_brings_the_label(
    names: str, before: str | None, after: str | None, tmp_path: Path
) -> None:
    """An asset gets another name and perhaps label at the source: the copy has both after one pass."""
    old, new = NAMES[names]
    async with world_of(tmp_path) as world:
        world.source.add_repository(SOURCE)
        assets = {old: AssetSpec(bytes_of("a"), label=before), "b.bin": AssetSpec(bytes_of("b"))}
        world.source.add_release(SOURCE, TAG, assets=assets)
        await world.sync()
        assert labels(world) == wanted_labels(world)
        world.source.asset(SOURCE, TAG, old).label = after
        rename(world.source, SOURCE, TAG, {old: new})
        report = await world.sync()
        assert not report.failed, texts(report)
        nothing(amiss(world))
        assert labels(world) == wanted_labels(world)
        nothing(await settle(world))
        assert labels(world) == wanted_labels(world)


@pytest.mark.parametrize("after", LABELS)
@pytest.mark.parametrize("before", LABELS[:2])
@pytest.mark.parametrize("name", ["a.bin", "my file.bin"])
async def test_a_replacement_brings_the_label(
    name: str, before: str | None, after: str | None, tmp_path: Path
) -> None:
    """An asset gets other bytes and perhaps another label: the copy has both after one pass."""
    async with world_of(tmp_path) as world:
        world.source.add_repository(SOURCE)
        assets = {name: AssetSpec(bytes_of("a"), label=before), "b.bin": AssetSpec(bytes_of("b"))}
        world.source.add_release(SOURCE, TAG, assets=assets)
        await world.sync()
        world.source.replace_asset(SOURCE, TAG, name, bytes_of("a", 1)).label = after
        report = await world.sync()
        assert not report.failed, texts(report)
        nothing(amiss(world))
        assert labels(world) == wanted_labels(world)
        nothing(await settle(world))
        assert labels(world) == wanted_labels(world)


@pytest.mark.parametrize("names", [SWAP, THREE], ids=["two", "three"])
async def test_labels_go_with_their_bytes(names: Mapping[str, str], tmp_path: Path) -> None:
    """Assets take each other's names and keep their labels: so do the copies."""
    async with world_of(tmp_path) as world:
        world.source.add_repository(SOURCE)
        assets = {name: AssetSpec(bytes_of(name), label=f"Label of {name}") for name in names}
        world.source.add_release(SOURCE, TAG, assets=assets)
        await world.sync()
        rename(world.source, SOURCE, TAG, names)
        report = await world.sync()
        assert not report.failed, texts(report)
        nothing(amiss(world))
        assert labels(world) == wanted_labels(world)


# -- a release that is full ---------------------------------------------------------------------


async def full_release(world: World) -> None:
    """As many assets as the target takes, one of which is replaced."""
    await mirrored(world, "a.bin", "b.bin", "c.bin")
    world.source.replace_asset(SOURCE, TAG, "a.bin", b"other bytes, and fewer")


async def test_an_asset_of_a_full_release_is_replaced(tmp_path: Path) -> None:
    """Where there is no room for both, the old one goes first; that its name was missed is told."""
    told = []
    for most in (3, 5):
        async with world_of(tmp_path / str(most), most=most) as world:
            await full_release(world)
            report = await world.sync()
            assert not report.failed, texts(report)
            nothing(amiss(world))
            (entry,) = report.to_json()["repositories"]
            told.append({*entry["warnings"], *entry.get("notes", ())})
            done = [(action["action"], action["asset"]) for action in entry["actions"]]
            assert len(done) == len(set(done)), done
            nothing(await settle(world))
    assert any("a.bin" in text for text in told[0] - told[1]), told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digests", [NONE, BOTH])
async def test_a_full_release_whose_replacement_is_hit(
    digests: str, kind: Kind, tmp_path: Path
) -> None:
    """Wherever it is hit, the new bytes arrive in the next passes, and nothing calls it done before."""
    scene = Scene(partial(world_of, digests=digests, most=3), full_release)
    nothing(await hit_at_each_write(tmp_path, scene, kind))


@pytest.mark.parametrize("names", [SWAP, THREE], ids=["two", "three"])
async def test_names_that_rotate_in_a_full_release(
    names: Mapping[str, str], tmp_path: Path
) -> None:
    """Names change hands without room for one asset more."""
    async with world_of(tmp_path, most=len(names) + 1) as world:
        await moved(world, names)
        report = await world.sync()
        assert not report.failed, texts(report)
        nothing(amiss(world))
        nothing(await settle(world))
