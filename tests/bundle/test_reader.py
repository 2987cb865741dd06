"""Reading a bundle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.directory import BundleDirectory, read_file
from mirror.bundle.reader import BundleReader
from mirror.core.domain.release import RepoRef
from mirror.errors import BundleError, HostStopped, NotFound
from support.air_gap import AirGap
from support.clock import VirtualClock
from support.opened_files import opened_below
from support.seed import EVERYTHING

if TYPE_CHECKING:
    from pathlib import Path

TOOL = RepoRef("mirrors", "tool")


REPOSITORIES = 1_000 if EVERYTHING else 20


async def write(gap: AirGap, repositories: int = 1) -> None:
    gap.mirrors = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
    for number in range(repositories):
        name = f"octo/tool{number or ''}"
        gap.source.add_repository(name)
        gap.source.add_release(name, "v1", assets={"a": b"a"})
    await gap.write()


def reader(gap: AirGap) -> BundleReader:
    return BundleReader("github", BundleDirectory(gap.bundle), VirtualClock())


async def test_an_unchanged_bundle_is_one_file_read(tmp_path: Path) -> None:
    """A pass over an unchanged bundle opens its index and nothing else, however many repositories."""
    async with AirGap(tmp_path) as gap:
        await write(gap, REPOSITORIES)
        await gap.read()
        with opened_below(gap.bundle) as paths:
            report = await gap.read()
        assert (report.status, report.totals()["unchanged"]) == ("unchanged", REPOSITORIES)
        assert paths == ["index.json"]


async def test_writing_reads_no_index_again(tmp_path: Path) -> None:
    """A pass that commits one repository after another knows what it has written."""
    async with AirGap(tmp_path) as gap:
        with opened_below(gap.bundle) as paths:
            await write(gap, repositories=20)
        assert gap.index["annotations"]["vnd.release-mirror.bundle.sequence"] > "1"
        assert paths.count("index.json") == 1  # to see what is there


async def test_a_new_index_is_noticed(tmp_path: Path) -> None:
    """A reader that goes on living reads the index again when it was replaced, and only then."""
    async with AirGap(tmp_path) as gap:
        await write(gap)
        bundle = reader(gap)
        first = await bundle.list_releases(TOOL)
        assert (await bundle.list_releases(TOOL, first.pages)).unchanged
        gap.source.add_release("octo/tool", "v2", assets={"b": b"b"})
        await gap.write()
        second = await bundle.list_releases(TOOL, first.pages)
        assert {release.tag for release in second.releases} == {"v1", "v2"}


async def test_what_is_not_there(tmp_path: Path) -> None:
    """What the bundle lacks is told as waiting; the next pass looks again."""
    bundle = BundleReader("github", BundleDirectory(tmp_path / "none"), VirtualClock())
    with pytest.raises(BundleError, match="there is no bundle in") as caught:
        await bundle.list_releases(TOOL)
    assert caught.value.kind == "not-ready"
    with pytest.raises(HostStopped):
        await bundle.repository(TOOL)
    async with AirGap(tmp_path) as gap:
        await write(gap)
        bundle = reader(gap)
        for asked in (bundle.list_releases(RepoRef("o", "x")), bundle.owner_repositories("o")):
            with pytest.raises(NotFound) as missing:
                await asked
            assert str(missing.value.kind) == "not-ready"
        assert await bundle.asset(TOOL, 1) is None
        with pytest.raises(NotFound):
            await bundle.release(TOOL, 1)


@pytest.mark.parametrize("damage", ["absent", "other", "huge", "json", "nested"])
async def test_a_damaged_document_concerns_its_repository(tmp_path: Path, damage: str) -> None:
    """A manifest that lies or is missing fails its repository in one sentence, and no other."""
    async with AirGap(tmp_path) as gap:
        await write(gap, repositories=2)
        (entry,) = [
            entry
            for entry in gap.index["manifests"]
            if entry["annotations"]["org.opencontainers.image.ref.name"] == "mirrors/tool:v1"
        ]
        blob = gap.bundle / "blobs" / entry["digest"].replace(":", "/")
        content = {
            "other": b"x" * entry["size"], "huge": b" " * 10**6, "json": b"{", "nested": b"[" * 10**5,
        }  # fmt: skip
        blob.unlink()
        if damage in content:
            blob.write_bytes(content[damage])
        read = await gap.read()
        states = {repo.target: repo.status for repo in read.repositories}
        assert states == {"mirrors/tool": "failed", "mirrors/tool1": "ok"}


def test_only_files_are_read(tmp_path: Path) -> None:
    """Links, pipes and directories in a bundle are refused, and nothing waits for them."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_file(tmp_path / "file", 5) == b"12345"
    for name in ("link", "pipe", ".", "none"):
        with pytest.raises(BundleError):
            read_file(tmp_path / name, 5)
    with pytest.raises(BundleError, match="more than 4 bytes"):
        read_file(tmp_path / "file", 4)
