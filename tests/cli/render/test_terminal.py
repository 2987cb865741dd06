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


def _hold(world: World) -> None:
    """One asset stays in flight until it is let go; more of it than the buffers of sockets take."""
    world.source.add_asset("octo/tool", "v1.0.0", "large.tar.gz", Generated(seed=2, size=8_000_000))
    world.target.faults.add(
        Fault(kind="stall", route="upload-asset", match="large.tar.gz", at_byte=1_000_000)
    )


async def test_progress(world: World) -> None:
    """The display tells bytes and the transfers in flight, and gives way to the summary."""
    _hold(world)
    transfer = r"octo/tool v1\.0\.0 large\.tar\.gz +[━╌]+ +\d+% +8\.0 MB"
    seen = await run_on_terminal(
        "-c",
        str(world.config_file),
        "sync",
        environ=world.environ,
        steps=[
            (rf"(?s)0/1 mirror.*of 8\.4 MB.*{transfer}", lambda _: world.target.faults.resume())
        ],
    )
    assert seen.status == 0, seen.text
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
    _hold(world)
    world.write_config(extra="[sync]\ntransfers = 1\n")
    seen = await run_on_terminal(
        "-c",
        str(world.config_file),
        "sync",
        environ=world.environ,
        steps=[
            (r"large\.tar\.gz", lambda terminal: os.kill(terminal.pid, signal.SIGINT)),
            ("Stopping:", lambda _: world.target.faults.resume()),
        ],
    )
    assert seen.status == 130, seen.text
    assert "Stopping:" in seen.text
    assert "Interrupted:" in seen.text
    assert "Traceback" not in seen.text
    assert (await run(world, "sync", "--quiet")).status == 0
