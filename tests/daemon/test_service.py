"""The service as an operator runs it: a real process, real signals, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from datetime import datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest

from mirror.emulator import Emulator, Fault, Generated, GitHubState
from support.clock import MachineClock
from support.daemon import Manager, daemon, service
from support.process import run
from support.world import SOURCE_TOKEN, World

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemon import Daemon

MIRRORS = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
MORE = '[[mirrors]]\nsource = "octo/more"\ntarget = "mirrors/more"\n'
LARGE = 4_000_000


def world_of(directory: Path, interval: str = "1h", more: str = "") -> World:
    world = World(directory, MIRRORS, extra=service(interval, more), clock=MachineClock())
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets={"a.bin": Generated(seed=1, size=1000)})
    return world


def publish_large(world: World) -> None:
    """A release whose upload stops halfway until it is let go."""
    half = Fault(kind="stall", route="upload-asset", match="large", at_byte=LARGE // 2)
    world.target.faults.add(half)
    world.source.add_release("octo/tool", "v2", assets={"large.bin": Generated(seed=2, size=LARGE)})


async def moving(world: World, running: Daemon) -> None:
    """Wait until the large asset's bytes reach the target."""
    begun = asyncio.Event()
    world.target.on_bytes(lambda route, _: begun.set() if route == "upload-asset" else None)
    running.signal(signal.SIGUSR1)
    async with asyncio.timeout(60):
        await begun.wait()


@pytest.mark.parametrize("how", ["interval", "webhook", "signal"])
async def test_a_release_becomes_visible(how: str, tmp_path: Path) -> None:
    """Within an interval by itself, at once by webhook or SIGUSR1."""
    async with (
        world_of(tmp_path, "1s" if how == "interval" else "1h") as world,
        daemon(world) as running,
    ):
        await running.event("release.published", release="v1")
        world.source.add_release("octo/tool", "v2", assets={"b": b"new"})
        if how == "webhook":
            assert await running.webhook("octo/tool") == 202
        elif how == "signal":
            running.signal(signal.SIGUSR1)
        seen = await running.event("release.published", release="v2")
        asked = [e for e in running.events if e["event"] == "sync.requested"]
        if asked:
            waited = _moment(seen) - _moment(asked[-1])
            assert waited.total_seconds() < 30  # and not an hour later
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 0
        assert world.same() == []


def _moment(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


async def test_a_new_repository_of_a_pattern_is_mirrored_by_its_first_webhook(
    tmp_path: Path,
) -> None:
    """The owner is listed again, and the repository that was unknown is synced at once."""
    mirrors = MIRRORS + '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/all-{repo}"\n'
    async with World(tmp_path, mirrors, extra=service("1h"), clock=MachineClock()) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        async with daemon(world) as running:
            await running.event("release.published", release="v1")
            world.source.add_repository("octo/late")
            world.source.add_release("octo/late", "l1", assets={"l": b"late"})
            assert await running.webhook("octo/late") == 202
            await running.event("sync.requested", trigger="webhook", mirror="github:octo/late")
            await running.event("release.published", release="l1")
            assert world.same("octo/late", "mirrors/all-late") == []


async def test_a_webhook_for_what_is_not_mirrored_does_nothing(tmp_path: Path) -> None:
    """A stranger's repository, a ping and another event are answered well, without work."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published")
        before = len(world.source.requests)
        assert await running.webhook("octo/other") == 200
        assert await running.webhook("octo/tool", "ping") == 200
        assert await running.webhook("octo/tool", "push") == 200
        assert len(world.source.requests) == before


async def test_a_signal_drains(tmp_path: Path) -> None:
    """SIGTERM: what is in flight arrives, nothing new is begun, the exit status is 0."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        publish_large(world)
        await moving(world, running)
        assert (await running.get("/readyz"))[0] == 200
        world.source.add_release("octo/tool", "v3", assets={"c": b"later"})
        running.signal(signal.SIGTERM)
        await running.event("service.draining")
        assert await running.get("/readyz") == (503, "draining\n")
        world.target.faults.resume()
        assert await running.stopped() == 0
        assert "v2" in world.published()
        assert "v3" not in world.published()
        done = await run(world, "sync", "--json")
        assert done.status == 0, done.err
        assert world.same() == []


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Whatever is in flight is cut; the exit status says so; the next run finishes it."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        publish_large(world)
        await moving(world, running)
        running.signal(signal.SIGTERM)
        await running.event("service.draining")
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 128 + signal.SIGTERM
        assert "v2" not in world.published()
        await world.let_go()
        done = await run(world, "sync", "--json")
        assert done.status == 0, done.err
        assert world.same() == []


async def test_the_end_of_the_drain_cuts(tmp_path: Path) -> None:
    """What has not arrived by then is cut, and begun again by the next run."""
    async with (
        world_of(tmp_path, more='drain_timeout = "200ms"') as world,
        daemon(world) as running,
    ):
        await running.event("release.published", release="v1")
        publish_large(world)
        await moving(world, running)
        running.signal(signal.SIGINT)
        assert await running.stopped() == 128 + signal.SIGINT
        await world.let_go()
        assert (await run(world, "sync")).status == 0
        assert world.same() == []


async def test_a_reload_takes_over_and_drops_nothing(tmp_path: Path) -> None:
    """SIGHUP: new mirrors begin at once; the upload in flight is not begun again."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        world.source.add_repository("octo/more")
        world.source.add_release("octo/more", "m1", assets={"m": b"more"})
        publish_large(world)
        await moving(world, running)
        world.write_config(MIRRORS + MORE)
        running.signal(signal.SIGHUP)
        await running.event("config.reloaded", mirrors=2)
        await running.event("release.published", release="m1")
        world.target.faults.resume()
        await running.event("release.published", release="v2")
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 0
        uploads = [r for r in world.target.requests if r.route == "upload-asset"]
        assert len([r for r in uploads if "large.bin" in r.query]) == 1
        assert world.same() == []
        assert world.same("octo/more", "mirrors/more") == []


async def test_the_names_that_it_answers_to_follow_a_reload(tmp_path: Path) -> None:
    """`hosts` is taken over by SIGHUP; before and after, any other name gets 421."""
    more = service(more='hosts = ["Mirror.example.com"]')
    named = World(tmp_path, MIRRORS, extra=more, clock=MachineClock())
    named.source.add_repository("octo/tool")
    async with named as world, daemon(world) as running:
        await running.event("service.started")

        async def asked(name: str) -> int:
            headers = {"Host": name}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(f"{running.address}/api/status") as answer,
            ):
                return answer.status

        names = ("mirror.example.com:443", "other.example.com", "localhost")
        assert [await asked(name) for name in names] == [200, 421, 200]
        world.extra = service(more='hosts = ["other.example.com"]')
        world.write_config(MIRRORS)
        running.signal(signal.SIGHUP)
        await running.event("config.reloaded")
        assert [await asked(name) for name in names] == [421, 200, 200]
        assert all(event["event"] != "config.needs_restart" for event in running.events)


async def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    """SIGHUP with mistakes: each is named, the page says so, and the former file stays in force."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        world.write_config(MIRRORS.replace("target", "tarket") + "[[mirrors]]\nsource = 3\n")
        running.signal(signal.SIGHUP)
        event = await running.event("config.rejected")
        assert len(event["problems"]) >= 2
        assert any("tarket" in problem for problem in event["problems"])
        assert "tarket" in json.dumps((await running.status())["notices"])
        world.source.add_release("octo/tool", "v2", assets={"b": b"new"})
        running.signal(signal.SIGUSR1)
        await running.event("release.published", release="v2")
        world.write_config(MIRRORS)
        running.signal(signal.SIGHUP)
        await running.event("config.reloaded")
        assert (await running.status())["notices"] == []


async def test_a_mirror_that_is_removed_touches_nothing(tmp_path: Path) -> None:
    """After a reload without it no request of it is made any more."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        world.source.add_repository("octo/more")
        world.source.add_release("octo/more", "m1", assets={"m": b"more"})
        world.write_config(MORE)
        running.signal(signal.SIGHUP)
        await running.event("release.published", release="m1")
        before = len([r for r in world.source.requests if "octo/tool" in r.path])
        running.signal(signal.SIGUSR1)
        await running.event("sync.requested", trigger="SIGUSR1", scope="all")
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 0
        assert len([r for r in world.source.requests if "octo/tool" in r.path]) == before
        assert "v1" in world.published()


async def test_the_service_manager_is_told_everything(tmp_path: Path) -> None:
    """READY, STATUS, WATCHDOG, RELOADING and READY again, STOPPING: in this order."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"}
    async with (
        Manager(tmp_path).listening() as manager,
        world_of(tmp_path) as world,
        daemon(world, environ=environ) as running,
    ):
        await manager.message("READY=1")
        await manager.message("WATCHDOG=1", 2)
        await running.event("release.published")
        await manager.message("STATUS=1 mirror: 1 healthy")
        running.signal(signal.SIGHUP)
        await manager.message("READY=1", 2)
        running.signal(signal.SIGTERM)
        await running.stopped()
        kinds = [message.partition("=")[0] for message in manager.messages]
        told = [kind for kind in kinds if kind not in {"STATUS", "WATCHDOG"}]
        assert told == ["READY", "RELOADING", "READY", "STOPPING"]
        reloading = next(m for m in manager.messages if m.startswith("RELOADING=1"))
        assert "\nMONOTONIC_USEC=" in reloading


async def test_a_silent_host_survives_reloads(tmp_path: Path) -> None:
    """READY comes, readiness names the host, reloads and the end do not wait for it."""
    world = World(tmp_path, MIRRORS + "enabled = false\n", extra=service(), clock=MachineClock())
    async with world:
        world.target.faults.add(Fault(kind="reset", times=None))
        async with daemon(world) as running:
            status, reason = await running.get("/readyz")
            assert status == 503
            assert "target" in reason
            for number in range(1, 4):
                running.signal(signal.SIGHUP)
                await running.event("config.reloaded", number)
            assert (await running.get("/readyz"))[0] == 503
            running.signal(signal.SIGTERM)
            assert (await running.event("service.stopped"))["clean"] is True
            assert await running.stopped() == 0


async def test_maintenance_is_no_answer(tmp_path: Path) -> None:
    """A host that answers 503 to everything is not ready; when it answers well, the service is."""
    world = World(tmp_path, MIRRORS, extra=service(), clock=MachineClock())
    world.source.add_repository("octo/tool")
    async with world:
        world.target.faults.add(Fault(kind="status", status=503, times=None))
        async with daemon(world) as running, asyncio.timeout(60):
            asked = asyncio.Event()
            world.target.on_request(lambda _: asked.set())
            await asked.wait()
            status, reason = await running.get("/readyz")
            assert status == 503
            assert "target" in reason
            world.target.faults.clear()
            while (await running.get("/readyz"))[0] != 200:
                assert running.process.returncode is None


EARLY = """
import os, signal
from mirror.cli.main import main
import mirror.daemon.service as service

class Early(service.Service):
    async def run(self):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        return await super().run()

    async def _open(self, *arguments):
        if not self._runtimes:
            os.kill(os.getpid(), getattr(signal, os.environ["EARLY"]))
        return await super()._open(*arguments)

service.Service = Early
main()
"""


async def test_signals_during_the_start(tmp_path: Path) -> None:
    """None kills: a reload waits for its turn."""
    (tmp_path / "early.py").write_text(EARLY)
    program = (str(tmp_path / "early.py"),)
    async with (
        world_of(tmp_path) as world,
        daemon(world, environ={"EARLY": "SIGHUP"}, program=program) as running,
    ):
        await running.event("config.reloaded")
        await running.event("release.published")
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 0


async def test_a_stop_during_the_start(tmp_path: Path) -> None:
    """Nothing is begun, no host is contacted, and that is a clean end."""
    (tmp_path / "early.py").write_text(EARLY)
    async with world_of(tmp_path) as world:
        done = await run(
            world,
            "daemon",
            environ={"EARLY": "SIGTERM", "WEBHOOK_SECRET": "x"},
            program=(str(tmp_path / "early.py"),),
        )
        assert done.status == 0, done.err
        assert "Traceback" not in done.err
        assert not world.source.requests


OTHER = """
[sources.other]
url = "{url}"
api_url = "{api_url}"
token = "env:SOURCE_TOKEN"

[sync]
repositories = 1
transfers = 1

[[mirrors]]
from = "github"
source = "octo/tool"
target = "mirrors/tool"

[[mirrors]]
from = "other"
source = "octo/tool"
target = "mirrors/other"
"""


@pytest.mark.parametrize(
    ("route", "status"), [("list-releases", 503), ("list-releases", 429), ("download-asset", 429)]
)
async def test_a_host_that_is_closed_takes_no_turn_of_another(
    route: str, status: int, tmp_path: Path
) -> None:
    """Neither a session's nor a transfer's; and an end does not wait for what cannot come."""
    other = GitHubState(kind="github")
    other.add_token(SOURCE_TOKEN, login="reader", admin=True)
    other.add_repository("octo/tool")
    async with Emulator(other) as host:
        extra = OTHER.format(url=host.url, api_url=host.api_url)
        more = service("1h", 'drain_timeout = "10m"') + extra
        world = World(tmp_path, "", extra=more, clock=MachineClock())
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        later = {"Retry-After": "7200" if status == 503 else "3600"}
        fault = Fault(kind="status", route=route, status=status, headers=later, times=None)
        world.source.faults.add(fault)
        async with world, daemon(world) as running:
            await running.event("github.throttled", host="github")
            other.add_release("octo/tool", "o1", assets={"o": b"o"})
            running.signal(signal.SIGUSR1)
            await running.event("release.published", release="o1")
            running.signal(signal.SIGTERM)
            assert await running.stopped() == 0


async def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    """It goes on, says so once and on the page, and what was done meanwhile is kept in the end."""
    async with world_of(tmp_path, "1s") as world, daemon(world) as running:
        await running.event("release.published", release="v1")
        away = world.ledger.rename(tmp_path / "away")
        while not world.ledger.is_file():
            shutil.rmtree(world.ledger, ignore_errors=True)  # a save made it again meanwhile
            with contextlib.suppress(IsADirectoryError):
                world.ledger.write_text("no directory")
        await running.event("ledger.not_saved")
        (notice,) = (await running.status())["notices"]
        assert "not kept" in notice
        world.ledger.unlink()
        away.rename(world.ledger)
        world.source.add_release("octo/tool", "v2", assets={"b": b"new"})
        await running.event("release.published", release="v2")
        await running.event("ledger.saved_again")
        assert (await running.status())["notices"] == []
        running.signal(signal.SIGTERM)
        assert await running.stopped() == 0
        assert len([e for e in running.events if e["event"] == "ledger.not_saved"]) == 1
        assert world.same() == []


BLOCKING = """
import asyncio, signal, sys, time
from mirror.cli.main import main
import mirror.daemon.service as service

class Blocking(service.Service):
    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, time.sleep, 3600)
        return await super().run()

service.Service = Blocking
main()
"""


async def test_a_loop_that_hangs_says_nothing(tmp_path: Path) -> None:
    """The watchdog's messages come from the loop: where it is blocked, they end."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    (tmp_path / "blocking.py").write_text(BLOCKING)
    async with (
        Manager(tmp_path).listening() as manager,
        world_of(tmp_path) as world,
        daemon(world, environ=environ, program=(str(tmp_path / "blocking.py"),)) as running,
    ):
        await manager.message("WATCHDOG=1", 3)
        running.signal(signal.SIGUSR2)
        quiet = len(manager.messages)
        for _ in range(50):  # until nothing came for five times as long as it should take
            before = len(manager.messages)
            await asyncio.sleep(0.5)
            quiet = len(manager.messages)
            if quiet == before:
                break
        assert quiet == before
        assert running.process.returncode is None


async def test_only_one_holds_the_ledger(tmp_path: Path) -> None:
    """While the service lives, another one and `sync` are 75 and name its process; `plan` runs."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("release.published")
        for verb in ("daemon", "sync"):
            done = await run(world, verb, environ={"WEBHOOK_SECRET": "x"})
            assert done.status == 75, done
            assert str(running.process.pid) in done.err
        assert (await run(world, "plan")).status == 0
        assert (await run(world, "status")).status == 0


async def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    """A wrong file is 2; an address that is taken is 1 and named; nothing is contacted."""
    async with world_of(tmp_path) as world:
        done = await run(world, "daemon")
        assert done.status == 2
        assert "WEBHOOK_SECRET" in done.err
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            world.write_config(extra=f'[daemon]\nlisten = "127.0.0.1:{port}"\n')
            done = await run(world, "daemon")
        assert done.status == 1
        assert f"127.0.0.1:{port}: the address is in use" in done.err
        assert "Traceback" not in done.err
        assert not world.source.requests


async def test_the_pages_tell_what_there_is(tmp_path: Path) -> None:
    """Status, page and metrics agree; readiness waits for an answer of every host."""
    async with world_of(tmp_path) as world, daemon(world) as running:
        await running.event("pass.finished")
        data = await running.status()
        assert data["summary"]["ok"] == data["summary"]["mirrors"] == 1
        (mirror,) = data["mirrors"]
        assert (mirror["source"], mirror["state"]) == ("github:octo/tool", "ok")
        assert mirror["next_run_at"]
        assert data["passes"][0]["bytes"] == 1000
        status, page = await running.get("/")
        assert status == 200
        assert "octo/tool" in page
        status, metrics = await running.get("/metrics")
        assert 'release_mirror_mirrors{state="ok"} 1.0' in metrics
        assert 'release_mirror_passes_total{status="ok"} 1.0' in metrics
        assert await running.get("/healthz") == (200, "ok\n")
        done = await run(world, "status", "--json")
        assert json.loads(done.out)["mirrors"][0]["state"] == "ok"


async def test_no_release_is_ever_seen_half(tmp_path: Path) -> None:
    """Kill it in the middle, start it again: it finishes by itself."""
    async with world_of(tmp_path) as world:
        world.expect()
        async with daemon(world) as running:
            await running.event("release.published", release="v1")
            publish_large(world)
            await moving(world, running)
            running.process.kill()
            await running.stopped()
        await world.let_go()
        async with daemon(world) as running:
            await running.event("release.published", release="v2")
            running.signal(signal.SIGTERM)
            assert await running.stopped() == 0
        assert world.same() == []
