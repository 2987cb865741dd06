"""A source archive's bytes: counted, hashed, and seen to be whole, as nobody says what they are."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from mirror.errors import ShortRead, Unmirrorable
from mirror.transfer.pipe import WORTH_A_THREAD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from mirror.core.domain.source_archives import ArchiveForm

_UNPACKED = 1024 * 1024
"""Bytes that are unpacked at a time, however well they were packed."""

_END_OF_ZIP = b"PK\x05\x06"
_LONGEST_END = 22 + 0xFFFF
"""Bytes of the record that a zip file ends with, its comment included."""


async def take_archive(
    chunks: AsyncIterator[bytes],
    store: Callable[[AsyncIterator[bytes]], Awaitable[None]],
    form: ArchiveForm,
    *,
    limit: int | None = None,
    moved: Callable[[int], None] | None = None,
    pace: Callable[[int], Awaitable[None]] | None = None,
) -> str:
    """Store an archive whose length nobody knows, and return its SHA-256, hexadecimal.

    Args:
        chunks: As they come.
        store: Takes them all.
        form: What it is to be.
        limit: Bytes from which on it is of no use.
        moved: Told how many bytes have come.
        pace: Awaited with a chunk's length, for a bandwidth limit.

    Raises:
        ShortRead: The archive is incomplete or of another form.
        Unmirrorable: It is larger than ``limit``.
    """
    digest = hashlib.sha256()
    check = _Gzip() if form == "tarball" else _Zip()

    def look(chunk: bytes) -> None:
        digest.update(chunk)
        check.feed(chunk)

    async def looked_at() -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if limit is not None and size > limit:
                raise Unmirrorable(
                    "too-large",
                    f"it has more than {limit} bytes, the most that assets.max_size and the target"
                    " allow",
                    hint="no-archives",
                )
            if len(chunk) < WORTH_A_THREAD:
                look(chunk)
            else:
                await asyncio.to_thread(look, chunk)
            if pace:
                await pace(len(chunk))
            yield chunk
            if moved:
                moved(size)
        if wrong := check.wrong():
            raise ShortRead(f"the downloaded {form} is incomplete: {wrong} (after {size} bytes)")

    whole = looked_at()
    try:
        await store(whole)
    finally:
        await whole.aclose()
    return digest.hexdigest()


def zip_fault(file: BinaryIO) -> str:
    """What is wrong with a zip file, by the checksums of its entries; empty for nothing."""
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return str(error)
    return f"wrong bytes in {entry!r}" if entry else ""


class _Gzip:
    """Unpacks what it is fed, so that the checksum at its end is compared."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._error = ""

    def feed(self, chunk: bytes) -> None:
        rest = chunk
        try:
            while rest and not self._error:
                if self._member.eof:
                    self._member = zlib.decompressobj(wbits=31)
                self._member.decompress(rest, _UNPACKED)
                rest = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error as error:
            self._error = str(error)

    def wrong(self) -> str:
        return self._error or ("" if self._member.eof else "its end is missing")


class _Zip:
    """Looks for the record that a zip file ends with."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_LONGEST_END:]

    def wrong(self) -> str:
        at = self._tail.rfind(_END_OF_ZIP)
        while at >= 0:
            comment = int.from_bytes(self._tail[at + 20 : at + 22], "little")
            if at + 22 + comment == len(self._tail):
                return ""
            at = self._tail.rfind(_END_OF_ZIP, 0, at)
        return "its end is missing"
