"""The bytes of assets: in memory, in a file, generated, or only remembered.

Every kind gives random access by offset, so that a `Range` costs what it reads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20
"""Bytes a stream moves at once."""

BLOCK = 1 << 18
"""Bytes of one block of generated content."""

IN_MEMORY = 1 << 20
"""Uploads up to this size are kept in memory when there is no state directory."""

_MARK = 16


class ContentLost(Exception):
    """The bytes were discarded when they came in; only their size and digest are known."""


class Content(Protocol):
    """Bytes with a known size and SHA-256."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 in lower-case hexadecimal."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""


@lru_cache(maxsize=64)
def _base(seed: int, length: int) -> bytes:
    return hashlib.shake_128(b"release-mirror %d" % seed).digest(length)


_generated: dict[str, Generated] = {}


@lru_cache(maxsize=4096)
def _generated_sha256(seed: int, size: int) -> str:
    digest = hashlib.sha256()
    content = Generated(seed=seed, size=size)
    for chunk in chunks(content):
        digest.update(chunk)
    made = digest.hexdigest()
    _generated[made] = content
    return made


@dataclass(frozen=True, slots=True)
class Generated:
    """Pseudo-random bytes of a given size that are made when they are read.

    The same seed gives the same bytes, and a longer content begins with the shorter one. Each
    block of 256 KiB repeats one pseudo-random block after a mark of its own, so that blocks that
    are lost, doubled or in the wrong order change the digest.
    """

    seed: int
    size: int

    @property
    def sha256(self) -> str:
        """SHA-256, computed once for each seed and size."""
        return _generated_sha256(self.seed, self.size)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        base = _base(self.seed, min(BLOCK, self.size))
        parts = []
        for number in range(offset // BLOCK, (end - 1) // BLOCK + 1):
            begin = number * BLOCK
            start, stop = max(offset - begin, 0), min(end - begin, BLOCK)
            if start < _MARK:
                key = b"%d %d" % (self.seed, number)
                parts.append(hashlib.blake2b(key, digest_size=_MARK).digest()[start:stop])
                start = _MARK
            if start < stop:
                parts.append(base[start:stop])
        return b"".join(parts)


class MemoryContent:
    """Bytes in memory."""

    __slots__ = ("_data", "_sha256")

    def __init__(self, data: bytes, sha256: str | None = None) -> None:
        self._data = data
        self._sha256 = sha256

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    @property
    def sha256(self) -> str:
        """SHA-256, computed when first asked for."""
        if self._sha256 is None:
            self._sha256 = hashlib.sha256(self._data).hexdigest()
        return self._sha256

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return self._data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class FileContent:
    """Bytes in a file."""

    path: Path
    size: int
    sha256: str

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)


@dataclass(frozen=True, slots=True)
class DiscardedContent:
    """Size and digest of bytes that were not kept; they can be read if a generator makes them."""

    size: int
    sha256: str

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the generated content with the same digest.

        Raises:
            ContentLost: No generated content of this process has that digest.
        """
        twin = _generated.get(self.sha256)
        if twin is None:
            raise ContentLost(self.sha256)
        return twin.read(offset, length)


EMPTY = MemoryContent(b"")


def chunks(content: Content, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes from `start` to `stop` (exclusive), a mebibyte at a time."""
    end = content.size if stop is None else min(stop, content.size)
    while start < end:
        chunk = content.read(start, min(CHUNK, end - start))
        if not chunk:
            return
        start += len(chunk)
        yield chunk


@dataclass(slots=True)
class Intake:
    """An upload that comes in: hashed as it comes, kept in memory, in a file, or not at all."""

    store: ContentStore
    keep: bool
    in_memory: bool
    size: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _path: Path | None = None
    _descriptor: int = -1
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        self._digest.update(chunk)
        if not self.keep:
            return
        if self.in_memory:
            self._parts.append(chunk)
            return
        if self._descriptor < 0:
            self._descriptor, name = tempfile.mkstemp(prefix="upload-", dir=self.store.directory)
            self._path = Path(name)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> Content:
        """The content that came in."""
        sha256 = self._digest.hexdigest()
        if not self.keep:
            return DiscardedContent(self.size, sha256)
        if self.in_memory or self._path is None:
            return MemoryContent(b"".join(self._parts), sha256)
        os.close(self._descriptor)
        self._descriptor = -1
        path = self._path.replace(self.store.directory / sha256)
        return FileContent(path, self.size, sha256)

    def abandon(self) -> None:
        """Forget what came in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        self._parts.clear()


class ContentStore:
    """Where uploaded bytes are kept.

    Args:
        directory: Files named by their SHA-256; `None` makes a temporary directory when one is
            needed, which goes with the store.
        discard: Keep nothing but size and digest of uploads larger than `discard_above` bytes.
        discard_above: See `discard`.
    """

    def __init__(
        self, directory: Path | None = None, *, discard: bool = False, discard_above: int = 0
    ) -> None:
        self._directory = directory
        self.permanent = directory is not None
        self._discard = discard
        self._discard_above = discard_above
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def directory(self) -> Path:
        """The directory of the files, made when first asked for."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="release-mirror-emulator-"))
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        return self._directory

    def use(self, directory: Path) -> None:
        """Keep what comes in from now on in this directory."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self.permanent = directory, True

    def take(self, size: int) -> Intake:
        """Begin to take an upload of `size` bytes."""
        keep = not (self._discard and size > self._discard_above)
        return Intake(self, keep=keep, in_memory=size <= IN_MEMORY and not self.permanent)

    def keep(self, content: Content) -> Path:
        """Write a content into the directory under its digest, unless it is there."""
        path = self.directory / content.sha256
        if not path.exists():
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                for chunk in chunks(content):
                    file.write(chunk)
            partial.replace(path)
        return path
