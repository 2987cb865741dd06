"""The sockets of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable
import ssl
from typing import TYPE_CHECKING

import trustme

from mirror.emulator import (
    Emulator,
    GitHubState,
)


async def test_uploads_of_github_have_an_origin_of_their_own(start: Callable[..., Any]) -> None:
    """github.com: another origin, without rate limit headers; so has GHES with isolation."""
    host = await start(kind="github")
    draft = await host.draft()
    reply = await host.upload(draft["id"], "a")
    assert reply.status == 201
    assert "X-RateLimit-Limit" not in reply.headers
    assert host.state.count(origin="uploads", status=201) == 1
    assert not host.emulator.upload_url.startswith(host.emulator.api_url)
    isolated = await start(isolated_uploads=True)
    draft = await isolated.draft()
    assert draft["upload_url"].startswith(isolated.emulator.upload_url)
    assert (await isolated.upload(draft["id"], "a")).status == 201


async def test_tls() -> None:
    """Every origin over TLS, with a certificate of one's own."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    state = GitHubState()
    state.add_repository("o/r")
    release = state.add_release("o/r", "v1", assets={"a": b"bytes"})
    async with Emulator(state, ssl_context=server) as emulator:
        assert emulator.storage_url.startswith("https://")
        url = f"{emulator.url}/o/r/releases/download/v1/{release.assets[0].name}"
        async with (
            aiohttp.ClientSession(requote_redirect_url=False) as session,
            session.get(url, ssl=client) as reply,
        ):
            assert await reply.read() == b"bytes"
