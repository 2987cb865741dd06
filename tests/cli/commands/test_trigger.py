"""`trigger` as its users run it: against a real service, or none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from mirror.emulator import Fault, Generated
from support.clock import MachineClock
from support.daemon import daemon, service
from support.process import run
from support.world import World

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

MIRRORS = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
[[mirrors]]
source = "many/*"
target = "mirrors/many-{repo}"
"""


def world_of(directory: Path) -> World:
    world = World(directory, MIRRORS, extra=service("1h"), clock=MachineClock())
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets={"a.bin": Generated(seed=1, size=1000)})
    world.source.add_repository("many/one")
    return world


async def test_its_report_and_exit_status_are_those_of_sync(tmp_path: Path) -> None:
    """What it selects is synced now and reported; the daemon's schedule plays no part."""
    async with world_of(tmp_path) as world:
        none = await run(world, "trigger", "--json")
        assert none.status == 69
        assert "release-mirror daemon" in none.err
        assert none.json()["error"] in none.err
        async with daemon(world) as running:
            await running.event("pass.finished")
            world.source.add_release("octo/tool", "v2", assets={"b.bin": b"new"})
            world.source.add_release("many/one", "m1", assets={"m.bin": b"many"})
            done = await run(world, "trigger", "OCTO/*", "--json")
            assert done.status == 0, done.err
            report = done.json()
            assert (report["command"], report["status"]) == ("sync", "ok")
            (repository,) = report["repositories"]
            assert repository["source"] == "github:octo/tool"
            assert "upload-asset" in {action["action"] for action in repository["actions"]}
            assert report["requests"]["target"]["total"] > 0
            assert world.same() == []

            accepted = await run(world, "trigger", "--no-wait", "many/one")
            assert (accepted.status, accepted.err) == (0, "")
            assert str(running.process.pid) in accepted.out
            await running.event("release.published", release="m1")

            world.source.add_asset("octo/tool", "v2", "empty", b"")
            failed = await run(world, "trigger")
            assert failed.status == 1
            assert "empty" in failed.out
            for patterns in (["cli/cli"], ["many/none"], ["octo/tool", "other/*"]):
                wrong = await run(world, "trigger", *patterns)
                assert (wrong.status, wrong.out) == (2, ""), patterns

            locked = await run(world, "sync")
            assert locked.status == 75
            assert f"(process {running.process.pid})" in locked.err
            assert "release-mirror trigger" in locked.err
            running.process.kill()
            await running.stopped()
        assert (await run(world, "trigger")).status == 69  # its socket is still there


async def test_whoever_stops_waiting_stops_nothing_else(tmp_path: Path) -> None:
    """Ctrl-C in the client is 130, and the daemon goes on; its end tells those who wait."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("pass.finished")
        world.target.faults.add(Fault(kind="stall", route="upload-asset", match="big", at_byte=1))
        world.source.add_release("octo/tool", "v2", assets={"big.bin": b"some bytes"})

        async def leave(process: asyncio.subprocess.Process) -> None:
            await running.event("sync.requested", trigger="client", scope="octo/tool")
            process.send_signal(signal.SIGINT)

        left = await run(world, "trigger", "octo/tool", during=leave)
        assert left.status == 128 + signal.SIGINT
        assert "The daemon goes on" in left.err
        assert "Traceback" not in left.err

        async def stop(_: asyncio.subprocess.Process) -> None:
            await running.event("sync.requested", trigger="client", scope="all")
            running.signal(signal.SIGTERM)
            await running.event("service.draining")
            world.target.faults.resume()

        stopped = await run(world, "trigger", "--json", during=stop)
        assert stopped.status == 1
        assert stopped.json()["status"] == "interrupted"
        assert "the daemon stopped" in stopped.err
        assert await running.stopped() == 0
        assert world.same() == []
