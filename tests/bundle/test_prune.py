"""Pruning: what nothing refers to goes, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.prune import Pruned, prune
from mirror.bundle.writable_directory import WritableDirectory
from mirror.errors import BundleError
from mirror.storage.files import Files
from support.bundles import RELEASES, write
from support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path


async def run(directory: Path) -> Pruned:
    bundle = WritableDirectory(directory, Files(), VirtualClock())
    return await prune(bundle, BundleDirectory(directory))


def blobs(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "blobs/sha256").iterdir()}


def add(directory: Path, content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    (directory / "blobs/sha256" / sha256).write_bytes(content)
    return sha256


async def test_what_nothing_refers_to_is_removed(tmp_path: Path) -> None:
    """After a release has left the bundle, its bytes go, but for those that others share."""
    await write(tmp_path / "a", RELEASES)
    rest = {tag: assets for tag, assets in RELEASES.items() if tag != "v2"}
    await write(tmp_path / "a", rest)
    await write(tmp_path / "b", rest)
    pruned = await run(tmp_path / "a")
    assert pruned.blobs == 5  # the large asset, and the documents of v2 and of the former v3
    assert pruned.size > len(RELEASES["v2"]["large"])
    assert blobs(tmp_path / "a") == blobs(tmp_path / "b")
    assert await run(tmp_path / "a") == (0, 0)


async def test_work_in_progress_is_kept(tmp_path: Path) -> None:
    """Bytes of a release that is not in the index yet are no rubbish, nor are those of other tools."""
    await write(tmp_path, RELEASES)
    staged, layer = add(tmp_path, b"staged"), add(tmp_path, b"of another tool")
    manifest = json.dumps({"layers": [{"digest": f"sha256:{layer}"}]}).encode()
    other = add(tmp_path, manifest)
    place = tmp_path / "staging/releases/mirrors/tool/1.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"digest": f"sha256:{staged}"}))
    index = json.loads((tmp_path / "index.json").read_bytes())
    kind = "application/vnd.oci.image.manifest.v1+json"
    entry = {"mediaType": kind, "digest": f"sha256:{other}", "size": len(manifest)}
    index["manifests"].append(entry)
    (tmp_path / "index.json").write_text(json.dumps(index))
    gone = add(tmp_path, b"of nobody")
    assert await run(tmp_path) == (1, 9)
    assert {staged, layer, other} <= set(blobs(tmp_path))
    assert gone not in blobs(tmp_path)


async def test_nothing_is_removed_from_a_damaged_bundle(tmp_path: Path) -> None:
    """Where a manifest cannot be read, nobody knows what it refers to."""
    await write(tmp_path, RELEASES)
    index = json.loads((tmp_path / "index.json").read_bytes())
    (tmp_path / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).unlink()
    add(tmp_path, b"of nobody")
    before = blobs(tmp_path)
    with pytest.raises(BundleError, match="is missing"):
        await run(tmp_path)
    assert blobs(tmp_path) == before


async def test_a_writer_is_not_disturbed(tmp_path: Path) -> None:
    """While somebody writes, pruning is refused; and where there is no bundle, none is made."""
    writer = await write(tmp_path / "a", RELEASES)
    await writer.begin("test")
    with pytest.raises(BundleError, match="another process writes"):
        await run(tmp_path / "a")
    writer.end("test")
    with pytest.raises(BundleError, match="there is no bundle"):
        await run(tmp_path / "none")
    assert not (tmp_path / "none").exists()
