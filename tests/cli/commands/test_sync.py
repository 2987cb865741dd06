"""`sync` tells people of the first failure and of the recovery, and the heartbeat of good passes."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from mirror.emulator.model.content import MemoryContent
from mirror.storage.json_ledger import FileLedgerStore
from support.bell import Bell
from support.process import Finished, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.world import World

HOOK = "hook-5ecre7-9d1f"
BEAT = "beat-5ecre7-77aa"

DOWN = Fault(kind="status", route="list-releases", status=451, times=None)


@pytest.fixture
async def bell() -> AsyncIterator[Bell]:
    async with Bell() as made:
        yield made


@pytest.fixture
def told(world: World, bell: Bell) -> World:
    """The world, with somebody to tell and a heartbeat."""
    world.write_config(
        extra='[notify]\nurls = ["env:NOTIFY_URL"]\nheartbeat_url = "env:HEARTBEAT_URL"\n'
    )
    world.environ["NOTIFY_URL"] = bell.url(f"hook/{HOOK}", "json")
    world.environ["HEARTBEAT_URL"] = bell.url(f"beat/{BEAT}")
    return world


def secretless(*done: Finished) -> bool:
    said = "".join(item.out + item.err for item in done)
    return HOOK not in said and BEAT not in said


def kinds(bell: Bell) -> list[str]:
    return [ring.message["type"] for ring in bell.of("hook")]


async def test_first_failure_repeat_recovery(told: World, bell: Bell) -> None:
    """One message when it begins and one when it ends, none between; beats only while it is good."""
    debug = ("sync", "--log-level", "debug")
    story = []
    for faults in ((), (DOWN,), (DOWN,), (), ()):
        told.source.faults.clear()
        told.source.faults.add(*faults)
        done = await run(told, *debug)
        assert secretless(done)
        story.append((done.status, len(bell.of("hook")), len(bell.of("beat"))))
    assert story == [(0, 0, 1), (1, 1, 1), (1, 1, 1), (0, 2, 2), (0, 2, 3)]
    assert kinds(bell) == ["failure", "success"]
    first, last = (ring.message for ring in bell.of("hook"))
    assert "1 mirror failed" in first["title"]
    assert "github:octo/tool → mirrors/tool: " in first["message"]
    assert "451" in first["message"]
    assert "1 mirror recovered" in last["title"]
    for file in told.ledger.rglob("*.json"):
        assert HOOK not in file.read_text()


async def test_a_message_that_could_not_be_sent_comes_with_the_next_pass(
    told: World, bell: Bell
) -> None:
    """A service that is down costs nobody the news; its failure is told, its address is not."""
    told.source.faults.add(DOWN)
    bell.status("hook", 500)
    done = await run(told, "sync", "--quiet", "--log-level", "debug")
    assert done.status == 1
    assert "notify.failed" in done.err
    assert "env:NOTIFY_URL" in done.err
    assert "HTTP 500" in done.err
    assert secretless(done)
    before = len(bell.rings)
    bell.answers.clear()
    await run(told, "sync")
    assert len(bell.rings) == before + 1


async def test_a_wildcard_that_cannot_be_listed(told: World, bell: Bell) -> None:
    """None of its mirrors is looked at, so that it is what people are told of."""
    told.write_config('[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n')
    told.source.revoke_token("source-token-of-the-test")
    for _ in range(2):
        assert (await run(told, "sync")).status == 1
    assert kinds(bell) == ["failure"]
    assert "github:octo/*: " in bell.of("hook")[0].message["message"]
    told.source.add_token("source-token-of-the-test", login="reader", admin=True)
    assert (await run(told, "sync")).status == 0
    assert kinds(bell) == ["failure", "success"]


async def test_a_part_says_nothing_of_the_rest(told: World, bell: Bell) -> None:
    """With a pattern, only what it selects is spoken of, and nothing says that all is well."""
    told.source.add_repository("octo/other")
    told.source.add_release("octo/other", "v1", assets={"a": "1"})
    told.write_config(
        '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
        '[[mirrors]]\nsource = "octo/other"\ntarget = "mirrors/other"\n'
    )
    told.source.faults.add(replace(DOWN, match="octo/tool"))
    assert (await run(told, "sync", "octo/other")).status == 0
    assert not bell.rings
    assert (await run(told, "sync", "octo/tool")).status == 1
    assert kinds(bell) == ["failure"]
    assert (await run(told, "sync", "octo/other")).status == 0
    told.source.faults.clear()
    assert (await run(told, "sync", "octo/other")).status == 0
    assert kinds(bell) == ["failure"]
    assert not bell.of("beat")


@pytest.mark.parametrize("arguments", [("plan",), ("sync", "--dry-run"), ("verify",)], ids=" ".join)
async def test_who_only_looks_tells_nobody(
    told: World, bell: Bell, arguments: tuple[str, ...]
) -> None:
    """It needs no addresses either: they are not even read."""
    told.source.faults.add(DOWN)
    del told.environ["NOTIFY_URL"], told.environ["HEARTBEAT_URL"]
    assert (await run(told, *arguments)).status == 1
    assert not bell.rings


async def test_what_a_repair_could_not_mend(told: World, bell: Bell) -> None:
    """It is told once, no pass that does not see it calls it well, and a repair that works does."""
    assert (await run(told, "sync")).status == 0
    beats = len(bell.of("beat"))
    asset = told.target.asset("mirrors/tool", "v1.0.0", "tool.txt")
    asset.content = MemoryContent(b"jello\n", asset.sha256)
    told.target.faults.add(Fault(kind="status", route="upload-asset", status=422, times=None))
    repair = ("verify", "--repair", "--full")
    for _ in range(2):
        assert (await run(told, *repair)).status == 1
    assert len(bell.of("beat")) == beats
    told.target.faults.clear()
    assert (await run(told, "sync")).status == 0
    assert kinds(bell) == ["failure"]
    assert (await run(told, *repair)).status == 0
    assert kinds(bell) == ["failure", "success"]


async def test_another_run_and_a_usage_error_tell_nobody(told: World, bell: Bell) -> None:
    """75 and 2 are no passes."""
    async with FileLedgerStore(told.ledger, told.clock).lock(0):
        assert (await run(told, "sync")).status == 75
    assert (await run(told, "sync", "nobody/else")).status == 2
    assert not bell.rings


async def test_an_address_that_is_not_set(told: World) -> None:
    """It is a mistake like any other secret that is not there, before any contact."""
    del told.environ["NOTIFY_URL"]
    done = await run(told, "sync")
    assert done.status == 2
    assert "notify.urls" in done.err
    assert not told.source.requests


async def test_an_address_that_is_none(told: World) -> None:
    """A heartbeat that cannot be called, an address that Apprise cannot read: said, not shown."""
    told.environ["HEARTBEAT_URL"] = f"hc-ping.com/{BEAT}"
    done = await run(told, "sync")
    assert done.status == 2
    assert "notify.heartbeat_url" in done.err
    assert secretless(done)
    told.environ["HEARTBEAT_URL"] = "http://127.0.0.1:1/"
    told.environ["NOTIFY_URL"] = f"nosuchservice://{HOOK}"
    for arguments in (("check", "--offline"), ("check",)):
        done = await run(told, *arguments)
        assert done.status == 2
        assert "notify.urls: Apprise cannot read the address in env:NOTIFY_URL" in done.err
        assert secretless(done)
    assert not told.source.requests


@pytest.mark.parametrize("arguments", [["sync"], ["check", "--offline"], ["check"]], ids=" ".join)
async def test_without_apprise(told: World, arguments: list[str]) -> None:
    """Where it is not installed, that and the remedy are told before any contact."""
    code = (
        "import sys; sys.modules['apprise'] = None\n"
        "from mirror.cli.main import main\n"
        f"main(['--config', {str(told.config_file)!r}, *{arguments!r}])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **told.environ},
    )
    out, err = await process.communicate()
    assert process.returncode == 2
    assert out == b""
    assert "notify.urls" in err.decode()
    assert "pip install 'release-mirror[notify]'" in err.decode()
    assert not told.source.requests


async def test_check_says_what_it_cannot_prove(told: World, bell: Bell) -> None:
    """There are notifications, and nobody is rung to find out."""
    done = await run(told, "check", "--json")
    (found,) = [item for item in done.json()["checks"] if item["host"] == "notify"]
    assert found["status"] == "unknown"
    assert found["detail"].startswith("1 notification address, a heartbeat; ")
    assert not bell.rings
    assert secretless(done)


async def test_a_signal_ends_the_telling(told: World, bell: Bell) -> None:
    """Who is waited for in vain is left: the report is printed all the same."""
    told.source.faults.add(DOWN)
    bell.hang("hook")

    async def stop(process: asyncio.subprocess.Process) -> None:
        await bell.rung.wait()
        process.terminate()

    done = await run(told, "sync", "--json", during=stop)
    assert done.status == 143
    assert done.json()["status"] == "failed"
    bell.answers.clear()
    await run(told, "sync")
    assert kinds(bell) == ["failure", "failure"], "twice rather than never"
