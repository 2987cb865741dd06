"""The ledger's files in a directory, saved so that a crash cannot tear them; every call blocks.

::

    DIRECTORY/lock                 held by the run that writes; contains its process id, and whether
                                   it is the daemon
    DIRECTORY/index.json           the index
    DIRECTORY/OWNER/REPO.json      one document per target repository, names in lower case
    ….PID-N.tmp                    a save in progress, or left behind by a killed run
    ….json.corrupt-20261121T090000Z    an unreadable file, set aside

It needs no event loop, so that ``status`` loads none.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from mirror.core.ledger.document import Index, Ledger, document_key, entry_of
from mirror.errors import LedgerCorrupt, LedgerError, LedgerTooNew
from mirror.storage.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from datetime import datetime
    from pathlib import Path

T = TypeVar("T")

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
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


class LedgerFiles:
    """Ledger documents under a directory. Reading creates nothing.

    Args:
        directory: The ledger's directory.
        files: The file operations.

    Attributes:
        directory: The ledger's directory.
        index: The path of the index.
    """

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.directory = directory
        self.index = directory / "index.json"
        self._files = files or Files()

    def exists(self) -> bool:
        """Whether the directory exists; ``False`` before the first run.

        Raises:
            LedgerError: It is not accessible.
        """
        try:
            return self._files.exists(self.directory)
        except OSError as error:
            raise _failure("read", self.directory, error) from error

    def path(self, key: str) -> Path:
        """The path of a document.

        Args:
            key: ``owner/repo`` of the target, in any case.

        Raises:
            LedgerError: It is not the name of a repository.
        """
        owner, _, name = document_key(key).partition("/")
        return self.directory / _folder(owner) / f"{name}.json"

    def read(self, path: Path, parse: Callable[[bytes], T]) -> T | None:
        """Read the index or a document; ``None`` if there is none.

        Raises:
            LedgerCorrupt: It is no document.
            LedgerTooNew: A later version of this program wrote it.
            LedgerError: The file cannot be read.
        """
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

    def keys(self) -> list[str]:
        """The keys of all documents, in order.

        Raises:
            LedgerError: A directory cannot be read.
        """
        return sorted(map(_key, self._documents()))

    def rebuild_index(self) -> Index:
        """Rebuild the index from the documents; unreadable ones are left out.

        Raises:
            LedgerTooNew: A later version of this program wrote a document.
            LedgerError: A file cannot be read.
        """
        index = Index()
        for path in self._documents():
            try:
                ledger = self.read(path, Ledger.decode)
            except LedgerCorrupt:
                continue  # Logged and set aside when the document itself is loaded.
            if ledger:
                index.mirrors[_key(path)] = entry_of(ledger)
        return index

    def read_index(self) -> Index | None:
        """Read the index; ``None`` if there is none.

        Raises:
            LedgerCorrupt, LedgerTooNew, LedgerError: As :meth:`read`.
        """
        with as_ledger_error("read", self.index):
            try:
                index = Index.decode_lines(self._files.lines(self.index))
            except FileNotFoundError:
                return None
        return self.read(self.index, Index.decode) if index is None else index

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file, so that a power loss leaves the previous content or this one.

        Raises:
            LedgerError: It could not be written; the previous file is intact.
        """
        writing = self.writing(path)
        writing(content)
        writing(b"")

    def writing(self, path: Path) -> Callable[[bytes], None]:
        """As :meth:`write`, in pieces.

        Returns:
            To be called with each piece, and with an empty one at the end.
        """
        steps = self._replace(path)
        next(steps)  # up to the first piece: nothing is done yet

        def step(piece: bytes) -> None:
            with suppress(StopIteration):
                steps.send(piece)

        return step

    def _replace(self, path: Path) -> Generator[None, bytes, None]:
        piece = yield
        files = self._files
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_TEMPORARY)}.tmp")
        with as_ledger_error("write", path):
            self.ensure(self.directory)
            self.ensure(path.parent)
            descriptor = files.create(temporary)
            try:
                try:
                    while piece:
                        files.write(descriptor, piece)
                        piece = yield
                    # Before the rename: otherwise a power loss may leave an empty file.
                    files.sync(descriptor)
                finally:
                    files.close(descriptor)
                files.rename(temporary, path)
            except (OSError, GeneratorExit):  # the latter: it is not continued
                with suppress(OSError):
                    files.remove(temporary)
                raise
            files.sync_directory(path.parent)

    def ensure(self, directory: Path) -> None:
        """Make a directory unless it exists.

        Raises:
            OSError: It cannot be made.
        """
        if self._files.exists(directory):
            return
        self._files.make_directory(directory)
        # The parent directory may be accessible but not readable.
        with suppress(PermissionError):
            self._files.sync_directory(directory.parent)

    def set_aside(self, path: Path, now: datetime) -> Path | None:
        """Rename a file so that a person can look at it.

        Returns:
            Its new path; ``None`` if there is no file.

        Raises:
            LedgerError: It could not be moved.
        """
        with as_ledger_error("set aside", path):
            if not self._files.exists(path):
                return None
            for number in itertools.count(1):
                more = f"-{number}" if number > 1 else ""
                aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}{more}")
                if not self._files.exists(aside):
                    break
            self._files.rename(path, aside)
            self._files.sync_directory(path.parent)
        return aside

    def sweep(self) -> None:
        """Remove the temporary files of killed runs; only the lock's holder writes any.

        Raises:
            LedgerError: One could not be removed.
        """
        with as_ledger_error("read", self.directory):
            for directory, files in self._walk():
                for name in files:
                    if name.endswith(".tmp"):
                        self._files.remove(directory / name)

    def _walk(self) -> Iterator[tuple[Path, list[str]]]:
        try:
            owners, files = self._files.names(self.directory)
        except FileNotFoundError:
            return
        yield self.directory, files
        for owner in owners:
            # Directories of others (`lost+found`) may not be readable.
            if owner not in _TAKEN and _OWNER.fullmatch(owner.removeprefix("_")):
                yield self.directory / owner, self._files.names(self.directory / owner)[1]

    def _documents(self) -> list[Path]:
        with as_ledger_error("read", self.directory):
            return [
                directory / name
                for directory, files in self._walk()
                for name in files
                if directory != self.directory and name.endswith(".json")
            ]


def _key(path: Path) -> str:
    return f"{path.parent.name.removeprefix('_')}/{path.name.removesuffix('.json')}"


def _folder(owner: str) -> str:
    """The directory of an owner; names that the ledger uses itself get an underscore.

    No owner's name begins with one.
    """
    return f"_{owner}" if owner in _TAKEN else owner


@contextmanager
def as_ledger_error(doing: str, path: Path) -> Iterator[None]:
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
