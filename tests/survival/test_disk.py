"""Disks that are full, or not to be written: it ends with a name for it, and nothing is torn."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.ledger.document import Index, Ledger
from support.clock import MachineClock
from support.world import World
from survival.processes import Limits, Running
from survival.rooms import FREED, Came, Step, came, entrance, filled, live, script
from survival.ruins import differences
from survival.stories import DAEMON, MIRROR, SPOOL, TARGET, publish, seed

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534
SYNC = Step(("sync", "--json"))


def whole(ledger: Path) -> None:
    """Every document of a ledger can be read, and nothing is half there."""
    assert list(ledger.rglob("*.corrupt-*")) == []
    for path in ledger.rglob("*.json"):
        kind: Any = Index if path.name == "index.json" else Ledger
        kind.decode(path.read_bytes())


def ended_well(result: Came) -> None:
    assert result.status == 0, result.told


def ended_with(result: Came, *words: str) -> None:
    assert result.status == 1, result.told
    assert "Traceback" not in result.told
    assert "internal error" not in result.told
    for word in words:
        assert word in result.told


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4])
async def test_no_room_for_the_ledger(
    pages: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A run that cannot record says so and fails; with room the next one records it, and is done."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        full, more, idle = await live(
            world,
            world.ledger,
            "size=256k",
            [
                Step(("sync", "--json"), filled(pages * 4096)),
                Step(("sync", "--json"), FREED),
                SYNC,
            ],
        )
        if full.status:
            ended_with(full, "No space left on device", "make room")
        assert pages or full.status
        whole(tmp_path / "0.room")
        ended_well(more)
        assert json.loads(idle.out)["status"] == "unchanged"
        whole(tmp_path / "2.room")
        assert list((tmp_path / "2.room").rglob("*.tmp")) == []
        assert await same(world) == []
        record_property(
            "survival_lack",
            [f"ledger: {pages} pages left of its disk", f"exit {full.status}, then 0"],
        )


async def same(world: World) -> list[str]:
    return world.same()


async def test_no_file_can_be_made_for_the_ledger(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Bytes are there, and no inode: that is a full disk, too."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        full, more = await live(
            world,
            world.ledger,
            "size=1m,nr_inodes=3",
            [SYNC, Step(("sync", "--json"), "mount -o remount,nr_inodes=1000 $ROOM")],
        )
        ended_with(full, "No space left on device")
        whole(tmp_path / "0.room")
        ended_well(more)
        assert world.same() == []
        record_property("survival_lack", ["ledger: no inode left", "exit 1, then 0"])


async def test_an_old_ledger_outlives_a_full_disk(tmp_path: Path) -> None:
    """What was recorded before is still what it was, byte by byte, where the new one has no room."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        seed(world)
        first = live(
            world,
            world.ledger,
            "size=256k",
            [
                SYNC,
                Step((), f"{filled(4096)}; touch ready; while [ ! -e go ]; do sleep 0.05; done"),
                SYNC,
                Step(("sync", "--json"), FREED),
            ],
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(first)
            while not (tmp_path / "ready").exists() and not running.done():  # noqa: ASYNC110 - a shell
                await asyncio.sleep(0.05)
            publish(world, 8)
            (tmp_path / "go").touch()
        before, full, more = running.result()
        ended_well(before)
        ended_with(full, "No space left on device")
        document = f"{TARGET}.json"
        assert (tmp_path / "0.room" / document).read_bytes() == (
            tmp_path / "2.room" / document
        ).read_bytes()
        whole(tmp_path / "2.room")
        ended_well(more)
        assert world.same() == []


@pytest.mark.parametrize("size", [300_000, 700_000])
async def test_no_room_for_the_spool(
    size: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What fits is mirrored, what does not is named; with room it follows."""
    spool = tmp_path / "spool"
    extra = f'{SPOOL}spool_directory = "{spool}"\n'
    async with World(tmp_path, MIRROR, extra=extra, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        full, more = await live(
            world,
            spool,
            f"size={size}",
            [SYNC, Step(("sync", "--json"), "mount -o remount,size=8m $ROOM")],
        )
        if size < 400_000:
            ended_with(full, "can never fit into the spool")
        else:
            ended_well(full)
        ended_well(more)
        assert world.same() == []
        assert await differences(world) == []
        assert list((tmp_path / "1.room").iterdir()) == []
        record_property(
            "survival_lack", [f"spool: a disk of {size} bytes", f"exit {full.status}, then 0"]
        )


async def test_files_that_may_not_grow(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A limit on a file's size, which only the write tells of: named, and nothing is left of it."""
    async with World(tmp_path, MIRROR, extra=SPOOL, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        limits = Limits({resource.RLIMIT_FSIZE: 300_000})
        process = Running(tmp_path, world.config_file, ("sync", "--json"), world.environ, limits)
        full = await process.ended()
        ended_with(Came(full.status, full.out, full.err), "raise the limit on a file's size")
        whole(world.ledger)
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        record_property("survival_lack", ["spool: RLIMIT_FSIZE 300000", "exit 1, then 0"])


async def test_a_disk_that_is_read_only(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is mirrored that could not be recorded; looking goes on, and so does the next run."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        seed(world)
        world.expect()
        closed, looked, more = await live(
            world,
            world.ledger,
            "size=1m",
            [
                Step(("sync", "--json"), "mount -o remount,ro $ROOM"),
                Step(("status",)),
                Step(("sync", "--json"), "mount -o remount,rw $ROOM"),
            ],
        )
        ended_with(closed, "Read-only file system", "mounted read-only")
        ended_with(looked, "1 never")
        ended_well(more)
        assert world.same() == []
        record_property("survival_lack", ["ledger: read-only file system", "exit 1, then 0"])


async def test_a_state_directory_of_somebody_else(
    record_property: Callable[[str, object], None],
) -> None:
    """It says whose right is missing; nothing was sent to the target."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with World(directory, MIRROR, clock=MachineClock()) as world:
            seed(world)
            world.ledger.mkdir()
            world.ledger.chmod(0o500)
            root = os.geteuid() == 0
            if root:
                os.chown(world.ledger, NOBODY, -1)
            user = Limits(privileged=False)
            command = ("sync", "--json")
            process = Running(directory, world.config_file, command, world.environ, user)
            ended = await process.ended()
            ended_with(
                Came(ended.status, ended.out, ended.err), "Permission denied", "let the user"
            )
            assert [r.route for r in world.target.requests if r.method != "GET"] == []
            world.ledger.chmod(0o700)
            os.chown(world.ledger, os.geteuid(), -1)
            process = Running(directory, world.config_file, command, world.environ, user)
            assert (await process.ended()).status == 0
            assert world.same() == []
    record_property("survival_lack", ["ledger: no right to write", "exit 1, then 0"])


async def test_the_daemon_outlives_a_full_disk(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """While it runs the disk fills up, and it goes on; once there is room all is mirrored and kept."""
    if not entrance():
        pytest.skip("no file system can be mounted here")
    extra = DAEMON.replace("drain_timeout", "# drain_timeout")
    async with World(tmp_path, MIRROR, extra=extra, clock=MachineClock()) as world:
        seed(world)
        text = script(
            world,
            world.ledger,
            "size=256k",
            [
                Step(
                    (),
                    "(while [ ! -e fill ]; do sleep 0.05; done; "
                    f"{filled(0)}; touch full; "
                    f"while [ ! -e free ]; do sleep 0.05; done; {FREED}) &",
                ),
                Step(("daemon",)),
            ],
        )
        # The signal is for the daemon, not for the shell.
        text = text.replace(">1.out 2>1.err ||", ">1.out 2>1.err & echo $! >pid; wait $! ||")
        process = await asyncio.create_subprocess_exec(
            *entrance(), "sh", "-c", text, cwd=tmp_path, env={**os.environ, **world.environ}
        )
        log = tmp_path / "1.err"
        try:
            async with asyncio.timeout(60):
                await until(lambda: TARGET in world.target.names and world.same() == [])
                (tmp_path / "fill").touch()
                await until((tmp_path / "full").exists)
                publish(world, 8)
                await until(lambda: "No space left" in log.read_text())
                (tmp_path / "free").touch()
                await until(lambda: world.same() == [])
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
            await process.wait()
        result = came(tmp_path, 1)
        assert result.status == 0, result.told
        assert "Traceback" not in result.told
        whole(tmp_path / "1.room")
        document = json.loads((tmp_path / "1.room" / f"{TARGET}.json").read_text())
        assert "v8" in json.dumps(document)
    record_property("survival_lack", ["daemon: its disk full for a while", "went on; exit 0"])


async def until(good: Callable[[], object]) -> None:
    while not good():  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.05)
