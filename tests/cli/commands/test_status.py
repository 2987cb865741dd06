"""`status` as a user runs it: tables, JSON, and the page as a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.process import run

if TYPE_CHECKING:
    from pathlib import Path

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
    assert "The mirror is healthy" in page
    assert re.search(r"the last pass ended (just now|\d+ s ago)", page)
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


async def test_status(world: World) -> None:
    """`status` names a ledger that is not there, and afterwards tells what is."""
    before = await run(world, "status")
    assert before.status == 1
    assert str(world.ledger) in before.err
    assert (await run(world, "sync", "--quiet")).status == 0
    contacted = len(world.source.requests) + len(world.target.requests)
    table = await run(world, "status", "OCTO/*", environ={"COLUMNS": "130"})
    assert "github:octo/tool → mirrors/tool" in table.out
    assert "400.0 kB" in table.out
    document = (await run(world, "status", "--json")).json()
    assert document["mirrors"][0]["state"] == "ok"
    assert document["mirrors"][0]["proof"]["assumed"] == 0
    assert sum(document["mirrors"][0]["proof"].values()) == document["mirrors"][0]["assets"] > 0
    assert "assumed" not in table.out
    assert len(world.source.requests) + len(world.target.requests) == contacted


async def test_1_a_mirror_that_is_not_well(world: World) -> None:
    """`status` is 1 where a mirror never succeeded or is not well, as far as a pattern selects it."""
    assert (await run(world, "sync", "--quiet")).status == 0
    assert (await run(world, "status")).status == 0
    world.source.add_asset("octo/tool", "v1.0.0", "empty", b"")
    assert (await run(world, "sync", "--quiet")).status == 1
    odd = await run(world, "status", environ={"COLUMNS": "130"})
    assert odd.status == 1
    assert "quarantined" in odd.out
    assert "v1.0.0" in odd.out
    nothing = await run(world, "status", "octo/other")
    assert (nothing.status, nothing.out) == (2, "")
