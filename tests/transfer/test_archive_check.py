"""Source archives: whole, or not taken."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import zipfile
from typing import TYPE_CHECKING

import pytest

from mirror.errors import ShortRead, Unmirrorable
from mirror.transfer.archive_check import take_archive, zip_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mirror.core.domain.source_archives import ArchiveForm

NOISE = random.Random(3).randbytes(400_000)  # noqa: S311 - no secret
TAR = gzip.compress(NOISE + bytes(5_000_000), mtime=0)
FORMS: list[tuple[ArchiveForm, bytes]] = [("tarball", TAR)]


def zipped(comment: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", NOISE)
        archive.comment = comment
    return made.getvalue()


FORMS += [
    ("zipball", zipped(b"")),
    ("zipball", zipped(b"6dcb09b5b57875f334f61aebed695e2e4193db5e")),
]
FORMS += [("zipball", zipped(b"PK\x05\x06" * 9))]


async def take(
    data: bytes, form: ArchiveForm, chunk: int = 70_000, limit: int | None = None
) -> tuple[str, bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]

    stored: list[bytes] = []

    async def store(parts: AsyncIterator[bytes]) -> None:
        async for part in parts:
            stored.append(part)  # noqa: PERF401 - as a disk does

    return await take_archive(chunks(), store, form, limit=limit), b"".join(stored)


@pytest.mark.parametrize("chunk", [1_000, 70_000, 10**9])
@pytest.mark.parametrize(("form", "data"), FORMS)
async def test_a_whole_archive_is_stored_as_it_is(
    form: ArchiveForm, data: bytes, chunk: int
) -> None:
    """All bytes arrive, with the right digest, whatever the chunks are."""
    assert await take(data, form, chunk) == (hashlib.sha256(data).hexdigest(), data)


@pytest.mark.parametrize(("form", "data"), FORMS)
async def test_half_an_archive_is_refused(form: ArchiveForm, data: bytes) -> None:
    """Nobody says how long it is: its own end has to be there."""
    for length in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(ShortRead, match=f"downloaded {form} is incomplete"):
            await take(data[:length], form)


async def test_a_page_instead_of_an_archive_is_refused() -> None:
    """A login page that comes with 200 is no archive."""
    for form in ("tarball", "zipball"):
        with pytest.raises(ShortRead):
            await take(b"<html>please log in</html>", form)


async def test_wrong_bytes_in_a_tarball_are_noticed() -> None:
    """The checksum at its end is compared."""
    wrong = bytearray(TAR)
    wrong[len(TAR) // 3] ^= 1
    with pytest.raises(ShortRead):
        await take(bytes(wrong), "tarball")


def test_wrong_bytes_in_a_zip_file_are_noticed() -> None:
    """The checksum of each entry is compared; what is no zip file is told, too."""
    data = zipped(b"")
    assert zip_fault(io.BytesIO(data)) == ""
    wrong = bytearray(data)
    wrong[len(data) // 3] ^= 1
    assert zip_fault(io.BytesIO(wrong))
    assert zip_fault(io.BytesIO(data[:-30]))
    assert zip_fault(io.BytesIO(b""))


async def test_two_members_are_one_archive() -> None:
    """A gzip file may have several parts."""
    data = gzip.compress(b"one") + gzip.compress(b"two")
    assert (await take(data, "tarball", 3))[1] == data
    with pytest.raises(ShortRead):
        await take(data[:-1], "tarball", 3)


async def test_too_large_is_told_before_all_of_it_came() -> None:
    """An archive above the limit is given up where it crosses it."""
    with pytest.raises(Unmirrorable, match="more than 100000 bytes"):
        await take(TAR, "tarball", limit=100_000)
    assert (await take(TAR, "tarball", limit=len(TAR)))[1] == TAR
