"""Several daemons over one database, two emulated hosts, and wires between them that can be cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from cluster_torture.databases import HISTORY, NAME, Databases
from cluster_torture.observer import Claimed, Write
from cluster_torture.wires import Wires
from mirror.core.claims import TIMES
from support.postgres import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.network import Network
    from cluster_torture.wires import How
    from mirror.core.claims import ClaimTimes

TESTS = Path(__file__).parents[1]
TOKENS = {"SOURCE_TOKEN": "source-token-of-the-test", "TARGET_TOKEN": "target-token-of-the-test"}
DEVICE = "wire0"
"""The network interface of each node of a ``Network``."""

_STARTED = 60.0


class Place(NamedTuple):
    """Where a process runs.

    Attributes:
        address: Its IPv4 address.
        entrance: The words before a command that run it there.
    """

    address: str
    entrance: tuple[str, ...] = ()


HERE = Place("127.0.0.1")


class Host:
    """An emulated host in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, journal: Path) -> None:
        self._process = process
        self._journal = journal
        self._turn = asyncio.Lock()
        self.addresses: dict[str, str] = {}

    async def ask(self, **order: Any) -> Any:
        """Give an order; the answer."""
        process = self._process
        assert process.stdin
        assert process.stdout
        async with self._turn:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
            return json.loads(await process.stdout.readline())

    def journal(self) -> list[Write]:
        """The changes that were asked for."""
        return Write.read(self._journal.read_text(encoding="ascii"))


@asynccontextmanager
async def host(
    directory: Path, kind: str, *, upload_rate: int = 0, place: Place = HERE
) -> AsyncIterator[Host]:
    """Run an emulated host at a place."""
    journal = directory / f"{kind}.journal"
    process = await asyncio.create_subprocess_exec(
        *place.entrance,
        sys.executable,
        "-m",
        "cluster_torture.host",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=TESTS,
        limit=1 << 26,
    )
    running = Host(process, journal)
    spec = {
        "kind": kind,
        "upload_rate": upload_rate,
        "address": place.address,
        "journal": str(journal),
    }
    try:
        running.addresses = await running.ask(**spec)
        yield running
    finally:
        assert process.stdin
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass(eq=False)
class Worker:
    """A machine, and the daemon that runs on it now.

    Attributes:
        name: Of the machine; each process has a name of its own besides.
        busy: It is being hurt.
    """

    name: str
    home: Path
    process: asyncio.subprocess.Process | None = None
    started: int = 0
    busy: bool = False
    logs: list[Path] = field(default_factory=list)

    def signal(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        assert self.process
        self.process.send_signal(number)

    def events(self) -> list[dict[str, Any]]:
        """What all its daemons logged."""
        lines = [line for log in self.logs for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def strays(self) -> list[str]:
        """What its daemons printed that is no log."""
        lines = [line for log in self.logs for line in log.read_text().splitlines()]
        return [line for line in lines if not line.startswith("{")]


class Cluster:
    """All of it, on one machine.

    Args:
        directory: For files of all processes.
        short: For sockets, whose paths are limited.
        workers: How many machines.
        mirrors: How many repositories to mirror.
        times: How long a claim is valid.
        upload_rate: Bytes a second at which the target reads an upload; 0 is unlimited.
        sync: The settings ``[sync]`` of each daemon.
        interval: Of the daemons.
        net: Has a node for each worker, for ``source``, ``target`` and ``database``; by default
            everything is on loopback, behind wires that can be cut.
    """

    def __init__(
        self,
        directory: Path,
        short: Path,
        *,
        workers: int = 4,
        mirrors: int = 24,
        times: ClaimTimes = TIMES,
        upload_rate: int = 0,
        sync: str = "repositories = 2\ntransfers = 2\n",
        interval: str = "5s",
        net: Network | None = None,
    ) -> None:
        self.directory = directory
        self._net = net
        address = net.address("database") if net else ""
        self.databases = Databases(short, "-c fsync=off", address)
        self.times = times
        self.names = [f"tool-{number}" for number in range(mirrors)]
        self.workers = [Worker(f"w{n}", directory / f"w{n}") for n in range(workers)]
        self.expected: dict[tuple[str, str], dict[str, str]] = {}
        self.published_at: dict[tuple[str, str], float] = {}
        self._upload_rate = upload_rate
        self._settings = f'{sync}\n[daemon]\ninterval = "{interval}"\njitter = "0s"\nlisten = ""\n'
        self._processes: dict[int, str] = {}
        self._stack = AsyncExitStack()
        self._wires = Wires(lambda *_: "")
        self._ports: dict[str, list[int]] = {}
        self._releases = 0
        self.source: Host
        self.target: Host

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        stack, directory = self._stack, self.directory
        databases = self.databases
        with self.inside("database"):
            databases.create()
        stack.callback(databases.stop)
        async with opened(databases.url):
            pass
        databases.query(HISTORY)
        stack.push_async_callback(self._wires.close)
        rate = self._upload_rate
        self.source = await stack.enter_async_context(
            host(directory, "github", place=self._place("source"))
        )
        self.target = await stack.enter_async_context(
            host(directory, "ghes", upload_rate=rate, place=self._place("target"))
        )
        for one, token, login in (
            (self.source, "SOURCE_TOKEN", "reader"),
            (self.target, "TARGET_TOKEN", "mirror-bot"),
        ):
            tokens = [{"token": TOKENS[token], "login": login, "admin": True}]
            await one.ask(seed={"tokens": tokens, "organizations": ["mirrors"]})
        repositories = [{"name": f"octo/{name}"} for name in self.names]
        await self.source.ask(seed={"repositories": repositories})
        for worker in self.workers:
            worker.home.mkdir()
            if self._net:
                continue
            self._ports[worker.name] = [
                await self._wires.listen(
                    "127.0.0.1", partial(asyncio.open_unix_connection, path), worker.name
                )
                for path in self.databases.sockets()
            ]
        self.write_config()

    async def __aexit__(self, *about: object) -> None:
        for worker in self.workers:
            if worker.process and worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()
        await self._stack.aclose()

    def inside(self, node: str) -> AbstractContextManager[None]:
        """What this thread connects to in the block, it reaches as that node does."""
        return self._net.inside(node) if self._net else nullcontext()

    def _place(self, node: str) -> Place:
        if self._net is None:
            return HERE
        return Place(self._net.address(node), ("nsenter", f"--net={self._net.places[node]}"))

    # -- what is mirrored -------------------------------------------------------------------------

    def write_config(self) -> None:
        """Write the configuration of all machines."""
        source, target = self.source.addresses, self.target.addresses
        upload = "/".join(target["upload_url"].split("/")[:3])
        plaintext = "allow_plaintext = true" if self._net else ""
        mirrors = [f'[[mirrors]]\nsource = "octo/{n}"\ntarget = "mirrors/{n}"' for n in self.names]
        (self.directory / "config.toml").write_text(
            f"""
[target]
url = "{target["url"]}"
api_url = "{target["api_url"]}"
upload_origin = "{upload}"
token = "env:TARGET_TOKEN"
{plaintext}
[sources.github]
url = "{source["url"]}"
api_url = "{source["api_url"]}"
token = "env:SOURCE_TOKEN"
points_per_minute = 0
{plaintext}
[ledger]
url = "env:LEDGER_URL"
[log]
format = "json"
[sync]
{self._settings}
"""
            + "\n".join(mirrors)
        )

    async def publish(self, name: str, sizes: Sequence[int]) -> str:
        """Publish a release at the source, with assets of these sizes; its tag."""
        self._releases += 1
        tag = f"v{self._releases}"
        assets = [
            {"name": f"part-{n}.bin", "seed": self._releases * 100 + n, "size": size}
            for n, size in enumerate(sizes)
        ]
        release = {"tag": tag, "name": f"Release {tag}", "body": "Notes.", "assets": assets}
        document = {"repositories": [{"name": f"octo/{name}", "releases": [release]}]}
        await self.source.ask(seed=document)
        held = next(r for r in await self.source.ask(releases=1) if r[:2] == [f"octo/{name}", tag])
        digests = {asset: sha256 for asset, _, sha256, _ in held[3]}
        self.expected[name, tag] = digests
        self.published_at[name, tag] = time.time()
        await self.target.ask(expect=[f"mirrors/{name}", tag, digests])
        return tag

    async def missing(self) -> list[tuple[str, str]]:
        """Releases that are not published at the target."""
        there = {
            (name.partition("/")[2], tag)
            for name, tag, draft, _ in await self.target.ask(releases=1)
            if not draft
        }
        return [release for release in self.expected if release not in there]

    async def arrived(self, seconds: float) -> list[tuple[str, str]]:
        """Wait until everything is published at the target; what is not in time."""
        end = time.monotonic() + seconds
        while (missing := await self.missing()) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return missing

    # -- machines ---------------------------------------------------------------------------------

    def environ(self, worker: Worker) -> dict[str, str]:
        """The environment of a machine."""
        if self._net:
            hosts = self._net.address("database")
        else:
            hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports[worker.name])
        url = f"postgresql://postgres@{hosts}/{NAME}"
        home = str(worker.home)
        return {
            **os.environ,
            **TOKENS,
            "LEDGER_URL": f"{url}?target_session_attrs=read-write",
            "RUNTIME_DIRECTORY": home,
            "STATE_DIRECTORY": home,
        }

    async def start(self, worker: Worker) -> None:
        """Start a daemon on a machine."""
        worker.started += 1
        name, place = f"{worker.name}-{worker.started}", self._place(worker.name)
        log = self.directory / f"{name}.log"
        worker.logs.append(log)
        with log.open("wb") as output:
            worker.process = await asyncio.create_subprocess_exec(
                *place.entrance,
                sys.executable,
                "-m",
                "cluster_torture.worker",
                str(self.directory / "config.toml"),
                name,
                *map(str, self.times),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=TESTS,
                env=self.environ(worker),
            )
        self._processes[worker.process.pid] = name
        for one in (self.source, self.target):
            await one.ask(worker=[worker.process.pid, name, place.address if self._net else ""])

    async def start_all(self) -> None:
        """Start a daemon on every machine; returns when each takes part."""
        for worker in self.workers:
            await self.start(worker)
        async with asyncio.timeout(_STARTED):
            for worker in self.workers:
                await self.joined(worker)

    async def joined(self, worker: Worker) -> None:
        """Wait until the machine's daemon takes part."""
        log = worker.logs[-1]
        while b"cluster.joined" not in log.read_bytes():
            assert worker.process
            assert worker.process.returncode is None, worker.logs[-1].read_text()
            await asyncio.sleep(0.05)

    async def stop_all(self) -> dict[str, int]:
        """Have every daemon drain; their exit statuses."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        found = {}
        for worker in self.workers:
            assert worker.process
            found[worker.name] = await worker.process.wait()
        return found

    def cut_database(self, worker: Worker, how: How) -> None:
        """Cut a machine off from the database."""
        self._wires.cut(worker.name, how)

    def mend_database(self, worker: Worker) -> None:
        """Undo that."""
        self._wires.mend(worker.name)

    def set_link(self, worker: Worker, state: Literal["up", "down"]) -> None:
        """Plug a machine's network cable in, or pull it."""
        command = [*self._place(worker.name).entrance, "ip", "link", "set", DEVICE, state]
        subprocess.run(command, check=True)

    async def cut_host(self, one: Host, worker: Worker, how: How) -> None:
        """Cut a machine off from a host."""
        await one.ask(cut=worker.name, how=how)

    async def mend_host(self, one: Host, worker: Worker) -> None:
        """Undo that."""
        await one.ask(mend=worker.name)

    # -- what is known ----------------------------------------------------------------------------

    def claims(self) -> list[Claimed]:
        """Who had which claim when, as the database noted."""
        rows = self.databases.query(
            "SELECT extract(epoch FROM at)::float8, key, number, owner"
            " FROM claim_history ORDER BY at, number"
        )
        return [Claimed(at, key, number, self._named(owner)) for at, key, number, owner in rows]

    def _named(self, owner: str | None) -> str | None:
        if owner is None:
            return None
        pid = int(owner.split(":")[1])
        return self._processes.get(pid, owner)

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``release-mirror`` as a user does, with the ledger of the cluster."""
        environ = self.environ(self.workers[0]) | {"LEDGER_URL": self.databases.url}
        process = await asyncio.create_subprocess_exec(
            *self._place(self.workers[0].name).entrance,
            sys.executable,
            "-m",
            "mirror",
            "--config",
            str(self.directory / "config.toml"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()
