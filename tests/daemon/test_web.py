from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import aiohttp
import pytest
import structlog

from mirror.daemon.metrics import CONTENT_TYPE
from mirror.daemon.web import ConnectionLimits, DeliveryLimits, make_web_app, serve
from mirror.errors import MirrorError
from mirror.page import Document
from mirror.page.document import Html
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

SECRET = "correct horse battery staple"
PAYLOAD = {"action": "published", "repository": {"full_name": "acme/tools"}}
BODY = json.dumps(PAYLOAD).encode()
HOOK = "/webhooks/github"
ALONE = b"GET /healthz HTTP/1.0\r\n\r\n"
READ = ("/", "/api/status", "/healthz", "/readyz", "/metrics")


def policy(page: str) -> str:
    return f"default-src 'none'; style-src 'sha256-{len(page)}'"


class FakeBackend:
    """A service whose state is what a test says."""

    def __init__(self) -> None:
        self.is_alive = True
        self.reason = ""
        self.secret: str | None = SECRET
        self.mirrored = {"acme/tools"}
        self.asked: list[tuple[str | None, str]] = []
        self.outcomes: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.broken: Exception | None = None
        self.names = "acme"
        self.tag = "0123"
        self.hosts: tuple[str, ...] = ("mirror.example.com", "192.0.2.7")

    def alive(self) -> bool:
        return self.is_alive

    def not_ready(self) -> str:
        return self.reason

    def document(self, query: Mapping[str, str]) -> Document:
        self.queries.append(dict(query))
        if self.broken:
            raise self.broken
        page = f"<!doctype html><title>{self.names}</title>"
        html = Html(page.encode("utf-8", "replace"), policy(page))
        return Document({"schema": 1, "name": self.names}, self.tag, html)

    def hostnames(self) -> tuple[str, ...]:
        return self.hosts

    def metrics(self) -> Callable[[], bytes]:
        if self.broken:
            raise self.broken
        return lambda: b"release_mirror_ready 1\n"

    def webhook_secret(self) -> str | None:
        return self.secret

    def release_changed(self, host: str | None, repository: str) -> list[str]:
        self.asked.append((host, repository))
        return [f"github:{repository}"] if repository in self.mirrored else []

    def on_webhook(self, outcome: str) -> None:
        self.outcomes.append(outcome)


class Served:
    """A running server and a client of it."""

    def __init__(self, backend: FakeBackend, url: str, client: aiohttp.ClientSession) -> None:
        self.backend = backend
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.client = client

    async def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, str, Mapping[str, str]]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, self.url + path, headers=given) as answer:
            return answer.status, await answer.text(), answer.headers

    async def deliver(self, body: bytes = BODY, **headers: str) -> tuple[int, str]:
        given = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "release",
            "X-Hub-Signature-256": sign(body),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(
            self.url + HOOK, data=io.BytesIO(body), headers=given
        ) as answer:
            return answer.status, await answer.text()

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; everything that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> None:
    """Ask again and again, until the answer is good: no time is measured."""
    while not good(await ask()):  # noqa: ASYNC110 - what it waits for is beyond the socket
        await asyncio.sleep(0)


@asynccontextmanager
async def served(
    intake: DeliveryLimits | None = None,
    patience: ConnectionLimits | None = None,
    host: str = "127.0.0.1",
    listen: str = "",
) -> AsyncIterator[Served]:
    backend = FakeBackend()
    app = make_web_app(backend, backend, VirtualClock(), listen=listen or host, limits=intake)
    async with (
        serve(app, host, 0, limits=patience) as bound,
        aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers={"Accept-Encoding"}
        ) as client,
    ):
        yield Served(backend, bound.url, client)


# --- what can be read ---------------------------------------------------------------------------


async def test_every_address_answers_with_its_content() -> None:
    """The addresses of the contract, each with its type."""
    async with served() as web:
        status, page, headers = await web.get("/?state=failed&search=x&search=y")
        assert (status, page) == (200, "<!doctype html><title>acme</title>")
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Content-Security-Policy"] == policy(page)
        assert web.backend.queries == [{"state": "failed", "search": "x"}]
        status, text, headers = await web.get("/api/status?page=2")
        assert (status, json.loads(text)) == (200, {"schema": 1, "name": "acme"})
        assert headers["Content-Type"] == "application/json; charset=utf-8"
        assert web.backend.queries[1:] == [{"page": "2"}]
        assert (await web.get("/healthz"))[:2] == (200, "ok\n")
        assert (await web.get("/readyz"))[:2] == (200, "ready\n")
        status, text, headers = await web.get("/metrics")
        assert (status, text) == (200, "release_mirror_ready 1\n")
        assert headers["Content-Type"] == CONTENT_TYPE


async def test_health_and_readiness_tell_why_not() -> None:
    """503 with the reason as text; a service that drains is still alive."""
    async with served() as web:
        web.backend.reason = "draining"
        assert (await web.get("/readyz"))[:2] == (503, "draining\n")
        assert (await web.get("/healthz"))[0] == 200
        web.backend.is_alive = False
        assert (await web.get("/healthz"))[:2] == (503, "the scheduler does not respond\n")


@pytest.mark.parametrize("path", [*READ, HOOK, "/nothing", "/%00", "/../etc/passwd", "//"])
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
async def test_every_answer_has_the_security_headers(path: str, method: str) -> None:
    """Whatever is asked, whatever the answer: nothing is stored, framed, guessed or told."""
    async with served() as web:
        status, text, headers = await web.get(path, method)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert headers["Server"] == "release-mirror"
        assert "Access-Control-Allow-Origin" not in headers
        if path in READ and method in {"GET", "HEAD"}:
            assert status == 200
        elif path in READ:
            assert (status, headers["Allow"]) == (405, "GET,HEAD")
        elif path == HOOK:
            assert status == (401 if method == "POST" else 405)
        else:
            assert status == 404
        assert method != "HEAD" or not text


async def test_head_tells_the_length_of_what_get_gives() -> None:
    """HEAD works wherever GET does."""
    async with served() as web:
        for path in READ:
            body = (await web.get(path))[1]
            status, text, headers = await web.get(path, "HEAD")
            assert (status, text) == (200, "")
            assert int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics"])
async def test_a_failure_of_the_service_is_a_plain_500(path: str) -> None:
    """Who asked learns nothing of it, the log does, once a minute, and the next page is good again."""
    async with served() as web:
        web.backend.broken = RuntimeError("token ghp_x in /srv/secret")
        with structlog.testing.capture_logs() as logs:
            for _ in range(5):
                assert (await web.get(path))[:2] == (500, "internal error\n")
        assert [entry["event"] for entry in logs] == ["web.failed"]
        assert (await web.get("/healthz"))[0] == 200
        web.backend.broken = None
        assert (await web.get(path))[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/status"])
async def test_what_did_not_change_is_not_sent_again(path: str) -> None:
    """304 where the client has the page, also if a proxy has touched the tag; else all of it."""
    async with served() as web:
        tag = (await web.get(path))[2]["ETag"]
        assert tag == 'W/"0123"'
        for known in (tag, '"0123"', f'"x", {tag}', 'W/"0123-gzip"'):
            status, text, headers = await web.get(path, If_None_Match=known)
            assert (status, text, headers["ETag"]) == (304, "", tag)
        web.backend.tag = "4567"
        for known in (tag, "*", "?"):
            status, text, headers = await web.get(path, If_None_Match=known)
            assert (status, headers["ETag"]) == (200, 'W/"4567"')
            assert "acme" in text


async def test_pages_are_compressed_for_who_takes_it() -> None:
    """gzip, and a cache between is told."""
    async with served() as web:
        plain = (await web.get("/"))[1]
        request = b"GET / HTTP/1.0\r\nAccept-Encoding: br, gzip\r\n\r\n"
        head, _, body = (await web.raw(request)).partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert b"Vary: Accept-Encoding" in head
        assert gzip.decompress(body).decode() == plain


async def test_half_a_character_in_a_name_breaks_no_page() -> None:
    """Names of others may hold what cannot be encoded."""
    async with served() as web:
        web.backend.names = "\ud800"
        assert (await web.get("/"))[:2] == (200, "<!doctype html><title>?</title>")
        assert json.loads((await web.get("/api/status"))[1])["name"] == "\ud800"
        assert (await web.get("/?search=%ff%00%ed%a0%80"))[0] == 200


# --- the webhook --------------------------------------------------------------------------------


async def test_a_release_event_asks_for_a_sync() -> None:
    """202 at once, and the service is asked exactly once a delivery."""
    async with served() as web:
        assert await web.deliver() == (202, "acme/tools will be synced\n")
        assert (await web.deliver(X_GitHub_Enterprise_Host="GHE.example.com"))[0] == 202
        assert web.backend.asked == [(None, "acme/tools"), ("ghe.example.com", "acme/tools")]
        assert web.backend.outcomes == ["queued", "queued"]


async def test_what_is_not_for_us_is_taken_without_work() -> None:
    """Pings, other events, unknown actions, unknown repositories: 2xx, or GitHub calls them failed."""
    async with served() as web:
        assert await web.deliver(X_GitHub_Event="ping") == (200, "pong\n")
        assert (await web.deliver(X_GitHub_Event="push"))[0] == 200
        assert (await web.deliver(json.dumps(PAYLOAD | {"action": "new"}).encode()))[0] == 200
        assert web.backend.asked == []
        web.backend.mirrored.clear()
        assert await web.deliver() == (200, "acme/tools is not mirrored\n")
        assert web.backend.outcomes == ["ping", "ignored", "ignored", "unknown"]


async def test_without_a_secret_there_is_no_webhook() -> None:
    """404 for every method, as for any other address; the secret is read at every request."""
    async with served() as web:
        for secret in (None, ""):
            web.backend.secret = secret
            for method in ("GET", "POST", "PUT"):
                assert (await web.get(HOOK, method))[:2] == (404, "404: Not Found")
            assert (await web.deliver(X_Hub_Signature_256=sign(BODY, "")))[0] == 404
        web.backend.secret = "new"
        assert (await web.deliver())[0] == 401
        assert (await web.deliver(X_Hub_Signature_256=sign(BODY, "new")))[0] == 202


async def test_only_post_delivers() -> None:
    """405, and which method is allowed."""
    async with served() as web:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            status, _, headers = await web.get(HOOK, method)
            assert (status, headers["Allow"]) == (405, "POST")


async def test_a_stranger_learns_nothing() -> None:
    """401 without a detail, one line in the log a minute, and its body is not even read."""
    async with served(patience=ConnectionLimits(linger=0.01)) as web:
        with structlog.testing.capture_logs() as logs:
            for signature in ("", "sha256=1", sign(b"else"), sign(BODY, "guess")):
                answer = await web.deliver(X_Hub_Signature_256=signature)
                assert answer == (401, "unauthorized\n")
        assert [entry["event"] for entry in logs] == ["webhook.refused"]
        assert SECRET not in repr(logs)
        assert web.backend.asked == []
        head = (
            b"POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
        )
        assert (await web.raw(head)).startswith(b"HTTP/1.1 401 ")


async def test_a_signed_delivery_that_makes_no_sense_is_refused() -> None:
    """400 with a sentence, no traceback."""
    async with served() as web:
        for body in (b"{", b"[]", b'{"action": 5}', b'{"action": "edited", "repository": 7}'):
            status, text = await web.deliver(body)
            assert status == 400
            assert "Traceback" not in text
        assert web.backend.outcomes == ["malformed"] * 4


async def test_a_body_is_taken_up_to_its_limit() -> None:
    """Exactly the limit is taken; one byte more is not, whether its length is told or not."""

    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b" "

    async with served(DeliveryLimits(body=200)) as web:
        body = BODY.ljust(200)
        assert (await web.deliver(body))[0] == 202
        assert await web.deliver(body + b" ") == (413, "the body is too large\n")
        for size, status in ((200, 400), (201, 413)):
            headers = {"X-Hub-Signature-256": sign(b" " * size), "X-GitHub-Event": "release"}
            headers["Content-Type"] = "application/json"
            async with web.client.post(
                web.url + HOOK, data=chunks(size), headers=headers
            ) as answer:
                assert answer.status == status
        assert web.backend.outcomes == ["queued", "too_large", "malformed", "too_large"]


async def test_the_largest_delivery_of_github_is_taken() -> None:
    """125,000 characters that JSON and the form make long, twice, and 1000 assets."""
    asset = {"name": "n" * 255, "url": "https://x/" + "u" * 300, "uploader": {"x": "y" * 1200}}
    release = {"body": "\u003c" * 125_000, "assets": [asset] * 1000}
    payload = PAYLOAD | {"release": release, "changes": {"body": {"from": "<" * 125_000}}}
    text = json.dumps(payload).replace("<", "\\u003c")
    body = urlencode({"payload": text}).encode()
    assert len(body) > 3_500_000
    async with served() as web:
        kind = "application/x-www-form-urlencoded"
        assert (await web.deliver(body, Content_Type=kind))[0] == 202


async def test_many_bodies_at_once_fill_no_memory() -> None:
    """All that is being read is bounded together; what was given up makes room again."""
    head = (
        "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        f"X-Hub-Signature-256: {sign(b'x')}\r\n\r\n"
    ).encode()
    async with served(DeliveryLimits(body=1000, all_bodies=1200)) as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(head + b"x" * 900)
        await writer.drain()
        await until(lambda: web.deliver(BODY.ljust(400)), lambda answer: answer[0] == 503)
        assert await web.deliver(BODY.ljust(400)) == (503, "too many deliveries at once\n")
        writer.write(b"x" * 100)
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        assert (await web.deliver(BODY.ljust(400)))[0] == 202
        assert web.backend.outcomes[-3:] == ["busy", "unauthorized", "queued"]


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """A length that is a lie, or a sender that is too slow: an answer, and the connection ends."""
    patience = ConnectionLimits(linger=0.01)
    async with served(DeliveryLimits(seconds=0.05), patience) as web:
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n"
            f"X-Hub-Signature-256: {sign(b'x')}\r\n\r\n"
        ).encode()
        assert (await web.raw(head + b"x")).startswith(b"HTTP/1.1 408 ")
        assert web.backend.outcomes == ["timeout"]


async def test_a_sender_that_goes_away_is_forgotten() -> None:
    """No answer, no work, no line of an error."""
    async with served() as web:
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n"
            f"X-Hub-Signature-256: {sign(b'x')}\r\n\r\n"
        ).encode()
        with structlog.testing.capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(head + b"x")
            await writer.drain()
            writer.transport.abort()
            assert (await web.deliver())[0] == 202
        assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == [
            "sync.requested"
        ]


async def test_no_content_encoding_is_unpacked() -> None:
    """The signature is over the bytes as they came, and nothing small becomes large here."""
    async with served() as web:
        packed = gzip.compress(BODY)
        status, _ = await web.deliver(packed, Content_Encoding="gzip")
        assert status == 400
        assert web.backend.asked == []


# --- HTTP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /<script> HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        + b"".join(b"X%d: 1\r\n" % n for n in range(500))
        + b"\r\n",
    ],
)
async def test_what_is_not_http_is_answered_shortly(request_: bytes) -> None:
    """400, nothing of it echoed, no version told, nothing for the log of an operator."""
    async with served() as web:
        with structlog.testing.capture_logs() as logs:
            answer = await web.raw(request_)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert body == b"bad request\n"
        assert b"Server: release-mirror\r\n" in head + b"\r\n"
        assert b"X-Content-Type-Options: nosniff" in head
        assert {entry["log_level"] for entry in logs} <= {"debug"}
        assert (await web.get("/healthz"))[0] == 200


async def test_a_broken_chunk_is_refused() -> None:
    """What ends in the middle of nonsense is a 400."""
    async with served() as web:
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
            f"X-Hub-Signature-256: {sign(b'x')}\r\n\r\n"
        ).encode()
        assert (await web.raw(head + b"zz\r\nhello")).startswith(b"HTTP/1.0 400 ")


async def test_no_more_connections_than_allowed() -> None:
    """One too many is told so at once; when one goes, there is room."""
    async with served(patience=ConnectionLimits(connections=3)) as web:
        held = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
            held.append(writer)
        answer = await web.raw(b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"\r\n\r\ntoo many are connected")
        held[0].close()
        await until(lambda: web.raw(ALONE), lambda answer: b" 200 OK" in answer)
        for writer in held:
            writer.close()


async def test_who_is_silent_is_disconnected() -> None:
    """Whether nothing came, or half a request, or a request before."""
    async with served(patience=ConnectionLimits(idle=0.05)) as web:
        assert await web.raw(b"") == b""
        assert await web.raw(b"GET / HTTP/1.1\r\nHost:") == b""
        answer = await web.raw(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer.endswith(b"ok\n")


async def test_who_does_not_read_is_disconnected() -> None:
    """An answer that nobody takes holds its connection for a bounded time."""
    async with served(patience=ConnectionLimits(unread=1.0, connections=1)) as web:
        web.backend.names = "x" * 50_000_000
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", web.port))
        await loop.sock_sendall(one, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await loop.sock_recv(one, 100)
        assert b" 503 " in await web.raw(ALONE)
        await until(lambda: web.raw(ALONE), lambda answer: b" 200 OK" in answer)
        one.close()


# --- the host that a request names ----------------------------------------------------------------


async def asked(web: Served, host: str, path: str = "/healthz", to: str = "127.0.0.1") -> bytes:
    """The answer's first line and its text, for a ``Host`` header as it is."""
    reader, writer = await asyncio.open_connection(to, web.port)
    writer.write(f"GET {path} HTTP/1.1\r\nConnection: close\r\n{host}\r\n".encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8321",
        "127.0.0.1:1",  # a forwarded port
        "127.0.0.1:",
        "127.8.9.10",
        "localhost",
        "LocalHost:80",
        "localhost.",
        "[::1]",
        "[::1]:8321",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "mirror.example.com",
        "MIRROR.Example.Com:443",
        "mirror.example.com.",
        "192.0.2.7:8321",
    ],
)
async def test_a_name_of_ours_is_answered_to(host: str) -> None:
    """Loopback names and what is configured, in any spelling and with any port."""
    async with served() as web:
        assert status(await asked(web, f"Host: {host}\r\n")) == 200


STRANGE = [
    "evil.example",
    "evil.example:8321",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-mirror.example.com",
    "sub.mirror.example.com",
    "example.com",
    "",
    ":8321",
    "user@127.0.0.1",
    "evil.example@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1/evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1 evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1:x",
    "127.0.0.1..",
    "127.1",
    "2130706433",
    "0x7f000001",
    "127.0.0.01",
    "::1",
    "[::1",
    "[localhost]",
    "[127.0.0.1]",
    "[::1%25lo]",
    "[fe80::1]",
    "10.0.0.1",
    "0.0.0.0",  # noqa: S104
    "local\xe4host",
    "a" * 1000,
    "*",
    ".",
]


@pytest.mark.parametrize("host", STRANGE)
async def test_any_other_name_is_misdirected(host: str) -> None:
    """421 with what to set, nothing echoed, nothing told; the connection is good for others."""
    async with served() as web:
        with structlog.testing.capture_logs() as logs:
            answer = await asked(web, f"Host: {host}\r\n", "/api/status")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 421 Misdirected Request")
        assert b"[daemon]" in body
        assert b"hosts = [" in body
        assert b"evil" not in body
        assert b"acme" not in body
        assert b"X-Content-Type-Options: nosniff" in head
        assert [entry["event"] for entry in logs] == ["web.misdirected"]
        assert (await web.get("/healthz"))[0] == 200


@pytest.mark.parametrize("path", [*READ, HOOK, "/nothing", "/healthz?x=1", "//healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT"])
async def test_no_address_and_no_method_answers_to_a_strangers_name(path: str, method: str) -> None:
    """Whatever is there, or is not there: a stranger's site reads nothing and asks for nothing."""
    async with served() as web:
        headers = {"Host": "evil.example", "X-Hub-Signature-256": sign(BODY)}
        address = f"{web.url}{path}"
        async with web.client.request(method, address, data=BODY, headers=headers) as answer:
            assert answer.status == 421
        assert not web.backend.asked
        assert not web.backend.queries
        assert not web.backend.outcomes


async def test_a_webhook_by_a_name_of_ours_is_taken() -> None:
    """Through a proxy that passes the name on."""
    async with served() as web:
        assert (await web.deliver(Host="mirror.example.com"))[0] == 202
        assert (await web.deliver(Host="evil.example"))[0] == 421
        assert len(web.backend.asked) == 1


async def test_a_body_of_a_misdirected_request_is_not_read() -> None:
    """However long it claims to be, the answer comes, and the connection ends."""
    async with served() as web:
        head = b"POST /webhooks/github HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n"
        answer = await web.raw(head)
        assert status(answer) == 421
        assert b"Connection: close" in answer


async def test_each_request_of_a_connection_is_looked_at() -> None:
    """A connection that began with a good name is no pass for a bad one."""
    async with served() as web:
        good = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        bad = b"GET /api/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await web.raw(good + bad + last)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"421", b"200"]


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "Host: evil.example\r\nHost: 127.0.0.1\r\n",
        "Host: 127.0.0.1\r\nHost: evil.example\r\n",
        "Host: 127.0.0.1\r\nhost: 127.0.0.1\r\n",
    ],
)
async def test_none_or_two_hosts_are_a_bad_request(hosts: str) -> None:
    """HTTP/1.1 wants exactly one, so that nobody in between can take another than we do.

    Source: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
    """
    async with served() as web:
        assert status(await asked(web, hosts)) == 400


async def test_a_probe_without_a_host_is_answered() -> None:
    """HTTP/1.0, as load balancers speak it; with a host that is not ours it is misdirected."""
    async with served() as web:
        assert status(await web.raw(ALONE)) == 200
        named = ALONE.replace(b"\r\n\r\n", b"\r\nHost: evil.example\r\n\r\n")
        assert status(await web.raw(named)) == 421


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("http://127.0.0.1/healthz", "127.0.0.1", 200),
        ("http://[::1]:80/healthz", "127.0.0.1", 200),
        ("http://evil.example/healthz", "127.0.0.1", 421),
        ("http://127.0.0.1/healthz", "evil.example", 421),
        ("http://127.0.0.1@evil.example/healthz", "127.0.0.1", 421),
        ("http:///healthz", "127.0.0.1", 400),
        ("//evil.example/healthz", "127.0.0.1", 404),
    ],
)
async def test_a_whole_address_counts_like_the_header(
    target: str, host: str, expected: int
) -> None:
    """In either place a stranger's name is a stranger's."""
    async with served() as web:
        assert status(await asked(web, f"Host: {host}\r\n", target)) == expected


def own_address() -> str | None:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = one.getsockname()[0]
        return found


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
async def test_on_every_interface_it_answers_to_the_one_that_was_asked(host: str) -> None:
    """A probe by the machine's own address works; no other address is ours by that."""
    own = own_address() or "127.0.0.1"
    if ":" in host and not _has_ipv6():
        return
    async with served(host=host) as web:
        for name, expected in ((own, 200), (f"[{host}]" if ":" in host else host, 200)):
            assert status(await asked(web, f"Host: {name}:8321\r\n", to=own)) == expected
        if own != "127.0.0.1":
            assert status(await asked(web, f"Host: {own}\r\n")) == 421
        assert status(await asked(web, "Host: 10.255.255.254\r\n", to=own)) == 421


async def test_the_name_that_it_listens_on_is_its_own() -> None:
    """As it stands in the configuration, in any case."""
    async with served(listen="Mirror.Internal") as web:
        assert status(await asked(web, "Host: mirror.internal:8321\r\n")) == 200


async def test_the_names_are_those_of_now() -> None:
    """A reload may bring others."""
    async with served() as web:
        web.backend.hosts = ("new.example",)
        assert status(await asked(web, "Host: new.example\r\n")) == 200
        assert status(await asked(web, "Host: mirror.example.com\r\n")) == 421


# --- the address --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::", "0.0.0.0"])  # noqa: S104
async def test_any_address_of_the_machine_can_be_listened_on(host: str) -> None:
    """Also of IPv6, also a name; port 0 is any free one, and it is told which."""
    app = make_web_app(FakeBackend(), FakeBackend(), VirtualClock())
    if ":" in host and not _has_ipv6():
        with pytest.raises(MirrorError, match="cannot listen on"):
            async with serve(app, host, 0):
                pytest.fail("there is no such address")
        return
    async with serve(app, host, 0) as bound:
        assert bound.port > 0
        name = {"localhost": "localhost", "::1": "[::1]"}.get(host, "127.0.0.1")
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{name}:{bound.port}/healthz") as answer,
        ):
            assert answer.status == 200


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_an_address_in_use_is_told_with_advice() -> None:
    """And nothing is left open."""
    async with served() as web:
        app = make_web_app(FakeBackend(), FakeBackend(), VirtualClock())
        with pytest.raises(MirrorError) as caught:
            async with serve(app, "127.0.0.1", web.port):
                pytest.fail("two cannot listen on one address")
        assert str(caught.value) == (
            f"cannot listen on 127.0.0.1:{web.port}: the address is in use; does another daemon"
            " run? Change [daemon] listen"
        )
        assert (await web.get("/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "no interface of this machine has that address"),
        ("x" * 70, "that name has no address here"),
    ],
)
async def test_an_address_of_others_is_told(host: str, words: str) -> None:
    """The error names the address, and what is wrong with it."""
    with pytest.raises(MirrorError, match=words):
        async with serve(make_web_app(FakeBackend(), FakeBackend(), VirtualClock()), host, 0):
            pytest.fail("that is not ours")


async def test_the_address_is_free_again_at_once() -> None:
    """A restart takes the port that its predecessor had, whoever is still connected."""
    async with served() as web:
        _, writer = await asyncio.open_connection("127.0.0.1", web.port)
        await web.get("/healthz")
        port = web.port
    async with serve(
        make_web_app(FakeBackend(), FakeBackend(), VirtualClock()), "127.0.0.1", port
    ) as bound:
        assert bound.port == port
    writer.close()
