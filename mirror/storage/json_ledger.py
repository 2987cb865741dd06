"""The ledger as JSON files: locked against other processes, saved so that a crash cannot tear them.

::

    DIRECTORY/lock                 held by the run that writes; contains its process id, and whether
                                   it is the daemon
    DIRECTORY/index.json           the index
    DIRECTORY/OWNER/REPO.json      one document per target repository, names in lower case
    ….PID-N.tmp                    a save in progress, or left behind by a killed run
    ….json.corrupt-20261121T090000Z    an unreadable file, set aside
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

from mirror.core.ledger.document import Index, Ledger, LedgerStore, document_key, entry_of
from mirror.errors import LedgerCorrupt, LedgerError, LedgerLocked, LedgerTooNew
from mirror.storage.files import Files
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from mirror.core.clock import Clock

T = TypeVar("T")


log = structlog.get_logger(__name__)
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_POLL = 0.2
_DAEMON = b"daemon"
"""In the lock's file where its holder is the daemon, which never gives it back by itself."""

_TAKEN = frozenset({"lock", "git", "spool"})
"""Other entries of the directory: the lock, git repositories, assets in flight."""

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

    Reading creates nothing; the directory is created by the first lock or save. Saves of one
    document run one at a time, in the order of the calls. After a save has returned, a power loss
    leaves that version; before, the previous one or that one.

    Args:
        directory: The ledger's directory.
        clock: For waiting for the lock, and for the dates of files that are set aside.
        files: The file operations.
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

    async def exists(self) -> bool:
        """Whether the directory exists; ``False`` before the first run.

        Raises:
            LedgerError: It is not accessible.
        """
        try:
            return self._files.exists(self._directory)
        except OSError as error:
            raise _failure("read", self._directory, error) from error

    @asynccontextmanager
    async def lock(self, wait: float = 0.0, *, daemon: bool = False) -> AsyncIterator[None]:
        """Lock the ledger against other processes while the block runs.

        The kernel releases the lock when its holder dies. The file itself stays: if it were
        removed, two runs could lock two files of the same name.

        Args:
            wait: Seconds to wait for another holder, unless it is the daemon; 0 to fail at once.
            daemon: The holder is the daemon, which others can ask for a sync.

        Raises:
            LedgerLocked: Another process still holds it; the message names the process.
            LedgerError: The directory cannot be created or written.
        """
        path = self._directory / "lock"
        with _as_ledger_error("lock", path):
            self._ensure(self._directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._acquire(descriptor, path, wait)
            try:
                self._held = True
                with _as_ledger_error("lock", path):
                    os.truncate(descriptor, 0)
                    holder = f"{os.getpid()}{' daemon' if daemon else ''}\n"
                    os.pwrite(descriptor, holder.encode(), 0)
                await asyncio.to_thread(self._sweep)
                yield
            finally:
                self._held = False
                # Until the next holder has written its own process id, others see none rather than
                # a wrong one.
                with suppress(OSError):
                    os.truncate(descriptor, 0)
        finally:
            os.close(descriptor)

    async def load_index(self) -> Index:
        """Read the index.

        If it is missing or unreadable, its totals are rebuilt from the documents, without any proof:
        the next pass looks at both sides of every mirror.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerError: The file cannot be read.
        """
        index = await self._load(self._directory / "index.json", Index.decode)
        return await self.rebuild_index() if index is None else index

    async def save_index(self, index: Index) -> None:
        """Save the index.

        Calls that arrive while it is being written share one further write: every session saves it
        before it changes anything, and its size grows with the number of mirrors.

        Raises:
            LedgerError: It could not be written; the previous file is intact.
        """
        self._asked += 1
        mine = self._asked
        async with self._saving_index:
            if self._kept is index and self._kept_up_to >= mine:
                return
            up_to = self._asked
            await self._save(self._directory / "index.json", index.encode())
            self._kept, self._kept_up_to = index, up_to

    async def save_entry(self, index: Index, key: str) -> None:
        """Save the index, which holds the mirror's entry."""
        del key
        await self.save_index(index)

    async def save_shared(self, index: Index) -> None:
        """Save the index."""
        await self.save_index(index)

    async def keys(self) -> list[str]:
        """The keys of all documents, in order.

        Raises:
            LedgerError: A directory cannot be read.
        """
        return sorted(map(_key, await asyncio.to_thread(self._documents)))

    async def rebuild_index(self) -> Index:
        """Rebuild the index from the documents; unreadable ones are left out.

        Raises:
            LedgerTooNew: A later version of this program wrote a document.
            LedgerError: A file cannot be read.
        """
        return await asyncio.to_thread(self._rebuild)

    async def load(self, key: str) -> Ledger | None:
        """Read a document.

        A corrupt one counts as missing: a warning is logged, and if the lock is held, the file is
        set aside. Without the lock nothing is changed.

        Args:
            key: ``owner/repo`` of the target, in any case.

        Raises:
            LedgerTooNew: A later version of this program wrote it; the file is left alone.
            LedgerError: The file cannot be read, or ``key`` is not the name of a repository.
        """
        return await self._load(self._path(key), Ledger.decode)

    async def save(self, key: str, ledger: Ledger) -> None:
        """Save a document.

        Raises:
            LedgerError: It could not be written; the previous file is intact.
        """
        await self._save(self._path(key), ledger.encode())

    async def set_aside(self, key: str, reason: str) -> None:
        """Rename a document so that a person can look at it; does nothing if there is none.

        Raises:
            LedgerError: It could not be moved.
        """
        await unbroken(self._set_aside, self._path(key), reason)

    async def _acquire(self, descriptor: int, path: Path, wait: float) -> None:
        end = self._clock.monotonic() + wait
        while True:
            with _as_ledger_error("lock", path), suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            left = end - self._clock.monotonic()
            content = os.pread(descriptor, 32, 0)
            if left <= 0 or content.strip().endswith(_DAEMON):  # held until somebody stops it
                raise _locked(content)
            await self._clock.sleep(min(_POLL, left))

    def _path(self, key: str) -> Path:
        owner, _, name = document_key(key).partition("/")
        return self._directory / _folder(owner) / f"{name}.json"

    async def _load(self, path: Path, parse: Callable[[bytes], T]) -> T | None:
        try:
            return await asyncio.to_thread(self._read, path, parse)
        except LedgerCorrupt as error:
            if self._held:
                await unbroken(self._set_aside, path, str(error))
            else:
                log.warning("ledger.unreadable", path=str(path), reason=str(error))
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
        # The document was encoded on the event loop, so nothing could change it meanwhile.
        async with self._saving.setdefault(path, asyncio.Lock()):
            await unbroken(self._write, path, content)

    def _write(self, path: Path, content: bytes) -> None:
        files = self._files
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_TEMPORARY)}.tmp")
        with _as_ledger_error("write", path):
            self._ensure(self._directory)
            self._ensure(path.parent)
            descriptor = files.create(temporary)
            try:
                try:
                    files.write(descriptor, content)
                    # Before the rename: otherwise a power loss may leave an empty file.
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
        # The parent directory may be accessible but not readable.
        with suppress(PermissionError):
            self._files.sync_directory(directory.parent)

    def _set_aside(self, path: Path, reason: str) -> None:
        date = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        with _as_ledger_error("set aside", path):
            if not self._files.exists(path):
                return
            for number in itertools.count(1):
                more = f"-{number}" if number > 1 else ""
                aside = path.with_name(f"{path.name}.corrupt-{date}{more}")
                if not self._files.exists(aside):
                    break
            self._files.rename(path, aside)
            self._files.sync_directory(path.parent)
        log.warning("ledger.set_aside", path=str(path), aside=str(aside), reason=reason)

    def _sweep(self) -> None:
        """Remove the temporary files of killed runs; only the lock's holder writes any."""
        with _as_ledger_error("read", self._directory):
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
            # Directories of others (`lost+found`) may not be readable.
            if owner not in _TAKEN and _OWNER.fullmatch(owner.removeprefix("_")):
                yield self._directory / owner, self._files.names(self._directory / owner)[1]

    def _documents(self) -> list[Path]:
        with _as_ledger_error("read", self._directory):
            return [
                directory / name
                for directory, files in self._walk()
                for name in files
                if directory != self._directory and name.endswith(".json")
            ]

    def _rebuild(self) -> Index:
        index = Index()
        for path in self._documents():
            try:
                ledger = self._read(path, Ledger.decode)
            except LedgerCorrupt:
                continue  # Logged and set aside when the document itself is loaded.
            if ledger:
                index.mirrors[_key(path)] = entry_of(ledger)
        return index


def _key(path: Path) -> str:
    return f"{path.parent.name.removeprefix('_')}/{path.name.removesuffix('.json')}"


def _locked(content: bytes) -> LedgerLocked:
    number, _, holder = content.strip().partition(b" ")
    pid = int(number) if number.isdigit() else None
    who = "" if pid is None else f" (process {pid})"
    if holder == _DAEMON:
        advice = "run release-mirror trigger to sync now, or stop the daemon first"
        return LedgerLocked(f"the daemon holds the ledger{who}; {advice}", pid=pid)
    advice = "try again when it has finished, or let sync wait for it with --wait SECONDS"
    return LedgerLocked(f"another run holds the ledger{who}; {advice}", pid=pid)


def _folder(owner: str) -> str:
    """The directory of an owner; names that the ledger uses itself get an underscore.

    No owner's name begins with one.
    """
    return f"_{owner}" if owner in _TAKEN else owner


@contextmanager
def _as_ledger_error(doing: str, path: Path) -> Iterator[None]:
    """Turn ``OSError`` into :class:`LedgerError`."""
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
