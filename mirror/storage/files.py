"""What the store does to the disk, one operation a method, and each of them blocking.

Tests hand in another one, which fails at the n-th operation or loses what was not synced.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_private(path: Path) -> None:
    """Make a directory, and whatever is missing above it, so that nobody but us can enter them.

    Raises:
        OSError: It cannot be made.
    """
    if not path.parent.exists():
        make_private(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


class Files:
    """The operations on a real disk. All of them raise ``OSError``."""

    def make_directory(self, path: Path) -> None:
        """Make a directory that nobody but us can enter, and whatever is missing above it."""
        make_private(path)

    def create(self, path: Path) -> int:
        """Open a new file for writing, readable by us alone; fails where there is one."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, content: bytes) -> None:
        """Write all of it."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        """Return when what was written survives a power loss."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close it; some file systems tell only now that a write failed."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in one step; a file that has it is replaced."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory survive a power loss."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network and user-space file systems have no such operation; there is no other.
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise
        finally:
            os.close(descriptor)

    def free(self, path: Path) -> int:
        """Bytes that the disk of a directory can still take."""
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize

    def read(self, path: Path) -> bytes:
        """All bytes of a file."""
        return path.read_bytes()

    def lines(self, path: Path) -> Iterator[bytes]:
        """The lines of a file, with what ends them, one after another."""
        with path.open("rb") as file:
            yield from file

    def exists(self, path: Path) -> bool:
        """Whether there is anything of this name."""
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: Path) -> tuple[list[str], list[str]]:
        """The directories and the files in a directory, each sorted; links are neither."""
        directories, files = [], []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
        return sorted(directories), sorted(files)
