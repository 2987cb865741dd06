"""The service as systemd runs it: a process with a JSON log and a notification socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from support.process import shares_its_clock

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.air_gap import AirGap
    from support.world import World

WEBHOOK_SECRET = "webhook-secret-of-the-test"


def service(interval: str = "1h", more: str = "") -> str:
    """Settings of a service on a free port with a long interval."""
    return (
        f'[daemon]\ninterval = "{interval}"\njitter = "0s"\nlisten = "127.0.0.1:0"\n'
        f'webhook_secret = "env:WEBHOOK_SECRET"\n{more}\n'
    )


class Daemon:
    """A running service.

    Attributes:
        events: The log so far.
        address: The service's HTTP address.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.address = ""
        self._news = asyncio.Condition()

    async def read(self) -> None:
        """Read the log until it ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode()
            event = json.loads(text) if text.startswith("{") else {"event": text.strip()}
            async with self._news:
                self.events.append(event)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def event(self, name: str, count: int = 1, **facts: Any) -> dict[str, Any]:
        """Wait until an event has been logged this many times; return the last one."""

        def found() -> list[dict[str, Any]]:
            return [
                event
                for event in self.events
                if event["event"] == name and all(event.get(k) == v for k, v in facts.items())
            ]

        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stopped(self) -> int:
        """Wait for the process to exit; return the exit status."""
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.address + path) as response,
        ):
            return response.status, await response.text()

    async def status(self) -> dict[str, Any]:
        """The page's data."""
        code, text = await self.get("/api/status")
        assert code == 200, text
        data: dict[str, Any] = json.loads(text)
        return data

    async def webhook(self, repository: str, event: str = "release") -> int:
        """Deliver a webhook as GitHub does; return the response status."""
        document = {"action": "published", "repository": {"full_name": repository}}
        body = json.dumps(document).encode()
        digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-GitHub-Event": event,
            "Content-Type": "application/json",
        }
        address = f"{self.address}/webhooks/github"
        async with (
            aiohttp.ClientSession() as session,
            session.post(address, data=body, headers=headers) as response,
        ):
            return response.status


@asynccontextmanager
async def daemon(
    world: World | AirGap,
    *,
    environ: dict[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "mirror"),
) -> AsyncIterator[Daemon]:
    """Run the service for the duration of the block, once it is ready."""
    shares_its_clock(world)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        "--config",
        str(world.config_file),
        "--log-format",
        "json",
        "daemon",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
        env={
            **os.environ,
            **world.environ,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            **(environ or {}),
        },
    )
    running = Daemon(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.read())
        try:
            running.address = (await running.event("service.started"))["address"]
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Manager:
    """A service manager's socket that keeps every message."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Manager]:
        self._socket.bind(str(self.path))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._listen())
            try:
                yield self
            finally:
                task.cancel()
                self._socket.close()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = (await loop.sock_recv(self._socket, 4096)).decode()
            async with self._news:
                self.messages.append(message)
                self._news.notify_all()

    async def message(self, beginning: str, count: int = 1) -> None:
        """Wait until this many messages with this prefix have arrived."""

        def enough() -> bool:
            return sum(message.startswith(beginning) for message in self.messages) >= count

        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(enough)
