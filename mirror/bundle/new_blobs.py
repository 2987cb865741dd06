"""Blobs that were written one after another, and are synced to disk and get their names together."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from mirror.bundle import layout
from mirror.bundle.directory import discard, on_disk, read_file
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mirror.bundle.writable_directory import WritableDirectory

_MOST = 64
_MOST_BYTES = 64 * 2**20
"""Blobs, and their bytes, that wait at most: a kill costs their work."""

_SYNCED_AT_ONCE = 8


class NewBlobs:
    """Blobs without a name yet. Syncs of several files at once share the disk's flushes. It blocks.

    Use as a context manager: at its end each blob has its name.

    Args:
        directory: The bundle.
    """

    def __init__(self, directory: WritableDirectory) -> None:
        self._directory = directory
        self._waiting: list[tuple[int, Path, str]] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep()

    def write(self, chunks: Iterable[bytes]) -> tuple[int, Path]:
        """A new file with these bytes: :meth:`add` takes it, or :meth:`drop`.

        Raises:
            BundleError: The disk cannot take it.
        """
        descriptor, part = self._directory.create()
        try:
            for chunk in chunks:
                with on_disk(part):
                    self._directory.files.write(descriptor, chunk)
        except BaseException:
            self.drop(descriptor, part)
            raise
        return descriptor, part

    @staticmethod
    def drop(descriptor: int, part: Path) -> None:
        """Remove a file that does not become a blob."""
        os.close(descriptor)
        discard(part)

    def add(self, descriptor: int, part: Path, sha256: str) -> None:
        """Have a file become a blob, by the end of :meth:`keep`; one of that name is replaced."""
        self._waiting.append((descriptor, part, sha256))
        self._bytes += os.fstat(descriptor).st_size
        if len(self._waiting) >= _MOST or self._bytes >= _MOST_BYTES:
            self.keep()

    def add_document(self, content: bytes) -> None:
        """Have a document become a blob, unless it is one."""
        sha256 = layout.digest_of(content).partition(":")[2]
        with suppress(BundleError):
            if read_file(self._directory.path / layout.BLOBS / sha256, len(content)) == content:
                return
        self.add(*self.write([content]), sha256)

    def keep(self) -> None:
        """Sync all files that wait, and give each its name.

        Raises:
            BundleError: The disk cannot take one; the others have their names.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        try:
            with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
                list(pool.map(lambda blob: self._directory.keep(*blob), waiting))
        finally:
            for descriptor, part, _sha256 in waiting:
                self.drop(descriptor, part)
