"""A verification finds what differs, by digest or by reading, and mends it when it is asked to."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.core.reporting.report import Observers
from mirror.emulator import Fault, Generated, GitHubState
from mirror.emulator.model.content import MemoryContent
from mirror.errors import LedgerLocked
from mirror.storage.json_ledger import FileLedgerStore
from support.world import World, only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mirror.core.reporting.report import Observer, Report

TARGET = "mirrors/tool"


async def verify(
    world: World,
    *,
    full: bool = False,
    repair: bool = False,
    observer: Observer | None = None,
    stop_at: int = 0,
) -> Report:
    """Verify as a user's next command does; ``stop_at`` asks to stop at the n-th download."""
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock, observer=observer) as app:
        if stop_at:
            seen = 0

            def count(record: Any) -> None:
                nonlocal seen
                seen += record.route == "download-asset"
                if seen == stop_at:
                    app.stop.request()

            world.target.on_request(count)
        return await app.verify(full=full, repair=repair)


def differences(report: Report) -> list[tuple[str, str | None, str]]:
    return [(d.release, d.asset, d.kind) for repo in report.repositories for d in repo.differences]


def flip(state: GitHubState, repository: str, tag: str, name: str, at: int = 0) -> None:
    """One bit of an asset turns over; its digest, where the host tells one, stays what it was."""
    asset = state.asset(repository, tag, name)
    data = bytearray(asset.content.read(0, asset.size))
    data[at] ^= 1
    asset.content = MemoryContent(bytes(data), asset.sha256)


def content(state: GitHubState, repository: str, tag: str, name: str) -> bytes:
    asset = state.asset(repository, tag, name)
    return asset.content.read(0, asset.size)


def reset(world: World) -> None:
    world.source.reset_requests()
    world.target.reset_requests()


def writes(world: World) -> list[str]:
    """Requests that could change something, at either host."""
    hosts = (world.source, world.target)
    return [f"{r.method} {r.path}" for h in hosts for r in h.requests if r.method != "GET"]


def files(directory: Path) -> dict[str, str]:
    found = (p for p in directory.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


class Watcher(Observers):
    """Counts the bytes that are announced, and what is read at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.planned = self.now = self.most = self.good = 0

    def bytes_planned(self, source: str, count: int) -> None:
        del source
        self.planned += count

    def transfer_started(self, *about: object) -> None:
        del about
        self.now += 1
        self.most = max(self.most, self.now)

    def transfer_finished(self, number: int, *, good: bool) -> None:
        del number
        self.now -= 1
        self.good += good


def seed(world: World) -> None:
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets={"a.zip": "bytes of a", "b.txt": "bytes"})
    world.source.add_release("octo/tool", "v2", assets={"big.bin": Generated(seed=3, size=300_000)})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Both hosts give digests; all is mirrored."""
    async with World(tmp_path) as made:
        seed(made)
        assert (await made.sync()).status == "ok"
        reset(made)
        yield made


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[World]:
    """A target that gives no digests; all is mirrored."""
    async with World(tmp_path, target=GitHubState(version="3.12")) as made:
        seed(made)
        assert (await made.sync()).status == "ok"
        reset(made)
        yield made


async def test_digests_that_agree_are_enough(world: World) -> None:
    """Where both hosts give a digest that is the recorded one, no byte is read, nothing is written."""
    before = files(world.directory)
    report = await verify(world)
    assert report.status == "ok"
    assert report.to_json()["repositories"][0]["differences"] == []
    assert report.totals()["assets_compared"] == 3
    assert report.totals()["assets_read"] == 0
    assert world.source.count(route="download-asset") == 0
    assert writes(world) == []
    assert files(world.directory) == before


async def test_without_digests_both_sides_are_read(old: World) -> None:
    """Each byte of both sides is read once, and told to whoever watches; nothing is written."""
    before = files(old.directory)

    watcher = Watcher()
    report = await verify(old, observer=watcher)
    assert report.status == "ok"
    totals = report.totals()
    size = 2 * (300_000 + 10 + 5)
    assert (totals["assets_read"], totals["bytes_read"]) == (3, size)
    assert watcher.planned == size
    assert (watcher.good, watcher.most) == (3, 3)
    assert writes(old) == []
    assert files(old.directory) == before


async def test_one_flipped_bit_in_a_thousand_assets(tmp_path: Path) -> None:
    """It is found on a host without digests, named, and mended; the name is there at every moment."""
    names = [f"part-{number:04}.bin" for number in range(1000)]
    source = GitHubState(kind="github", direct_download=True)
    target = GitHubState(version="3.12", direct_download=True)
    async with World(tmp_path, source=source, target=target) as world:
        world.source.add_repository("octo/tool")
        assets = {name: f"content of {name}" for name in names}
        world.source.add_release("octo/tool", "v1", assets=assets)
        assert (await world.sync()).status == "ok"
        flip(world.target, TARGET, "v1", "part-0617.bin", at=5)
        world.expect()

        world.target.reset_requests()
        mended = await verify(world, repair=True)
        assert mended.status == "ok", mended.to_json()
        assert differences(mended) == []
        assert mended.totals()["assets_read"] == 1000
        assert any("the target's bytes" in text for text in only(mended).warnings)
        (action,) = only(mended).actions
        assert (action.action, action.asset, action.status) == (
            "replace-asset",
            "part-0617.bin",
            "done",
        )
        assert world.target.count(method="POST", status=201) == 1
        assert content(world.target, TARGET, "v1", "part-0617.bin") == b"content of part-0617.bin"
        assert world.same() == []


async def test_full_believes_no_digest(world: World) -> None:
    """A digest field that lies hides a flipped bit from all but `--full`, which mends it as well."""
    flip(world.target, TARGET, "v2", "big.bin", at=299_999)
    assert (await verify(world)).status == "ok"
    assert differences(await verify(world, full=True)) == [("v2", "big.bin", "differing")]
    report = await verify(world, full=True, repair=True)
    assert report.status == "ok", report.to_json()
    assert world.same() == []
    assert content(world.target, TARGET, "v2", "big.bin") == content(
        world.source, "octo/tool", "v2", "big.bin"
    )
    assert (await verify(world, full=True)).status == "ok"
    assert (await world.sync(full=True)).status in {"ok", "unchanged"}
    assert world.same() == []


async def test_a_digest_that_the_host_tells(world: World) -> None:
    """Other bytes of the same size under the target's own digest are found without reading."""
    asset = world.target.asset(TARGET, "v1", "b.txt")
    asset.content = MemoryContent(b"BYTES")
    world.target.changed(world.target.repository(TARGET), world.target.release(TARGET, "v1"))
    report = await verify(world)
    assert differences(report) == [("v1", "b.txt", "differing")]
    assert report.totals()["assets_read"] == 0
    assert (await verify(world, repair=True)).status == "ok"
    assert world.same() == []


async def test_missing(world: World) -> None:
    """An asset, and a whole release, that the target lost: each asset is named; both are brought."""
    world.target.delete_asset(TARGET, "v1", "a.zip")
    world.target.delete_release(TARGET, "v2", delete_tag=True)
    found = await verify(world)
    assert differences(found) == [("v1", "a.zip", "missing"), ("v2", "big.bin", "missing")]
    assert writes(world) == []
    mended = await verify(world, repair=True)
    assert mended.status == "ok", mended.to_json()
    assert world.same() == []


async def test_an_upload_that_broke_is_missing(world: World) -> None:
    """What is not complete at the target is no copy."""
    world.target.asset(TARGET, "v1", "a.zip").state = "starter"
    world.target.release(TARGET, "v1").json = None
    world.target.changed(world.target.repository(TARGET))
    assert differences(await verify(world)) == [("v1", "a.zip", "missing")]
    assert (await verify(world, repair=True)).status == "ok"
    assert world.same() == []


async def test_extra(world: World) -> None:
    """What the settings delete is named until a pass has deleted it, and never removed here."""
    world.write_config(world.mirrors + 'on_delete = "delete"\n')
    world.source.delete_asset("octo/tool", "v1", "b.txt")
    world.source.delete_release("octo/tool", "v2")
    expected = [("v1", "b.txt", "extra"), ("v2", "big.bin", "extra")]
    assert differences(await verify(world)) == [("v1", None, "flags"), *expected]
    repaired = await verify(world, repair=True)  # v1 is the latest now
    assert differences(repaired) == expected
    assert repaired.failed
    assert not [text for text in writes(world) if text.startswith("DELETE")]


async def test_what_the_settings_keep_is_a_note(world: World) -> None:
    """Deleted at the source or no longer selected, and kept: no difference, for ever."""
    world.source.delete_asset("octo/tool", "v1", "b.txt")
    world.source.add_release("octo/tool", "v3", assets={"c.zip": "bytes of c"})
    world.write_config(world.mirrors + "releases.latest = 2\n")
    await world.sync()
    world.source.delete_release("octo/tool", "v2")
    reset(world)
    report = await verify(world)
    assert report.status == "ok", report.to_json()
    assert only(report).to_json()["notes"] == [
        'no longer at the source, and kept (on_delete = "keep"): v2 big.bin, v1 b.txt'
    ]
    world.write_config(world.mirrors.replace("= 2", "= 1"))
    report = await verify(world)
    assert report.status == "ok", report.to_json()
    assert (
        only(report).notes[1]
        == 'no longer selected, and kept (on_deselect = "keep"): v1 a.zip, v1 b.txt'
    )


async def test_deselected_is_extra(world: World) -> None:
    """With `on_deselect = "delete"` what a filter leaves out since, and this mirror made, is extra."""
    world.write_config(world.mirrors + 'assets.exclude = ["*.txt"]\non_deselect = "delete"\n')
    assert differences(await verify(world)) == [("v1", "b.txt", "extra")]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"body": "Edited at the target"}, "text"),
        ({"name": "Another title"}, "text"),
        ({"prerelease": True}, "flags"),
    ],
)
async def test_a_text_or_flag_that_was_changed_at_the_target(
    world: World, change: dict[str, Any], kind: str
) -> None:
    """It is a difference of the release itself, and a repair mends it without moving a byte."""
    release = world.target.release(TARGET, "v1")
    for field, value in change.items():
        setattr(release, field, value)
    world.target.changed(world.target.repository(TARGET), release)
    assert differences(await verify(world)) == [("v1", None, kind)]
    assert writes(world) == []
    mended = await verify(world, repair=True)
    assert mended.status == "ok", mended.to_json()
    assert [(a.action, a.release) for a in only(mended).actions] == [("update-release", "v1")]
    assert world.same() == []
    assert differences(await verify(world)) == []


async def test_another_release_is_called_the_latest(world: World) -> None:
    """The latest badge is a flag."""
    world.target.repository(TARGET).latest_id = world.target.release(TARGET, "v1").id
    world.target.changed(world.target.repository(TARGET))
    assert differences(await verify(world)) == [("v2", None, "flags")]
    assert (await verify(world, repair=True)).status == "ok"
    assert world.latest() == "v2"


async def test_a_release_that_nobody_sees_is_missing(world: World) -> None:
    """A copy that became a draft is missing, and so is a release without assets; both come back."""
    world.source.add_release("octo/tool", "v3")
    world.target.release(TARGET, "v1").draft = True
    world.target.changed(world.target.repository(TARGET), world.target.release(TARGET, "v1"))
    found = differences(await verify(world))
    assert ("v3", None, "missing") in found
    assert {("v1", "a.zip", "missing"), ("v1", "b.txt", "missing")} <= set(found)
    mended = await verify(world, repair=True)
    assert differences(mended) == [], mended.to_json()
    assert {"v1", "v2", "v3"} <= set(world.published())


async def test_a_release_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    """Their text and their assets are notes with `complete` and `skip`, the text not with `adopt`."""
    async with World(tmp_path) as world:
        seed(world)
        world.target.add_repository(TARGET)
        assets = {"a.zip": "THEIR BYTES OF A"}
        world.target.add_release(TARGET, "v1", assets=assets, body="Theirs")
        world.write_config(world.mirrors + 'releases.include = ["v1"]\n')
        await world.sync()
        kept = await verify(world)
        assert kept.status == "ok", kept.to_json()
        (note,) = only(kept).notes
        assert note.endswith('(existing = "complete"): v1, v1 a.zip')
        world.write_config(world.mirrors + 'existing = "skip"\n')
        skipped = await verify(world)
        assert skipped.status == "ok"
        assert only(skipped).notes[0].endswith('(existing = "skip"): v1')
        world.write_config(world.mirrors.replace("skip", "adopt"))
        assert differences(await verify(world)) == [("v1", None, "text")]
        await verify(world, repair=True)
        assert differences(await verify(world)) == []
        assert content(world.target, TARGET, "v1", "a.zip") == b"THEIR BYTES OF A"


async def test_names_are_compared_and_not_records(world: World) -> None:
    """Two copies that swapped names differ, whatever the ledger records of their ids."""
    one, other = (world.target.asset(TARGET, "v1", name) for name in ("a.zip", "b.txt"))
    one.name, other.name = other.name, one.name
    world.target.release(TARGET, "v1").json = None
    world.target.changed(world.target.repository(TARGET))
    assert differences(await verify(world)) == [
        ("v1", "a.zip", "differing"),
        ("v1", "b.txt", "differing"),
    ]
    mended = await verify(world, repair=True)
    assert mended.status == "ok", mended.to_json()
    assert world.same() == []


async def test_an_archived_target_can_be_verified(world: World) -> None:
    """That nothing can be written there matters only where something differs."""
    world.target.repository(TARGET).archived = True
    assert (await verify(world)).status == "ok"
    world.source.add_asset("octo/tool", "v1", "new.bin", "new")
    report = await verify(world)
    assert differences(report) == [("v1", "new.bin", "missing")]
    assert [failure.kind for failure in only(report).failures] == ["archived"]


async def test_a_known_reason_is_told_once(world: World) -> None:
    """An empty asset is a failure with its reason, and not a second time as missing."""
    world.source.add_asset("octo/tool", "v1", "empty.txt", "")
    report = await verify(world)
    assert differences(report) == []
    assert [failure.kind for failure in only(report).failures] == ["empty"]


async def test_a_repair_that_is_cancelled_reports_what_it_did(old: World) -> None:
    """Each action that was carried out is in the report of the cancelled command."""
    for number in range(4):
        old.source.add_asset("octo/tool", "v1", f"more-{number}.bin", f"{number}" * 100)
    old.write_config(extra="[sync]\ntransfers_per_release = 1\n")
    config = load_config(old.config_file, old.environ)
    renames = 0
    async with open_app(config, resolve_secrets(config, old.environ), clock=old.clock) as app:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(app.verify(repair=True))

            def count(record: Any) -> None:
                nonlocal renames
                renames += record.route == "update-asset"
                if renames == 1:
                    running.cancel()

            old.target.on_request(count)
        report = app.report()
    assert report is not None
    done = [a.asset for a in only(report).actions if a.status == "done"]
    there = {asset.name for asset in old.target.release(TARGET, "v1").assets}
    assert done
    assert all(any(name.endswith(asset) for name in there) for asset in done if asset)
    assert report.status == "interrupted"
    assert ("v1", "more-3.bin", "missing") in differences(report)


LIES = {
    "a login page": Fault(kind="html", route="storage-download", times=None),
    "a login page of the API": Fault(kind="html", route="download-asset", times=None),
    "bodies cut short": Fault(
        kind="truncate", route="storage-download", at_byte=0, keep_length=False, times=None
    ),
    "other lengths": Fault(kind="wrong-length", route="storage-download", at_byte=7, times=None),
    "redirects without an end": Fault(
        kind="redirect", route="storage-download", location="{path}?{query}", times=None
    ),
    "broken JSON": Fault(kind="broken-json", route="list-releases", times=None),
    "types that no API has": Fault(kind="wrong-types", route="get-repository", times=None),
    "the repository of somebody else": Fault(
        kind="redirect", route="list-releases", location="https://login.example/{n}", times=None
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_target_that_lies(tmp_path: Path, lie: str) -> None:
    """It costs a bounded number of requests, is one failure, and nothing is sent again for it."""
    async with World(tmp_path, target=GitHubState(version="3.12")) as world:
        seed(world)
        for number in range(20):
            world.source.add_asset("octo/tool", "v1", f"part-{number}.bin", f"the bytes {number}")
        await world.sync()
        reset(world)
        world.target.faults.add(LIES[lie])
        report = await verify(world, repair=True)
        assert report.failed
        assert len(only(report).failures) == 1, report.to_json()
        assert differences(report) == []
        assert writes(world) == []
        assert len(world.target.requests) < 150


async def test_what_others_added_is_theirs(world: World) -> None:
    """Assets and releases of others are neither extra nor compared; labels are no bytes."""
    world.target.add_asset(TARGET, "v1", "theirs.txt", "x")
    world.target.add_release(TARGET, "v0", assets={"old.txt": "x"})
    world.target.asset(TARGET, "v1", "a.zip").label = "Another label"
    world.target.release(TARGET, "v1").json = None
    world.target.changed(world.target.repository(TARGET))
    report = await verify(world, full=True)
    assert report.status == "ok"
    assert report.totals()["assets_compared"] == 3


async def test_a_source_that_changed(world: World) -> None:
    """Bytes that the source replaced differ; a repair follows them."""
    world.source.replace_asset("octo/tool", "v1", "a.zip", "BYTES OF A")
    assert differences(await verify(world)) == [("v1", "a.zip", "differing")]
    assert (await verify(world, repair=True)).status == "ok"
    assert world.same() == []


async def test_a_first_copy_that_is_kept_on_purpose(world: World) -> None:
    """With `on_change = "keep"` a replaced source is no difference; damage of the copy is."""
    world.source.replace_asset("octo/tool", "v1", "a.zip", "BYTES OF A")
    world.write_config(world.mirrors + 'on_change = "keep"\n')
    assert (await verify(world, full=True)).status == "ok"
    flip(world.target, TARGET, "v1", "a.zip")
    report = await verify(world, full=True, repair=True)
    assert differences(report) == [("v1", "a.zip", "differing")]
    assert only(report).actions == ()


async def test_archives_are_held_against_what_was_recorded(world: World) -> None:
    """A source makes other bytes of an archive each time: only the copy itself can be damaged."""
    world.write_config(world.mirrors + "assets.source_archives = true\n")
    assert (await world.sync()).status == "ok"
    reset(world)
    report = await verify(world, full=True)
    assert report.status == "ok"
    assert report.totals()["assets_compared"] == 7
    assert world.source.count(route="download-asset") == 3
    flip(world.target, TARGET, "v1", "tool-v1.tar.gz")
    report = await verify(world, full=True)
    assert differences(report) == [("v1", "tool-v1.tar.gz", "differing")]
    assert writes(world) == []
    assert (await verify(world, full=True, repair=True)).status == "ok"
    assert (await verify(world, full=True)).status == "ok"


async def test_without_a_ledger(old: World) -> None:
    """What is recorded is a witness, not a condition: damage is found without it."""
    for file in old.ledger.rglob("*.json"):
        file.unlink()
    assert (await verify(old)).status == "ok"
    flip(old.target, TARGET, "v1", "a.zip")
    assert differences(await verify(old)) == [("v1", "a.zip", "differing")]


async def test_a_source_asset_that_is_gone_while_it_is_read(old: World) -> None:
    """It is a failure of that asset; the others are compared."""
    old.source.faults.add(
        Fault(
            kind="status",
            status=404,
            route="download-asset",
            match=str(old.source.asset("octo/tool", "v1", "a.zip").id),
            times=None,
        )
    )
    report = await verify(old)
    (failure,) = only(report).failures
    assert (failure.action, failure.asset, failure.status_code) == ("verify-asset", "a.zip", 404)
    assert report.failed
    assert differences(report) == []
    assert report.totals()["assets_compared"] == 2


async def test_a_source_that_breaks_its_own_promise(world: World) -> None:
    """Bytes that are not what the source's digest says are its failure, and are never uploaded."""
    flip(world.source, "octo/tool", "v1", "a.zip")
    report = await verify(world, full=True, repair=True)
    (failure,) = only(report).failures
    assert failure.asset == "a.zip"
    assert not [text for text in writes(world) if "/assets" in text]
    assert content(world.target, TARGET, "v1", "a.zip") == b"bytes of a"


async def test_a_copy_that_is_cut_short(old: World) -> None:
    """A copy that its host gives fewer bytes of than it says differs, and is mended."""
    asset = old.target.asset(TARGET, "v2", "big.bin")
    old.target.faults.add(
        Fault(
            kind="truncate",
            route="storage-download",
            match=f"/{asset.id}?",
            at_byte=1000,
            times=None,
            keep_length=False,
        )
    )
    assert differences(await verify(old)) == [("v2", "big.bin", "differing")]
    report = await verify(old, repair=True)
    assert report.status == "ok", report.to_json()
    assert old.same() == []


async def test_a_connection_that_breaks_is_resumed(old: World) -> None:
    """A broken download is no difference: it goes on where it broke."""
    for state in (old.source, old.target):
        state.faults.add(Fault(kind="reset-midway", route="storage-download", at_byte=1000))
    report = await verify(old)
    assert report.status == "ok", report.to_json()


async def test_only_a_repair_takes_the_lock(world: World) -> None:
    """Another run may be at work while it is compared, and must not while it is mended."""
    store = FileLedgerStore(world.ledger, world.clock)
    async with store.lock(0):
        assert (await verify(world)).status == "ok"
        with pytest.raises(LedgerLocked):
            await verify(world, repair=True)


async def test_asked_to_stop(old: World) -> None:
    """Nothing new is begun, nothing is mended, and what was found is told as interrupted."""
    flip(old.target, TARGET, "v2", "big.bin")
    old.write_config(extra="[sync]\ntransfers = 1\n")
    report = await verify(old, repair=True, stop_at=1)
    assert report.status == "interrupted"
    assert report.interrupted
    assert differences(report) == [("v2", "big.bin", "differing")]
    assert writes(old) == []


async def test_a_host_that_is_gone_is_told_once(world: World) -> None:
    """A refused token is one failure of the mirror, with the field that reports always have."""
    world.source.revoke_token("source-token-of-the-test")
    report = await verify(world)
    assert report.failed
    assert report.to_json()["repositories"][0]["differences"] == []


async def test_memory_is_bounded_by_slots(old: World) -> None:
    """No more assets are read at the same time than there are slots."""
    for number in range(12):
        old.source.add_asset("octo/tool", "v1", f"more-{number}.bin", f"{number}" * 100)
    await old.sync()
    old.write_config(extra="[sync]\ntransfers = 2\n")
    watcher = Watcher()
    assert (await verify(old, observer=watcher)).status == "ok"
    assert (watcher.most, watcher.now, watcher.good) == (2, 0, 15)


async def test_a_repeated_read_of_a_verification_is_counted(tmp_path: Path) -> None:
    """Bytes that are read back are resumed where the connection broke."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": b"0123456789" * 5000})
        await world.sync()
        world.target.faults.add(
            Fault(kind="reset-midway", route="storage-download", at_byte=30_000)
        )
        report = await verify(world, full=True)
        assert report.status == "ok"
        assert report.requests["target"].retried == 1
