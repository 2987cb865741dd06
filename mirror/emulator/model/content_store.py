"""Where uploaded bytes are kept: in memory, in files named by their SHA-256, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.emulator.model.content import (
    Content,
    DiscardedContent,
    FileContent,
    MemoryContent,
    chunks,
)

if TYPE_CHECKING:
    from typing import IO

IN_MEMORY = 1 << 20
"""Uploads up to this size in bytes are kept in memory, if there is no state directory."""


class Intake:
    """An upload in progress.

    Args:
        store: Where it is kept.
        keep: Keep more than size and digest.
        in_memory: Keep it in memory instead of a file.
    """

    def __init__(self, store: ContentStore, *, keep: bool, in_memory: bool) -> None:
        self._store = store
        self._keep = keep
        self._parts: list[bytes] | None = [] if in_memory else None
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        self._digest.update(chunk)
        if not self._keep:
            return
        if self._parts is not None:
            self._parts.append(chunk)
            return
        if self._file is None:
            directory = self._store.directory
            self._file = tempfile.NamedTemporaryFile(prefix="upload-", dir=directory, delete=False)  # noqa: SIM115 - it outlives this call
        self._file.write(chunk)

    def finish(self) -> Content:
        """The content that was uploaded."""
        sha256 = self._digest.hexdigest()
        if not self._keep:
            return DiscardedContent(self.size, sha256)
        if self._file is None:
            return MemoryContent(b"".join(self._parts or ()), sha256)
        self._file.close()
        path = Path(self._file.name).replace(self._store.directory / sha256)
        self._file = None
        return FileContent(path, self.size, sha256)

    def abandon(self) -> None:
        """Forget what was uploaded."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


class ContentStore:
    """Keeps uploaded bytes.

    Args:
        directory: Files named by their SHA-256; `None` makes a temporary directory when one is
            needed, which is deleted with the store.
        discard: Keep only size and digest of uploads larger than `discard_above` bytes.
        discard_above: See `discard`.
    """

    def __init__(
        self, directory: Path | None = None, *, discard: bool = False, discard_above: int = 0
    ) -> None:
        self._directory: Path | None = None
        self._permanent = False
        self._discard = discard
        self._discard_above = discard_above
        if directory is not None:
            self.use(directory)

    @property
    def directory(self) -> Path:
        """The directory of the files, made when it is first asked for."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="release-mirror-emulator-"))
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        return self._directory

    def use(self, directory: Path) -> None:
        """Keep uploads in this directory from now on."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._permanent = directory, True

    def take(self, size: int) -> Intake:
        """Begin an upload of `size` bytes."""
        keep = not (self._discard and size > self._discard_above)
        return Intake(self, keep=keep, in_memory=size <= IN_MEMORY and not self._permanent)

    def keep(self, content: Content) -> None:
        """Write a content into the directory under its digest, unless it is there."""
        path = self.directory / content.sha256
        if not path.exists():
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                for chunk in chunks(content):
                    file.write(chunk)
            partial.replace(path)
