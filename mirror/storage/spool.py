"""Assets in flight on disk: fetched whole before anything is sent, and continued after a crash.

::

    DIRECTORY/<64 hexadecimal digits>.part     what has come so far
    DIRECTORY/<64 hexadecimal digits>.about    what proves, for an asset without a digest, that the
                                               rest still belongs to it

A name is a hash of what the asset is: nothing that a host says ever becomes part of a path. Whoever
uses a file holds a lock on it, which the kernel frees when its holder dies.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import structlog

from mirror.errors import SpoolError
from mirror.storage.files import make_private
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Collection,
        Iterator,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager

    from mirror.core.clock import Clock
    from mirror.core.stream import ByteSource, ValidatedSource

T = TypeVar("T")

log = structlog.get_logger(__name__)

BATCH = 1024 * 1024
"""Bytes of one trip to a worker thread; smaller ones cost more in trips than in writing."""

KEPT_FREE = 1024**3
"""Bytes of a file system that stay free; a twentieth of one that is smaller than 20 GiB."""

OLD = 7 * 24 * 3600.0
"""Seconds after which nobody comes back for what is left of an asset."""

_OURS = re.compile(r"([0-9a-f]{64})\.(?:part|about)")
_ADVICE = {
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "raise the disk quota, or make room",
    errno.EFBIG: "raise the limit on a file's size",
    errno.EROFS: "its file system is mounted read-only",
    errno.EACCES: "let the user that runs release-mirror read and write there",
    errno.EPERM: "let the user that runs release-mirror read and write there",
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """What the spool asks of a disk; tests hand in a small one."""

    def space(self, directory: Path) -> tuple[int, int]:
        """Bytes that are free for us, and bytes in all."""
        facts = os.statvfs(directory)
        return facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize

    def write(self, descriptor: int, chunks: Sequence[bytes], offset: int) -> None:
        """Write all of them, one after the other, from an offset on."""
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                written = os.pwrite(descriptor, rest, offset)
                rest, offset = rest[written:], offset + written

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from an offset on."""
        return os.pread(descriptor, size, offset)


class Spool:
    """Room on disk for assets in flight, bounded over all transfers.

    Nothing is made before the first asset. What is there of other assets gives way, the oldest
    first, before anybody waits.

    Args:
        directory: Where; made when it is needed, for us alone.
        budget_bytes: The most that all files together take; ``None`` for what the disk has.
        clock: The time, for the age of what was left.
        disk: The operations on the disk.
    """

    def __init__(
        self, directory: Path, budget_bytes: int | None, clock: Clock, disk: Disk | None = None
    ) -> None:
        self._directory = Path(directory)
        self._budget = budget_bytes
        self._clock = clock
        self._disk = disk or Disk()
        self._door = asyncio.Lock()
        self._freed = asyncio.Event()
        self._held: dict[str, SpoolFile] = {}

    @asynccontextmanager
    async def hold(
        self, what: Collection[object], size: int | None, sha256: str | None = None
    ) -> AsyncGenerator[SpoolFile, None]:
        """Have room for an asset while the block runs; waits for it in the order of the calls.

        What an earlier run left of the asset is there again. At the end the file goes when
        :meth:`SpoolFile.discard` was called or when it could not be continued; else it stays for
        the next try, for some days.

        Args:
            what: What tells the asset from every other one: host, id, for whom.
            size: In bytes; ``None`` where it is not known, and nothing can be continued.
            sha256: The digest that the source promises.

        Raises:
            SpoolError: There is no room and never will be, or the disk cannot be used.
        """
        facts = json.dumps([*map(str, what), size, sha256])
        name = hashlib.sha256(facts.encode()).hexdigest()
        async with self._door:  # whoever needs much is not overtaken for ever
            await self._room_for(name, size or 0)
            file = SpoolFile(self, name, size, sha256)
            self._held[name] = file
        try:
            await unbroken(file.open_file)
            yield file
        finally:
            try:
                await unbroken(file.close_file)
            finally:
                del self._held[name]
                self._freed.set()

    async def sweep(self) -> int:
        """Remove what nobody came back for; how many files that were."""
        try:
            return await unbroken(self._sweep)
        except SpoolError as error:  # told again by whoever needs the room
            log.warning("spool.not_swept", error=str(error))
            return 0

    async def _room_for(self, name: str, size: int) -> None:
        while True:
            self._freed.clear()
            held = {key: file.reserved for key, file in self._held.items()}
            if name in held:
                raise SpoolError("the same asset is fetched twice at once")
            if not (lack := await unbroken(self._make_room, name, size, held)):
                return
            if not held:
                raise SpoolError(lack)
            log.debug("spool.waits", bytes=size, held=len(held))
            await self._freed.wait()

    # -- what blocks ----------------------------------------------------------------------------

    def _make_room(self, name: str, size: int, held: dict[str, tuple[int, int]]) -> str:
        """Let old rests give way until there is room; why there is none, else."""
        with self._told("write"):
            if not self._directory.is_dir():
                make_private(self._directory)
            total = self._disk.space(self._directory)[1]
            most = total - kept_free(total)
            if self._budget is not None:
                most = min(most, self._budget)
            if size > most:
                raise SpoolError(
                    f"{size} bytes can never fit into the spool {self._directory}, which may hold"
                    f" {most}; give another [sync] spool_directory, or exclude the asset"
                )
            rests = [rest for rest in self._files() if rest[1] not in {name, *held}]
            while True:
                lack = self._lack(name, size, held, sum(rest[2] for rest in rests))
                if not lack or not rests:
                    return lack
                self._remove(rests.pop(0)[1])

    def _lack(
        self, name: str, size: int, held: dict[str, tuple[int, int]], of_rests: int = 0
    ) -> str:
        """Why there is no room for an asset now; empty where there is."""
        free, total = self._disk.space(self._directory)
        here = self._length(name)
        coming = sum(max(0, most - there) for most, there in held.values())
        spare = free - coming - kept_free(total) - max(0, size - here)
        if spare < 0:
            return (
                f"the file system of the spool {self._directory} has {free} bytes free, of which"
                f" {kept_free(total)} are kept, and {size} are needed: make room on it; give"
                " another [sync] spool_directory otherwise"
            )
        taken = sum(max(sizes) for sizes in held.values()) + of_rests
        if self._budget is not None and taken + size > self._budget:
            return f"the spool {self._directory} is full: {taken} of {self._budget} bytes are used"
        return ""

    def check_growth(self, file: SpoolFile, more: int) -> None:
        """See that a file whose size nobody knew may grow.

        Raises:
            SpoolError: There is no room for it.
        """
        held = {key: other.reserved for key, other in list(self._held.items())}
        held[file.name] = (file.have, file.have)
        if lack := self._lack("", more, held):
            raise SpoolError(lack)

    def _files(self) -> list[tuple[float, str, int]]:
        """The files with bytes: when each was written last, its name, its size; oldest first."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if (name := _OURS.fullmatch(entry.name)) and entry.name.endswith(".part"):
                    with suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        found.append((facts.st_mtime, name[1], facts.st_size))
        return sorted(found)

    def _length(self, name: str) -> int:
        try:
            return self.path(name).lstat().st_size if name else 0
        except FileNotFoundError:
            return 0

    def _remove(self, name: str) -> bool:
        """Remove a rest, unless another process is at work on it."""
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path(name).unlink(missing_ok=True)
            self.path(name, "about").unlink(missing_ok=True)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _sweep(self) -> int:
        if not self._directory.is_dir():
            return 0
        with self._told("read"):
            now = self._clock.now().timestamp()
            old = [name for at, name, _ in self._files() if now - at > OLD]
            removed = sum(self._remove(name) for name in old if name not in self._held)
            for path in self._directory.glob("*.about"):
                name = _OURS.fullmatch(path.name)
                if name and name[1] not in self._held and not self.path(name[1]).exists():
                    path.unlink(missing_ok=True)
        if removed:
            log.info("spool.swept", files=removed)
        return removed

    def path(self, name: str, kind: str = "part") -> Path:
        """Where a file is."""
        return self._directory / f"{name}.{kind}"

    @property
    def disk(self) -> Disk:
        """The operations on the disk."""
        return self._disk

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.failure(doing, error) from error

    def failure(self, doing: str, error: OSError) -> SpoolError:
        """A sentence for what the disk said."""
        advice = _ADVICE.get(error.errno or 0, "see that its disk is well")
        return SpoolError(
            f"cannot {doing} the spool {self._directory}: {error.strerror or error}: {advice};"
            " give another [sync] spool_directory otherwise"
        )


class SpoolFile:
    """One asset on disk: a ``ByteSink`` until all of it is there, and a ``ByteSource`` then.

    Attributes:
        name: Of the file, without its ending.
        size: In bytes; what has come so far, where it was not known before.
        have: Bytes that are there.
        etag: What they belong to, as the source named it; empty for unknown.
        sha256: Of all of them, hexadecimal; ``None`` until they are there and were hashed.
    """

    def __init__(self, spool: Spool, name: str, size: int | None, sha256: str | None) -> None:
        self.name = name
        self.have = 0
        self.etag = ""
        self.sha256: str | None = None
        self._spool = spool
        self._expected = size
        self._promised = sha256
        self._origin: ValidatedSource | None = None
        self._descriptor = -1
        self._unwanted = False

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.have if self._expected is None else self._expected

    @property
    def reserved(self) -> tuple[int, int]:
        """Bytes that it may grow to, and bytes that are there."""
        return max(self.size, self.have), self.have

    # -- bytes come -----------------------------------------------------------------------------

    async def continued(self, origin: ValidatedSource) -> ByteSource:
        """What is here, and then the rest from where the asset comes from.

        Raises:
            SpoolError: The disk cannot be written.
        """
        if self.have and not self._usable():
            await self.restart()
        self._origin = origin
        return _Continued(self, origin) if self.have else origin

    async def send(self, chunks: AsyncIterator[bytes], size: int | None = None) -> None:
        """Store all chunks, which begin at the asset's first byte; those that are here are passed.

        Raises:
            SpoolError: The disk cannot take them; what is there of a disk that is full goes.
        """
        del size  # it was told when room was made
        here, position = self.have, 0
        batch: list[bytes] = []
        waiting = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for chunk in chunks:
                position += len(chunk)
                if position <= here:
                    continue
                batch.append(chunk[-(position - here) :] if position - len(chunk) < here else chunk)
                waiting += len(batch[-1])
                if waiting >= BATCH:
                    # One batch is written while the next one is gathered.
                    full, batch, waiting = batch, [], 0
                    await _settled(writing)
                    writing = asyncio.get_running_loop().run_in_executor(None, self._store, full)
            await _settled(writing)
            writing = None
            if batch:
                await unbroken(self._store, batch)
        finally:
            if writing:
                await asyncio.wait([writing])
                writing.exception()  # Looked at: what ended this is told already.

    def seal(self, sha256: str) -> None:
        """All bytes are there, and this is their SHA-256."""
        self.sha256 = sha256

    def doubt(self) -> None:
        """Something is wrong with the bytes, here or elsewhere: they are to be hashed again."""
        self.sha256 = None

    async def examined(self, look: Callable[[BinaryIO], T]) -> T:
        """What somebody finds who looks at all that is there, in a thread of its own."""

        def open_and_look() -> T:
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                return look(file)

        return await unbroken(open_and_look)

    async def restart(self) -> None:
        """Forget what is here.

        Raises:
            SpoolError: The disk cannot be written.
        """
        await unbroken(self._restart)

    def discard(self) -> None:
        """Nobody needs the bytes any more: they go when the file is closed."""
        self._unwanted = True

    # -- bytes go -------------------------------------------------------------------------------

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from ``offset`` to the end of what is there.

        Raises (while iterating):
            SpoolError: The disk cannot be read.
        """
        return self.read(offset, self.have)

    @asynccontextmanager
    async def read(self, offset: int, end: int) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Read from ``offset`` to ``end``."""
        chunks = self._chunks(offset, end)
        try:
            yield chunks
        finally:
            await chunks.aclose()

    async def _chunks(self, offset: int, end: int) -> AsyncGenerator[bytes, None]:
        while offset < end:
            chunk = await unbroken(self._load, min(BATCH, end - offset), offset)
            offset += len(chunk)
            yield chunk

    # -- what blocks ----------------------------------------------------------------------------

    def open_file(self) -> None:
        """Open it, and see what of it can be used."""
        path = self._spool.path(self.name)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.have = self._length()
            self.etag = self._proof()
            if not self._usable():
                self._restart()
        except BlockingIOError:
            self._close()
            raise SpoolError(f"another run is fetching into {path}") from None
        except OSError as error:
            self._close()
            raise self._spool.failure("open", error) from error
        except SpoolError:
            self._close()
            raise

    def _length(self) -> int:
        facts = os.fstat(self._descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise SpoolError(f"{self._spool.path(self.name)} is no file; remove it")
        return facts.st_size

    def close_file(self) -> None:
        """Close it; what is of no use goes."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            if self._unwanted or not self.have or not self._usable():
                self._spool.path(self.name).unlink(missing_ok=True)
                self._spool.path(self.name, "about").unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _usable(self) -> bool:
        """Whether what is here can be continued, and be proven in the end."""
        if self._expected is None or self.have > self._expected:
            return False
        return bool(self._promised or self.etag)

    def _proof(self) -> str:
        """The ETag of what is here.

        Without a digest nothing would tell that bytes were lost with the power, which a file's
        length outlives: then only what this boot of the machine wrote is believed.
        """
        try:
            about = json.loads(self._spool.path(self.name, "about").read_bytes())
            etag, boot = about["etag"], about["boot"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""
        good = isinstance(etag, str) and (self._promised or boot == _boot() != "")
        return etag if good and len(etag) < 1000 else ""

    def _store(self, chunks: list[bytes]) -> None:
        more = sum(map(len, chunks))
        try:
            if not self.have:
                self._note_proof()
            if self._expected is None:
                self._spool.check_growth(self, more)
            self._spool.disk.write(self._descriptor, chunks, self.have)
        except OSError as error:
            with suppress(OSError):
                if error.errno in _FULL:
                    self._restart()
                else:
                    os.ftruncate(self._descriptor, self.have)
            raise self._spool.failure("write", error) from error
        self.have += more

    def _note_proof(self) -> None:
        """Before the first byte: what the bytes belong to."""
        self.etag = self._origin.etag if self._origin else ""
        path = self._spool.path(self.name, "about")
        path.unlink(missing_ok=True)
        if self.etag and self._expected is not None:
            about = json.dumps({"etag": self.etag, "boot": _boot()}).encode()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                self._spool.disk.write(descriptor, [about], 0)
            finally:
                os.close(descriptor)

    def _restart(self) -> None:
        self.have = 0
        self.etag = ""
        self.sha256 = None
        try:
            os.ftruncate(self._descriptor, 0)
            self._spool.path(self.name, "about").unlink(missing_ok=True)
        except OSError as error:
            raise self._spool.failure("write", error) from error

    def _load(self, size: int, offset: int) -> bytes:
        try:
            chunk = self._spool.disk.read(self._descriptor, size, offset)
        except OSError as error:
            raise self._spool.failure("read", error) from error
        if not chunk:
            raise SpoolError(f"{self._spool.path(self.name)} was cut off by somebody else")
        return chunk


class _Continued:
    """An asset whose beginning is on disk already, as a source of all of it."""

    def __init__(self, file: SpoolFile, origin: ValidatedSource) -> None:
        self._file = file
        self._here = file.have
        self._origin = origin

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._origin.size

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from ``offset``: first what is on disk."""
        return self._open(offset)

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncGenerator[AsyncIterator[bytes], None]:
        # The rest is asked for first: this may wait for its host's limits, which is no stall.
        async with AsyncExitStack() as stack:
            start, rest = max(offset, self._here), None
            if start < self.size:
                rest = await stack.enter_async_context(self._origin.open(start))
            chunks = self._chunks(offset, rest)
            try:
                yield chunks
            finally:
                await chunks.aclose()

    async def _chunks(
        self, offset: int, rest: AsyncIterator[bytes] | None
    ) -> AsyncGenerator[bytes, None]:
        if offset < self._here:
            async with self._file.read(offset, self._here) as chunks:
                async for chunk in chunks:
                    yield chunk
        if rest:
            async for chunk in rest:
                yield chunk


async def _settled(writing: asyncio.Future[None] | None) -> None:
    """Wait for a batch; a cancellation leaves it to whoever asks next."""
    if writing:
        await asyncio.wait([writing])
        writing.result()


def kept_free(total: int) -> int:
    """Bytes of a file system of this size that stay free."""
    return min(KEPT_FREE, total // 20)


def _boot() -> str:
    """What tells this boot of the machine from every other one; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
