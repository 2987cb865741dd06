"""Pruning what is mirrored: bytes that have arrived are not needed, and nothing else changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.air_gap import MIRRORS, AirGap
from support.world import only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SHARED = b"the same in each"
CARRIED = '[[mirrors]]\nsource = "mirrors/*"\non_delete = "delete"\non_deselect = "delete"\n'


def command(gap: AirGap, verb: str, *options: str, code: int = 0, side: str = "isolated") -> Any:
    """A bundle command of one side; its document, or what it says where it fails to start."""
    config, directory = gap.configure(side), gap.brought if side == "isolated" else gap.bundle
    program = [sys.executable, "-m", "mirror", "--config", str(config), "bundle", verb]
    done = subprocess.run(
        [*program, str(directory), *options],
        check=False,
        env={"TOKEN": "x"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


async def run(gap: AirGap, verb: str, *options: str, code: int = 0, side: str = "isolated") -> Any:
    options = options if verb == "receipt" else (*options, "--json")
    return await asyncio.to_thread(command, gap, verb, *options, code=code, side=side)


def blobs(gap: AirGap) -> set[str]:
    return {path.name for path in (gap.brought / "blobs/sha256").iterdir()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
async def gap(tmp_path: Path) -> AsyncIterator[AirGap]:
    """Two releases, carried in volumes, mirrored and pruned."""
    async with AirGap(tmp_path, MIRRORS + 'on_delete = "delete"\n', CARRIED) as gap:
        gap.brought = tmp_path / "brought"
        gap.source.add_repository("octo/tool")
        for tag in ("v1", "v2"):
            assets = {"large": tag.encode() * 5000, "same": SHARED}
            gap.source.add_release("octo/tool", tag, assets=assets)
        await gap.write()
        await gap.deliver()
        assert (await gap.read()).status == "ok"
        await gap.run("direct")
        pruned = await run(gap, "prune", "--mirrored")
        assert (pruned["removed"], pruned["bytes"]) == (3, 20_000 + len(SHARED))
        yield gap


async def test_nothing_else_changes(gap: AirGap) -> None:
    """Passes, audits and `verify` are as before, and nothing is sent again or deleted."""
    assert (await gap.read()).status == "unchanged"
    assert (await gap.read(full=True)).status == "unchanged"
    verified = await gap.run("isolated", "verify")
    assert (verified.status, only(verified).failures) == ("ok", ())
    planned = only(await gap.run("isolated", "plan", full=True))
    assert (planned.actions, planned.failures) == ((), ())
    await gap.same()


async def test_the_bundle_commands_accept_it(gap: AirGap) -> None:
    """`verify` exits with 0, receipts list the bytes, `show` misses nothing, and pruning again is idle."""
    before = (gap.brought / "pruned.json").stat().st_ino
    found = await run(gap, "verify")
    assert (found["status"], found["absent"], found["pruned"]) == ("ok", {}, 4)
    assert sha256(SHARED) in (await run(gap, "receipt"))["blobs"]
    (shown,) = (await run(gap, "show"))["repositories"]
    assert (shown["assets"], shown["absent"], shown["pruned"]) == (4, 0, 4)
    assert (await run(gap, "prune", "--mirrored"))["removed"] == 0
    assert (await run(gap, "prune"))["removed"] == 0
    assert (gap.brought / "pruned.json").stat().st_ino == before


async def test_increments_go_on(gap: AirGap) -> None:
    """An increment leaves pruned bytes out, its releases arrive, and what left the source is deleted."""
    gap.source.delete_release("octo/tool", "v1")
    gap.source.add_release("octo/tool", "v3", assets={"new": b"new" * 5000})
    await gap.write()
    size, unpacked = await gap.deliver(since_receipt=True)
    assert size < 15_000 + 40_000
    assert unpacked.complete
    assert (await gap.read()).status == "ok"
    await gap.run("direct")
    await gap.same()
    assert (await run(gap, "verify"))["status"] == "ok"


async def test_a_new_asset_with_pruned_bytes_is_carried(gap: AirGap) -> None:
    """The bytes were pruned for other assets: this one needs them, and the receipt says so."""
    gap.source.add_release("octo/tool", "v3", assets={"again": SHARED})
    await gap.write()
    _, unpacked = await gap.deliver(since_receipt=True)
    assert unpacked.absent == {
        "mirrors/tool:v3": ["again"]
    }  # the receipt was older than the release
    found = await run(gap, "verify", code=1)
    assert found["absent"]["mirrors/tool:v3"] == ["again"]
    _, unpacked = await gap.deliver(since_receipt=True)
    assert unpacked.complete
    assert (await gap.read()).status == "ok"
    await gap.run("direct")
    await gap.same()
    await run(gap, "prune", "--mirrored")
    assert sha256(SHARED) not in blobs(gap)


async def test_the_same_volumes_bring_the_bytes_back(gap: AirGap) -> None:
    """Unpacking again names nothing as missing; whoever lost a copy at the target mends it so."""
    (gap.directory / "volume.001").unlink()
    assert (await gap.deliver(since_receipt=True))[1].complete
    gap.isolated.delete_asset("mirrors/tool", "v2", "large")
    (failure,) = only(await gap.read(full=True)).failures
    assert (failure.kind, failure.asset) == ("not-ready", "large")
    _, unpacked = await gap.deliver()
    assert (unpacked.complete, unpacked.stored) == (True, 3)
    assert (await gap.read(full=True)).status == "ok"
    gap.compared.delete_asset("mirrors/tool", "v2", "large")
    await gap.run("direct", full=True)
    await gap.same()


async def test_only_proven_bytes_are_pruned(tmp_path: Path) -> None:
    """Bytes stay that a filter keeps from the target, that another asset still needs, or that failed."""
    async with AirGap(tmp_path) as gap:
        gap.carried = '[[mirrors]]\nsource = "mirrors/*"\nassets.exclude = ["kept*"]\n'
        gap.source.add_repository("octo/tool")
        assets = {"a": b"a", "same": SHARED, "kept": b"kept", "kept too": SHARED, "empty": b""}
        gap.source.add_release("octo/tool", "v1", assets=assets)
        await gap.write()
        assert "there is no ledger" in await run(gap, "prune", "--mirrored", code=1)
        await gap.read()
        assert (await run(gap, "prune", "--mirrored"))["removed"] == 1
        assert sha256(b"a") not in blobs(gap)
        assert {sha256(b"kept"), sha256(SHARED), sha256(b"")} <= blobs(gap)


async def test_every_mirror_of_a_repository_counts(tmp_path: Path) -> None:
    """Two mirrors read one repository: while one of them lacks the bytes, they stay."""
    one = '[[mirrors]]\nsource = "mirrors/tool"\n'
    async with AirGap(tmp_path, carried=one) as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        await gap.write()
        await gap.read()
        gap.carried = one + one + 'target = "mirrors/second"\n'
        assert (await run(gap, "prune", "--mirrored"))["removed"] == 0
        await gap.read()
        assert (await run(gap, "prune", "--mirrored"))["removed"] == 1
        assert (await gap.read(full=True)).status == "unchanged"


async def test_another_server_proves_nothing(tmp_path: Path) -> None:
    """What was proven of a former target does not count, nor what a bundle got that is a target itself."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        await gap.write()
        await gap.read()
        gap.hosts["isolated"] = gap.hosts["compared"]
        assert (await run(gap, "prune", "--mirrored"))["removed"] == 0
        said = await run(gap, "prune", "--mirrored", code=2, side="connected")
        assert "needs a configuration with a source whose bundle is" in said


async def test_a_damaged_record_is_named(gap: AirGap) -> None:
    """Nobody guesses what was pruned."""
    (gap.brought / "pruned.json").write_text("[]")
    for verb in ("verify", "receipt", "show", "prune"):
        options = ("--mirrored",) if verb == "prune" else ()
        assert "pruned.json" in await run(gap, verb, *options, code=1)
