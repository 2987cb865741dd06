"""``status --html``: the page as a file, for those who run no service."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.cli.atomic_write import write_atomically
from mirror.errors import MirrorError
from support.process import run

if TYPE_CHECKING:
    from support.world import World

TWO = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"

[[mirrors]]
source = "octo/other"
target = "mirrors/other"
"""


async def test_a_file_after_a_pass(world: World, tmp_path: Path) -> None:
    """The page is written beside, then renamed; nothing is printed, and no host is asked."""
    assert (await run(world, "sync", "--quiet")).status == 0
    asked = len(world.source.requests), len(world.target.requests)
    file = tmp_path / "www" / "mirror.html"
    file.parent.mkdir()
    done = await run(world, "status", "--html", str(file))
    assert (done.status, done.out, done.err) == (0, "", "")
    page = file.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "The mirror is up to date" in page
    assert "the last pass ended just now" in page
    assert f'href="{world.source_host.url}/octo/tool"' in page
    assert f'href="{world.target_host.url}/mirrors/tool"' in page
    assert "<script" not in page
    assert "<form" not in page
    assert [found.name for found in file.parent.iterdir()] == ["mirror.html"]
    assert (len(world.source.requests), len(world.target.requests)) == asked
    for secret in world.environ.values():
        assert secret not in page


async def test_standard_output_and_patterns(world: World) -> None:
    """`-` is standard output, in UTF-8 in every locale; patterns choose what is told."""
    world.source.add_repository("octo/other")
    world.write_config(TWO)
    await run(world, "sync", "--quiet")
    done = await run(world, "status", "octo/t*", "--html", "-", environ={"LC_ALL": "C"})
    assert done.status == 0, done.err
    assert done.out.rstrip().endswith("</html>")
    assert "octo/tool" in done.out
    assert "octo/other" not in done.out
    assert "·" in done.out


async def test_with_json(world: World, tmp_path: Path) -> None:
    """Both documents at once, each to its own place."""
    await run(world, "sync", "--quiet")
    done = await run(world, "status", "--json", "--html", str(tmp_path / "page.html"))
    assert done.status == 0, done.err
    assert done.json()["mirrors"][0]["state"] == "ok"
    assert (tmp_path / "page.html").exists()


async def test_what_cannot_be_written(world: World, tmp_path: Path) -> None:
    """A directory that is not there is 1 and named; without a ledger the old page stays."""
    file = tmp_path / "page.html"
    file.write_text("old")
    done = await run(world, "status", "--html", str(file))
    assert done.status == 1
    assert str(world.ledger) in done.err
    assert file.read_text() == "old"
    await run(world, "sync", "--quiet")
    done = await run(world, "status", "--html", str(tmp_path / "gone" / "page.html"))
    assert done.status == 1
    assert "cannot write" in done.err
    assert "gone/page.html" in done.err
    assert "Traceback" not in done.err


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
