"""Killed before or after any write to a repository that did not exist: two passes complete it."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Fault
from mirror.open_ledger import OpenLedger
from mirror.storage.files import Files
from mirror.storage.json_ledger import FileLedgerStore
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import RequestRecord
    from mirror.emulator.faults.fault import Kind

WRITES = 12


class Disk(Files):
    """A disk that takes nothing more once its process is dead."""

    dead = False

    def create(self, path: Path) -> int:
        if self.dead:
            raise OSError(errno.EIO, "dead")
        return super().create(path)


async def sync_until(world: World, write: int, *, executed: bool) -> str:
    """A pass that is killed at its n-th write: its route. Nothing is sent or saved from then on."""
    disk, routes = Disk(), []

    def count(record: RequestRecord) -> None:
        if record.method in {"GET", "HEAD"} or disk.dead:
            return
        routes.append(record.route)
        if len(routes) == write:
            disk.dead = True
            kind: Kind = "lost-reply" if executed else "reset"
            world.target.faults.add(Fault(kind=kind, route=record.route))
            job.cancel()

    world.target.log.request_hooks[:] = [count]
    config = load_config(world.config_file, world.environ)
    ledger = OpenLedger(FileLedgerStore(world.ledger, world.clock, disk))
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock, ledger=ledger) as app:
        job = asyncio.ensure_future(app.sync())  # noqa: TID251 - it is killed
        await asyncio.wait([job])
        job.cancelled() or job.exception()
    world.target.log.request_hooks.clear()
    assert disk.dead, f"there were only {len(routes)} writes"
    return routes[-1]


def answers_404(record: RequestRecord, answer: Any) -> None:
    """As servers of others do for a branch of a repository without commits."""
    if record.route == "get-ref" and answer.status == 409:
        answer.status = 404


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
async def test_a_new_repository_is_completed_whenever_its_pass_is_killed(
    write: int, executed: bool, tmp_path: Path
) -> None:
    """The intent to create it was recorded: the next pass goes on with what it finds."""
    await kill_and_complete(World(tmp_path), write, executed=executed)


@pytest.mark.parametrize("write", [1, 2, 3])
async def test_an_empty_repository_is_known_by_its_missing_branch(
    write: int, tmp_path: Path
) -> None:
    """Also where a server answers 404 for it instead of 409."""
    world = World(tmp_path)
    world.target.tamper = answers_404
    await kill_and_complete(world, write, executed=write < 3)


async def kill_and_complete(new: World, write: int, *, executed: bool) -> None:
    async with new as world:
        world.source.add_repository("octo/tool")
        for number in range(2):
            assets = {f"{name}.bin": name.encode() * 10 for name in "abc"}
            world.source.add_release("octo/tool", f"v{number}", assets=assets)
        world.expect()
        route = await sync_until(world, write, executed=executed)
        passes = []
        for _ in range(2):
            world.clock.advance(900)
            passes.append((await world.sync()).status)
        told = f"{write:2} {'after' if executed else 'before':6} {route:22} {', '.join(passes)}"
        print(told)  # noqa: T201 - the table, with -rP
        assert passes == ["ok", "unchanged"], told
        assert world.same() == []
        assert len(world.target.releases("mirrors/tool")) == 2
