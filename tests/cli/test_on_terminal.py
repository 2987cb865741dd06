"""On a terminal: progress while it runs, a table at the end, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from mirror.emulator import Fault, Generated
from support.process import run
from support.terminal import run_on_terminal

if TYPE_CHECKING:
    from support.world import World


def _slow(world: World) -> None:
    """One asset takes about two seconds, more than fits into the buffers of sockets."""
    world.source.add_asset("octo/tool", "v1.0.0", "large.tar.gz", Generated(seed=2, size=8_000_000))
    world.target.faults.add(
        Fault(kind="slow", route="upload-asset", match="large.tar.gz", rate=5_000_000)
    )


async def test_progress(world: World) -> None:
    """The display tells bytes and the transfers in flight, and gives way to the summary."""
    _slow(world)
    seen = await run_on_terminal("-c", str(world.config_file), "sync", environ=world.environ)
    assert seen.status == 0, seen.text
    assert "0/1 mirror" in seen.text
    assert "of 8.4 MB" in seen.text
    assert re.search(r"octo/tool v1\.0\.0 large\.tar\.gz +[━╌]{10} +8\.0 MB", seen.text)
    end = re.split("[━╌]", seen.text)[-1]
    assert "github:octo/tool → mirrors/tool" in end
    assert "In sync: 1 new release, 3 assets uploaded" in end
    assert "\x1b[?25h" in seen.raw  # the cursor is back


async def test_no_progress(world: World) -> None:
    """`--no-progress` draws nothing; a log line tells what happens instead."""
    seen = await run_on_terminal(
        "-c", str(world.config_file), "sync", "--no-progress", environ=world.environ
    )
    assert seen.status == 0
    assert "\x1b[?25" not in seen.raw
    assert "asset.uploaded" in seen.text


async def test_ctrl_c(world: World) -> None:
    """Ctrl-C is answered above the display, and the summary still comes."""
    _slow(world)
    world.write_config(extra="[sync]\ntransfers = 1\n")
    seen = await run_on_terminal(
        "-c",
        str(world.config_file),
        "sync",
        environ=world.environ,
        when="large.tar.gz",
        during=lambda pid: os.kill(pid, signal.SIGINT),
    )
    assert seen.status == 130, seen.text
    assert "Stopping:" in seen.text
    assert "Interrupted:" in seen.text
    assert "Traceback" not in seen.text
    assert (await run(world, "sync", "--quiet")).status == 0
