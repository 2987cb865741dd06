"""Carrying a bundle in volumes: packing, unpacking, what is lost, damaged or hostile."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mirror.bundle import layout, tar
from mirror.bundle.directory import BundleDirectory
from mirror.bundle.inspection import Verification
from mirror.bundle.pack import Packer
from mirror.bundle.signature import AllowedSigners, SigningKey
from mirror.bundle.unpack import Unpacked, Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.errors import BundleError
from mirror.storage.files import Files
from support.bundles import RELEASES, write
from support.clock import VirtualClock
from support.seed import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGE = 10**12
SMALL = 300_000
"""Bytes of a volume that the large asset of :func:`connected` does not fit in."""


needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def make_key(path: Path) -> str:
    """A new key; its type and the public key."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path, cwd=path.parent)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def run(*command: str | Path, cwd: Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=cwd)


async def pack(directory: Path, output: Path, size: int = SMALL) -> list[Path]:
    """The volumes of a bundle."""
    bundle = BundleDirectory(directory)
    contents = await bundle.contents()
    assert contents is not None
    packer = Packer(bundle, contents, Files())
    output.parent.mkdir(exist_ok=True)
    return list(packer.pack(output, *packer.prepare(), size).volumes)


async def unpack(
    volumes: Sequence[Path], directory: Path, signers: AllowedSigners | None = None
) -> Unpacked:
    bundle = WritableDirectory(directory, Files(), VirtualClock())
    return await Unpacker(bundle, signers, Files()).unpack(volumes)


def tree(directory: Path) -> dict[str, bytes]:
    """Every file that is part of a bundle."""
    files = (path for path in directory.rglob("*") if path.is_file())
    found = {str(path.relative_to(directory)): path.read_bytes() for path in files}
    return {name: content for name, content in found.items() if name != "staging/lock"}


def identity_of(directory: Path) -> str:
    """A bundle's UUID."""
    annotations = json.loads((directory / "index.json").read_bytes())["annotations"]
    return str(annotations[layout.IDENTITY])


@pytest.fixture
async def connected(tmp_path: Path) -> Path:
    await write(tmp_path / "connected", RELEASES)
    return tmp_path / "connected"


@pytest.mark.parametrize("size", [LARGE, SMALL])
async def test_packing_and_unpacking_is_identity(
    connected: Path, tmp_path: Path, size: int
) -> None:
    """In whatever volumes, in whatever order: the bundle on the other side is the same."""
    volumes = await pack(connected, tmp_path / "out/usb", size)
    assert all(volume.stat().st_size < size for volume in volumes)
    assert (len(volumes) == 1) == (size == LARGE)
    assert [v.name for v in volumes] == [f"usb.{n:03}" for n in range(1, len(volumes) + 1)]
    result = await unpack(list(reversed(volumes)), tmp_path / "isolated")
    assert result.complete
    assert tree(tmp_path / "isolated") == tree(connected)
    again = await unpack(volumes, tmp_path / "isolated")
    assert (again.complete, again.stored) == (True, 0)


async def test_gnu_tar_and_sha256sum_read_a_volume(connected: Path, tmp_path: Path) -> None:
    """Each volume is standard tar, and explains itself to `sha256sum`."""
    for volume in await pack(connected, tmp_path / "out/usb"):
        place = tmp_path / volume.name
        place.mkdir()
        run("tar", "-xf", volume, cwd=place)
        run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=place)
        with tarfile.open(volume) as archive:
            names = set(archive.getnames())
        assert {"volume.json", "oci-layout", "index.json", "SHA256SUMS"} < names


async def test_one_volume_at_a_time(connected: Path, tmp_path: Path) -> None:
    """Each volume brings what it holds; what is missing is named, and with the last one nothing is."""
    volumes = await pack(connected, tmp_path / "out/usb")
    order = list(range(len(volumes)))
    random.Random(5).shuffle(order)  # noqa: S311
    for done, place in enumerate(order, 1):
        result = await unpack([volumes[place]], tmp_path / "isolated")
        left = {n + 1 for n in order[done:]}
        assert set(result.volumes) <= left
        assert result.complete == (done == len(order)), result
    assert tree(tmp_path / "isolated") == tree(connected)


async def test_a_lost_volume(connected: Path, tmp_path: Path) -> None:
    """The rest arrives; the assets that wait, and the volume that has them, are named."""
    volumes = await pack(connected, tmp_path / "out/usb")
    result = await unpack([v for v in volumes if v != volumes[2]], tmp_path / "isolated")
    assert result.absent == {"mirrors/tool:v2": ["large"]}
    assert result.volumes == [3]
    assert result.problems == []
    none = await unpack([tmp_path / "none"], tmp_path / "isolated")
    assert (none.sequence, none.complete) == (1, False)
    assert (await unpack([volumes[2]], tmp_path / "isolated")).complete


SEEDS = sample(range(10), 3)
PLACES = 10
"""With each seed: 100 in all."""


def damaged(content: bytes, at: int, dice: random.Random) -> bytes:
    """Some bytes with one bit of one byte changed."""
    return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_damaged_byte_of_a_volume_is_found(
    connected: Path, tmp_path: Path, seed: int
) -> None:
    """Wherever it is, its volume is named, nothing wrong is stored, and a volume of a new pack repairs it."""
    dice = random.Random(seed)  # noqa: S311
    volumes = await pack(connected, tmp_path / "out/usb")
    again = dict(zip(volumes, await pack(connected, tmp_path / "again/usb"), strict=True))
    for number in range(PLACES):
        place = tmp_path / f"isolated {number}"
        volume = dice.choice(volumes)
        good = volume.read_bytes()
        at = dice.randrange(len(good))
        volume.write_bytes(damaged(good, at, dice))
        result = await unpack(volumes, place)
        assert any(str(volume) in problem for problem in result.problems), at
        for name, content in tree(place).items():
            if name.startswith("blobs"):
                assert hashlib.sha256(content).hexdigest() == Path(name).name
        assert (await unpack([again[volume]], place)).complete
        assert tree(place) == tree(connected)
        volume.write_bytes(good)
        shutil.rmtree(place)


@needs_ssh_keygen
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_damaged_byte_of_the_bundle_is_found(tmp_path: Path, seed: int) -> None:
    """Wherever in a signed bundle: it is named, and a new pack of the same sequence repairs it."""
    place, dice = tmp_path / "isolated", random.Random(seed)  # noqa: S311
    line = make_key(tmp_path / "key")
    (tmp_path / "allowed").write_text(f"bundle@example.com {line}\n")
    signers = AllowedSigners(tmp_path / "allowed")
    await write(tmp_path / "connected", RELEASES, SigningKey((tmp_path / "key").read_text))
    good = tree(tmp_path / "connected")
    await unpack(await pack(tmp_path / "connected", tmp_path / "out/usb"), place, signers)
    names = sorted(name for name, content in good.items() if content)
    places = [("index.json", good["index.json"].index(identity_of(place).encode()))]
    for name in [*dice.sample(names, PLACES - 2), *dice.choices(names)]:
        # ssh-keygen ignores white space.
        inked = [n for n, byte in enumerate(good[name]) if byte != ord("\n")]
        places.append((name, dice.choice(inked)))
    for name, at in places:
        (place / name).write_bytes(damaged(good[name], at, dice))
        bundle = BundleDirectory(place, signers)
        if name.startswith("blobs") or name == layout.MARKER_FILE:
            contents = await bundle.contents()
            assert contents is not None
            assert Verification(bundle, contents.index).run().damaged, (name, at)
        else:
            with pytest.raises(BundleError, match="the index of the bundle is refused"):
                await bundle.contents()
        new = await pack(tmp_path / "connected", tmp_path / "again/usb")
        assert (await unpack(new, place, signers)).complete, (name, at)
        assert tree(place) == good, (name, at)


async def test_sequences(connected: Path, tmp_path: Path) -> None:
    """A newer index replaces an older one, and an older one changes nothing."""
    first = await pack(connected, tmp_path / "out/1", LARGE)
    await write(connected, RELEASES | {"v4": {"d": b"d"}})
    second = await pack(connected, tmp_path / "out/2", LARGE)
    place = tmp_path / "isolated"
    await unpack(first, place)
    assert (await unpack(second, place)).sequence == 2
    before = tree(place)
    result = await unpack(first, place)
    assert (result.complete, result.sequence) == (True, 2)
    assert "changes nothing" in result.notes[0]
    assert tree(place) == before
    both = await unpack([*second, *first], tmp_path / "both")
    assert (both.complete, both.sequence) == (True, 2)


async def test_what_does_not_belong_is_refused(connected: Path, tmp_path: Path) -> None:
    """Another bundle's volumes, and another index with the same number: nothing changes."""
    place = tmp_path / "isolated"
    await unpack(await pack(connected, tmp_path / "out/1"), place)
    before = tree(place)
    await write(tmp_path / "other", RELEASES)
    other = await pack(tmp_path / "other", tmp_path / "out/other", LARGE)
    (problem,) = (await unpack(other, place)).problems
    assert "another bundle" in problem
    twin = tmp_path / "twin"
    (twin / "staging").mkdir(parents=True)
    (twin / "staging/identity").write_text(identity_of(connected))
    await write(twin, {"v1": {"a": b"other"}})
    (problem,) = (await unpack(await pack(twin, tmp_path / "out/twin", LARGE), place)).problems
    assert "another index" in problem
    assert tree(place) == before


async def test_two_unpackers_exclude_each_other(connected: Path, tmp_path: Path) -> None:
    """While somebody writes to the bundle, unpacking is refused."""
    volumes = await pack(connected, tmp_path / "out/usb")
    writer = WritableDirectory(tmp_path / "isolated", Files(), VirtualClock())
    await writer.begin("test")
    with pytest.raises(BundleError, match="another process writes"):
        await unpack(volumes, tmp_path / "isolated")
    writer.end("test")


class Killed(BaseException):
    """Stands for `kill -9`."""


class Failing(Files):
    """Dies at the n-th operation; writes only half of what it was to write then."""

    def __init__(self, left: int, error: BaseException) -> None:
        self.left, self.error = left, error

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error

    def write(self, descriptor: int, content: bytes) -> None:
        if self.left <= 0:
            super().write(descriptor, content[: len(content) // 2])
        self._count()
        super().write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        self._count()
        super().sync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        self._count()
        super().rename(old, new)


@pytest.mark.parametrize("seed", range(20))
async def test_killed_while_unpacking(connected: Path, tmp_path: Path, seed: int) -> None:
    """Killed at any operation: the same command completes it, and no half blob was ever there."""
    volumes = await pack(connected, tmp_path / "out/usb")
    place, dice = tmp_path / "isolated", random.Random(seed)  # noqa: S311
    for _ in range(3):
        files = Failing(dice.randrange(60), Killed())
        bundle = WritableDirectory(place, files, VirtualClock())
        try:
            await Unpacker(bundle, None, files).unpack(volumes)
        except Killed:
            bundle.end("all")
        for name, content in tree(place).items():
            if name.startswith("blobs"):
                assert hashlib.sha256(content).hexdigest() == Path(name).name
    assert (await unpack(volumes, place)).complete
    assert tree(place) == tree(connected)


class DiesWithBlob(Files):
    """Dies just before, or just after, a blob gets its name."""

    def __init__(self, sha256: str, *, after: bool) -> None:
        self.sha256, self.after = sha256, after

    def rename(self, old: Path, new: Path) -> None:
        if new.name != self.sha256 or self.after:
            super().rename(old, new)
        if new.name == self.sha256:
            raise Killed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("again", [0, -1])
async def test_killed_when_the_last_piece_is_recorded(
    connected: Path, tmp_path: Path, again: int, *, after: bool
) -> None:
    """Pieces that are all there make their blob in the next run, whichever volume that unpacks."""
    volumes = await pack(connected, tmp_path / "out/usb")
    place = tmp_path / "isolated"
    large = hashlib.sha256(RELEASES["v2"]["large"]).hexdigest()
    files = DiesWithBlob(large, after=after)
    with pytest.raises(Killed):
        await Unpacker(WritableDirectory(place, files, VirtualClock()), None, files).unpack(volumes)
    if after:  # what the record says is not believed of pieces that are gone
        (place / "blobs/sha256" / large).write_bytes(b"damaged")
    result = await unpack(volumes if after else [volumes[again]], place)
    assert "mirrors/tool:v2" not in result.absent
    assert (await unpack(volumes, place)).complete
    assert tree(place) == tree(connected)


class AlmostFull(Files):
    def free(self, path: Path) -> int:
        return super().free(path) and 900_000


async def test_a_disk_without_room_for_the_volumes(connected: Path, tmp_path: Path) -> None:
    """It is told before anything is written, not after an hour of writing."""
    bundle = BundleDirectory(connected)
    contents = await bundle.contents()
    assert contents is not None
    packer = Packer(bundle, contents, AlmostFull())
    with pytest.raises(BundleError, match=r"need 970.0 kB in .*, and 900.0 kB are free") as caught:
        packer.pack(tmp_path / "usb", *packer.prepare(), LARGE)
    assert caught.value.kind == "disk"
    assert not any("usb" in name for name in tree(tmp_path))


@pytest.mark.parametrize("at", [0, 3, 7, 20, 30])
async def test_a_full_disk(connected: Path, tmp_path: Path, at: int) -> None:
    """One sentence names the disk; with room again, the same command completes it."""
    volumes = await pack(connected, tmp_path / "out/usb")
    place = tmp_path / "isolated"
    files = Failing(at, OSError(28, "No space left on device"))
    bundle = WritableDirectory(place, files, VirtualClock())
    with pytest.raises(BundleError, match="No space left on device"):
        await Unpacker(bundle, None, files).unpack(volumes)
    assert (await unpack(volumes, place)).complete
    assert tree(place) == tree(connected)


async def test_a_file_system_for_small_files(connected: Path, tmp_path: Path) -> None:
    """A file that is too large for the file system gets a sentence; smaller volumes fit."""
    volumes = await pack(connected, tmp_path / "out/usb", LARGE)
    environ = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "RELEASE_MIRROR_CONFIG": ""}

    def limited(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = 'ulimit -f 500; exec "$@"'  # KiB; then writing is EFBIG, as on FAT
        return subprocess.run(
            ["bash", "-c", command, "-", sys.executable, "-m", "mirror", "bundle", *arguments],
            env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip

    to = tmp_path / "small"
    to.mkdir()
    for done in (
        limited("pack", connected, "--output", to / "usb"),
        limited("unpack", *volumes, to / "DIR"),
    ):
        assert done.returncode == 1
        assert "cannot hold a file of this size" in done.stderr.splitlines()[-1]
    assert list(to.glob("*usb*")) == []
    assert limited("pack", connected, "--output", to / "usb", "--volume-size", "400kB").stderr == ""
    assert (await unpack(volumes, to / "DIR")).complete


async def test_killed_while_packing(connected: Path, tmp_path: Path) -> None:
    """Volumes appear when all are complete; the same command leaves nothing of the killed one."""
    for at in (0, 5, 30, 60):
        bundle = BundleDirectory(connected)
        contents = await bundle.contents()
        assert contents is not None
        packer = Packer(bundle, contents, Failing(at, Killed()))
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(Killed):
            packer.pack(tmp_path / "out/usb", *packer.prepare(), SMALL)
        assert list((tmp_path / "out").glob("usb*")) == []
        (tmp_path / "out/.usb.009.part").write_bytes(b"of a run that was killed")
    volumes = await pack(connected, tmp_path / "out/usb")
    assert sorted((tmp_path / "out").iterdir()) == volumes
    (volume,) = await pack(connected, tmp_path / "out/usb", LARGE)
    assert list((tmp_path / "out").iterdir()) == [volume]


async def test_a_damaged_blob_is_not_packed(connected: Path, tmp_path: Path) -> None:
    """Packing names a damaged blob, and leaves no volume."""
    blob = connected / "blobs/sha256" / hashlib.sha256(RELEASES["v2"]["large"]).hexdigest()
    blob.write_bytes(bytes(len(RELEASES["v2"]["large"])))
    with pytest.raises(BundleError, match=f"{blob.name} is damaged"):
        await pack(connected, tmp_path / "out/usb")
    assert list((tmp_path / "out").iterdir()) == []


async def test_too_small_a_volume(connected: Path, tmp_path: Path) -> None:
    """A volume that the documents do not fit in is refused with a sentence."""
    with pytest.raises(BundleError, match="--volume-size is too small"):
        await pack(connected, tmp_path / "out/usb", 5000)


# --- hostile input --------------------------------------------------------------------------------


def _member(name: str, content: bytes = b"x", **facts: Any) -> bytes:
    """A member of a tar file with anything in its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    form: Any = tarfile.GNU_FORMAT if info.type == tarfile.GNUTYPE_SPARSE else tarfile.PAX_FORMAT
    return info.tobuf(form) + content + bytes(-len(content) % 512)


def _rewritten(volume: bytes, name: str, content: bytes) -> bytes:
    """A volume with another content of a member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(volume)) as archive:
        for info in archive:
            file = archive.extractfile(info)
            found = file.read() if file else b""
            found = content if info.name == name else found
            out.write(tar.header(info.name, len(found), int(info.mtime)))
            out.write(found + bytes(-len(found) % 512))
    return out.getvalue() + bytes(1024)


def _changed(name: str, **fields: object) -> Callable[[bytes], bytes]:
    """The same with some fields of ``volume.json``, or of the annotations of ``index.json``."""

    def change(volume: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(volume)) as archive:
            document = json.loads(archive.extractfile(name).read())  # type: ignore[union-attr]
        place = document if name == "volume.json" else document["annotations"]
        place.update(fields)
        return _rewritten(volume, name, json.dumps(document).encode())

    return change


def _before_end(*members: bytes) -> Callable[[bytes], bytes]:
    return lambda volume: volume[:-1024] + b"".join(members) + volume[-1024:]


def _first(*members: bytes) -> Callable[[bytes], bytes]:
    return lambda volume: b"".join(members) + volume


def _instead(name: str, content: bytes) -> Callable[[bytes], bytes]:
    return lambda volume: _rewritten(volume, name, content)


BAD_TYPES = [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
BAD_TYPES += [tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE]
ZEROS = "0" * 64


def hostile(absolute: str) -> list[Callable[[bytes], bytes]]:
    """Changes of a volume.

    Args:
        absolute: The path of a file that one of them would like to write.
    """
    outside = ["../outside", absolute, "blobs/sha256/../../../outside", "a/./b"]
    return [
        *(_before_end(_member(name)) for name in outside),
        *(_first(_member(name)) for name in outside),
        *(_before_end(_member("blobs/sha256/" + ZEROS, b"", type=t)) for t in BAD_TYPES),
        *(_first(_member("volume.json", b"", type=t, linkname="/etc/passwd")) for t in BAD_TYPES),
        _before_end(_member("blobs/sha256/" + ZEROS)),
        _before_end(_member("blobs/sha256/" + ZEROS.upper().replace("0", "A"))),
        _before_end(_member(f"pieces/sha256/{ZEROS}/0")),
        _before_end(_member(f"pieces/sha256/{ZEROS}/99999999999999999999")),
        _before_end(_member(f"pieces/sha256/{ZEROS}/-1")),
        _before_end(_member("index.json")),
        _before_end(_member("staging/lock")),
        _before_end(_member("n" * 300)),
        _before_end(_member("x", pax_headers={"path": "../outside"})),
        _before_end(_member("x", pax_headers={"GNU.sparse.major": "1"})),
        _before_end(tar.header("SHA256SUMS", 2**62, 0)),
        _first(tar.header("volume.json", 2**62, 0)),
        lambda volume: volume[: len(volume) // 2],
        lambda volume: volume[:100],
        lambda _: b"",
        lambda _: bytes(10**6),
        lambda volume: volume + b"more",
        lambda volume: volume + bytes(2**20 + 512),
        lambda volume: volume[:-1024] + volume,
        _instead("volume.json", b"{" * 10**6),
        _instead("volume.json", b'{"a":' * 10**5),
        _instead("volume.json", b"[" * 2 * 10**6),
        _instead("index.json", b'{"annotations":' + b"[" * 10**6),
        _instead("index.json", b"{}"),
        _instead("SHA256SUMS", b""),
        _changed("volume.json", format=2),
        _changed("volume.json", number=0),
        _changed("volume.json", number=99),
        _changed("volume.json", count=10**9),
        _changed("volume.json", documents=10**9),
        _changed("volume.json", documents=0),
        _changed("volume.json", sequence=7),
        _changed("volume.json", identity="x"),
        _changed("volume.json", index=f"sha256:{ZEROS}"),
        _changed("volume.json", signed=True),
        _changed("index.json", **{layout.SEQUENCE: "9"}),
        _changed("index.json", **{layout.FORMAT: "2"}),
    ]


@pytest.mark.parametrize("number", range(len(hostile("/absolute"))))
async def test_hostile_volumes(connected: Path, tmp_path: Path, number: int) -> None:
    """Each gets a sentence that names it; nothing is written elsewhere, and nothing good is lost."""
    (volume,) = await pack(connected, tmp_path / "out/usb", LARGE)
    place = tmp_path / "in/isolated"
    place.parent.mkdir()
    await unpack([volume], place)
    before = tree(place)
    absolute = str(tmp_path / "absolute")
    volume.write_bytes(hostile(absolute)[number](volume.read_bytes()))
    outside = tree(tmp_path / "out")
    for target in (place, tmp_path / "in/new"):
        result = await unpack([volume], target)
        assert result.problems
        assert all(str(volume) in problem for problem in result.problems)
        assert all(len(problem) < 1000 for problem in result.problems)
    assert tree(place) == before
    assert {p.name for p in (tmp_path / "in").iterdir()} <= {"isolated", "new"}
    assert tree(tmp_path / "out") == outside
    assert not Files().exists(Path(absolute))


async def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe, a device or a directory is not waited for, and a missing volume is named."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        (problem,) = (await unpack([path], tmp_path / "isolated")).problems
        assert str(path) in problem
    assert not (tmp_path / "isolated").exists()


@needs_ssh_keygen
@pytest.mark.parametrize("case", ["good", "unsigned", "unknown", "expired", "other purpose"])
async def test_signatures(tmp_path: Path, case: str) -> None:
    """With `allowed_signers`, nothing of a volume is believed unless somebody who may has signed it."""
    options = {
        "expired": 'valid-before="20200101" ',
        "other purpose": 'namespaces="file" ',
    }.get(case, "")
    line = make_key(tmp_path / "key")
    if case == "unknown":
        line = make_key(tmp_path / "another")
    (tmp_path / "allowed").write_text(f"bundle@example.com {options}{line}\n")
    key = None if case == "unsigned" else SigningKey((tmp_path / "key").read_text)
    await write(tmp_path / "connected", RELEASES, key)
    volumes = await pack(tmp_path / "connected", tmp_path / "out/usb", LARGE)
    result = await unpack(volumes, tmp_path / "isolated", AllowedSigners(tmp_path / "allowed"))
    assert result.complete == (case == "good"), result
    if case == "good":
        assert tree(tmp_path / "isolated") == tree(tmp_path / "connected")
    else:
        assert not (tmp_path / "isolated").exists()
        assert str(volumes[0]) in result.problems[0]
