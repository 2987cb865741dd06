"""Large assets in the command as it is run: their bytes flow in threads, and nobody notices."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault, Generated
from mirror.transfer.workers import LARGE
from support.clock import MachineClock
from support.daemon import WEBHOOK_SECRET, daemon, service
from support.process import run
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOISE = ("Traceback", "Warning", "Unclosed", "destroyed", "never retrieved", "Exception", "Error")


@asynccontextmanager
async def world_of(directory: Path, assets: int = 2, extra: str = "") -> AsyncIterator[World]:
    """A release of assets that are just large."""
    async with World(directory, extra=extra, clock=MachineClock()) as world:
        world.source.add_repository("octo/tool")
        names = [f"{number}.bin" for number in range(assets)]
        world.source.add_release(
            "octo/tool",
            "v1",
            assets={name: Generated(seed=n, size=LARGE) for n, name in enumerate(names)},
        )
        world.expect()
        yield world


def moving(world: World) -> asyncio.Event:
    """Set when some bytes of an upload have come to the target."""
    moving = asyncio.Event()
    world.target.on_bytes(
        lambda route, size: moving.set() if route == "upload-asset" and size > 1000 else None
    )
    return moving


def hold(world: World) -> None:
    """Each upload stops halfway until it is let go."""
    half = Fault(kind="stall", route="upload-asset", at_byte=LARGE // 2, times=None)
    world.target.faults.add(half)


async def finished(world: World) -> None:
    """The next run completes what was left, once."""
    world.target.faults.clear()
    await world.let_go()
    done = await run(world, "sync", "--json")
    assert done.status == 0, done.out + done.err
    assert world.same() == []
    tags = Counter(release.tag for release in world.target.releases("mirrors/tool"))
    assert set(tags.values()) == {1}


async def test_killed_while_the_bytes_flow(tmp_path: Path) -> None:
    """`kill -9`, then `sync`: everything arrives once."""
    async with world_of(tmp_path) as world:
        hold(world)
        begun = moving(world)

        async def kill(process: asyncio.subprocess.Process) -> None:
            await begun.wait()
            process.kill()

        assert (await run(world, "sync", during=kill)).status == -9
        await finished(world)


@pytest.mark.parametrize("times", [1, 2])
async def test_stopped_while_the_bytes_flow(times: int, tmp_path: Path) -> None:
    """Once: what is in flight arrives. Twice: it ends at once. Either way without any noise."""
    async with world_of(tmp_path) as world:
        hold(world)
        begun = moving(world)
        loop = asyncio.get_running_loop()
        stopped_at = 0.0

        async def stop(process: asyncio.subprocess.Process) -> None:
            nonlocal stopped_at
            await begun.wait()
            process.send_signal(signal.SIGINT)
            stopped_at = loop.time()

        def then(process: asyncio.subprocess.Process) -> None:
            if times == 1:
                world.target.faults.resume()
            else:
                process.send_signal(signal.SIGTERM)

        done = await run(world, "sync", "--json", during=stop, told=[("in flight", then)])
        assert loop.time() - stopped_at < 20
        assert done.status == 130
        assert not [word for word in NOISE if word in done.err], done.err
        assert done.json()["status"] == ("ok" if times == 1 else "interrupted")
        releases = world.target.releases("mirrors/tool")
        whole = [a for release in releases for a in release.assets if a.state == "uploaded"]
        assert bool(whole) is (times == 1)
        await finished(world)


@pytest.mark.parametrize("times", [1, 2])
async def test_the_service_drains(times: int, tmp_path: Path) -> None:
    """SIGTERM: what is in flight arrives; a second one cuts it. No thread holds the end up."""
    async with world_of(tmp_path, assets=1, extra=service()) as world:
        world.environ["WEBHOOK_SECRET"] = WEBHOOK_SECRET
        hold(world)
        begun = moving(world)
        async with daemon(world) as running:
            await begun.wait()
            running.signal(signal.SIGTERM)
            await running.event("service.draining")
            if times == 1:
                world.target.faults.resume()
            else:
                running.signal(signal.SIGTERM)
            assert await running.stopped() == (0 if times == 1 else 128 + signal.SIGTERM)
        told = "\n".join(str(event) for event in running.events)
        assert not [word for word in NOISE if word in told], told
        assert bool(world.published()) is (times == 1)
        await finished(world)


async def test_one_process_may_do_it_again(tmp_path: Path) -> None:
    """Pass after pass, each opening everything anew, finds the threads in order."""
    async with world_of(tmp_path, assets=2) as world:
        for number in range(2, 4):
            assert (await world.sync()).status == "ok"
            assert world.same() == []
            world.source.add_release(
                "octo/tool", f"v{number}", assets={"x.bin": Generated(seed=number, size=LARGE)}
            )
            world.expect()
        assert (await world.sync()).status == "ok"
        assert (await world.sync()).status == "unchanged"
