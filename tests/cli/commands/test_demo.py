"""`demo` as a user runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


async def test_demo(tmp_path: Path) -> None:
    """The demo proves itself, ends with 0 and leaves nothing behind."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text + err.decode()
    assert err == b""
    assert "25 of 25 assets hold the same bytes" in text
    assert "Everything matches." in text
    assert "\x1b" not in text
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a look, after all is over


async def test_demo_of_an_air_gap(tmp_path: Path) -> None:
    """What the lost volume held is named, waits, and arrives with it; in the end every byte is there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "demo", "--air-gap"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text + err.decode()
    assert "They are in volume 2." in text
    assert "25 of 25 assets hold the same bytes" in text
    assert "Everything matches." in text
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a look, after all is over
