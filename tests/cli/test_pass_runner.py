"""One pass from the command line: the result on standard output, everything else on standard error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mirror.emulator import AssetSpec
from support.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from support.world import World

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


async def test_json_and_options_on_both_sides(world: World, tmp_path: Path) -> None:
    """`--json` is one document; options are taken before and after the verb, the later one wins."""
    # `run` puts --config before the verb.
    wrong = tmp_path / "wrong.toml"
    good = str(world.config_file)
    done = await run(
        world, "--config", str(wrong), "--log-format", "json", "plan", "--json", "-c", good
    )
    assert done.status == 0, done.err
    report = done.json()
    assert report["command"] == "plan"
    assert report["totals"]["assets_uploaded"] == 2
    assert report["estimated_requests"]["target"] > 0
    failed = await run(world, "plan", "-c", str(wrong), "--json")
    assert (failed.status, failed.out) == (2, "")


async def test_json_tells_a_failure(world: World) -> None:
    """Where the run itself fails, there is still one document, and it says so."""
    world.ledger.write_text("a file is where a directory should be")
    done = await run(world, "sync", "--json")
    assert done.status == 1
    assert done.json()["status"] == "failed"
    assert done.json()["error"] in done.err


async def test_quiet(world: World) -> None:
    """`--quiet` is silent while all is well, tells a failure, and an old quarantined item never."""
    calm = await run(world, "sync", "--quiet")
    assert (calm.status, calm.out, calm.err) == (0, "", "")
    world.source.add_asset("octo/tool", "v1.0.0", "empty", b"")
    new = await run(world, "sync", "--quiet")
    assert new.status == 1
    assert "octo/tool → mirrors/tool v1.0.0 empty" in new.out
    known = await run(world, "sync", "--quiet")
    assert (known.status, known.out, known.err) == (1, "", "")


async def test_names_of_others_are_harmless(world: World) -> None:
    """Control and bidi characters of a server reach no terminal; markup is not interpreted."""
    name = "[bold]x\u202egpj.exe\x1b[2J\x9b31m.txt"
    world.source.add_release(
        "octo/tool",
        "v2.0.0",
        date="2026-02-01T00:00:00Z",
        assets={name: AssetSpec(b""), "[red]y.txt": "y"},
    )
    for arguments in (("plan",), ("sync", "--log-level", "debug")):
        done = await run(world, *arguments)
        assert done.status in {0, 1}
        for text in (done.out, done.err):
            found = CONTROL.search(text)
            assert found is None, text[max(0, found.start() - 200) :]
        assert "[bold]x\\u202egpj.exe\\x1b[2J" in done.out
