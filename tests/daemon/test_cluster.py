"""Several daemons over one database: real processes, and the emulator as both hosts."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Fault, Generated
from support import short_claims
from support.clock import MachineClock
from support.daemon import WEBHOOK_SECRET, Daemon, daemon, service
from support.postgres import PostgresServer
from support.process import run
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from mirror.emulator import RequestRecord

SHORT_CLAIMS = (str(Path(short_claims.__file__)),)
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
    """The environment of a machine: directories and a credential of its own."""
    home = world.directory / f"machine-{number}"
    home.mkdir(exist_ok=True)
    token = f"target-token-{number}"
    world.target.add_token(token, login="mirror-bot", admin=True)
    return {
        "RUNTIME_DIRECTORY": str(home),
        "STATE_DIRECTORY": str(home),
        "TARGET_TOKEN": token,
    }


@asynccontextmanager
async def daemons(
    world: World, number: int = 2, program: tuple[str, ...] = ("-m", "mirror")
) -> AsyncIterator[list[Daemon]]:
    """Several daemons, as on machines of their own, once each takes part."""
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                daemon(world, environ=machine(world, one), program=program)
            )
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


async def outdated(running: Daemon, expected: list[bool]) -> None:
    """Wait until the page of a daemon tells which workers are outdated, in order of their start."""
    async with asyncio.timeout(60):
        while True:
            workers = (await running.status())["workers"]
            workers.sort(key=lambda worker: int(worker["name"].rpartition(":")[2]))
            if [worker["outdated"] for worker in workers] == expected:
                return


def differing(world: World) -> list[str]:
    return [name for name in NAMES if world.same(f"octo/{name}", f"mirrors/{name}")]


async def test_daemons_share_the_work(tmp_path: Path, postgres_url: str) -> None:
    """Each takes a part; webhooks, SIGUSR1 and trigger at any of them reach all; all drain."""
    async with (
        shared_world(tmp_path, postgres_url) as world,
        daemons(world, program=SHORT_CLAIMS) as running,
    ):
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
            await outdated(daemon_, [False, False])
            assert (await daemon_.status())["summary"]["ok"] == len(NAMES)

        # New settings: only the daemon that has them works, until the other one has them, too.
        world.write_config(MIRRORS.replace("octo/*", "octo/*[0-5]") + 'assets.exclude = ["b"]\n')
        one.signal(signal.SIGHUP)
        await outdated(one, [False, True])
        publish(world, "v5")
        other.signal(signal.SIGUSR1)
        for name in NAMES:
            await one.event("release.published", release="v5", target=f"mirrors/{name}")
        other.signal(signal.SIGHUP)
        await outdated(one, [False, False])

        await a_sync_is_a_start(world, running)

        second = await run(world, "daemon", environ=environ)
        assert second.status == 2
        assert f"{tmp_path}/machine-0/control.sock" in second.err
        for daemon_ in running:
            daemon_.signal(signal.SIGTERM)
            assert await daemon_.stopped() == 0


async def a_sync_is_a_start(world: World, running: Sequence[Daemon]) -> None:
    """Its settings are the newest, also those of what it does not select; until a daemon reloads."""
    one, other = running
    world.write_config(world.mirrors.replace('"b"', '"c"'))
    done = await run(world, "sync", f"octo/{NAMES[0]}", environ=machine(world, 2))
    assert done.status == 0
    await outdated(one, [True, True])

    publish(world, "v6")
    stall = Fault(kind="stall", route="storage-download", at_byte=1, times=2)
    world.source.faults.add(stall)

    async def reload(_: object) -> None:
        while world.source.faults.stalling < 2:  # noqa: ASYNC110 - of sockets
            await asyncio.sleep(0.01)
        world.write_config(world.mirrors.replace('"c"', '"d"'))
        one.signal(signal.SIGHUP)
        await outdated(one, [False, True])
        world.source.faults.resume()

    done = await run(world, "sync", "--json", during=reload, environ=machine(world, 2))
    assert done.status == 1
    failures = [failure for repo in done.json()["repositories"] for failure in repo["failures"]]
    assert [failure["kind"] for failure in failures] == ["policy"] * (len(NAMES) - 2)
    for name in NAMES[2:]:
        await one.event("release.published", release="v6", target=f"mirrors/{name}")
    await other.event("settings.outdated")
    other.signal(signal.SIGHUP)
    await outdated(one, [False, False])


def worker_of(record: RequestRecord) -> int:
    """The number of the machine that sent a request."""
    return int(str(record.authorization)[-1])


async def when_sent(
    world: World, method: str, path: str, then: Callable[[RequestRecord], object]
) -> RequestRecord:
    """Do something as soon as the target receives a request; which it was."""
    seen: list[RequestRecord] = []
    news = asyncio.Event()

    def look(record: RequestRecord) -> None:
        if not seen and record.method == method and record.path.endswith(path):
            seen.append(record)
            then(record)
            news.set()

    world.target.on_request(look)
    async with asyncio.timeout(60):
        await news.wait()
    return seen[0]


@pytest.mark.parametrize(
    ("number", "path"), [(signal.SIGKILL, "/assets"), (signal.SIGSTOP, "/releases")]
)
async def test_a_process_that_is_cut_off_is_replaced(
    number: signal.Signals, path: str, tmp_path: Path, postgres_url: str
) -> None:
    """In the middle of a release: another one finishes it, and what goes on later writes no more."""
    name = NAMES[0]
    async with (
        shared_world(tmp_path, postgres_url) as world,
        daemons(world, program=SHORT_CLAIMS) as running,
    ):
        await published(running, "v1")
        publish(world, "v2", [name])
        world.expect(f"octo/{name}", f"mirrors/{name}")
        assert await running[0].webhook(f"octo/{name}") == 202
        cut = await when_sent(
            world, "POST", path, lambda record: running[worker_of(record)].signal(number)
        )
        gone, other = running[worker_of(cut)], running[1 - worker_of(cut)]
        await other.event("release.published", release="v2")
        if number == signal.SIGSTOP:
            gone.signal(signal.SIGCONT)
            await gone.event("claim.lost")
            publish(world, "v3", NAMES[1:])
            gone.signal(signal.SIGUSR1)
            await published(running, "v3", NAMES[1:])
        writes = [record for record in world.target.requests if record.method != "GET"]
        late = [
            record
            for record in writes
            if record.n > cut.n and worker_of(record) == worker_of(cut) and name in record.path
        ]
        assert late == []
        assert differing(world) == []


async def test_the_database_goes_away(tmp_path: Path) -> None:
    """A daemon starts without it, waits, and works when it is there; a restart only pauses the work."""
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="rm-pg-")), durable=True)
    try:
        server.create()
        async with (
            shared_world(tmp_path, f"{server.url()}&connect_timeout=2") as world,
            daemon(world, environ=machine(world, 0)) as running,
        ):
            await running.event("database.unavailable")
            code, text = await running.get("/readyz")
            assert code == 503
            assert "the database is unavailable" in text
            assert (await running.get("/healthz"))[0] == 200
            server.start()
            await published([running], "v1")

            publish(world, "v2", NAMES[:1])
            assert await running.webhook(f"octo/{NAMES[0]}") == 202
            await when_sent(world, "POST", "/assets", lambda _: server.stop("fast"))
            await running.event("database.unavailable", 2)
            async with asyncio.timeout(60):
                while (await running.get("/readyz"))[0] != 503:
                    pass
            server.start()
            await published([running], "v2", NAMES[:1])
            assert differing(world) == []
            running.signal(signal.SIGTERM)
            assert await running.stopped() == 0
    finally:
        with suppress(RuntimeError):  # it may not run
            server.stop()
        shutil.rmtree(server.directory)
