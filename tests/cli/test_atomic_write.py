"""Replacing a file in one step: permissions, links, devices, and a reader at any moment."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from mirror.cli.atomic_write import write_atomically
from mirror.errors import MirrorError


def test_permissions(tmp_path: Path) -> None:
    """A web server can read a new file as the umask says; an old file's permissions stay."""
    file = tmp_path / "page.html"
    before = os.umask(0o027)
    try:
        write_atomically(file, b"one")
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        file.chmod(0o604)
        write_atomically(file, b"two")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o604
    assert file.read_bytes() == b"two"


def test_links_stay_links(tmp_path: Path) -> None:
    """The file that a link names is replaced, not the link."""
    file, link = tmp_path / "real.html", tmp_path / "link.html"
    link.symlink_to(file)
    write_atomically(link, b"one")
    write_atomically(link, b"two")
    assert link.is_symlink()
    assert file.read_bytes() == b"two"


def test_a_failed_write_leaves_no_rest(tmp_path: Path) -> None:
    """What cannot take the name is removed; a directory in its place is named."""
    (tmp_path / "page.html").mkdir()
    with pytest.raises(MirrorError, match=r"page\.html"):
        write_atomically(tmp_path / "page.html", b"one")
    assert [found.name for found in tmp_path.iterdir()] == ["page.html"]


async def test_a_reader_never_sees_a_half(tmp_path: Path) -> None:
    """Whoever reads while pages are written gets one of them, whole."""
    file = tmp_path / "page.html"
    pages = [bytes([65 + number]) * 300_000 for number in range(20)]
    write_atomically(file, pages[0])

    def write() -> None:
        for page in pages:
            write_atomically(file, page)

    writing = asyncio.get_running_loop().run_in_executor(None, write)
    while not writing.done():
        assert file.read_bytes() in pages
        await asyncio.sleep(0)
    await writing


def test_a_device_is_written_to() -> None:
    """What is no file is not replaced by one."""
    null = Path(os.devnull)
    write_atomically(null, b"one")
    assert stat.S_ISCHR(null.stat().st_mode)
