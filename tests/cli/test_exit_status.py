"""Exit statuses are an interface: scripts depend on each of them."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from support.clock import MachineClock
from support.postgres import opened
from support.process import run
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    During = Callable[[asyncio.subprocess.Process], Coroutine[None, None, None]]


def _moving(world: World) -> asyncio.Event:
    """Set as soon as bytes of an upload have come to the target."""
    moving = asyncio.Event()
    world.target.on_bytes(lambda route, _: moving.set() if route == "upload-asset" else None)
    return moving


async def test_0_in_sync_and_nothing_to_do(world: World) -> None:
    """A pass that leaves nothing undone is 0, and so is one that finds nothing to do."""
    first = await run(world, "sync")
    assert first.status == 0, first.err
    assert "1 new release, 2 assets uploaded" in first.out
    assert world.same() == []
    second = await run(world, "sync")
    assert second.status == 0
    told = r"Source unchanged; target last checked (just now|\d+ s ago): nothing to do"
    assert re.search(told, second.out)


async def test_1_something_failed(world: World) -> None:
    """A failure is 1; the end names release, asset and error."""
    world.source.add_asset("octo/tool", "v1.0.0", "empty", b"")
    done = await run(world, "sync")
    assert done.status == 1
    assert "octo/tool → mirrors/tool v1.0.0 empty" in done.out
    assert "0 bytes" in done.out


async def test_1_a_host_that_is_not_there(world: World) -> None:
    """A token that is refused is 1, in one sentence, without a traceback."""
    world.source.revoke_token("source-token-of-the-test")
    done = await run(world, "sync")
    assert done.status == 1
    assert "401" in done.out
    assert "Traceback" not in done.out + done.err


async def test_2_a_database_of_a_later_version(tmp_path: Path, postgres_url: str) -> None:
    """Software that is older than the database's tables refuses to start, and touches nothing."""
    unheard = '[daemon]\nlisten = ""\n'
    clock = MachineClock()
    async with World(tmp_path, extra=unheard, clock=clock, ledger_url=postgres_url) as world:
        async with opened(postgres_url) as database:
            await database.query("UPDATE schema_version SET version = version + 1")
        world.environ |= {"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(world, verb)) for verb in ("sync", "daemon", "status")]
        for done in (task.result() for task in tasks):
            assert done.status == 2, done
            assert "made by a later release-mirror" in done.err
            assert "Traceback" not in done.err
        hosts = world.source, world.target
        assert {one.route for host in hosts for one in host.requests} <= {"get-meta"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("snyc",),
        ("sync", "--jsn"),
        ("sync", "--wait", "soon"),
        ("sync", "someone/else"),
        ("status", "--html", "-", "--json"),
        ("emulator", "--kind", "gitlab"),
    ],
    ids=" ".join,
)
async def test_2_usage(world: World, arguments: tuple[str, ...]) -> None:
    """What cannot be asked for is 2, told on standard error, before any host is contacted."""
    done = await run(world, *arguments)
    assert done.status == 2, done
    assert done.out == ""
    assert done.err.strip()
    assert "Traceback" not in done.err
    assert not world.source.requests


async def test_2_matches_nothing_after_expansion(world: World) -> None:
    """A pattern that a wildcard could match but none of its repositories does is 2, too."""
    world.write_config('[[mirrors]]\nsource = "octo/*"\n')
    done = await run(world, "sync", "octo/nothing", "--json")
    assert done.status == 2
    assert done.out == ""
    assert "octo/nothing" in done.err
    assert not world.target.repositories


async def test_2_configuration(world: World) -> None:
    """Every mistake of a file is told at once, each on its line with file, place and key."""
    file = world.config_file
    file.write_text('[target]\nurl = 7\ntokn = "x"\n[[mirrors]]\nsource = "nope"\n')
    done = await run(world, "sync")
    assert done.status == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert all(line.startswith(f"release-mirror: {file}") for line in lines)
    for place, key in ((":2:", "target.url"), (":3:", "target.tokn"), (":5:", "source")):
        assert any(place in line and key in line for line in lines), lines


async def test_2_no_configuration(world: World, tmp_path: Path) -> None:
    """A file that is not there is 2 and named."""
    done = await run(world, "sync", "--config", str(tmp_path / "gone.toml"))
    assert done.status == 2
    assert "gone.toml" in done.err


async def test_2_secrets_that_are_not_set(world: World) -> None:
    """A secret that cannot be read is 2; its key and the variable are named."""
    world.environ = {}
    done = await run(world, "check", "--offline")
    assert done.status == 2
    assert "target.token" in done.err
    assert "SOURCE_TOKEN" in done.err


async def test_3_changes_are_pending(world: World) -> None:
    """`plan --detailed-exit-code` is 3 while there is work and 0 when there is none."""
    assert (await run(world, "plan")).status == 0
    pending = await run(world, "plan", "--detailed-exit-code")
    assert pending.status == 3
    assert "upload tool.tar.gz (400.0 kB)" in pending.out
    assert not world.target.repositories
    assert (await run(world, "sync", "--quiet")).status == 0
    assert (await run(world, "plan", "--detailed-exit-code")).status == 0


async def test_3_comes_after_1(world: World) -> None:
    """A failure comes before pending changes."""
    world.source.add_asset("octo/tool", "v1.0.0", "empty", b"")
    assert (await run(world, "plan", "--detailed-exit-code")).status == 1


async def _soon(event: asyncio.Event) -> None:
    """A process that ended early shall not be waited for."""
    async with asyncio.timeout(30):
        await event.wait()


def _stall(world: World) -> asyncio.Event:
    """Uploads stop after some bytes, for as long as their client waits."""
    world.target.faults.add(Fault(kind="stall", route="upload-asset", at_byte=1, times=None))
    return _moving(world)


def _terminate(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)


def _stop_now(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)


async def test_75_another_run_holds_the_lock(world: World) -> None:
    """The second of two runs at once is 75 and names the first's process."""
    moving = _stall(world)

    async def start_another(process: asyncio.subprocess.Process) -> None:
        await _soon(moving)
        second = await run(world, "sync")
        _stop_now(process)
        assert second.status == 75, second.err
        assert second.out == ""
        assert str(process.pid) in second.err

    await run(world, "sync", during=start_another)


async def test_wait_for_the_lock(world: World) -> None:
    """With `--wait` the second run follows the first."""
    moving = _stall(world)
    second = None

    async def start_another(process: asyncio.subprocess.Process) -> None:
        nonlocal second
        await _soon(moving)
        world.target.faults.clear()  # what stalls already goes on stalling
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(run(world, "sync", "--wait", "60"))
            _stop_now(process)
        second = waiting.result()

    assert (await run(world, "sync", during=start_another)).status in {130, 143}
    assert second is not None
    assert second.status == 0, second.err
    assert world.same() == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
async def test_130_143_a_clean_stop(world: World, number: signal.Signals, status: int) -> None:
    """A signal lets the transfers in flight finish, starts nothing new, and is reported."""
    world.write_config(extra="[sync]\ntransfers = 1\n")
    faults = world.target.faults
    faults.add(Fault(kind="stall", route="upload-asset", match="tool.tar.gz", at_byte=1000))
    moving = _moving(world)

    async def stop(process: asyncio.subprocess.Process) -> None:
        await _soon(moving)
        process.send_signal(number)

    heard = [("1 transfer in flight", lambda _: faults.resume())]
    done = await run(world, "sync", "--json", during=stop, told=heard)
    assert done.status == status, done.err
    report = done.json()
    assert report["status"] == "interrupted"
    uploads = [
        (action["asset"], action["status"])
        for action in report["repositories"][0]["actions"]
        if action["action"] == "upload-asset"
    ]
    assert uploads == [("tool.tar.gz", "done")]
    assert "press Ctrl-C again" in done.err
    assert not world.published()
    assert (await run(world, "sync", "--quiet")).status == 0
    assert world.same() == []


async def test_130_a_second_signal_stops_at_once(world: World) -> None:
    """A second signal cancels stalled transfers; what was carried out before is in the report."""
    moving = _stall(world)

    async def stop(process: asyncio.subprocess.Process) -> None:
        await _soon(moving)
        process.send_signal(signal.SIGINT)

    done = await run(world, "sync", "--json", during=stop, told=[("Stopping:", _terminate)])
    assert done.status == 130, done.err
    report = done.json()
    assert report["status"] == "interrupted"
    (repository,) = report["repositories"]
    assert repository["status"] == "interrupted"
    carried_out = {action["action"] for action in repository["actions"]}
    assert {"create-repository", "create-release"} <= carried_out
    assert "Traceback" not in done.err


async def test_130_while_planning(world: World) -> None:
    """A plan has nothing to finish: the first signal ends it, with what was found out."""
    asked = asyncio.Event()
    world.source.faults.add(Fault(kind="stall", route="list-releases", at_byte=0))
    world.source.on_request(lambda record: asked.set() if "releases" in record.path else None)

    async def stop(process: asyncio.subprocess.Process) -> None:
        await _soon(asked)
        process.send_signal(signal.SIGINT)

    done = await run(world, "plan", "--json", during=stop)
    assert done.status == 130
    assert done.json()["status"] == "interrupted"
