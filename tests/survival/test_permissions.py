"""What is ours on disk is nobody else's, whatever the umask."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import stat
from typing import TYPE_CHECKING

import pytest

from support.clock import MachineClock
from support.world import World
from survival.processes import Limits, Running
from survival.stories import MIRROR, SPOOL, first

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import RequestRecord


def exposed(directory: Path) -> list[str]:
    """Files and directories that others than their owner have a right to."""
    return [
        f"{stat.filemode(path.lstat().st_mode)} {path}"
        for path in (directory, *directory.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077 and not path.is_symlink()
    ]


# Where a kill cuts off a git of the emulator that is just being started, asyncio loses its pipes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "killed_at", ["", "update-release", "upload-asset", "receive-pack", "storage-download"]
)
async def test_what_is_ours_is_nobody_else_s(killed_at: str, tmp_path: Path) -> None:
    """Ledger, spool and git's copies are 0600 in 0700, also what a killed run left, under umask 0."""
    state = tmp_path / "missing" / "state"
    async with World(
        tmp_path, MIRROR + 'tags = "push"\n', extra=SPOOL, clock=MachineClock()
    ) as world:
        text = world.config_file.read_text()
        world.config_file.write_text(text.replace(str(world.ledger), f"{state}/ledger"))
        await first(world)
        victims: list[Running] = []

        def kill(record: RequestRecord) -> None:
            if killed_at and killed_at in record.route:
                for victim in victims:
                    victim.signal(signal.SIGKILL, children=True)

        for host in (world.source, world.target):
            host.on_request(kill)
        victim = Running(tmp_path, world.config_file, ("sync",), world.environ, Limits(umask=0))
        victims.append(victim)
        ended = await victim.ended()
        victims.clear()
        assert ended.status == (-signal.SIGKILL if killed_at else 0), ended.told
        assert exposed(tmp_path / "missing") == []
        assert list(state.rglob("*.json")) or killed_at
        assert list(state.glob("ledger/git/*/*/*.git/HEAD"))
    gc.collect()


async def test_a_page_is_for_who_may_read_it(tmp_path: Path) -> None:
    """`status --html` is published under the umask, and written whole or not at all."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        await first(world)
        await world.sync()
        page = tmp_path / "page.html"
        done = asyncio.Event()
        seen: set[bytes] = set()

        async def look() -> None:
            while not done.is_set():
                if page.exists():
                    seen.add(page.read_bytes()[-20:])
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            for umask in (0o077, 0o022):
                page.unlink(missing_ok=True)
                for _ in range(3):
                    command = ("status", "--html", str(page))
                    running = Running(
                        tmp_path, world.config_file, command, world.environ, Limits(umask=umask)
                    )
                    ended = await running.ended()
                    assert ended.status == 0, ended.told
                assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~umask
            done.set()
        assert all(end.rstrip().endswith(b"</html>") for end in seen)
        assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []  # noqa: PTH208
