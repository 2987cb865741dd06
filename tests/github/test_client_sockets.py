"""The client over real sockets: what it tells whom, and what happens when nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web

from mirror.concurrency import together
from mirror.core.retry import RetryPolicy
from mirror.errors import (
    AuthError,
    BadAnswer,
    ConfigError,
    ConnectionLost,
    GitHubError,
    HostStopped,
    RateLimited,
    ServerError,
    ShortRead,
    Stalled,
    Unreachable,
    ValidationFailed,
)
from mirror.github import GitHubClient, RefusedAddress, StorageError, TokenAuth
from support.clock import VirtualClock
from support.fakehost import FakeHost, fake_host
from support.grouped import grouped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
    from pathlib import Path


def client(url: str, **settings: Any) -> GitHubClient:
    facts: dict[str, Any] = {
        "auth": TokenAuth(lambda: "secret"),
        "clock": VirtualClock(),
        "retry": RetryPolicy(2),
        "jitter": lambda: 0.0,
        "proxy": "",
        **settings,
    }
    return GitHubClient(
        "ghe",
        url,
        facts.pop("api_url", None),
        facts.pop("auth"),
        facts.pop("clock"),
        **grouped(facts),
    )


async def ok(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# --- who is told what -----------------------------------------------------------------------------


async def test_a_server_is_told_no_version_and_no_cookie() -> None:
    """A GHES answers 400 to a version of the API that it does not know; cookies are not kept."""

    async def handler(_: web.Request) -> web.Response:
        response = web.json_response({"installed_version": "3.7.1"})
        response.set_cookie("session", "1")
        return response

    async with fake_host(handler) as host, client(host.url) as ghe:
        await ghe.get("x")
        assert not (await ghe.capabilities()).make_latest
    for request in host.seen:
        assert "X-GitHub-Api-Version" not in request.headers
        assert "Cookie" not in request.headers
        assert request.headers["User-Agent"].startswith("release-mirror/")
        assert request.headers["Accept"] == "application/vnd.github+json"


async def test_the_version_is_taken_from_any_answer() -> None:
    """The header of an earlier answer saves asking; one without a version behaves like github.com."""

    async def ghes(_: web.Request) -> web.Response:
        return web.json_response(
            {}, headers={"X-GitHub-Enterprise-Version": "enterprise-server@3.10.4"}
        )

    async with fake_host(ghes) as host, client(host.url) as ghe:
        await ghe.get("x")
        assert (await ghe.capabilities()).version == (3, 10, 4)
        assert len(host.seen) == 1
    async with fake_host(ok) as host, client(host.url) as ghe:
        assert (await ghe.capabilities()).version is None
        await ghe.get("x")
        await ghe.capabilities()
        assert len(host.seen) == 2
        assert host.seen[1].headers["X-GitHub-Api-Version"] == "2022-11-28"


async def test_a_redirect_elsewhere_gets_no_token() -> None:
    """Another origin is asked without the token; it may answer, and may not stop our host."""

    async def elsewhere(request: web.Request) -> web.Response:
        return web.json_response({}, status=401 if request.path == "/no" else 200)

    async with fake_host(elsewhere) as other:

        async def handler(request: web.Request) -> web.Response:
            raise web.HTTPFound(other.url + request.path.removeprefix("/api/v3"))

        async with fake_host(handler) as host, client(host.url) as ghe:
            await ghe.get("yes")
            with pytest.raises(RefusedAddress):
                await ghe.get("no")
            assert ghe.stopped is None
    assert "Authorization" in host.seen[0].headers
    assert all("Authorization" not in request.headers for request in other.seen)


async def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password for the host in ~/.netrc is not ours to send."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with fake_host(ok) as host, client(host.url, auth=TokenAuth()) as ghe:
        await ghe.get("x")
    assert "Authorization" not in host.seen[0].headers


@pytest.mark.parametrize("how", ["setting", "environment"])
async def test_a_proxy_is_asked_instead(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting, or by the environment; its user and password go to it in a header."""
    async with fake_host(ok) as proxy:
        address = proxy.url.replace("://", "://user:p%40ss@")
        monkeypatch.setenv("http_proxy", address if how == "environment" else "http://127.0.0.1:1")
        setting = None if how == "environment" else address
        url = "http://ghe.test"
        async with client(url, proxy=setting, allow_plaintext=True) as ghe:
            await ghe.get("x")
        assert proxy.seen[0].headers["Host"] == "ghe.test"
        assert proxy.seen[0].headers["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("setting", ["", None])
async def test_no_proxy_is_asked(setting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty setting means none; NO_PROXY is heeded."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1" if setting is None else "")
    async with fake_host(ok) as host, client(host.url, proxy=setting) as ghe:
        await ghe.get("x")


async def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    """The sentence says that it is the proxy, without its password."""
    proxy = f"http://user:hush@127.0.0.1:{free_port()}"
    async with client("https://ghe.test", proxy=proxy) as ghe:
        with pytest.raises(Unreachable, match=r"the proxy http://127\.0\.0\.1") as caught:
            await ghe.get("x")
    assert caught.value.hint == "proxy-address"
    assert "hush" not in str(caught.value)


async def test_a_proxy_that_refuses_is_not_asked_again() -> None:
    """407 is for the operator; the host is stopped, since nothing will get through."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with client("https://ghe.test", proxy=address) as ghe:
            with pytest.raises(Unreachable, match="the proxy answered 407") as caught:
                await ghe.get("x")
            assert caught.value.hint == "proxy-login"
            with pytest.raises(HostStopped):
                await ghe.get("x")
    assert asked == [b"CONNECT ghe.test:443 HTTP/1.1\r\n"]


# --- nobody answers -------------------------------------------------------------------------------


async def test_a_host_that_refuses_connections_is_named_and_given_up() -> None:
    """The sentence says where and what to check; after the last try nobody else tries."""
    url = f"http://127.0.0.1:{free_port()}"
    async with client(url) as ghe:
        with pytest.raises(Unreachable) as caught:
            await ghe.post("x", {})  # refused is no doubt: even this is tried again
        assert caught.value.hint == "reachability"
        assert url in str(caught.value)
        assert caught.value.attempts == 2
        assert not caught.value.ambiguous
        with pytest.raises(HostStopped):
            await ghe.get("y")


async def test_a_name_that_does_not_exist_is_told() -> None:
    """DNS is what to check."""
    async with client("https://no-such-host.invalid") as ghe:
        with pytest.raises(Unreachable) as caught:
            await ghe.get("x")
        assert caught.value.hint in {"dns", "reachability"}


async def test_a_host_that_is_silent_is_not_waited_for_for_ever() -> None:
    """No byte for the stall time-out ends a request; a write is in doubt then."""
    release = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with fake_host(handler) as host, client(host.url, stall_timeout=0.05) as ghe:
        with pytest.raises(ConnectionLost, match="in time") as caught:
            await ghe.post("x", {})
        release.set()
    assert caught.value.ambiguous


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_a_certificate_of_ones_own_authority_needs_ca_file(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """Without it: one try, a sentence that names it, and the host is stopped. With it: trusted."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    async with fake_host(ok, tls=server_side(authority), name="localhost") as host:
        async with client(host.url) as ghe:
            with pytest.raises(Unreachable) as caught:
                await ghe.get("x")
            assert caught.value.hint == "trust-ca"
            assert caught.value.permanent
            assert caught.value.attempts == 1
            with pytest.raises(HostStopped):
                await ghe.get("x")
        async with client(host.url, ca_file=ca_file) as ghe:
            await ghe.get("x")


async def test_a_ca_file_without_certificates_is_a_mistake_in_the_configuration(
    tmp_path: Path,
) -> None:
    """It is told at the start, and not as a failure of the host."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("nothing")
    with pytest.raises(ConfigError, match="ca_file"):
        async with client("https://localhost", ca_file=ca_file):
            pass


async def test_what_is_no_tls_is_told() -> None:
    """Https to a server that speaks http."""
    async with fake_host(ok) as host, client(host.url.replace("http:", "https:")) as ghe:
        with pytest.raises(Unreachable, match="TLS"):
            await ghe.get("x")


async def test_a_new_secret_is_used_at_once() -> None:
    """The secret is read again after a 401; all requests use the new one, and nothing stops."""
    reads = ["new", "new", "old"]

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        good = request.headers["Authorization"] == "Bearer new"
        return web.json_response({}, status=200 if good else 401)

    async with fake_host(handler) as host, client(host.url, auth=TokenAuth(reads.pop)) as ghe:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(ghe.get("x"))
        assert ghe.stopped is None
        assert len(host.seen) == 6  # one was refused, and the others waited for its outcome
    assert reads == ["new"]  # once at the start, once for all five


async def read(ghe: GitHubClient, path: str, got: list[bytes]) -> None:
    async with ghe.open_stream(path) as stream:
        async for chunk in stream.chunks:
            got.append(chunk)  # noqa: PERF401 - what came before the failure counts


# --- streams --------------------------------------------------------------------------------------


def uploads(host: FakeHost) -> str:
    return f"{host.url}/api/uploads/repos/o/r/releases/1/assets?name=a"


async def test_an_upload_has_a_length_and_arrives_whole() -> None:
    """Content-Length always: a chunked body is refused by real hosts."""
    got: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.json_response({"id": 1}, status=201)

    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        reply = await ghe.upload(uploads(host), chunks(b"ab", b"", b"c"), 3, "text/plain")
    assert reply == {"id": 1}
    assert got == [b"abc"]
    assert host.seen[0].headers["Content-Length"] == "3"
    assert "Transfer-Encoding" not in host.seen[0].headers
    assert host.seen[0].headers["Content-Type"] == "text/plain"
    assert host.seen[0].headers["Authorization"] == "Bearer secret"


async def test_a_token_is_not_uploaded_to_strangers() -> None:
    """An upload address of an unknown origin is refused before anything is sent."""
    async with fake_host(ok) as stranger, fake_host(ok) as host, client(host.url) as ghe:
        with pytest.raises(RefusedAddress, match="upload_url") as caught:
            await ghe.upload(f"{stranger.url}/x?name=a", chunks(b"a"), 1, "a/b")
        assert caught.value.hint == "upload-origin"
        assert stranger.seen == []
        assert not caught.value.retryable
        async with client(host.url, upload_origin=stranger.url) as trusting:
            await trusting.upload(f"{stranger.url}/x?name=a", chunks(b"a"), 1, "a/b")


@pytest.mark.parametrize(("parts", "size"), [((b"ab",), 3), ((b"ab", b"cd"), 3)])
async def test_a_body_of_another_length_is_not_sent_as_if_it_were_right(
    parts: tuple[bytes, ...], size: int
) -> None:
    """Too short would make the host wait, too long would be cut."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({}, status=201)

    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        with pytest.raises(ShortRead):
            await ghe.upload(uploads(host), chunks(*parts), size, "a/b")


async def test_what_breaks_the_source_is_what_is_told() -> None:
    """The broken upload is its consequence, and hides nothing."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * 100_000
        raise Stalled("the source stalled")

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({}, status=201)

    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        with pytest.raises(Stalled, match="the source stalled"):
            await ghe.upload(uploads(host), broken(), 1_000_000, "a/b")


async def test_an_early_answer_ends_the_sending() -> None:
    """A 422 before the body is read is told at once, and the rest is never pulled.

    Source: https://github.com/concourse/github-release-resource/issues/151
    """
    pulled = 0
    done = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal pulled
        while True:
            pulled += 1
            yield b"x" * 65_536

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=422, headers={"Content-Type": "application/json"})
        body = b'{"message": "Cannot upload assets to an immutable release."}'
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body)
        await done.wait()  # the connection stays open, unread
        return response

    source = endless()
    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        with pytest.raises(ValidationFailed, match="immutable"):
            await ghe.upload(uploads(host), source, 1 << 30, "a/b")
        before = pulled
        await source.aclose()  # nobody pulls any more: this would fail otherwise
        await asyncio.sleep(0.02)
        assert pulled == before < 16_000
        done.set()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_broken_upload_is_in_doubt_only_after_its_last_byte(*, whole: bool) -> None:
    """Before that, the host cannot have a complete asset."""

    async def handler(request: web.Request) -> web.Response:
        if whole:
            await request.read()
        else:
            await request.content.read(1)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        if not whole:
            await asyncio.sleep(0.05)
            for _ in range(200):
                yield b"x" * 65_536
        yield b"b"

    size = 2 if whole else 2 + 200 * 65_536
    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        with pytest.raises(ConnectionLost) as caught:
            await ghe.upload(uploads(host), body(), size, "a/b")
    assert caught.value.ambiguous is whole
    assert caught.value.retryable


async def test_the_answer_to_an_upload_has_its_own_time() -> None:
    """It may come long after the last byte, but not never."""
    done = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(0.15)
        if "never" in request.query:
            await done.wait()
        return web.json_response({"id": 1}, status=201)

    async with fake_host(handler, trusting=True) as host:
        async with client(host.url, stall_timeout=0.05, response_timeout=5) as ghe:
            assert await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b") == {"id": 1}
        async with client(host.url, response_timeout=0.3) as ghe:
            with pytest.raises(ConnectionLost) as caught:
                await ghe.upload(uploads(host) + "&never", chunks(b"a"), 1, "a/b")
            done.set()
    assert caught.value.ambiguous


async def test_a_refused_upload_stops_the_credential_too() -> None:
    """A 401 is a 401; with a new secret the copy as a whole is to be repeated."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({}, status=401)

    async with fake_host(handler, trusting=True) as host:
        reads = iter(["old", "new"])
        async with client(host.url, auth=TokenAuth(lambda: next(reads))) as ghe:
            with pytest.raises(ConnectionLost, match="renewed") as caught:
                await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b")
            assert caught.value.retryable
            assert not caught.value.ambiguous
        async with client(host.url) as ghe:
            with pytest.raises(AuthError):
                await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b")
            with pytest.raises(HostStopped):
                await ghe.get("x")


async def test_a_long_upload_holds_nobody_up() -> None:
    """After a new start of the credential, too: what proves it is small, and others follow at once."""
    begun, done = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        if request.method == "POST":
            begun.set()
            await done.wait()
            await request.read()
        return web.json_response({})

    async def slowly() -> AsyncIterator[bytes]:
        yield b"a"
        await done.wait()
        yield b"b"

    async with fake_host(handler) as host, client(host.url) as ghe:
        await ghe.get("x")
        ghe.revive()
        async with asyncio.TaskGroup() as group:
            uploading = group.create_task(ghe.upload(uploads(host), slowly(), 2, "a/b"))
            await begun.wait()
            async with asyncio.timeout(5):
                for _ in range(5):
                    await ghe.get("x")
                await read(ghe, "a", [])
            assert not uploading.done()
            done.set()
        paths = [request.path.rpartition("/")[2] for request in host.seen]
        assert paths.count("meta") == 1
        assert ghe.counts.total == len(paths) == 9


async def test_a_long_download_holds_nobody_up() -> None:
    """A storage host that takes its time to answer is waited for by the download alone."""
    begun, done = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("/asset"):
            begun.set()
            await done.wait()
        return web.json_response({})

    async with (
        fake_host(handler) as host,
        client(host.url, stall_timeout=9) as ghe,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(read(ghe, "asset", []))
        await begun.wait()
        async with asyncio.timeout(5):
            await ghe.get("x")
        done.set()


async def test_a_dead_credential_costs_one_request_whatever_comes_first() -> None:
    """Streams and requests of twenty mirrors at once: one is refused, before any byte of a stream."""
    refused: list[type[GitHubError]] = []

    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        return web.json_response({"message": "Bad credentials"}, status=401)

    async def pulled() -> AsyncIterator[bytes]:
        raise AssertionError("the stream was begun")
        yield b""

    async def tell(work: Awaitable[object]) -> None:
        try:
            await work
        except GitHubError as error:
            refused.append(type(error))

    async with fake_host(handler) as host, client(host.url) as ghe:
        for round_ in (1, 2):
            refused.clear()
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(tell(ghe.upload(uploads(host), pulled(), 2, "a/b")))
                    group.create_task(tell(read(ghe, "a", [])))
                    group.create_task(tell(ghe.get("x")))
            assert sorted(error.__name__ for error in refused) == ["AuthError"] + 59 * [
                "HostStopped"
            ]
            assert len(host.seen) == round_
            ghe.revive()


async def test_a_proven_credential_costs_a_stream_nothing() -> None:
    """What was asked before proves it; without a credential there is nothing to prove."""
    async with fake_host(ok) as host, client(host.url) as ghe:
        await ghe.get("x")
        await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b")
        await read(ghe, "a", [])
        assert ghe.counts.total == 3
    async with fake_host(ok) as host, client(host.url, auth=TokenAuth()) as ghe:
        await read(ghe, "a", [])
        assert ghe.counts.total == 1


async def test_a_secret_that_was_renewed_before_an_upload_is_found_before_it() -> None:
    """The bytes of an upload cannot be had twice: they are sent with the new secret, once."""

    async def handler(request: web.Request) -> web.Response:
        good = request.headers["Authorization"] == "Bearer new"
        return web.json_response({}, status=200 if good else 401)

    reads = ["new", "old"]
    async with fake_host(handler) as host, client(host.url, auth=TokenAuth(reads.pop)) as ghe:
        await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b")
        assert [request.method for request in host.seen] == ["GET", "GET", "POST"]


@pytest.mark.parametrize("status", [200, 403, 404, 502])
async def test_a_host_that_does_not_tell_of_itself_takes_uploads(status: int) -> None:
    """Whatever it answers, except that it does not know the credential, it has looked at it."""

    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("/meta"):
            return web.Response(text="<html>", content_type="text/html", status=status)
        return web.json_response({"id": 1})

    async with fake_host(handler) as host, client(host.url) as ghe:
        for _ in range(2):
            assert await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b") == {"id": 1}
        assert ghe.counts.total == 3


@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimited), (503, ServerError), (0, ConnectionLost)]
)
async def test_a_host_that_takes_no_requests_is_sent_no_upload(
    status: int, error: type[GitHubError]
) -> None:
    """A limit, a maintenance, a break: the upload was not sent, and nothing of it is in doubt."""

    async def handler(request: web.Request) -> web.Response:
        assert request.path.endswith("/meta")
        if not status:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({}, status=status or 500, headers={"Retry-After": "7"})

    async with fake_host(handler) as host, client(host.url) as ghe:
        with pytest.raises(error) as caught:
            await ghe.upload(uploads(host), chunks(b"a"), 1, "a/b")
        assert not caught.value.ambiguous
        assert (ghe.paused_until is not None) == bool(status)


async def test_who_waited_for_the_proof_goes_on_at_once_and_together() -> None:
    """One request is alone until the credential is known to be good; the others are not."""
    together = asyncio.Barrier(5)
    first = True

    async def handler(_: web.Request) -> web.Response:
        nonlocal first
        if first:
            first = False
            await asyncio.sleep(0.01)
        else:
            async with asyncio.timeout(5):
                await together.wait()
        return web.json_response({})

    async with fake_host(handler) as host, client(host.url) as ghe:
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(ghe.get("x"))
        assert len(host.seen) == 6


async def test_a_download_is_followed_without_the_token_and_unchanged() -> None:
    """The address is taken as it is (signatures!), and nothing is decompressed or re-quoted."""

    async def storage(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8b raw", headers={"Content-Encoding": "gzip"})

    async with fake_host(storage) as other:
        signed = f"{other.url}/a%2Fb%27?sig=a%2Bb%2F"

        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": signed})

        async with (
            fake_host(handler, trusting=True) as host,
            client(host.url) as ghe,
            ghe.open_stream("a") as stream,
        ):
            assert b"".join([chunk async for chunk in stream.chunks]) == b"\x1f\x8b raw"
            assert ghe.counts.total == 2  # with the proof of the credential
    assert "Authorization" in host.seen[0].headers
    assert "Authorization" not in other.seen[0].headers
    assert isinstance(other.seen[0], web.Request)
    assert other.seen[0].raw_path == "/a%2Fb%27?sig=a%2Bb%2F"


async def test_a_storage_host_that_refuses_is_named_without_its_signature() -> None:
    """It is no matter of our credential: nothing is stopped."""

    async def storage(_: web.Request) -> web.Response:
        return web.Response(status=403, text="<Error>SignatureDoesNotMatch SECRET</Error>")

    async with fake_host(storage) as other:

        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{other.url}/a?sig=SECRET"})

        async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
            with pytest.raises(StorageError, match="storage host 127") as caught:
                async with ghe.open_stream("a"):
                    pass
            assert "SECRET" not in str(caught.value)
            assert caught.value.status == 403
            assert ghe.stopped is None


async def test_a_download_that_stalls_or_breaks_has_an_end() -> None:
    """No byte for the stall time-out, or a body that is shorter than announced."""
    done = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        if request.path.endswith("stall"):
            await done.wait()
        assert request.transport is not None
        request.transport.close()
        return response

    async with (
        fake_host(handler, trusting=True) as host,
        client(host.url, stall_timeout=0.05) as ghe,
    ):
        for path, kind in (("stall", Stalled), ("break", ConnectionLost)):
            got: list[bytes] = []
            with pytest.raises(kind) as caught:
                await read(ghe, path, got)
            assert b"".join(got) == b"half"
            assert caught.value.retryable
        done.set()


async def test_a_refused_download_is_the_apis_error() -> None:
    """The API's own refusals keep their kind; a success without a body to stream is a bad answer."""

    async def handler(request: web.Request) -> web.Response:
        status = int(request.path.rpartition("/")[2])
        return (
            web.json_response({"message": "no"}, status=status)
            if status != 204
            else web.Response(status=204)
        )

    async with fake_host(handler, trusting=True) as host, client(host.url) as ghe:
        for status, kind in ((422, ValidationFailed), (403, AuthError), (204, BadAnswer)):
            with pytest.raises(kind):
                async with ghe.open_stream(str(status)):
                    pass


async def test_after_a_connection_broke_none_is_kept_for_a_while() -> None:
    """What drops one kept connection without a word drops the others, too; that passes."""
    connections: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        if request.transport not in connections:
            connections.append(request.transport)
        if request.path.endswith("/breaks"):
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    clock = VirtualClock()
    async with (
        fake_host(handler, trusting=True) as host,
        client(host.url, clock=clock, retry=RetryPolicy(1)) as ghe,
    ):
        for _ in range(3):
            await ghe.get("x")
        assert len(connections) == 1
        with pytest.raises(ConnectionLost):
            await ghe.get("breaks")
        before = len(connections)
        for _ in range(3):
            await ghe.get("x")
        assert len(connections) == before + 3
        clock.advance(61)
        for _ in range(3):
            await ghe.get("x")
        assert len(connections) <= before + 4


# --- connections ahead of requests ----------------------------------------------------------------


async def test_warm_connections_are_there_for_the_next_requests() -> None:
    """Nothing is sent on them, and no other is opened while they last."""
    arrived = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client(f"http://127.0.0.1:{port}", max_connections=16) as ghe:
        await ghe.warm(3)
        assert arrived == 3
        await ghe.warm(9)  # at most a quarter of its connections
        assert arrived == 4
        assert ghe.counts.total == 0
        await together(*(ghe.get("x") for _ in range(4)))
        assert arrived == 4


async def test_a_host_that_takes_no_warm_connection_is_no_failure() -> None:
    """The request that follows shows it."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(f"http://127.0.0.1:{port}") as ghe:
        async with server:
            await ghe.get("x")
        await ghe.warm(3)
        with pytest.raises(GitHubError):
            await ghe.get("x")
