"""Networks that fail: each failure ends, is named once, and keeps nothing else from its work."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme

from support.world import World, only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

TIMEOUTS = 'connect_timeout = "{0}"\nstall_timeout = "{0}"\nresponse_timeout = "{0}"\n'

MIRRORS = """
[[mirrors]]
source = "octo/tool"
from = "github"
target = "mirrors/tool"
[[mirrors]]
source = "octo/one"
from = "broken"
target = "mirrors/one"
[[mirrors]]
source = "octo/two"
from = "broken"
target = "mirrors/two"
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A server of bytes on a free port, which is given."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went first
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(guarded, host, 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def hangs_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readline()


async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


def answering(
    status: str,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return serve


@asynccontextmanager
async def refused() -> AsyncIterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))  # bound, and nobody listens
        yield f'url = "http://127.0.0.1:{one.getsockname()[1]}"'


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """A queue of connections that is full: who knocks hears nothing."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        async with AsyncExitStack() as stack:
            for _ in range(3):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            yield f'url = "http://127.0.0.1:{port}"'


@asynccontextmanager
async def unknown_name() -> AsyncIterator[str]:
    yield 'url = "https://no-such-host.invalid"'


@asynccontextmanager
async def plain(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    async with server(serve) as port:
        yield f'url = "http://127.0.0.1:{port}"'


@asynccontextmanager
async def no_tls() -> AsyncIterator[str]:
    async with server(silent) as port:
        yield f'url = "https://127.0.0.1:{port}"'


@asynccontextmanager
async def with_proxy(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None,
) -> AsyncIterator[str]:
    if serve is None:
        async with refused() as text:
            yield f'url = "https://ghe.example.com"\n{text.replace("url", "proxy")}'
        return
    async with server(serve) as port:
        yield f'url = "https://ghe.example.com"\nproxy = "http://127.0.0.1:{port}"'


def certified(authority: trustme.CA, what: str, directory: Path) -> tuple[ssl.SSLContext, str]:
    """A certificate that is not to be trusted, and the configuration that does not trust it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    name = "elsewhere.example" if what == "wrong name" else "127.0.0.1"
    over = datetime.now(tz=UTC) - timedelta(days=1) if what == "expired" else None
    authority.issue_cert(name, not_after=over).configure_cert(context)
    known = trustme.CA() if what == "unknown authority" else authority
    (directory / "ca.pem").write_bytes(known.cert_pem.bytes())
    return context, 'ca_file = "ca.pem"'


@asynccontextmanager
async def distrusted(authority: trustme.CA, what: str, directory: Path) -> AsyncIterator[str]:
    context, settings = certified(authority, what, directory)
    async with server(silent, tls=context) as port:
        yield f'url = "https://127.0.0.1:{port}"\n{settings}'


NETWORKS = {
    "refused": (refused, "firewall"),
    "black hole": (black_hole, "connect_timeout"),
    "unknown name": (unknown_name, "DNS|firewall"),
    "silent": (lambda: plain(silent), "in time"),
    "hangs up": (lambda: plain(hangs_up), "connection broke"),
    "gibberish": (lambda: plain(gibberish), "not HTTP|broke"),
    "no TLS": (no_tls, "TLS|in time|cannot be reached"),
    "proxy: refused": (lambda: with_proxy(None), "proxy"),
    "proxy: 403": (lambda: with_proxy(answering("403 Forbidden")), "proxy answered 403"),
    "proxy: 407": (lambda: with_proxy(answering("407 No")), "user and a password"),
    "proxy: 502": (lambda: with_proxy(answering("502 Bad Gateway")), "proxy answered 502"),
    "proxy: silent": (lambda: with_proxy(silent), "cannot be reached|in time"),
}
DISTRUSTED = ("unknown authority", "wrong name", "expired")
UNANSWERED = {"black hole", "silent", "no TLS", "proxy: silent"}


def timeouts(name: str) -> str:
    """Short where nobody answers; long enough for a busy machine where somebody does."""
    return TIMEOUTS.format("100ms" if name in UNANSWERED else "5s")


@asynccontextmanager
async def network(
    name: str, authority: trustme.CA, directory: Path
) -> AsyncIterator[tuple[str, str]]:
    """Settings of a host that cannot be reached, and what is to be told of it."""
    if name in DISTRUSTED:
        async with distrusted(authority, name, directory) as settings:
            yield settings, "certificate that is not trusted"
    else:
        make, told = NETWORKS[name]
        async with make() as settings:
            yield settings, told


def seed(world: World) -> None:
    world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", "v1", assets={"tool.bin": b"0123456789" * 500})


@pytest.mark.parametrize("name", [*NETWORKS, *DISTRUSTED])
async def test_a_source_that_cannot_be_reached(
    name: str, authority: trustme.CA, tmp_path: Path
) -> None:
    """One failure, which says what is wrong, however many mirrors; another source's arrive."""
    async with (
        World(tmp_path, MIRRORS) as world,
        network(name, authority, tmp_path) as (text, told),
    ):
        seed(world)
        broken = f'[sources.broken]\n{text}\ntoken = "env:SOURCE_TOKEN"\n{timeouts(name)}'
        world.write_config(extra=broken)
        async with asyncio.timeout(20):
            report = await world.sync()
        assert report.status == "failed"
        assert world.same() == []
        failures = [f.error for repo in report.repositories for f in repo.failures]
        assert 1 <= len(failures) <= 2, failures  # both may have been asked for at the same time
        pattern = pytest.raises(AssertionError, match=told)
        with pattern:
            raise AssertionError(failures[0])
        assert "source-token" not in str(report.to_json())
        assert world.clock.seconds < 600


@pytest.mark.parametrize("name", [*NETWORKS, *DISTRUSTED])
async def test_a_target_that_cannot_be_reached(
    name: str, authority: trustme.CA, tmp_path: Path
) -> None:
    """It ends with what is wrong; once the target is back, everything arrives."""
    async with World(tmp_path) as world, network(name, authority, tmp_path) as (text, told):
        seed(world)
        good = world.config_file.read_text()
        _, rest = good.split("[sources.github]")
        world.config_file.write_text(
            f'[target]\n{text}\ntoken = "env:TARGET_TOKEN"\n{timeouts(name)}\n[sources.github]{rest}'
        )
        async with asyncio.timeout(20):
            report = await world.sync()
        assert report.status == "failed"
        (failure,) = only(report).failures
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(failure.error)
        assert "target-token" not in str(report.to_json())
        world.config_file.write_text(good)
        assert (await world.sync()).status == "ok"
        assert world.same() == []


# --- in between ---------------------------------------------------------------------------------


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(url: str, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """What stands before a host at another address; all bytes go through."""
    there = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection(there.hostname, there.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, down))
                group.create_task(pump(up, writer))
        except* OSError:
            pass
        finally:
            down.transport.abort()

    async with server(serve, host=host) as port:
        place = f"[{host}]" if ":" in host else host
        yield f"http://{place}:{port}{there.path}"


@asynccontextmanager
async def forgetful(url: str, method: bytes, hung_up: list[bytes]) -> AsyncIterator[str]:
    """A host that hangs up, without a word, when a kept connection is used again for a method.

    ``hung_up`` gets the beginning of each such request.
    """
    there = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection(there.hostname, there.port)
        answered = False

        async def ask() -> None:
            while data := await reader.read(65536):
                if answered and data.startswith(method):
                    hung_up.append(data[:60])
                    break  # the worst moment: the request is here, and nobody takes it
                down.write(data)
                await down.drain()
            writer.transport.abort()
            down.transport.abort()

        async def answer() -> None:
            nonlocal answered
            while data := await up.read(65536):
                answered = True
                writer.write(data)
                await writer.drain()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ask())
                group.create_task(answer())
        except* OSError:
            pass
        finally:
            down.transport.abort()

    async with server(serve) as port:
        yield f"http://127.0.0.1:{port}{there.path}"


def through(world: World, *, source: str = "", target: str = "") -> None:
    """Ask the hosts at other addresses; uploads go where the target says."""
    text = world.config_file.read_text()
    if source:
        text = text.replace(f'api_url = "{world.source_host.api_url}"', f'api_url = "{source}"')
    if target:
        text = text.replace(f'api_url = "{world.target_host.api_url}"', f'api_url = "{target}"')
    world.config_file.write_text(text)


async def test_hosts_that_have_only_ipv6(tmp_path: Path) -> None:
    """An address in brackets is an address like others, and a token is as safe there."""
    async with World(tmp_path) as world, AsyncExitStack() as stack:
        seed(world)
        source = await stack.enter_async_context(relay(world.source_host.api_url, "::1"))
        target = await stack.enter_async_context(relay(world.target_host.api_url, "::1"))
        assert source.startswith("http://[::1]:")
        through(world, source=source, target=target)
        assert (await world.sync()).status == "ok"
        assert world.same() == []


@pytest.mark.parametrize("method", [b"", b"GET", b"POST", b"PUT", b"PATCH", b"POST /api/uploads"])
async def test_kept_connections_that_are_dead(method: bytes, tmp_path: Path) -> None:
    """A read is sent again; a write is looked for first, so that nothing is made twice.

    Nor does looking leave a connection that the next try would meet.
    """
    hung_up: list[bytes] = []
    async with World(tmp_path) as world, AsyncExitStack() as stack:
        seed(world)
        world.source.add_release("octo/tool", "v2", assets={"tool.bin": b"two" * 500})
        world.expect()
        source = await stack.enter_async_context(
            forgetful(world.source_host.api_url, method, hung_up)
        )
        target = await stack.enter_async_context(
            forgetful(world.target_host.api_url, method, hung_up)
        )
        through(world, source=source, target=target)
        world.target.settle(
            replace(world.target.addresses, uploads=target.replace("/api/v3", "/api/uploads"))
        )
        report = await world.sync()
        assert report.status == "ok", [f.error for f in only(report).failures]
        assert world.same() == []
        assert hung_up, "no kept connection was used again"
        assert len(hung_up) < 20
        for route in ("create-repository", "put-contents"):
            assert world.target.count(route=route) == 1
        for route in ("create-ref", "create-release", "upload-asset"):
            assert world.target.count(route=route) == 2
        assert world.source.count() + world.target.count() < 120
