"""`verify` as a user runs it: what it prints, and what its exit status means."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from mirror.emulator.model.content import MemoryContent
from mirror.storage.json_ledger import FileLedgerStore
from support.process import run

if TYPE_CHECKING:
    from support.world import World


@pytest.fixture
async def mirrored(world: World) -> World:
    await world.sync()
    return world


def damage(world: World) -> None:
    """Other bytes of the same size, hidden behind the right digest."""
    asset = world.target.asset("mirrors/tool", "v1.0.0", "tool.txt")
    asset.content = MemoryContent(b"jello\n", asset.sha256)


async def test_0_all_is_the_same(mirrored: World) -> None:
    """All is well: totals in one line, 0; with `--quiet`, nothing at all."""
    done = await run(mirrored, "verify")
    assert done.status == 0, done.err
    assert "In sync: 2 assets compared, 0 differences; 1 mirror" in done.out
    quiet = await run(mirrored, "verify", "--quiet", "--full")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


async def test_1_a_difference_and_its_repair(mirrored: World) -> None:
    """A difference is 1, in a table and in the document; once repaired it is 0, and told."""
    damage(mirrored)
    found = await run(mirrored, "verify", "--full")
    assert found.status == 1
    assert "v1.0.0" in found.out
    assert "tool.txt" in found.out
    assert "different content" in found.out
    assert "2 downloaded (800.0 kB), 1 difference" in found.out
    told = await run(mirrored, "verify", "--full", "--json", "octo/*")
    assert told.status == 1
    document = told.json()
    assert (document["command"], document["status"]) == ("verify", "failed")
    assert document["repositories"][0]["differences"] == [
        {"release": "v1.0.0", "asset": "tool.txt", "kind": "differing"}
    ]
    mended = await run(mirrored, "verify", "--full", "--repair", "--wait", "5")
    assert mended.status == 0, mended.out
    assert "Repaired" in mended.out
    assert "0 differences, 1 repaired" in mended.out
    content = mirrored.target.asset("mirrors/tool", "v1.0.0", "tool.txt").content
    assert content.read(0, 10) == b"hello\n"


async def test_2_a_pattern_that_nothing_can_match(mirrored: World) -> None:
    """It is a usage error before any contact."""
    mirrored.source.reset_requests()
    done = await run(mirrored, "verify", "someone/else")
    assert (done.status, done.out) == (2, "")
    assert not mirrored.source.requests


async def test_75_only_a_repair_needs_the_lock(mirrored: World) -> None:
    """While another run holds the ledger, comparing is free and repairing is 75."""
    async with FileLedgerStore(mirrored.ledger, mirrored.clock).lock(0):
        assert (await run(mirrored, "verify")).status == 0
        locked = await run(mirrored, "verify", "--repair")
    assert (locked.status, locked.out) == (75, "")


async def test_130_interrupted(mirrored: World) -> None:
    """A second signal ends a read that stalls; the document says that it was interrupted."""
    reading = asyncio.Event()
    stall = Fault(kind="stall", route="storage-download", at_byte=1, times=None)
    mirrored.target.faults.add(stall)
    mirrored.target.on_request(
        lambda record: reading.set() if record.route == "storage-download" else None
    )

    async def stop(process: asyncio.subprocess.Process) -> None:
        await reading.wait()
        process.send_signal(signal.SIGINT)

    told = [("Stopping", lambda process: process.send_signal(signal.SIGTERM))]
    done = await run(mirrored, "verify", "--full", "--json", during=stop, told=told)
    assert done.status == 130, done.err
    document = done.json()
    assert document["status"] == "interrupted"
    assert document["repositories"][0]["differences"] == []
    assert "Traceback" not in done.err
