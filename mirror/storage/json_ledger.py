"""The ledger as JSON files (``ledger_files``) for an event loop: locked, and saved in order."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from mirror.core.ledger.document import Index, Ledger, LedgerStore
from mirror.errors import LedgerCorrupt, LedgerLocked
from mirror.storage.ledger_files import LedgerFiles, as_ledger_error
from mirror.storage.threads import each_unbroken, unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from mirror.core.clock import Clock
    from mirror.storage.files import Files

T = TypeVar("T")


log = structlog.get_logger(__name__)
_POLL = 0.2
_DAEMON = b"daemon"
"""In the lock's file where its holder is the daemon, which never gives it back by itself."""


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
        self._files = LedgerFiles(Path(directory), files)
        self._clock = clock
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
        return self._files.exists()

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
        path = self._files.directory / "lock"
        with as_ledger_error("lock", path):
            self._files.ensure(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._acquire(descriptor, path, wait)
            try:
                self._held = True
                with as_ledger_error("lock", path):
                    os.truncate(descriptor, 0)
                    holder = f"{os.getpid()}{' daemon' if daemon else ''}\n"
                    os.pwrite(descriptor, holder.encode(), 0)
                await asyncio.to_thread(self._files.sweep)
                yield
            finally:
                self._held = False
                # Until the next holder has written its own process id, others see none rather than
                # a wrong one.
                with suppress(OSError):
                    os.truncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def notifying(self) -> AbstractAsyncContextManager[None]:
        """Lock the directory.

        Raises:
            LedgerLocked: Another process holds the lock.
            LedgerError: The directory cannot be made or written.
        """
        return self.lock()

    async def load_index(self) -> Index:
        """Read the index.

        If it is missing or unreadable, its totals are rebuilt from the documents, without any proof:
        the next pass looks at both sides of every mirror.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerError: The file cannot be read.
        """
        index = await self._load(self._files.index, self._files.read_index)
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
            # Each piece is encoded here, on the event loop, so that no entry changes meanwhile.
            pieces = chain(index.pieces(), (b"",))
            await each_unbroken(self._files.writing(self._files.index), pieces)
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
        return await asyncio.to_thread(self._files.keys)

    async def rebuild_index(self) -> Index:
        """Rebuild the index from the documents; unreadable ones are left out.

        Raises:
            LedgerTooNew: A later version of this program wrote a document.
            LedgerError: A file cannot be read.
        """
        return await asyncio.to_thread(self._files.rebuild_index)

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
        path = self._files.path(key)
        return await self._load(path, partial(self._files.read, path, Ledger.decode))

    async def save(self, key: str, ledger: Ledger) -> None:
        """Save a document.

        Raises:
            LedgerError: It could not be written; the previous file is intact.
        """
        # Encoded now, so that nothing changes it meanwhile.
        path, content = self._files.path(key), ledger.encode()
        async with self._saving.setdefault(path, asyncio.Lock()):
            await unbroken(self._files.write, path, content)

    async def set_aside(self, key: str, reason: str) -> None:
        """Rename a document so that a person can look at it; does nothing if there is none.

        Raises:
            LedgerError: It could not be moved.
        """
        await unbroken(self._set_aside, self._files.path(key), reason)

    async def _acquire(self, descriptor: int, path: Path, wait: float) -> None:
        end = self._clock.monotonic() + wait
        while True:
            with as_ledger_error("lock", path), suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            left = end - self._clock.monotonic()
            content = os.pread(descriptor, 32, 0)
            if left <= 0 or content.strip().endswith(_DAEMON):  # held until somebody stops it
                raise _locked(content)
            await self._clock.sleep(min(_POLL, left))

    async def _load(self, path: Path, read: Callable[[], T | None]) -> T | None:
        try:
            return await asyncio.to_thread(read)
        except LedgerCorrupt as error:
            if self._held:
                await unbroken(self._set_aside, path, str(error))
            else:
                log.warning("ledger.unreadable", path=str(path), reason=str(error))
            return None

    def _set_aside(self, path: Path, reason: str) -> None:
        if aside := self._files.set_aside(path, self._clock.now()):
            log.warning("ledger.set_aside", path=str(path), aside=str(aside), reason=reason)


def _locked(content: bytes) -> LedgerLocked:
    number, _, holder = content.strip().partition(b" ")
    pid = int(number) if number.isdigit() else None
    who = "" if pid is None else f" (process {pid})"
    if holder == _DAEMON:
        advice = "run release-mirror trigger to sync now, or stop the daemon first"
        return LedgerLocked(f"the daemon holds the ledger{who}; {advice}", pid=pid)
    advice = "try again when it has finished, or let sync wait for it with --wait SECONDS"
    return LedgerLocked(f"another run holds the ledger{who}; {advice}", pid=pid)
