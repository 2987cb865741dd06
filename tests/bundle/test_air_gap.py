"""From a host into a bundle, and from the bundle into a host."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.writable_directory import WritableDirectory
from mirror.bundle.writer import BundleWriter
from mirror.core.domain.release import RepoRef
from mirror.emulator import AssetSpec, Fault
from mirror.errors import BundleError
from mirror.storage.files import Files
from support.air_gap import MIRRORS, AirGap
from support.clock import MachineClock
from support.daemon import daemon, service
from support.world import only, sha256

if TYPE_CHECKING:
    from pathlib import Path

DELETES = MIRRORS + 'on_delete = "delete"\n'
CARRIED_DELETES = '[[mirrors]]\nsource = "mirrors/*"\non_delete = "delete"\n'


def seed(gap: AirGap, count: int = 3) -> None:
    gap.source.add_repository("octo/tool")
    for number in range(count):
        gap.source.add_release(
            "octo/tool",
            f"v{number}",
            name=f"Version {number}",
            body=f"Thanks, @octocat, for number {number}.\r\n\r\n* äöü 🎉",
            prerelease=number == count - 1,
            date=f"2026-01-{number + 1:02}T00:00:00Z",
            latest=number == 0,
            assets={
                "tool linux (amd64).tar.gz": AssetSpec(f"linux {number}".encode(), label="Linux"),
                "tool.exe": AssetSpec(
                    f"windows {number}".encode(), content_type="application/x-msdos"
                ),
                "LICENSE": b"the same in each",
            },
        )


async def test_a_carried_release_is_like_one_that_was_mirrored_directly(tmp_path: Path) -> None:
    """Bytes, names, labels, flags, texts, tags and latest are as with a direct sync."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        written, read = await gap.carry()
        assert (written.status, read.status) == ("ok", "ok")
        assert written.totals()["releases_created"] == read.totals()["releases_created"] == 3
        await gap.same()
        assert (await gap.seen("isolated"))["latest"] == "v0"
        again = await gap.write(), await gap.read()
        assert [report.status for report in again] == ["unchanged", "unchanged"]


@pytest.mark.usefixtures("everything_large")
async def test_large_assets_are_stored_by_other_threads(tmp_path: Path) -> None:
    """Bytes that move in the loops of other threads arrive the same on both sides."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        written, read = await gap.carry()
        assert (written.status, read.status) == ("ok", "ok")
        await gap.same()


async def test_what_changes_at_the_source_is_carried(tmp_path: Path) -> None:
    """Edits, replaced and renamed assets, deletions and another latest arrive as with a direct sync."""
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap, 4)
        await gap.carry()
        source = gap.source
        source.edit_release("octo/tool", "v1", body="Another text", name="New title")
        source.replace_asset("octo/tool", "v1", "tool.exe", b"other bytes")
        source.delete_asset("octo/tool", "v2", "LICENSE")
        source.delete_release("octo/tool", "v0")
        source.add_release("octo/tool", "v9", date="2026-03-01T00:00:00Z", assets={"new": b"new"})
        written, read = await gap.carry()
        assert (written.status, read.status) == ("ok", "ok")
        await gap.same()
        assert (await gap.seen("isolated"))["latest"] == "v9"
        assert gap.leftovers() == []


async def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    """Assets of equal bytes share one blob."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        blobs = [path.read_bytes() for path in (gap.bundle / "blobs/sha256").iterdir()]
        assert blobs.count(b"the same in each") == 1
        assert len(set(blobs)) == len(blobs)


async def test_a_pass_without_a_change_writes_nothing(tmp_path: Path) -> None:
    """An unchanged source leaves the index as it is, also when everything is compared."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        before = (gap.bundle / "index.json").read_bytes()
        await gap.write()
        assert (await gap.write(full=True)).status == "unchanged"
        assert (gap.bundle / "index.json").read_bytes() == before
        assert gap.leftovers() == []


async def test_each_index_names_the_one_before(tmp_path: Path) -> None:
    """Identity stays, the sequence counts, and the predecessor's digest is in each index."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        content, first = (gap.bundle / "index.json").read_bytes(), gap.index["annotations"]
        gap.source.add_release("octo/tool", "v9", assets={"a": b"a"})
        await gap.write()
        second = gap.index["annotations"]
        prefix = "vnd.release-mirror.bundle."
        assert first[f"{prefix}id"] == second[f"{prefix}id"]
        assert (first[f"{prefix}sequence"], second[f"{prefix}sequence"]) == ("1", "2")
        assert second[f"{prefix}predecessor"] == f"sha256:{sha256(content)}"


async def test_empty_assets_are_stored(tmp_path: Path) -> None:
    """A bundle takes what a server does not: the side that writes to a server leaves it out."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"empty": b"", "full": b"1"})
        written, read = await gap.carry()
        assert written.status == "ok"
        assert [item.kind for item in only(read).quarantined] == ["empty"]
        await gap.same()


@pytest.mark.parametrize("rejected", ["blob", "damaged"])
async def test_bytes_that_are_not_there_make_their_asset_wait(
    tmp_path: Path, rejected: str
) -> None:
    """An asset whose blob is absent or cut holds its release, by name, until the blob is there."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"aaaa", "b": b"bbbb"})
        gap.source.add_release("octo/tool", "v2", assets={"c": b"cccc"})
        await gap.write()
        blob = gap.bundle / "blobs/sha256" / sha256(b"bbbb")
        blob.unlink()
        if rejected == "damaged":
            blob.write_bytes(b"bb")
        read = await gap.read()
        (failure,) = only(read).failures
        assert (failure.release, failure.asset, failure.kind) == ("v1", "b", "not-ready")
        assert {tag for tag, draft in (await gap.seen("isolated"))["releases"] if not draft} == {
            "v2"
        }
        blob.write_bytes(b"bbbb")
        assert (await gap.read()).status == "ok"
        await gap.run("direct")
        await gap.same()


async def test_a_damaged_blob_never_becomes_an_asset(tmp_path: Path) -> None:
    """Other bytes of the same length are found while they flow; they are read but once."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"aaaa"})
        await gap.write()
        (gap.bundle / "blobs/sha256" / sha256(b"aaaa")).write_bytes(b"xxxx")
        read = await gap.read()
        (failure,) = only(read).failures
        assert (failure.asset, failure.kind, failure.hint) == ("a", "corrupt", "damaged-bytes")
        assert sha256(b"aaaa") in failure.error
        assert failure.attempts == 1
        assert read.requests["target"].retried == 0
        assert gap.isolated.releases("mirrors/tool")[0].assets == []


async def test_deletions_only_where_the_listing_was_complete(tmp_path: Path) -> None:
    """While a selected release is not in the bundle, nothing is deleted for what is absent from it."""
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap)
        await gap.carry()
        gap.source.delete_release("octo/tool", "v0")
        late = AssetSpec(b"late", state="starter")
        gap.source.add_release("octo/tool", "v9", assets={"late": late})
        await gap.write()
        await gap.read()
        assert ("v0", False) in (await gap.seen("isolated"))["releases"]
        gap.source.replace_asset("octo/tool", "v9", "late", b"late")
        await gap.write()
        await gap.read()
        assert {tag for tag, _ in (await gap.seen("isolated"))["releases"]} == {"v1", "v2", "v9"}


async def test_patterns_expand_over_what_is_in_the_bundle(tmp_path: Path) -> None:
    """A wildcard of the isolated side selects the repositories that were written."""
    mirrors = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
    async with AirGap(tmp_path, mirrors) as gap:
        for name in ("one", "two"):
            gap.source.add_repository(f"octo/{name}")
            gap.source.add_release(f"octo/{name}", "v1", assets={name: name.encode()})
        _, read = await gap.carry()
        assert {r.target for r in read.repositories} == {"mirrors/one", "mirrors/two"}
        await gap.same("mirrors/one")
        await gap.same("mirrors/two")


@pytest.mark.parametrize("owner", ["lock", "identity", "releases"])
async def test_any_owner_can_be_stored(tmp_path: Path, owner: str) -> None:
    """Names of owners do not meet those of files of the bundle."""
    mirrors = MIRRORS.replace("mirrors/tool", f"{owner}/tool")
    async with AirGap(tmp_path, mirrors) as gap:
        seed(gap, 1)
        assert (await gap.write()).status == "ok"
        assert gap.leftovers() == []


async def test_from_bundle_to_bundle(tmp_path: Path) -> None:
    """A bundle can be copied into another one, which then serves as well."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        gap.configure("connected")
        first, gap.bundle = gap.bundle, tmp_path / "second"
        text = (
            f'[target]\nbundle = "{gap.bundle}"\n[sources.first]\nbundle = "{first}"\n'
            f'[[mirrors]]\nsource = "mirrors/*"\n[ledger]\ndirectory = "{tmp_path / "copy"}"\n'
        )
        gap.configure = lambda side, make=gap.configure: (  # type: ignore[method-assign,misc]
            make(side) if side != "copy" else _written(tmp_path / "copy.toml", text)
        )
        assert (await gap.run("copy")).status == "ok"
        assert (await gap.read()).status == "ok"
        await gap.run("direct")
        await gap.same()


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_two_writers_exclude_each_other(tmp_path: Path) -> None:
    """While one process writes to a bundle, another one fails, and names it."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        lock = gap.bundle / "staging/lock"
        holder = await asyncio.create_subprocess_exec(
            "flock", str(lock), "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"held\n")
        assert await holder.stdout.readline() == b"held\n"
        gap.source.add_release("octo/tool", "v9", assets={"a": b"a"})
        before = (gap.bundle / "index.json").read_bytes()
        failed = await gap.write()
        assert "another process writes to the bundle" in only(failed).failures[0].error
        holder.stdin.close()
        await holder.wait()
        assert (gap.bundle / "index.json").read_bytes() == before
        assert (await gap.write()).status == "ok"


async def test_a_damaged_blob_of_the_target_is_repaired(tmp_path: Path) -> None:
    """`verify --full` finds it in the bundle, and `--repair` stores the right bytes again."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        blob = gap.bundle / "blobs/sha256" / sha256(b"windows 1")
        blob.write_bytes(b"WINDOWS 1")
        found = only(await gap.run("connected", "verify", full=True))
        assert found.verified is not None
        (difference,) = found.verified.differences
        assert (difference.release, difference.asset, difference.kind) == (
            "v1",
            "tool.exe",
            "differing",
        )
        repaired = only(await gap.run("connected", "verify", full=True, repair=True))
        assert repaired.status == "ok"
        assert blob.read_bytes() == b"windows 1"
        await gap.read()
        await gap.run("direct")
        await gap.same()


def damage(blob: Path, how: str) -> None:
    """Make a blob absent, shorter, longer, or a link to its bytes."""
    content = blob.read_bytes()
    blob.unlink()
    if how == "link":
        blob.with_name("elsewhere").write_bytes(content)
        blob.symlink_to("elsewhere")
    elif how != "absent":
        blob.write_bytes(content[:-1] if how == "short" else content + b"!")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("how", ["absent", "short", "long", "link"])
async def test_a_blob_of_the_target_that_is_not_whole_is_stored_again(
    tmp_path: Path, how: str, *, full: bool
) -> None:
    """`verify` tells it for each asset that needs it, and `--repair` stores it; no digest is needed."""
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap)
        await gap.carry()
        blob = gap.bundle / "blobs/sha256" / sha256(b"the same in each")
        damage(blob, how)
        found = only(await gap.run("connected", "verify", full=full))
        assert found.status == "failed"
        assert found.failures == ()
        assert found.verified is not None
        differences = [(d.release, d.asset, d.kind) for d in found.verified.differences]
        assert differences == [(f"v{n}", "LICENSE", "differing") for n in range(3)]
        repaired = only(await gap.run("connected", "verify", full=full, repair=True))
        assert repaired.status == "ok"
        assert not blob.is_symlink()
        assert blob.read_bytes() == b"the same in each"
        again = await gap.write(), await gap.write(full=True)
        assert {action.action for report in again for action in only(report).actions} == set()
        assert [a.action for a in only(await gap.read()).actions] == []
        await gap.same()
        assert gap.leftovers() == []


@pytest.mark.parametrize("content", [b"windows 1", b""])
@pytest.mark.parametrize("how", ["absent", "long"])
async def test_an_audit_stores_what_is_not_whole(tmp_path: Path, how: str, content: bytes) -> None:
    """`sync --full` looks at each blob of the target and replaces what lacks one, at once whole.

    A pass between two audits does not look. Nobody on the other side misses an asset meanwhile.
    """
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap)
        gap.source.replace_asset("octo/tool", "v1", "tool.exe", content)
        await gap.carry()
        blob = gap.bundle / "blobs/sha256" / sha256(content)
        damage(blob, how)
        assert (await gap.write()).status == "unchanged"
        planned = only(await gap.run("connected", "plan", full=True))
        written = only(await gap.write(full=True))
        for report in planned, written:
            changes = [(a.action, a.release, a.asset) for a in report.actions]
            assert changes == [("replace-asset", "v1", "tool.exe")]
        assert written.status == "ok"
        assert blob.read_bytes() == content
        assert (await gap.write(full=True)).status == "unchanged"
        assert [a.action for a in only(await gap.read()).actions] == []
        await gap.same()


@pytest.mark.parametrize("how", ["absent", "short"])
async def test_a_blob_that_is_lost_with_the_ledger_is_stored_again(
    tmp_path: Path, how: str
) -> None:
    """The bundle says what each of its assets is: no ledger is needed to replace what it lost.

    What the source no longer has stays as it is.
    """
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap)
        await gap.carry()
        gap.source.delete_asset("octo/tool", "v2", "LICENSE")
        for content in (b"windows 1", b"windows 2"):
            damage(gap.bundle / "blobs/sha256" / sha256(content), how)
        gap.source.delete_asset("octo/tool", "v2", "tool.exe")
        shutil.rmtree(tmp_path / "connected")
        written = only(await gap.write())
        assert (written.failures, written.quarantined) == ((), ())
        changes = [(a.action, a.release, a.asset) for a in written.actions]
        assert changes == [("replace-asset", "v1", "tool.exe")]
        assert (gap.bundle / "blobs/sha256" / sha256(b"windows 1")).read_bytes() == b"windows 1"
        assert (await gap.write(full=True)).status == "unchanged"


async def test_a_blob_of_the_target_that_vanishes_while_it_is_verified(tmp_path: Path) -> None:
    """The advice is to bring it from its source again, not to unpack something."""
    async with AirGap(tmp_path) as gap:
        seed(gap, 1)
        await gap.write()
        directory = WritableDirectory(gap.bundle, Files(), gap.clock)
        store = BundleWriter("target", directory, gap.clock)
        (release,) = (await store.list_releases(RepoRef.parse("mirrors/tool"))).releases
        asset = next(asset for asset in release.assets if asset.name == "LICENSE")
        (gap.bundle / "blobs/sha256" / sha256(b"the same in each")).unlink()
        with pytest.raises(BundleError, match="has lost the bytes of LICENSE") as raised:
            async with store.read_asset(RepoRef.parse("mirrors/tool"), asset).open(0):
                pass
        assert (raised.value.kind, raised.value.hint) == ("corrupt", "lost-bytes")


async def test_what_cannot_be_stored_again_stays_known(tmp_path: Path) -> None:
    """While the source cannot send a lost blob, the pass fails, and the release keeps its asset."""
    async with AirGap(tmp_path, DELETES, CARRIED_DELETES) as gap:
        seed(gap)
        await gap.carry()
        index = (gap.bundle / "index.json").read_bytes()
        (gap.bundle / "blobs/sha256" / sha256(b"windows 1")).unlink()
        gap.source.faults.add(
            Fault(kind="status", route="storage-download", match="tool.exe", status=404, times=None)
        )
        written = only(await gap.write(full=True))
        assert [f.asset for f in written.failures] == ["tool.exe"]
        assert (gap.bundle / "index.json").read_bytes() == index
        assert [a.action for a in only(await gap.read()).actions] == []


async def test_source_archives_are_assets_of_the_bundle(tmp_path: Path) -> None:
    """The archives that the connected side attaches arrive like any asset; the other side makes none."""
    async with AirGap(tmp_path, MIRRORS + "assets.source_archives = true\n") as gap:
        seed(gap, 1)
        await gap.carry()
        isolated, compared = await gap.seen("isolated"), await gap.seen("compared")
        names = set(isolated["releases"]["v0", False]["assets"])
        assert names == set(compared["releases"]["v0", False]["assets"])
        assert {"tool-v0.tar.gz", "tool-v0.zip"} < names
        assert (await gap.write(full=True)).status == "unchanged"
        gap.carried = CARRIED_DELETES + "assets.source_archives = true\n"
        wanted = only(await gap.read())
        assert wanted.failures == ()
        assert wanted.quarantined == ()


async def test_no_history_is_pushed_from_a_bundle_without_any(tmp_path: Path) -> None:
    """`tags = "push"` on the isolated side is refused by name; nothing is published without its tag."""
    async with AirGap(
        tmp_path, carried='[[mirrors]]\nsource = "mirrors/*"\ntags = "push"\n'
    ) as gap:
        seed(gap, 1)
        await gap.write()
        (failure,) = only(await gap.read()).failures
        assert (failure.kind, failure.hint) == ("policy", "no-history")
        assert not gap.isolated.names


async def test_tags_have_no_meaning_where_a_bundle_is_written(tmp_path: Path) -> None:
    """Texts, visibility and tags of the settings take effect where a server is written to."""
    settings = 'body.footer = "Mirrored"\ntags = "require"\ncreate_repository = false\n'
    async with AirGap(tmp_path, MIRRORS + settings) as gap:
        seed(gap, 1)
        assert (await gap.write()).status == "ok"
        assert (await gap.read()).status == "ok"
        (release,) = gap.isolated.releases("mirrors/tool")
        assert "Mirrored" not in (release.body or "")


@pytest.mark.parametrize("side", ["connected", "isolated"])
async def test_a_newer_bundle_is_refused(tmp_path: Path, side: str) -> None:
    """Neither side touches a bundle that a later version wrote; the failure says what to do."""
    async with AirGap(tmp_path) as gap:
        seed(gap, 1)
        await gap.write()
        index = gap.bundle / "index.json"
        newer = index.read_bytes().replace(b'format":"1"', b'format":"9"')
        index.write_bytes(newer)
        (failure,) = only(await gap.run(side, full=True)).failures
        assert "format 9, this one knows 1" in failure.error
        assert index.read_bytes() == newer


async def test_a_bundle_that_cannot_be_made(tmp_path: Path) -> None:
    """A path that is no directory fails each pass in one sentence, and is left alone."""
    async with AirGap(tmp_path) as gap:
        seed(gap, 1)
        gap.bundle.write_text("a file")
        for _ in range(2):
            failures = only(await gap.write(full=True)).failures
            assert {failure.kind for failure in failures} == {"disk"}
        assert gap.bundle.read_text() == "a file"


async def test_a_running_daemon_notices_a_new_index(tmp_path: Path) -> None:
    """Volumes may be unpacked beside it; what they brought is mirrored at its next interval."""
    async with AirGap(tmp_path) as gap:
        gap.clock, gap.brought = MachineClock(), tmp_path / "brought"
        gap.carried += service("1s")
        seed(gap, count=1)
        await gap.write()
        await gap.deliver()
        async with daemon(gap) as running:
            await running.event("release.published", release="v0")
            gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})
            await gap.write()
            assert (await gap.deliver(since_receipt=True))[1].complete
            await running.event("release.published", release="v1")
            running.signal(signal.SIGTERM)
            assert await running.stopped() == 0
        await gap.run("direct")
        await gap.same()


async def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    """`plan` shows what would be stored, and makes no directory."""
    async with AirGap(tmp_path) as gap:
        seed(gap, 2)
        planned = only(await gap.run("connected", "plan"))
        assert len(planned.actions) == 10
        assert planned.estimated_requests == {"github": 6, "target": 0}
        assert not gap.bundle.exists()


@pytest.mark.parametrize("kind", ["mirrors/tool:v1", "mirrors/tool"])
async def test_damaged_documents_of_the_target_are_made_again(tmp_path: Path, kind: str) -> None:
    """The next audit stores a release, or the repository, again whose documents are damaged."""
    async with AirGap(tmp_path) as gap:
        seed(gap)
        await gap.write()
        names = {
            entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
            for entry in gap.index["manifests"]
        }
        (gap.bundle / "blobs" / names[kind].replace(":", "/")).write_bytes(b"{}")
        written = await gap.write(full=True)
        assert only(written).failures == ()
        assert (await gap.write(full=True)).status == "unchanged"
        await gap.read()
        await gap.run("direct")
        await gap.same()
