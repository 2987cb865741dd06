"""`demo` as a user runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from support.terminal import run_on_terminal

if TYPE_CHECKING:
    from pathlib import Path


async def demo(tmp_path: Path, *arguments: str) -> str:
    """Run it without a terminal; what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text + err.decode()
    assert err == b""
    assert "Everything matches." in text
    assert "\x1b" not in text
    return text


def left_in(directory: Path) -> list[str]:
    """What is in a directory."""
    return [path.name for path in directory.iterdir()]


async def test_demo(tmp_path: Path) -> None:
    """The demo proves itself: a failure and its recovery, a webhook, every byte. Nothing is left behind."""
    text = await demo(tmp_path)
    assert text.startswith("This demo mirrors releases between two emulated GitHub hosts")
    assert "acme/rocket v1.1.0 stays a draft at the target" in text
    assert "yes  the next sync uploaded that asset alone" in text
    assert "acme/satellite publishes satellite/v1.0.0 and sends a webhook: mirrored after" in text
    assert "Its status page: http://127.0.0.1:" in text
    assert "yes  26 of 26 assets hold the same bytes" in text
    assert " -m mirror init" in text  # the next step, as this program was started
    assert left_in(tmp_path) == []


async def test_demo_of_an_air_gap(tmp_path: Path) -> None:
    """What the lost volume held is named, waits, and arrives with it; in the end every byte is there."""
    text = await demo(tmp_path, "--air-gap")
    assert "They are in volume 2." in text
    assert "25 of 25 assets hold the same bytes" in text
    assert left_in(tmp_path) == []


async def test_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    """With ``--keep``, Enter publishes a release that arrives; Ctrl-C, also repeated, leaves nothing."""
    seen = await run_on_terminal(
        *("demo", "--keep", "--no-progress"),
        environ={"TMPDIR": str(tmp_path)},
        steps=[
            ("Press Enter", lambda terminal: os.write(terminal.keyboard, b"\n")),
            (
                "publishes satellite/v1.1.0",
                lambda terminal: os.write(terminal.keyboard, b"\x03\x03"),
            ),
        ],
    )
    assert seen.status == 0, seen.text
    assert "mirrored after" in seen.text.partition("publishes satellite/v1.1.0")[2]
    assert "Traceback" not in seen.text
    assert left_in(tmp_path) == []
