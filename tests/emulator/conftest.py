"""A host on real sockets, and a client of a few lines that hides nothing."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from mirror.emulator import Emulator, GitHubState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOKEN = "t0ken"


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Host:
    """A running emulator with a session that sends only what it is told."""

    state: GitHubState
    emulator: Emulator
    session: aiohttp.ClientSession

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        json: Any = None,
        data: Any = None,
        **headers: str,
    ) -> Reply:
        url = path if path.startswith("http") else self.emulator.api_url + path
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method,
            URL(url, encoded=True),
            headers=sent,
            json=json,
            data=data,
            allow_redirects=False,
        ) as response:
            body = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "") and body
            parsed = await response.json() if is_json else None
            return Reply(response.status, response.headers, body, parsed)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.send("GET", path, **options)

    async def upload(self, release_id: int, name: str, data: Any = b"bytes", **rest: Any) -> Reply:
        release = self.state.release("octo/tool", release_id)
        url = f"{self.emulator.upload_url}/repos/octo/tool/releases/{release.id}/assets"
        return await self.send("POST", f"{url}?name={name}", data=data, **rest)

    async def draft(self, tag: str = "v9", **fields: Any) -> Any:
        """Make a draft and return its document."""
        document = {"tag_name": tag, "draft": True, **fields}
        reply = await self.send("POST", "/repos/octo/tool/releases", json=document)
        assert reply.status == 201, reply.body
        return reply.json


def seeded(**options: Any) -> GitHubState:
    """A host with one repository, `octo/tool`, with one release, and an administrator's token."""
    state = GitHubState(**options)
    state.add_token(TOKEN, login="mirror-bot", admin=True)
    state.add_repository("octo/tool", date="2025-01-01T00:00:00Z")
    state.add_release(
        "octo/tool",
        "v1.0.0",
        name="One",
        body="First",
        date="2026-01-01T00:00:00Z",
        assets={"tool.txt": b"hello world"},
    )
    return state


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    """Start a host with the options given; a ready state may be given instead."""
    opened: list[Any] = []

    async def begin(state: GitHubState | None = None, **options: Any) -> Host:
        host = Emulator(state or seeded(**options))
        session = aiohttp.ClientSession()
        opened.append(session)
        opened.append(await host.__aenter__())
        return Host(host.state, host, session)

    yield begin
    for thing in opened:
        await thing.__aexit__(None, None, None)


@pytest.fixture
def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
    return number


@pytest.fixture
async def host(start: Callable[..., Any]) -> Host:
    made: Host = await start()
    return made
