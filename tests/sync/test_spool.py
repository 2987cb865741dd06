"""Assets over the disk: fetched whole and proven, then uploaded; continued after a crash."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault, Generated, GitHubState
from mirror.sync.journal import SAVE_EVERY
from support.clock import MachineClock
from support.process import run
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
SPOOL = '[sync]\ntransfer = "spool"\n'


def seed(world: World, sizes: tuple[int, ...] = (3 * MIB + 1, 700_000, 5)) -> None:
    world.source.add_repository("octo/tool")
    world.source.add_release(
        "octo/tool",
        "v1",
        date="2026-01-01T00:00:00Z",
        assets={f"part-{n}.bin": Generated(seed=n, size=size) for n, size in enumerate(sizes)},
    )


def spooled(world: World) -> list[str]:
    """The files of the spool."""
    directory = world.ledger / "spool"
    return sorted(p.name for p in directory.iterdir()) if directory.exists() else []


def downloads(world: World) -> int:
    return sum(r.route == "storage-download" for r in world.source.requests)


async def test_everything_arrives_and_nothing_is_left(tmp_path: Path) -> None:
    """Over the disk arrives what streams, once, and no upload begins before its download ended."""
    async with World(tmp_path, extra=SPOOL) as world:
        seed(world, (3 * MIB + 1,))
        world.expect()
        fetched = 0
        begun: list[int] = []

        def source_bytes(route: str, so_far: int) -> None:
            nonlocal fetched
            if route == "storage-download":
                fetched = max(fetched, so_far)

        def target_bytes(route: str, so_far: int) -> None:
            if route == "upload-asset" and so_far:
                begun.append(fetched)

        world.source.on_bytes(source_bytes)
        world.target.on_bytes(target_bytes)
        report = await world.sync()
        assert report.status == "ok"
        assert world.same() == []
        assert downloads(world) == 1
        assert begun[0] == 3 * MIB + 1
        assert spooled(world) == []
        assert (await world.sync()).status == "unchanged"


@pytest.mark.parametrize("version", ["3.10", "3.17"])
async def test_a_source_without_digests(tmp_path: Path, version: str) -> None:
    """Servers that tell no digest are spooled from and to as well."""
    source = GitHubState(kind="ghes", version=version)
    async with World(tmp_path, extra=SPOOL, source=source) as world:
        seed(world)
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_wrong_bytes_never_begin_an_upload(tmp_path: Path) -> None:
    """Where the digest does not fit, the target hears nothing of the asset, and nothing is kept."""
    async with World(tmp_path, extra=SPOOL) as world:
        seed(world, (2 * MIB,))
        fault = Fault(kind="corrupt", route="storage-download", at_byte=MIB, times=None)
        world.source.faults.add(fault)
        report = await world.sync()
        (failure,) = only(report).failures
        assert "SHA-256" in failure.error
        assert world.target.count(route="upload-asset") == 0
        assert spooled(world) == []
        world.source.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_an_upload_that_fails_is_sent_again_from_disk(tmp_path: Path) -> None:
    """Answers that fail, get lost or break off cost uploads, and no second download."""
    for fault in (
        Fault(kind="status", route="upload-asset", status=502, times=3),
        Fault(kind="lost-reply", route="upload-asset", times=1),
        Fault(kind="reset-midway", route="upload-asset", at_byte=MIB, times=2),
    ):
        directory = tmp_path / fault.kind
        directory.mkdir()
        async with World(directory, extra=SPOOL) as world:
            seed(world, (2 * MIB,))
            world.target.faults.add(fault)
            assert (await world.sync()).status == "ok", fault.kind
            assert world.same() == []
            assert downloads(world) == 1
            assert spooled(world) == []


async def test_a_download_that_breaks_goes_on(tmp_path: Path) -> None:
    """A connection that breaks is opened again where it broke, also into the spool."""
    async with World(tmp_path, extra=SPOOL) as world:
        seed(world, (8 * MIB,))
        fault = Fault(kind="reset-midway", route="storage-download", at_byte=3 * MIB, times=2)
        world.source.faults.add(fault)
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        starts = [r.headers.get("range") for r in world.source.requests if "storage" in r.origin]
        assert starts[0] is None
        assert all(starts[1:])


async def test_what_the_target_refused_for_now_waits_on_disk(tmp_path: Path) -> None:
    """A pass whose uploads failed to the end leaves the bytes for the next one."""
    async with World(tmp_path, extra=SPOOL) as world:
        seed(world, (2 * MIB,))
        world.target.faults.add(Fault(kind="status", route="upload-asset", times=None))
        assert (await world.sync()).status == "failed"
        assert any(name.endswith(".part") for name in spooled(world))
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert downloads(world) == 1
        assert spooled(world) == []


async def test_a_rest_of_an_asset_that_was_replaced_is_not_used(tmp_path: Path) -> None:
    """When the source's asset is another one by the next run, it arrives whole and the rest is swept."""
    async with World(tmp_path, extra=SPOOL) as world:
        seed(world, (2 * MIB,))
        world.target.faults.add(Fault(kind="status", route="upload-asset", times=None))
        await world.sync()
        world.target.faults.clear()
        world.source.delete_asset("octo/tool", "v1", "part-0.bin")
        world.source.add_asset("octo/tool", "v1", "part-0.bin", Generated(seed=99, size=2 * MIB))
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        rests = [world.ledger / "spool" / name for name in spooled(world)]
        assert rests
        for path in rests:
            old = world.clock.now().timestamp() - 8 * 86400
            os.utime(path, (old, old))
        await world.sync()
        assert spooled(world) == []


@pytest.mark.parametrize("digests", [True, False])
async def test_killed_in_the_middle_of_a_download(tmp_path: Path, digests: bool) -> None:
    """`kill -9`, then `sync`: the source sends only what had not been written yet."""
    size = 40 * MIB
    source = GitHubState(kind="github", digests=digests)
    async with World(tmp_path, extra=SPOOL, source=source, clock=MachineClock()) as world:
        seed(world, (size,))
        world.expect()
        fatal = asyncio.Event()

        def count(route: str, so_far: int) -> None:
            if route == "storage-download" and so_far > size * 3 // 4:
                fatal.set()

        world.source.on_bytes(count)

        async def kill(process: asyncio.subprocess.Process) -> None:
            await fatal.wait()
            process.kill()

        killed = await run(world, "sync", "--json", during=kill)
        assert killed.status == -9, killed.err
        (rest,) = (world.ledger / "spool").glob("*.part")
        here = rest.stat().st_size
        assert here > size // 4
        world.source.reset_requests()
        finished = await run(world, "sync", "--json")
        assert finished.status == 0, finished.out + finished.err
        assert world.same() == []
        (request,) = [r for r in world.source.requests if r.route == "storage-download"]
        assert request.headers["range"] == f"bytes={here}-"
        assert request.bytes_out == size - here
        assert spooled(world) == []


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**20, 3 * 2**20))
from mirror.cli.main import main
main(sys.argv[1:])
"""

MEASURED = """
import atexit, pathlib, re, sys
def peak():  # not ru_maxrss: a new process begins with that of the one that started it
    status = pathlib.Path("/proc/self/status").read_text()
    print(re.search(r"VmHWM:\\s+(\\d+)", status)[1], file=sys.stderr)
atexit.register(peak)
from mirror.cli.main import main
main(sys.argv[1:])
"""


async def python(world: World, code: str) -> tuple[int | None, str, str]:
    """Run a pass in a process of its own, with something before it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        "--config",
        str(world.config_file),
        "sync",
        "--json",
        "--no-progress",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **world.environ},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_disk_that_is_full_stops_one_asset(tmp_path: Path) -> None:
    """What the disk cannot take fails with a sentence; the rest arrives, and nothing stays of it."""
    async with World(tmp_path, extra=SPOOL, clock=MachineClock()) as world:
        seed(world, (8 * MIB, 2 * MIB))
        status, out, err = await python(world, LIMITED)
        assert status == 1, out + err
        assert "cannot write the spool" in out
        assert "File too large" in out
        assert "part-1.bin" not in out.split('"failures"')[1].split("]")[0].split("part-0.bin")[0]
        assert spooled(world) == []
        assert world.published() == {}
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert downloads(world) == 3


async def test_memory_is_bounded(tmp_path: Path) -> None:
    """Four large assets at once take no more memory than their buffers."""
    async with World(tmp_path, extra=SPOOL, clock=MachineClock()) as world:
        seed(world, (24 * MIB,) * 4)
        status, out, err = await python(world, MEASURED)
        assert status == 0, out + err
        assert int(err.split()[-1]) < 120 * 1024, err


async def test_the_bandwidth_holds_for_both_ways(tmp_path: Path) -> None:
    """With a budget, what goes over the disk takes the time of its bytes twice; a stream once."""
    size = 4 * MIB
    for mode, ways in (("stream", 1), ("spool", 2)):
        extra = f'[sync]\ntransfer = "{mode}"\nbandwidth = "1MB/s"\n'
        directory = tmp_path / mode
        directory.mkdir()
        async with World(directory, extra=extra) as world:
            seed(world, (size,))
            assert (await world.sync()).status == "ok"
            assert world.same() == []
            # The ledger's saves wait beside it, and this clock runs ahead for whoever waits.
            waited = world.clock.monotonic() - ways * size / 1e6
            assert -0.1 < waited < 4 * SAVE_EVERY


async def test_a_directory_of_ones_own(tmp_path: Path) -> None:
    """`spool_directory` says where; one that cannot be written fails the assets by its name."""
    place = tmp_path / "elsewhere" / "spool"
    extra = f'{SPOOL}spool_directory = "{place}"\n'
    async with World(tmp_path, extra=extra) as world:
        seed(world, (1000,))
        place.parent.mkdir()
        place.write_bytes(b"a file")
        report = await world.sync()
        (failure,) = only(report).failures
        assert str(place) in failure.error
        place.unlink()
        assert (await world.sync()).status == "ok"
        assert place.is_dir()
        assert not (world.ledger / "spool").exists()
