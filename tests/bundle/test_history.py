"""`tags = "push"` over an air gap: tags with their true history, in git bundles."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from support.air_gap import MIRRORS, AirGap
from support.world import only

if TYPE_CHECKING:
    from pathlib import Path

PUSH = MIRRORS + 'tags = "push"\n'
CARRIED = '[[mirrors]]\nsource = "mirrors/*"\ntags = "push"\n'


def seed(gap: AirGap) -> None:
    gap.source.add_repository("octo/tool")
    for number, tag in enumerate(("v1", "v2", "v3"), 1):
        date = f"2026-01-0{number}T00:00:00Z"
        gap.source.add_release(
            "octo/tool", tag, date=date, annotated=number == 2, assets={"a": b"a"}
        )
    gap.source.move_tag("octo/tool", "no-release")


def tags(gap: AirGap, name: str, repo: str) -> dict[str, str]:
    refs = getattr(gap, name).repository(repo).refs
    return {ref: sha for ref, sha in refs.items() if ref.startswith("refs/tags/")}


def git_bundles(gap: AirGap) -> list[Path]:
    """The layers of the repository, in order."""
    (entry,) = (
        entry
        for entry in gap.index["manifests"]
        if entry["annotations"]["org.opencontainers.image.ref.name"] == "mirrors/tool"
    )
    blobs = gap.bundle / "blobs/sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    kind = "application/vnd.release-mirror.git-bundle.v1"
    layers = [layer for layer in manifest["layers"] if layer["mediaType"] == kind]
    return [blobs / layer["digest"].removeprefix("sha256:") for layer in layers]


def needs(git_bundle: Path) -> int:
    """How many commits a git bundle needs; gitformat-bundle: they begin with a hyphen."""
    head = git_bundle.read_bytes().partition(b"\n\n")[0]
    return sum(line.startswith(b"-") for line in head.splitlines())


async def test_tags_arrive_with_their_history(tmp_path: Path) -> None:
    """The isolated server's tags are the source's: the same commits and tag objects, no others."""
    async with AirGap(tmp_path, PUSH, CARRIED) as gap:
        seed(gap)
        assert (await gap.write()).status == "ok"
        read = only(await gap.read())
        assert read.failures == ()
        there = tags(gap, "source", "octo/tool")
        del there["refs/tags/no-release"]
        assert tags(gap, "isolated", "mirrors/tool") == there
        assert (await gap.write(full=True)).status == "unchanged"
        assert gap.leftovers() == []


async def test_history_grows_by_what_is_new(tmp_path: Path) -> None:
    """A later git bundle needs the earlier one; a tag of known history needs none."""
    async with AirGap(tmp_path, PUSH, CARRIED) as gap:
        seed(gap)
        await gap.write()
        await gap.read()
        gap.source.add_commit("octo/tool", {"new": "file"}, "More")
        gap.source.add_release("octo/tool", "v4", assets={"a": b"a"})
        await gap.write()
        first, second = git_bundles(gap)
        assert (needs(first), needs(second)) == (0, 1)
        repository = gap.source.repository("octo/tool")
        gap.source.set_ref(repository, "refs/tags/v4-final", repository.refs["refs/tags/v4"])
        gap.source.add_release("octo/tool", "v4-final", assets={"a": b"a"})
        await gap.write()
        assert git_bundles(gap) == [first, second]
        assert only(await gap.read()).failures == ()
        here = tags(gap, "isolated", "mirrors/tool")
        assert here["refs/tags/v4-final"] == here["refs/tags/v4"]
        gap.isolated.delete_repository("mirrors/tool")
        shutil.rmtree(tmp_path / "isolated")  # nothing is known there of what was carried before
        assert only(await gap.read()).failures == ()
        assert tags(gap, "isolated", "mirrors/tool") == here


@pytest.mark.parametrize("damage", ["absent", "cut", "other"])
async def test_lost_history_is_stored_again(tmp_path: Path, damage: str) -> None:
    """Where a git bundle of the target is lost or damaged, `sync --full` packs all history again.

    It needs nothing that was packed before, and nobody's tags are forgotten.
    """
    async with AirGap(tmp_path, PUSH, CARRIED) as gap:
        seed(gap)
        await gap.write()
        gap.source.add_commit("octo/tool", {"new": "file"}, "More")
        gap.source.add_release("octo/tool", "v4", assets={"a": b"a"})
        gap.source.delete_release("octo/tool", "v1")  # its tag stays, and the bundle keeps it
        await gap.write()
        first = git_bundles(gap)[0]
        content = first.read_bytes()
        first.unlink()
        if damage != "absent":
            first.write_bytes(content[:-1] + (b"?" if damage == "other" else b""))
        assert only(await gap.write(full=True)).failures == ()
        (whole,) = git_bundles(gap)
        assert needs(whole) == 0
        assert only(await gap.read()).failures == ()
        there = tags(gap, "source", "octo/tool")
        del there["refs/tags/no-release"]
        assert tags(gap, "isolated", "mirrors/tool") == there
        assert (await gap.write(full=True)).status == "unchanged"
        assert git_bundles(gap) == [whole]
        assert gap.leftovers() == []


@pytest.mark.parametrize("damage", ["absent", "other"])
async def test_history_that_is_not_there(tmp_path: Path, damage: str) -> None:
    """A git bundle that is absent or damaged holds the releases that need it, until it is there."""
    async with AirGap(tmp_path, PUSH, CARRIED) as gap:
        seed(gap)
        await gap.write()
        (blob,) = git_bundles(gap)
        content = blob.read_bytes()
        blob.unlink()
        if damage == "other":
            blob.write_bytes(content[:-1] + b"?")
        read = only(await gap.read())
        assert {failure.kind for failure in read.failures} == {
            "not-ready" if damage == "absent" else "corrupt"
        }
        blob.write_bytes(content)
        assert (await gap.read(full=True)).status == "ok"
