"""Looking at a bundle: what is in it, and what of it is damaged or absent."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.inspection import Verification, Verified, repositories
from mirror.bundle.pack import Packer
from mirror.bundle.receipt import receipt_of
from mirror.bundle.unpack import Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.storage.files import Files
from support.bundles import RELEASES, write
from support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path


async def verify(directory: Path) -> Verified:
    contents = await BundleDirectory(directory).contents()
    assert contents is not None
    return Verification(BundleDirectory(directory), contents.index).run()


def facts(directory: Path) -> dict[str, tuple[int, int, int]]:
    """What a write, or a temporary file that is gone again, would change."""
    paths = [directory, *directory.rglob("*")]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.stat().st_size) for p in paths}


def make_read_only(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


async def test_a_read_only_medium_is_enough(tmp_path: Path) -> None:
    """Verifying and showing a bundle, its receipt, packing it, and unpacking volumes write nothing there."""
    source, volumes = tmp_path / "source", tmp_path / "volumes"
    await write(source, RELEASES)
    shutil.rmtree(source / "staging")  # a copy need not have it
    volumes.mkdir()
    make_read_only(source)
    before = facts(source)
    bundle = BundleDirectory(source)
    contents = await bundle.contents()
    assert contents is not None
    packer = Packer(bundle, contents, Files())
    packed = packer.pack(volumes / "volume", *packer.prepare(), 10**10)
    make_read_only(volumes)
    found, medium = await verify(source), facts(volumes)
    assert (found.damaged, found.absent) == ({}, {})
    assert [shown.absent for shown in repositories(bundle, contents.index)] == [0]
    assert len(receipt_of(bundle, contents).blobs) == found.blobs
    target = WritableDirectory(tmp_path / "target", Files(), VirtualClock())
    assert (await Unpacker(target, None, Files()).unpack(packed.volumes)).complete
    assert (await verify(tmp_path / "target")).blobs == found.blobs
    assert (facts(source), facts(volumes)) == (before, medium)


async def test_what_is_good_is_verified(tmp_path: Path) -> None:
    """Each blob counts once, however often it is referred to."""
    await write(tmp_path, RELEASES)
    found = await verify(tmp_path)
    assert (found.damaged, found.absent) == ({}, {})
    assert found.blobs == len(list((tmp_path / "blobs/sha256").iterdir()))


@pytest.mark.parametrize("seed", range(20))
async def test_any_damaged_or_absent_blob_is_named(tmp_path: Path, seed: int) -> None:
    """A damaged byte anywhere is found, and so is a blob that is not there."""
    await write(tmp_path, RELEASES)
    dice = random.Random(seed)  # noqa: S311 - the same places every time
    blobs = sorted(p for p in (tmp_path / "blobs/sha256").iterdir() if p.stat().st_size)
    for _ in range(5):
        blob = dice.choice(blobs)
        content = blob.read_bytes()
        at = dice.randrange(len(content))
        blob.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        found = await verify(tmp_path)
        assert found.damaged
        assert not found.absent
        blob.unlink()
        found = await verify(tmp_path)
        assert found.absent
        assert not found.damaged
        blob.write_bytes(content)


async def test_what_is_in_it(tmp_path: Path) -> None:
    """A repository is shown with its releases, its assets, and those that wait for their bytes."""
    await write(tmp_path, RELEASES)
    bundle = BundleDirectory(tmp_path)
    contents = await bundle.contents()
    assert contents is not None
    (found,) = repositories(bundle, contents.index)
    assert (found.repository, found.releases, found.newest) == ("mirrors/tool", 3, "v3")
    assert (found.assets, found.absent, found.complete) == (6, 0, True)


def test_the_commands(tmp_path: Path) -> None:
    """`bundle show` and `bundle verify` print one JSON document; damage is exit status 1."""
    asyncio.run(write(tmp_path / "b", RELEASES))
    environ = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "RELEASE_MIRROR_CONFIG": ""}

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "mirror", "bundle", *arguments, "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, check=False)
        return done.returncode, json.loads(done.stdout)

    status, shown = run("show", str(tmp_path / "b"))
    assert (status, shown["sequence"]) == (0, 1)
    assert run("verify", str(tmp_path / "b"))[0] == 0
    shutil.rmtree(tmp_path / "b/blobs")
    status, verified = run("verify", str(tmp_path / "b"))
    assert (status, verified["status"]) == (1, "failed")
