"""The sockets of a host."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from yarl import URL

from mirror.emulator import Emulator, GitHubState

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.parametrize("kind", ["ghes", "github"])
async def test_storage_has_a_host_name_of_its_own(start: Callable[..., Any], kind: str) -> None:
    """A client that compares host names drops its token on the way to storage."""
    emulator = (await start(kind=kind)).emulator
    others = {URL(url).host for url in (emulator.url, emulator.api_url, emulator.upload_url)}
    assert URL(emulator.storage_url).host not in others


async def test_ports(unused_port: int) -> None:
    """The port of the web host can be chosen; a GHES serves web and API at one port."""
    async with Emulator(GitHubState(kind="github"), web_port=unused_port) as emulator:
        assert URL(emulator.url).port == unused_port
        assert URL(emulator.api_url).port != unused_port
    async with Emulator(GitHubState(), web_port=unused_port) as emulator:
        assert emulator.api_url == f"http://127.0.0.1:{unused_port}/api/v3"
    with pytest.raises(ValueError, match="one port"):
        Emulator(GitHubState(), port=1, web_port=2)


async def test_tls() -> None:
    """Every origin over TLS, with a certificate of one's own."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
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
