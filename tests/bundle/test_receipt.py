"""Receipts: what is listed is not carried again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.pack import Packer
from mirror.bundle.receipt import decode, encode, receipt_of
from mirror.bundle.signature import AllowedSigners, SigningKey
from mirror.bundle.unpack import Unpacked, Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.errors import BundleError
from mirror.storage.files import Files
from support.bundles import RELEASES, noise, write
from support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.bundle.directory import Contents


async def contents_of(directory: Path) -> Contents:
    contents = await BundleDirectory(directory).contents()
    assert contents is not None
    return contents


async def receipt(directory: Path, key: SigningKey | None = None) -> bytes:
    contents = await contents_of(directory)
    return await encode(receipt_of(BundleDirectory(directory), contents), key)


async def carry(source: Path, target: Path, known: bytes | None = None) -> tuple[int, Unpacked]:
    """Pack and unpack; the number of bytes that were carried."""
    contents = await contents_of(source)
    packer = Packer(BundleDirectory(source), contents, Files())
    since = (await decode(known, contents, None)).blobs if known else ()
    packed = packer.pack(target.with_name("volume"), *packer.prepare(since), 10**10)
    bundle = WritableDirectory(target, Files(), VirtualClock())
    return packed.size, await Unpacker(bundle, None, Files()).unpack(packed.volumes)


async def test_increments_carry_what_is_new(tmp_path: Path) -> None:
    """An increment has at most 1.02 times the bytes that changed; a receipt of anything else does not."""
    source, target = tmp_path / "source", tmp_path / "target"
    releases = {"v1": {"a": noise(1, 3_000_000)}}
    await write(source, releases)
    await carry(source, target)
    for number in range(2, 6):
        releases[f"v{number}"] = {"a": noise(number, 2_000_000), "again": noise(1, 3_000_000)}
        await write(source, releases)
        size, result = await carry(source, target, await receipt(target))
        assert result.complete
        assert size <= 1.02 * 2_000_000
    assert (source / "index.json").read_bytes() == (target / "index.json").read_bytes()


async def test_an_increment_needs_what_it_leaves_out(tmp_path: Path) -> None:
    """Where that is missing, the index stays, and a sentence says what to do."""
    source, target, other = tmp_path / "source", tmp_path / "target", tmp_path / "other"
    await write(source, RELEASES)
    await carry(source, target)
    await write(source, RELEASES | {"v4": {"d": b"d"}})
    _, result = await carry(source, other, await receipt(target))
    assert "unpack the volumes it builds on first" in result.problems[0]
    assert not (other / "index.json").exists()
    assert (await carry(source, other))[1].complete


async def test_lost_bytes_are_not_in_the_receipt(tmp_path: Path) -> None:
    """What the other side lost is carried again."""
    source, target = tmp_path / "source", tmp_path / "target"
    await write(source, RELEASES)
    await carry(source, target)
    blob = max((target / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.unlink()
    size, result = await carry(source, target, await receipt(target))
    assert result.complete
    assert size < 800_000


async def test_receipts_of_others_are_refused(tmp_path: Path) -> None:
    """A receipt of another bundle, of a later index, or of none."""
    for name in ("a", "b"):
        await write(tmp_path / name, RELEASES)
    contents = await contents_of(tmp_path / "a")
    with pytest.raises(BundleError, match="of another bundle"):
        await decode(await receipt(tmp_path / "b"), contents, None)
    with pytest.raises(BundleError, match="is not JSON"):
        await decode(b"receipt", contents, None)
    await write(tmp_path / "a", RELEASES | {"v4": {}})
    with pytest.raises(BundleError, match="sequence 2; the bundle has 1"):
        await decode(await receipt(tmp_path / "a"), contents, None)


async def test_signed_receipts(tmp_path: Path) -> None:
    """With `allowed_signers`, an unsigned or changed receipt is refused."""
    source = tmp_path / "source"
    await write(source, RELEASES)
    make_key(tmp_path)
    signers = AllowedSigners(tmp_path / "allowed", "the receipt")
    contents = await contents_of(source)
    signed = await receipt(source, SigningKey((tmp_path / "key").read_text))
    assert (await decode(signed, contents, signers)).sequence == 1
    for wrong in (await receipt(source), signed.replace(b'"sequence":1', b'"sequence":0')):
        with pytest.raises(BundleError, match="the receipt is refused"):
            await decode(wrong, contents, signers)


def make_key(directory: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=directory)
    key = " ".join((directory / "key.pub").read_text().split()[:2])
    (directory / "allowed").write_text(f"bundle@example.com {key}\n")
