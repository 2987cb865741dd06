"""Pieces of blobs that are larger than a volume: kept in ``staging/pieces`` until all have come.

Each blob has a file with its pieces in their places, and a record of the parts of it that count.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mirror.bundle import layout
from mirror.bundle.directory import on_disk, read_file, sha256_of
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from mirror.bundle.writable_directory import WritableDirectory
    from mirror.storage.files import Files


class _Ranges(Struct):
    """The parts of a blob that are in its file, and synced: from, to."""

    ranges: list[tuple[int, int]] = []


class Pieces:
    """The pieces of a bundle's blobs. It blocks.

    Args:
        directory: The bundle.
        files: The operations on the disk.
    """

    def __init__(self, directory: WritableDirectory, files: Files) -> None:
        self._directory = directory
        self._files = files

    @property
    def _place(self) -> Path:
        return self._directory.staging / "pieces"

    def has(self, sha256: str, offset: int, size: int) -> bool:
        """Whether a piece is there and counts."""
        return any(a <= offset and offset + size <= b for a, b in self._ranges(sha256))

    def write(self, sha256: str, offset: int, chunks: Iterable[bytes]) -> None:
        """Put a piece in its place; it counts once it is recorded.

        Raises:
            BundleError: The disk cannot take it.
        """
        path = self._place / sha256
        with on_disk(path):
            path.parent.mkdir(exist_ok=True)
            if not self._files.exists(path):
                self._record(sha256).unlink(missing_ok=True)  # of the file that became the blob
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o666)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            for chunk in chunks:
                with on_disk(path):
                    self._files.write(descriptor, chunk)
            with on_disk(path):
                self._files.sync(descriptor)
        finally:
            os.close(descriptor)

    def record(self, sha256: str, offset: int, size: int) -> None:
        """Have a piece count, whose bytes are synced.

        Raises:
            BundleError: The disk cannot take the record.
        """
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._ranges(sha256), (offset, offset + size)]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        name = str(self._record(sha256).relative_to(self._directory.path))
        self._directory.save(name, msgspec.json.encode(_Ranges(merged)))

    def join(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
        """Make blobs of the pieces that are all there, also of a run that was killed before it could.

        Args:
            sizes: Bytes of each blob, by SHA-256.

        Yields:
            The SHA-256 of each, and whether its pieces made it; if not, they are dropped.
        """
        for record in sorted(self._place.glob("*.json")):
            sha256 = record.stem
            if self._ranges(sha256) != [(0, sizes.get(sha256))]:
                continue
            path = self._place / sha256
            with on_disk(path):
                good = sha256_of(path) == sha256
                if good:
                    self._keep(path, sha256)
                else:
                    path.unlink(missing_ok=True)
                record.unlink()
            yield sha256, good

    def gaps(self, sha256: str, size: int) -> list[tuple[int, int]]:
        """The parts of a blob that are not there: from, to."""
        gaps, at = [], 0
        for start, end in self._ranges(sha256):
            if at < start:
                gaps.append((at, start))
            at = end
        return [*gaps, (at, max(size, 1))] if at < max(size, 1) else gaps

    def drop(self, wanted: Collection[str]) -> None:
        """Drop the pieces of all blobs but these, for which nobody waits."""
        with on_disk(self._place):
            if self._place.is_dir():
                for path in self._place.iterdir():
                    if path.name.removesuffix(".json") not in wanted:
                        path.unlink()
                if not any(self._place.iterdir()):
                    self._place.rmdir()

    def _record(self, sha256: str) -> Path:
        """Where the parts of a blob that count are recorded."""
        return self._place / f"{sha256}.json"

    def _ranges(self, sha256: str) -> list[tuple[int, int]]:
        if not self._files.exists(self._place / sha256):
            return []  # it became the blob just before a kill
        with suppress(BundleError):
            content = read_file(self._record(sha256), layout.LARGEST_DOCUMENT)
            return layout.decode(content, _Ranges, "the record of pieces").ranges
        return []

    def _keep(self, path: Path, sha256: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._directory.keep(descriptor, path, sha256)
        finally:
            os.close(descriptor)
