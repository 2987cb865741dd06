"""Room on disk for assets in flight."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import random
import stat
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from mirror.core.retry import RetryPolicy
from mirror.errors import DigestMismatch, SpoolError
from mirror.storage.spool import BATCH, OLD, Disk, Spool, SpoolFile, kept_free
from mirror.transfer.pipe import pipe
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

GIB = 2**30
DATA = random.Random(7).randbytes(3 * BATCH + 4321)  # noqa: S311 - no secret
DIGEST = hashlib.sha256(DATA).hexdigest()


class SmallDisk(Disk):
    """A disk of so many bytes, and so many writes until it is full."""

    def __init__(
        self, total: int = 100 * GIB, used: int = 0, full_after: int | None = None
    ) -> None:
        self.total = total
        self.used = used
        self.full_after = full_after

    def space(self, directory: Path) -> tuple[int, int]:
        here = 0
        for path in directory.iterdir():
            with suppress(FileNotFoundError):  # removed meanwhile, by another thread
                here += path.stat().st_size
        return self.total - self.used - here, self.total

    def write(self, descriptor: int, chunks: Sequence[bytes], offset: int) -> None:
        if self.full_after is not None:
            if not self.full_after:
                os.pwrite(descriptor, b"half", offset)
                raise OSError(errno.ENOSPC, "No space left on device")
            self.full_after -= 1
        super().write(descriptor, chunks, offset)


class Origin:
    """Where an asset comes from; breaks after ``cut`` bytes."""

    def __init__(self, data: bytes = DATA, etag: str = '"one"', cut: int | None = None) -> None:
        self.data = data
        self.etag = etag
        self.cut = cut
        self.opened: list[int] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        self.opened.append(offset)
        return self._open(offset)

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(offset, self.size, 100_000):
                if self.cut is not None and start >= self.cut:
                    raise RuntimeError("cut")
                yield self.data[start : start + 100_000]

        yield chunks()


def a_spool(directory: Path, disk: Disk | None = None, budget: int | None = None) -> Spool:
    return Spool(directory / "spool", budget, VirtualClock(), disk)


async def fill(file: SpoolFile, origin: Origin, sha256: str | None = DIGEST) -> str:
    source = await file.continued(origin)
    piped = await pipe(
        source,
        file,
        sha256=sha256,
        clock=VirtualClock(),
        retry=RetryPolicy(),
        stall_timeout=5,
        response_timeout=5,
    )
    file.seal(piped.sha256)
    return piped.sha256


async def read(file: SpoolFile, offset: int = 0) -> bytes:
    async with file.open(offset) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def leave(
    spool: Spool, what: Collection[object], cut: int, *, sha256: str | None = DIGEST, etag: str = ""
) -> None:
    """Break off in the middle, as a run does that is stopped."""
    with pytest.raises(RuntimeError, match="cut"):
        async with spool.hold(what, len(DATA), sha256) as file:
            await fill(file, Origin(cut=cut, etag=etag), sha256)


def files(directory: Path) -> list[str]:
    return sorted(path.suffix for path in (directory / "spool").iterdir())


async def test_what_is_stored_is_read_from_any_place(tmp_path: Path) -> None:
    """All bytes come back, from every offset, and nothing stays once they are discarded."""
    spool = a_spool(tmp_path)
    async with spool.hold(["host", 1], len(DATA), DIGEST) as file:
        assert await fill(file, Origin()) == DIGEST
        assert file.size == len(DATA)
        for offset in (0, 1, BATCH - 1, BATCH, len(DATA) - 1):
            assert await read(file, offset) == DATA[offset:]
        file.discard()
    assert files(tmp_path) == []


async def test_nobody_else_can_read_and_no_name_is_a_path(tmp_path: Path) -> None:
    """The directory and its files are for us alone, and a hostile name changes neither."""
    spool = a_spool(tmp_path)
    what = ["../../etc", "\0/..\n", "-rf", "a" * 5000]
    async with spool.hold(what, len(DATA), DIGEST) as file:
        await fill(file, Origin())
        directory = tmp_path / "spool"
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for path in directory.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert len(path.stem) == 64
            assert set(path.stem) <= set("0123456789abcdef")
        assert directory.is_dir()


@pytest.mark.parametrize("cut", [1, BATCH + 5, 2 * BATCH, 3_100_000])
async def test_the_next_run_goes_on(tmp_path: Path, cut: int) -> None:
    """What was written stays, and only the rest is read; the digest of all of it is proven."""
    await leave(a_spool(tmp_path), ["host", 1], cut)
    origin = Origin()
    async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as file:
        here = file.have
        assert here >= cut - BATCH - 100_000
        await fill(file, origin)
        assert await read(file) == DATA
    assert origin.opened == [here]


async def test_a_complete_file_needs_no_source(tmp_path: Path) -> None:
    """A run that was stopped during the upload does not download again, but hashes again."""
    async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as file:
        await fill(file, Origin())
    origin = Origin()
    async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as file:
        assert file.sha256 is None
        assert await fill(file, origin) == DIGEST
    assert origin.opened == []


async def test_a_rest_that_was_changed_is_noticed(tmp_path: Path) -> None:
    """Bytes of a rest that are not the asset's lead to a mismatch, and never further."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH)
    (path,) = (tmp_path / "spool").glob("*.part")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as file:
        with pytest.raises(DigestMismatch):
            await fill(file, Origin())
        await file.restart()
        await fill(file, Origin())
        assert await read(file) == DATA


@pytest.mark.parametrize(
    ("etag", "boot", "kept"),
    [('"one"', None, True), ("", None, False), ('"one"', "another", False), ('"one"', "", False)],
)
async def test_without_a_digest_an_etag_of_this_boot_is_needed(
    tmp_path: Path, etag: str, boot: str | None, kept: bool
) -> None:
    """What nothing could prove in the end is begun again."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH, sha256=None, etag=etag)
    for about in (tmp_path / "spool").glob("*.about"):
        if boot is not None:
            about.write_text(json.dumps({"etag": etag, "boot": boot}))
    async with a_spool(tmp_path).hold(["host", 1], len(DATA)) as file:
        assert (file.have > 0, file.etag) == (kept, etag if kept else "")
        assert await fill(file, Origin(etag=etag), None) == DIGEST
        assert await read(file) == DATA


@pytest.mark.parametrize("about", [b"", b"{", b"[]", b'{"etag": 5, "boot": ""}', b"\xff"])
async def test_a_broken_note_is_no_proof(tmp_path: Path, about: bytes) -> None:
    """A note that was cut off in the middle counts as none."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH, sha256=None, etag='"one"')
    (path,) = (tmp_path / "spool").glob("*.about")
    path.write_bytes(about)
    async with a_spool(tmp_path).hold(["host", 1], len(DATA)) as file:
        assert file.have == 0


async def test_a_rest_that_is_too_long_is_begun_again(tmp_path: Path) -> None:
    """A file with more bytes than the asset has is none of it."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH)
    (path,) = (tmp_path / "spool").glob("*.part")
    with path.open("ab") as file:
        file.truncate(len(DATA) + 1)
    async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as held:
        assert held.have == 0


async def test_what_has_no_length_is_never_continued(tmp_path: Path) -> None:
    """A source archive is begun again, and learns its size on the way."""

    async def once() -> None:
        async with a_spool(tmp_path).hold(["host", -1], None) as file:
            assert file.have == 0
            async with Origin().open(0) as chunks:
                await file.send(chunks)
            file.seal(DIGEST)
            assert file.size == len(DATA)
            assert await read(file) == DATA

    await once()
    assert files(tmp_path) == []
    await once()


async def test_a_disk_that_is_full_is_told_and_freed(tmp_path: Path) -> None:
    """In the middle of an asset: one sentence with what to do, and nothing of it stays."""
    spool = a_spool(tmp_path, SmallDisk(full_after=2))
    with pytest.raises(SpoolError, match=r"No space left on device: make room .* give another"):
        async with spool.hold(["host", 1], len(DATA), DIGEST) as file:
            await fill(file, Origin(etag=""))
    assert files(tmp_path) == []


async def test_free_space_is_kept(tmp_path: Path) -> None:
    """1 GiB stays free, or a twentieth of a small disk; who alone finds no room is told so."""
    assert kept_free(1000 * GIB) == GIB
    assert kept_free(10 * GIB) == GIB // 2
    disk = SmallDisk(total=100 * GIB, used=98 * GIB)
    spool = a_spool(tmp_path, disk)
    async with spool.hold(["host", 1], GIB, None):
        pass
    with pytest.raises(SpoolError, match=f"of which {GIB} are kept, and {GIB + 1} are needed"):
        async with spool.hold(["host", 1], GIB + 1, None):
            pass


async def test_what_can_never_fit_is_told_at_once(tmp_path: Path) -> None:
    """An asset that is larger than the disk, or than the budget, does not wait for anybody."""
    spool = a_spool(tmp_path, SmallDisk(total=10 * GIB), budget=GIB)
    async with spool.hold(["host", 1], GIB // 2, None):
        with pytest.raises(SpoolError, match=f"can never fit .* may hold {GIB}; give another"):
            async with spool.hold(["host", 2], GIB + 1, None):
                pass
    with pytest.raises(SpoolError, match="can never fit"):
        async with a_spool(tmp_path, SmallDisk(total=GIB)).hold(["host", 1], GIB, None):
            pass


async def test_who_finds_no_room_waits_in_order(tmp_path: Path) -> None:
    """A large asset that waits is not overtaken by small ones, and gets its room in the end."""
    spool = a_spool(tmp_path, SmallDisk(), budget=100)
    order: list[int] = []
    first = asyncio.Event()

    async def take(number: int, size: int, until: asyncio.Event | None = None) -> None:
        async with spool.hold(["host", number], size, None):
            order.append(number)
            if until:
                await until.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(take(1, 60, first))
        while not order:  # noqa: ASYNC110 - a turn of the loop, not a wait
            await asyncio.sleep(0)
        group.create_task(take(2, 90))
        await asyncio.sleep(0)
        group.create_task(take(3, 20))  # would fit beside the first, and does not beside the second
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert order == [1]
        first.set()
    assert order == [1, 2, 3]


async def test_who_waits_can_be_cancelled(tmp_path: Path) -> None:
    """Whoever gives up while it waits for room leaves the door open for the next one."""
    spool = a_spool(tmp_path, SmallDisk(), budget=100)

    async def take(number: int) -> None:
        async with spool.hold(["host", number], 60, None):
            pass

    async with spool.hold(["host", 1], 60, None):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await take(2)
    await take(3)


async def test_rests_give_way_the_oldest_first(tmp_path: Path) -> None:
    """What nobody is at work on makes room before anybody waits or fails; what is used stays."""
    spool = a_spool(tmp_path, SmallDisk(), budget=2 * len(DATA) + BATCH * 3 // 2)
    paths: list[Path] = []
    for number in range(3):
        await leave(spool, ["host", number], 2 * BATCH)
        (path,) = set((tmp_path / "spool").glob("*.part")) - set(paths)
        os.utime(path, (1000 - number, 1000 - number))
        paths.append(path)
    async with spool.hold(["host", 1], len(DATA), DIGEST) as used:
        assert used.have
        async with spool.hold(["host", 9], len(DATA), DIGEST):
            assert [path.exists() for path in paths] == [True, True, False]


async def test_old_rests_are_swept(tmp_path: Path) -> None:
    """After seven days a rest goes; younger ones, used ones and what is not ours stay."""
    spool = a_spool(tmp_path)
    assert await spool.sweep() == 0
    for number in range(3):
        await leave(spool, ["host", number], 2 * BATCH, etag='"one"')
    directory = tmp_path / "spool"
    foreign = directory / "somebody.part"
    foreign.write_bytes(b"")
    young, old, used = sorted(set(directory.glob("*.part")) - {foreign})
    now = VirtualClock().now().timestamp()
    for path, age in ((young, OLD - 5), (old, OLD + 5), (used, OLD + 5), (foreign, OLD + 5)):
        os.utime(path, (now - age, now - age))
    (directory / f"{'0' * 64}.about").write_bytes(b"{}")
    with used.open() as somebody:  # another process is at work on it
        fcntl.flock(somebody, fcntl.LOCK_EX)
        assert await spool.sweep() == 1
    left = {path.name for path in directory.iterdir()}
    kept = {p.with_suffix(end).name for p in (young, used) for end in (".part", ".about")}
    assert left == {*kept, foreign.name}


async def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    """While another process fetches the same asset, this one says so and leaves it alone."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH)
    (path,) = (tmp_path / "spool").glob("*.part")
    content = path.read_bytes()
    with path.open() as somebody:
        fcntl.flock(somebody, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="another run is fetching into"):
            async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST):
                pass
    assert path.read_bytes() == content


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in place of a file is an error: nothing behind it is written."""
    await leave(a_spool(tmp_path), ["host", 1], 2 * BATCH)
    (path,) = (tmp_path / "spool").glob("*.part")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(SpoolError, match="cannot open the spool"):
        async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST):
            pass
    assert victim.read_bytes() == b"precious"


async def test_a_cancelled_run_leaves_what_can_be_continued(tmp_path: Path) -> None:
    """However a download ends, what stays is a beginning of the asset."""
    for turns in range(0, 60, 7):

        async def fetch() -> None:
            async with a_spool(tmp_path).hold(["host", 1], len(DATA), DIGEST) as file:
                await fill(file, Origin())

        async with asyncio.TaskGroup() as group:
            task = group.create_task(fetch())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        for path in (tmp_path / "spool").glob("*.part"):
            content = path.read_bytes()
            assert content == DATA[: len(content)]
