"""The ledger's documents as files, locked, and saved so that no crash can tear them.

::

    DIRECTORY/lock                 held by the run that writes; holds its process id
    DIRECTORY/index.json           the index
    DIRECTORY/OWNER/REPO.json      one document a target repository, names in lower case
    ….PID-N.tmp                    a save in progress, or one that a killed run left behind
    ….json.corrupt-20261121T090000Z    what could not be read, set aside for a person
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import itertools
import os
import re
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from mirror.core.ledger.document import Index, IndexEntry, Ledger, LedgerStore
from mirror.errors import LedgerCorrupt, LedgerError, LedgerLocked, LedgerTooNew
from mirror.storage.files import Files
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from mirror.core.clock import Clock

T = TypeVar("T")


_LOG = structlog.get_logger(__name__)
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}")
_POLL = 0.2
_TAKEN = frozenset({"lock", "git", "spool"})
"""The lock, copies of git, and bytes in flight: they may be in the same directory."""

_TEMPORARY = itertools.count()
_ADVICE = {
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "raise the disk quota, or make room",
    errno.EROFS: "its file system is mounted read-only",
    errno.EACCES: "let the user that runs release-mirror read and write there",
    errno.EPERM: "let the user that runs release-mirror read and write there",
    errno.ENOTDIR: "a file is where a directory should be",
    errno.EEXIST: "a file is where a directory should be",
    errno.EISDIR: "a directory is where a file should be",
    errno.ENOLCK: "its file system cannot lock files",
    errno.ENOTSUP: "its file system cannot lock files",
}


class FileLedgerStore(LedgerStore):
    """Ledger documents under a directory.

    Nothing is made before the first lock or save: reading leaves a disk as it was. One document
    is saved by one save at a time, in the order of the calls; after a save returns, a power loss
    leaves what it saved, and at any moment before that the document from before or this one.

    Args:
        directory: Where they are; made when the lock is taken.
        clock: For the waits for the lock, and the dates of what is set aside.
        files: The operations on the disk.
    """

    def __init__(self, directory: Path, clock: Clock, files: Files | None = None) -> None:
        self._directory = Path(directory)
        self._clock = clock
        self._files = files or Files()
        self._saving: dict[Path, asyncio.Lock] = {}
        self._held = False
        self._saving_index = asyncio.Lock()
        self._asked = 0  # how often the index was to be saved, and up to which of these it was
        self._kept: Index | None = None
        self._kept_up_to = 0

    def exists(self) -> bool:
        """Whether there is a ledger at all; ``False`` before the first run.

        Raises:
            LedgerError: It may not be looked at.
        """
        try:
            return self._files.exists(self._directory)
        except OSError as error:
            raise _failure("read", self._directory, error) from error

    @asynccontextmanager
    async def lock(self, wait: float = 0.0) -> AsyncIterator[None]:
        """Hold the ledger against other processes while the block runs.

        The kernel frees the lock when its holder dies, however it dies; the file itself stays, as
        removing it would let two runs hold two files of one name.

        Args:
            wait: Seconds to wait for another holder; 0 for not at all.

        Raises:
            LedgerLocked: Another process held it to the end; the text names it.
            LedgerError: The directory cannot be made or written.
        """
        path = self._directory / "lock"
        with _told("lock", path):
            self._ensure(self._directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._acquire(descriptor, path, wait)
            try:
                self._held = True
                with _told("lock", path):
                    os.truncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                await asyncio.to_thread(self._sweep)
                yield
            finally:
                self._held = False
                # Whoever finds the lock held before its next holder wrote its own number is told
                # no number rather than a wrong one.
                with suppress(OSError):
                    os.truncate(descriptor, 0)
        finally:
            os.close(descriptor)

    async def load_index(self) -> Index:
        """Read the index.

        Where there is none, or an unreadable one, its figures are summed up from the documents;
        without any proof, so that the next pass looks at both sides of every mirror.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerError: It may not be read.
        """
        index = await self._load(self._directory / "index.json", Index.decode)
        return await self.rebuild_index() if index is None else index

    async def save_index(self, index: Index) -> None:
        """Keep the index.

        Of several that come while it is being written, the first writes for all of them: sessions
        save it before they change anything, and it is as large as there are mirrors.

        Raises:
            LedgerError: It could not be written; the one from before is intact.
        """
        self._asked += 1
        mine = self._asked
        async with self._saving_index:
            if self._kept is index and self._kept_up_to >= mine:
                return
            up_to = self._asked
            await self._save(self._directory / "index.json", index.encode())
            self._kept, self._kept_up_to = index, up_to

    async def rebuild_index(self) -> Index:
        """Sum the index up from the documents; unreadable ones are left out.

        Raises:
            LedgerTooNew: A later version of this program wrote a document.
            LedgerError: One may not be read.
        """
        return await asyncio.to_thread(self._rebuild)

    async def load(self, key: str) -> Ledger | None:
        """Read a document.

        One that is unreadable counts as none: with a warning, and set aside while the lock is held
        (whoever only reads changes nothing).

        Args:
            key: ``owner/repo`` of the target, in any case.

        Raises:
            LedgerTooNew: A later version of this program wrote it; it stays where it is.
            LedgerError: It may not be read, or ``key`` is no repository's.
        """
        return await self._load(self._path(key), Ledger.decode)

    async def save(self, key: str, ledger: Ledger) -> None:
        """Keep a document.

        Raises:
            LedgerError: It could not be written; the one from before is intact.
        """
        await self._save(self._path(key), ledger.encode())

    async def set_aside(self, key: str, reason: str) -> None:
        """Move a document out of the way, for a person to look at; nothing where there is none.

        Raises:
            LedgerError: It could not be moved.
        """
        await unbroken(self._set_aside, self._path(key), reason)

    async def _acquire(self, descriptor: int, path: Path, wait: float) -> None:
        end = self._clock.monotonic() + wait
        while True:
            with _told("lock", path), suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            left = end - self._clock.monotonic()
            if left <= 0:
                raise _locked(os.pread(descriptor, 32, 0))
            await self._clock.sleep(min(_POLL, left))

    def _path(self, key: str) -> Path:
        owner, slash, name = key.partition("/")
        good = slash and _OWNER.fullmatch(owner) and _REPOSITORY.fullmatch(name)
        if not good or name in {".", ".."}:
            raise LedgerError(f"not the OWNER/REPO of a ledger document: {key[:250]!r}")
        return self._directory / _folder(owner.lower()) / f"{name.lower()}.json"

    async def _load(self, path: Path, parse: Callable[[bytes], T]) -> T | None:
        try:
            return await asyncio.to_thread(self._read, path, parse)
        except LedgerCorrupt as error:
            if self._held:
                await unbroken(self._set_aside, path, str(error))
            else:
                _LOG.warning("ledger.unreadable", path=str(path), reason=str(error))
            return None

    def _read(self, path: Path, parse: Callable[[bytes], T]) -> T | None:
        try:
            content = self._files.read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failure("read", path, error) from error
        try:
            return parse(content)
        except LedgerTooNew as error:
            raise LedgerTooNew(f"{path}: {error}") from error

    async def _save(self, path: Path, content: bytes) -> None:
        # The text is made on the event loop, where nobody changes the document meanwhile.
        async with self._saving.setdefault(path, asyncio.Lock()):
            await unbroken(self._write, path, content)

    def _write(self, path: Path, content: bytes) -> None:
        files = self._files
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_TEMPORARY)}.tmp")
        with _told("write", path):
            self._ensure(self._directory)
            self._ensure(path.parent)
            descriptor = files.create(temporary)
            try:
                try:
                    files.write(descriptor, content)
                    # Before the rename: else a power loss may leave the new name without content.
                    files.sync(descriptor)
                finally:
                    files.close(descriptor)
                files.rename(temporary, path)
            except OSError:
                with suppress(OSError):
                    files.remove(temporary)
                raise
            files.sync_directory(path.parent)

    def _ensure(self, directory: Path) -> None:
        if self._files.exists(directory):
            return
        self._files.make_directory(directory)
        # A directory above ours may be one that we can pass but not open.
        with suppress(PermissionError):
            self._files.sync_directory(directory.parent)

    def _set_aside(self, path: Path, reason: str) -> None:
        date = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        with _told("set aside", path):
            if not self._files.exists(path):
                return
            for number in itertools.count(1):
                more = f"-{number}" if number > 1 else ""
                aside = path.with_name(f"{path.name}.corrupt-{date}{more}")
                if not self._files.exists(aside):
                    break
            self._files.rename(path, aside)
            self._files.sync_directory(path.parent)
        _LOG.warning("ledger.set_aside", path=str(path), aside=str(aside), reason=reason)

    def _sweep(self) -> None:
        """Remove the temporary files of killed runs; only the lock's holder writes any."""
        with _told("read", self._directory):
            for directory, files in self._walk():
                for name in files:
                    if name.endswith(".tmp"):
                        self._files.remove(directory / name)

    def _walk(self) -> Iterator[tuple[Path, list[str]]]:
        try:
            owners, files = self._files.names(self._directory)
        except FileNotFoundError:
            return
        yield self._directory, files
        for owner in owners:
            # Others' directories (`lost+found`) are none of our business, and may be closed to us.
            if owner not in _TAKEN and _OWNER.fullmatch(owner.removeprefix("_")):
                yield self._directory / owner, self._files.names(self._directory / owner)[1]

    def _rebuild(self) -> Index:
        index = Index()
        with _told("read", self._directory):
            documents = [
                directory / name
                for directory, files in self._walk()
                for name in files
                if directory != self._directory and name.endswith(".json")
            ]
        for path in documents:
            try:
                ledger = self._read(path, Ledger.decode)
            except LedgerCorrupt:
                continue  # Told, and set aside, when the document itself is asked for.
            if ledger:
                owner = path.parent.name.removeprefix("_")
                index.mirrors[f"{owner}/{path.name.removesuffix('.json')}"] = _entry(ledger)
        return index


def _locked(content: bytes) -> LedgerLocked:
    text = content.strip()
    pid = int(text) if text.isdigit() else None
    who = "" if pid is None else f" (process {pid})"
    return LedgerLocked(f"another run holds the ledger{who}", pid=pid)


def _folder(owner: str) -> str:
    """An owner's directory; some names are taken by what else is kept in the ledger's.

    No owner's name begins with an underscore.
    """
    return f"_{owner}" if owner in _TAKEN else owner


def _entry(ledger: Ledger) -> IndexEntry:
    releases, assets, size = ledger.totals()
    return IndexEntry(
        source=ledger.source,
        target=ledger.target,
        target_url=ledger.target_url,
        source_id=ledger.source_id,
        releases=releases,
        assets=assets,
        bytes=size,
        proof=ledger.proofs(),
        quarantined=tuple(entry.report() for entry in ledger.quarantined.values()),
    )


@contextmanager
def _told(doing: str, path: Path) -> Iterator[None]:
    """Turn the disk's errors into sentences."""
    try:
        yield
    except OSError as error:
        raise _failure(doing, path, error) from error


def _failure(doing: str, path: Path, error: OSError) -> LedgerError:
    advice = _ADVICE.get(error.errno or 0, "see that its disk is well")
    reason = error.strerror or str(error)
    return LedgerError(
        f"cannot {doing} {path}: {reason}: {advice}, or give another [ledger] directory"
    )
