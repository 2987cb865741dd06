"""Reads and writes the tar files that carry a bundle: standard tar, of which only regular files are used.

A header depends on name, size and time alone, so that any other header, and any damaged one, is
refused. GNU tar and other programs can read the files.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar, and pax for
files of 8 GiB and more).
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from mirror.errors import VolumeError, truncate

if TYPE_CHECKING:
    from typing import BinaryIO

BLOCK = 512
END = 2 * BLOCK
"""Bytes of zeros that end a tar file."""

MOST_PADDING = 2**20
"""Bytes of zeros that may follow: other programs fill the last record."""

_LARGE = 8 * 2**30
_PAX_SIZE = re.compile(rb"\d{1,3} size=(\d{1,19})\n\0*")
_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a directory",
    b"6": "a pipe",
    b"S": "a sparse file",
}


def header(name: str, size: int, modified: int) -> bytes:
    """The header of a regular file.

    Args:
        name: At most 100 bytes of ASCII.
        size: Bytes.
        modified: Seconds since 1970.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mtime = size, modified
    return info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")


def padding(size: int) -> int:
    """Bytes of zeros after ``size`` bytes of content."""
    return -size % BLOCK


def space(size: int) -> int:
    """Bytes that a file of ``size`` bytes takes, its header included."""
    return (BLOCK if size < _LARGE else 3 * BLOCK) + size + padding(size)


class Entry(NamedTuple):
    """A file in a tar file: its name, and its size in bytes."""

    name: str
    size: int


class TarReader:
    """Reads a tar file from its beginning. It blocks; all its errors are ``VolumeError``.

    Args:
        file: The tar file, seekable.
        path: Its name, for errors.

    Attributes:
        digests: SHA-256 of the files that were read to their end, by name.
    """

    def __init__(self, file: BinaryIO, path: object) -> None:
        self._file = file
        self._path = path
        self._left = 0  # of the current entry
        self._padding = 0
        self._entry: Entry | None = None
        self._digest = hashlib.sha256()
        self.digests: dict[str, str] = {}

    def next(self) -> Entry | None:
        """Go to the next file; ``None`` at the end.

        Raises:
            VolumeError: The tar file is damaged, ends too early, or holds something else.
        """
        self.skip()
        block = self._bytes(BLOCK)
        if not any(block):
            self._see_end()
            return None
        entry, raw, modified = self._parse(block)
        try:
            good = header(entry.name, entry.size, modified) == raw
        except (ValueError, OverflowError):
            good = False
        if not good:
            raise self._damaged("a header is damaged, or of a kind that no volume has")
        self._left, self._padding = entry.size, padding(entry.size)
        self._entry, self._digest = entry, hashlib.sha256()
        return entry

    def _parse(self, block: bytes) -> tuple[Entry, bytes, int]:
        raw, size = block, None
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            if info.type == tarfile.XHDTYPE and info.size <= BLOCK:
                record = self._bytes(BLOCK)
                block = self._bytes(BLOCK)
                if not (found := _PAX_SIZE.fullmatch(record)):
                    raise self._damaged("an extended header says more than a size")
                raw, size = raw + record + block, int(found[1])
                info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise self._damaged(f"a header is damaged ({error})") from None
        if info.type != tarfile.REGTYPE:
            kind = _TYPES.get(info.type, "something other than a file")
            raise self._damaged(f"it holds {kind}: {truncate(info.name, 200)!r}")
        return Entry(info.name, info.size if size is None else size), raw, int(info.mtime)

    def _see_end(self) -> None:
        rest = self._file.read(MOST_PADDING + 1)
        if len(rest) < BLOCK or len(rest) > MOST_PADDING or any(rest):
            raise self._damaged("it does not end where it should")

    def read(self, most: int) -> bytes:
        """Up to ``most`` bytes of the current file; none at its end."""
        content = self._bytes(min(most, self._left))
        self._left -= len(content)
        self._digest.update(content)
        if self._entry and not self._left:
            self.digests[self._entry.name] = self._digest.hexdigest()
        return content

    def skip(self) -> None:
        """Go to the end of the current file."""
        if self._left:
            self._file.seek(self._left, 1)
            self._left = 0
        if self._padding:
            if any(self._bytes(self._padding)):
                raise self._damaged("there is something between two files")
            self._padding = 0

    def _bytes(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise self._damaged("it ends too early")
        return content

    def _damaged(self, reason: str) -> VolumeError:
        return VolumeError(f"{self._path}: {reason}")
