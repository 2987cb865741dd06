"""The bytes of assets: in memory, in a file, generated, or discarded.

Every kind is read at any offset, so that a `Range` costs no more than its own bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 20
"""Bytes that are read or written at once."""

BLOCK = 1 << 18
"""Bytes of one block of generated content."""

_MARK = 16


class ContentLost(Exception):
    """The bytes were discarded when they were uploaded; only size and digest are known."""


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
    """Pseudo-random bytes of a given size, generated when they are read.

    The same seed gives the same bytes, and a longer content begins with the shorter one. Each
    block of 256 KiB is the same pseudo-random block after a mark of its own, so that lost,
    repeated or reordered blocks change the digest.
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
    """Size and digest of bytes that were not kept; readable only if `Generated` has the same."""

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


def chunks(content: Content, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes from `start` to `stop` (exclusive), a mebibyte at a time."""
    end = content.size if stop is None else min(stop, content.size)
    while start < end:
        chunk = content.read(start, min(CHUNK, end - start))
        if not chunk:
            return
        start += len(chunk)
        yield chunk
