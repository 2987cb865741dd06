"""Several daemons over one database: real processes, and the emulator as both hosts."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from mirror.emulator import Generated
from support.clock import MachineClock
from support.daemon import WEBHOOK_SECRET, Daemon, daemon, service
from support.process import run
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

MIRRORS = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
NAMES = [f"tool-{number}" for number in range(6)]


@asynccontextmanager
async def shared_world(directory: Path, url: str) -> AsyncIterator[World]:
    """Six repositories to mirror, two at a time, with the ledger in a database."""
    settings = service("1h") + "\n[sync]\nrepositories = 2\n"
    clock = MachineClock()
    async with World(directory, MIRRORS, extra=settings, clock=clock, ledger_url=url) as world:
        for name in NAMES:
            world.source.add_repository(f"octo/{name}")
        publish(world, "v1")
        yield world


def publish(world: World, tag: str, names: Sequence[str] = NAMES) -> None:
    for name in names:
        world.source.add_release(f"octo/{name}", tag, assets={"a": Generated(seed=1, size=1000)})


def machine(world: World, number: int) -> dict[str, str]:
    """The environment of a machine: directories of its own."""
    home = world.directory / f"machine-{number}"
    home.mkdir(exist_ok=True)
    return {"RUNTIME_DIRECTORY": str(home), "STATE_DIRECTORY": str(home)}


@asynccontextmanager
async def daemons(world: World, number: int = 2) -> AsyncIterator[list[Daemon]]:
    """Several daemons, as on machines of their own, once each takes part."""
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(daemon(world, environ=machine(world, one)))
            for one in range(number)
        ]
        for one in running:
            await one.event("cluster.joined")
        yield running


async def first(running: Sequence[Daemon], name: str, **facts: Any) -> None:
    """Wait until one of the daemons has logged an event."""
    tasks = [asyncio.ensure_future(one.event(name, **facts)) for one in running]  # noqa: TID251
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def published(running: Sequence[Daemon], tag: str, names: Sequence[str] = NAMES) -> None:
    for name in names:
        await first(running, "release.published", release=tag, target=f"mirrors/{name}")


def differing(world: World) -> list[str]:
    return [name for name in NAMES if world.same(f"octo/{name}", f"mirrors/{name}")]


async def test_daemons_share_the_work(tmp_path: Path, postgres_url: str) -> None:
    """Each takes a part; webhooks, SIGUSR1 and trigger at any of them reach all; all drain."""
    async with shared_world(tmp_path, postgres_url) as world, daemons(world) as running:
        one, other = running
        await published(running, "v1")

        publish(world, "v2", NAMES[:1])
        assert await other.webhook(f"octo/{NAMES[0]}") == 202
        await published(running, "v2", NAMES[:1])

        publish(world, "v3")
        one.signal(signal.SIGUSR1)
        await published(running, "v3")

        publish(world, "v4")
        done = await run(world, "trigger", "--json", environ=machine(world, 1))
        assert done.status == 0
        totals = done.json()["totals"]
        assert totals["releases_created"] == totals["assets_uploaded"] == len(NAMES)
        assert differing(world) == []
        for daemon_ in running:
            assert any(event["event"] == "release.published" for event in daemon_.events)
            assert (await daemon_.get("/readyz"))[0] == 200

        environ = {**machine(world, 0), "WEBHOOK_SECRET": WEBHOOK_SECRET}
        status = (await run(world, "status", "--json", environ=machine(world, 0))).json()
        assert [worker["outdated"] for worker in status["workers"]] == [False, False]
        for daemon_ in running:
            shown = await daemon_.status()
            names = [worker["name"] for worker in shown["workers"]]
            assert names == [worker["name"] for worker in status["workers"]]
            assert shown["summary"]["ok"] == len(NAMES)

        second = await run(world, "daemon", environ=environ)
        assert second.status == 2
        assert f"{tmp_path}/machine-0/control.sock" in second.err
        for daemon_ in running:
            daemon_.signal(signal.SIGTERM)
            assert await daemon_.stopped() == 0
