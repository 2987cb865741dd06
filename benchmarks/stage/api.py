"""Two minimal GitHub hosts on a bare asyncio protocol, faster than any client measured here.

Runs as a process: ``python -m benchmarks.stage.api``. Input:

repositories: number of identical repositories, ``octo/r00000`` and so on.
releases: asset sizes of each release of a repository, newest first.
digests: SHA-256 by size.
bytes_url: where downloads are redirected to: ``BYTES_URL/SIZE/NAME``.
upload_url: where uploads go; by default, to this server's target.
certificate: serve over TLS.
listen: ``[NAMESPACE, ADDRESS]`` of ``source`` and of ``target``; by default, this one and loopback.

The source answers 304 to its ETags. The target keeps what is written until ``POST /_reset`` on the
control port; ``GET /_counts`` returns the number of requests, ``GET /_log`` when each came. Responses carry github.com's headers,
because clients parse them.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.network import listener
from benchmarks.stage.life import end_with_parent, orders, ready

if TYPE_CHECKING:
    from collections.abc import Callable

    Handle = Callable[[str, str, bytes, bytes, int], bytes]

DATE = "2026-01-01T00:00:00Z"
COMMIT = "c0ffee" + "0" * 34
NEWEST = date(2026, 1, 28)
PREFIX = "/api/v3"
NEW = 999
"""Number of the first release that is published later; each further one is one less."""

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_ETAG = re.compile(rb"\r\nif-none-match:\s*([^\r]+)", re.IGNORECASE)
_HEADERS = (
    b"Server: github.com\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"Cache-Control: private, max-age=60, s-maxage=60\r\n"
    b"Vary: Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With\r\n"
    b"X-GitHub-Media-Type: github.v3; format=json\r\nX-GitHub-Enterprise-Version: 3.17.0\r\n"
    b"X-RateLimit-Limit: 5000\r\nX-RateLimit-Remaining: 4999\r\nX-RateLimit-Reset: 4102444800\r\n"
    b"X-RateLimit-Used: 1\r\nX-RateLimit-Resource: core\r\nX-GitHub-Request-Id: 0:0:0:0:0\r\n"
    b"Access-Control-Allow-Origin: *\r\nX-Frame-Options: deny\r\nX-Content-Type-Options: nosniff\r\n"
    b"Strict-Transport-Security: max-age=31536000; includeSubdomains; preload\r\n"
    b"Referrer-Policy: origin-when-cross-origin, strict-origin-when-cross-origin\r\n"
    b"Content-Security-Policy: default-src 'none'\r\n"
)


def answer(status: str, body: bytes = b"", more: str = "") -> bytes:
    """A complete response."""
    length = f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    head = b"HTTP/1.1 " + status.encode() + b"\r\n" + _HEADERS + more.encode()
    return head + (b"\r\n" if status.startswith("304") else length.encode() + b"\r\n" + body)


def ok(document: object, status: str = "200 OK", more: str = "") -> bytes:
    """A JSON response."""
    return answer(status, json.dumps(document, separators=(",", ":")).encode(), more)


META = ok({"installed_version": "3.17.0"})
NOT_FOUND = answer("404 Not Found", b'{"message":"Not Found"}')


class Host:
    """The part shared by both hosts: repositories and tags."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.releases: list[list[int]] = spec["releases"]
        self.digests: dict[str, str] = spec.get("digests", {})
        self.url = ""
        self.requests = 0

    def handle(self, method: str, path: str, etag: bytes, body: bytes, size: int) -> bytes:
        """Answer one request."""
        raise NotImplementedError

    def repository(self, name: str) -> bytes:
        """The repository object."""
        document = {
            "id": _number(name) + 1,
            "name": name.partition("/")[2],
            "full_name": name,
            "private": False,
            "fork": False,
            "archived": False,
            "default_branch": "main",
            "html_url": f"{self.url}/{name}",
            "description": "",
        }
        return ok(document)

    def tags(self) -> bytes:
        """All tags, each at the same commit on both sides."""
        names = [tag(number) for number in range(len(self.releases))]
        return ok([{"name": name, "commit": {"sha": COMMIT}} for name in names])

    def shared(self, name: str, rest: str) -> bytes | None:
        """Responses common to both hosts; ``None`` for other requests."""
        if not rest:
            return self.repository(name)
        if rest == "tags":
            return self.tags()
        if rest.startswith("git/ref/tags/"):
            return ok({"ref": f"refs/{rest[8:]}", "object": {"type": "commit", "sha": COMMIT}})
        return None


class Source(Host):
    """The source host."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self._bytes_url: str = spec.get("bytes_url", "")
        self._new: dict[int, list[int]] = {}
        self._pages: dict[str, bytes] = {}
        self._unchanged = {}
        for number in range(spec["repositories"]):
            tag_ = f'"{number:064x}"'
            self._unchanged[f"W/{tag_}".encode()] = answer(
                "304 Not Modified", more=f"ETag: W/{tag_}\r\n"
            )

    def handle(self, method: str, path: str, etag: bytes, body: bytes, size: int) -> bytes:
        """Answer a GET request."""
        del method, body, size
        self.requests += 1
        if etag and (unchanged := self._unchanged.get(etag)):
            return unchanged
        if path == f"{PREFIX}/meta":
            return META
        _, _, _, _, owner, repo, *more = f"{path.partition('?')[0]}/".split("/")
        name, rest = f"{owner}/{repo}", "/".join(more).rstrip("/")
        if (known := self.shared(name, rest)) is not None:
            return known
        if rest.startswith("releases/assets/"):
            number = int(rest.rpartition("/")[2])
            size = self._size(number)
            there = f"{self._bytes_url}/{size}/{asset_name(number)}"
            return answer("302 Found", more=f"Location: {there}\r\n")
        return self._releases(name, rest)

    def publish(self, sizes: list[int]) -> None:
        """Publish one more release of the first repository, with assets of these sizes."""
        self._new = {NEW - len(self._new): sizes, **self._new}
        self._pages.clear()
        self._unchanged.pop(f'W/"{0:064x}"'.encode(), None)

    def _numbers(self, name: str) -> list[int]:
        new = self._new if not _number(name) else ()
        return [*new, *range(len(self.releases))]

    def _releases(self, name: str, rest: str) -> bytes:
        if rest == "releases":
            return self._listing(name)
        if rest == "releases/latest":
            return ok(self._release(name, self._numbers(name)[0]))
        if rest.endswith("/assets"):
            number = int(rest.split("/")[1]) % 1000 - 1
            return ok(self._release(name, number)["assets"])
        return NOT_FOUND

    def _size(self, number: int) -> int:
        release, index = divmod(number % 10_000_000, 10_000)
        return self._sizes(release)[index - 1]

    def _sizes(self, release: int) -> list[int]:
        return self._new.get(release) or self.releases[release]

    def _listing(self, name: str) -> bytes:
        if name not in self._pages:
            numbers = self._numbers(name)
            documents = [self._release(name, number) for number in numbers]
            version = _number(name) if len(numbers) == len(self.releases) else (len(numbers) << 64)
            etag = f'ETag: W/"{version:064x}"\r\n'
            self._pages[name] = ok(documents, more=etag)
        return self._pages[name]

    def _release(self, name: str, number: int) -> dict[str, Any]:
        first = _number(name) * 10_000_000 + number * 10_000 + 1
        assets = [
            self._asset(name, first + index, size) for index, size in enumerate(self._sizes(number))
        ]
        days = NEW + 1 - number if number in self._new else -number
        day = f"{NEWEST + timedelta(days=days)}T00:00:00Z"
        return {
            "id": _number(name) * 1000 + number + 1,
            "tag_name": tag(number),
            "name": f"Release {tag(number)}",
            "body": "What is new\n\n* a line of text\n* another one\n",
            "draft": False,
            "prerelease": False,
            "target_commitish": "main",
            "created_at": day,
            "published_at": day,
            "author": {"login": "octocat", "id": 1, "type": "User"},
            "html_url": f"{self.url}/{name}/releases/tag/{tag(number)}",
            "upload_url": f"{self.url}/none{{?name,label}}",
            "assets": assets,
        }

    def _asset(self, name: str, number: int, size: int) -> dict[str, Any]:
        digest = self.digests.get(str(size))
        return {
            "url": f"{self.url}{PREFIX}/repos/{name}/releases/assets/{number}",
            "id": number,
            "name": asset_name(number),
            "label": "",
            "uploader": {"login": "octocat", "id": 1, "type": "User"},
            "content_type": "application/octet-stream",
            "state": "uploaded",
            "size": size,
            "digest": f"sha256:{digest}" if digest else None,
            "download_count": 1,
            "created_at": DATE,
            "updated_at": DATE,
            "browser_download_url": f"{self.url}/{name}/releases/download/v/{asset_name(number)}",
        }


class Target(Host):
    """The target host, which keeps what is written."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.upload_url: str = spec.get("upload_url", "")
        self.reset()

    def reset(self) -> None:
        """Delete everything."""
        self.requests = 0
        self._written: dict[str, list[int]] = {}
        self._latest: dict[str, int] = {}
        self._documents: dict[int, dict[str, Any]] = {}
        self._assets: dict[int, list[dict[str, Any]]] = {}
        self._last = 0

    def handle(self, method: str, path: str, etag: bytes, body: bytes, size: int) -> bytes:
        """Answer one request."""
        del etag
        self.requests += 1
        if path == f"{PREFIX}/meta":
            return META
        if path.startswith(f"{PREFIX}/users/"):
            return ok({"login": path.rpartition("/")[2], "id": 1, "type": "Organization"})
        if path.startswith("/api/uploads/"):
            parts = urlsplit(path)
            release = int(parts.path.split("/releases/")[1].split("/")[0])
            return ok(self.take(release, _asked_name(parts.query), size, None), "201 Created")
        _, _, _, _, owner, repo, *more = f"{path.partition('?')[0]}/".split("/")
        name, rest = f"{owner}/{repo}", "/".join(more).rstrip("/")
        known = self.shared(name, rest) if method == "GET" else None
        return known or self._releases(method, name, rest, body)

    def _releases(self, method: str, name: str, rest: str, body: bytes) -> bytes:
        if rest == "releases":
            if method == "POST":
                return ok(self._create(name, json.loads(body)), "201 Created")
            return ok([self._shown(number) for number in self._written.get(name, ())])
        if rest.endswith("/assets"):
            return ok(self._assets.get(int(rest.split("/")[1]), []))
        if rest == "releases/latest":
            return ok(self._shown(self._latest[name])) if name in self._latest else NOT_FOUND
        if method == "PATCH" and rest.startswith("releases/"):
            number, fields = int(rest.split("/")[1]), json.loads(body)
            self._documents[number] |= fields
            if fields.get("make_latest") == "true":
                self._latest[name] = number
            return ok(self._shown(number))
        return NOT_FOUND

    def take(self, release: int, name: str, size: int, digest: str | None) -> dict[str, Any]:
        """Record an uploaded asset, received here or by a sink."""
        self._last += 1
        asset = {
            "id": self._last,
            "name": name,
            "label": "",
            "content_type": "application/octet-stream",
            "state": "uploaded",
            "size": size,
            "digest": digest,
            "created_at": DATE,
            "updated_at": DATE,
        }
        self._assets.setdefault(release, []).append(asset)
        return asset

    def _create(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        number = self._last
        base = self.upload_url or f"{self.url}/api/uploads"
        self._documents[number] = {
            "id": number,
            "created_at": DATE,
            "published_at": DATE,
            "author": {"login": "mirror"},
            "html_url": f"{self.url}/{name}/releases",
            "upload_url": f"{base}/repos/{name}/releases/{number}/assets{{?name,label}}",
            **fields,
        }
        self._written.setdefault(name, []).append(number)
        return self._shown(number)

    def _shown(self, number: int) -> dict[str, Any]:
        return {**self._documents[number], "assets": self._assets.get(number, [])}


def tag(number: int) -> str:
    """The tag of the n-th newest release, or of one that is published later."""
    return f"v2.{NEW - number}.0" if number > NEW // 2 else f"v1.{1000 - number}.0"


def asset_name(number: int) -> str:
    """An asset's name."""
    return f"tool-{number}-linux_amd64.bin"


def _number(name: str) -> int:
    return int(name.rpartition("/r")[2])


def _asked_name(query: str) -> str:
    if query.startswith("name=") and "&" not in query:
        return unquote(query[5:])
    return parse_qs(query)["name"][0]


class Connection(asyncio.Protocol):
    """One client connection, answered in order."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._transport: asyncio.WriteTransport
        self._waiting = b""
        self._upload: tuple[str, int] | None = None
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Process received data."""
        if self._upload is not None:
            self._left -= len(data)
            if self._left > 0:
                return
            path, size = self._upload
            self._upload = None
            self._transport.write(self._handle("POST", path, b"", b"", size))
            data = data[len(data) + self._left :] if self._left else b""
        data = self._waiting + data if self._waiting else data
        while data and (end := data.find(b"\r\n\r\n")) >= 0:
            used = self._request(data, end)
            if not used:
                break
            data = data[used:]
        self._waiting = data

    def _request(self, data: bytes, end: int) -> int:
        """Answer the first request and return its length; 0 if it is incomplete."""
        head = data[:end]
        method, path, _ = head[: head.find(b"\r\n")].decode("ascii").split(" ", 2)
        found = _LENGTH.search(head)
        size = int(found[1]) if found else 0
        body = data[end + 4 : end + 4 + size]
        if method == "POST" and path.startswith("/api/uploads/") and len(body) < size:
            self._upload, self._left = (path, size), size - len(body)
            return len(data)
        if len(body) < size:
            return 0
        etag = _ETAG.search(head)
        self._transport.write(self._handle(method, path, etag[1] if etag else b"", body, size))
        return end + 4 + size


def _control(source: Source, target: Target, log: list[tuple[float, str, str, str]]) -> Handle:
    """Answers the requests of the benchmark itself."""

    def handle(method: str, path: str, etag: bytes, body: bytes, size: int) -> bytes:
        del etag, size
        if path == "/_counts":
            return ok({"source": source.requests, "target": target.requests})
        if path == "/_log":
            return ok(log)
        if path == "/_publish":
            source.publish(json.loads(body))
            return ok({})
        if path == "/_arrived":
            asset = json.loads(body)
            return ok(target.take(asset["release"], asset["name"], asset["size"], asset["digest"]))
        if path == "/_reset" and method == "POST":
            log.clear()
            source.requests = 0
            target.reset()
            if body:
                target.upload_url = json.loads(body)["upload_url"]
            return ok({})
        return NOT_FOUND

    return handle


async def serve(spec: dict[str, Any]) -> None:
    """Serve until killed."""
    source, target = Source(spec), Target(spec)
    log: list[tuple[float, str, str, str]] = []
    context = None
    if spec.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(spec["certificate"])

    def logged(name: str, host: Host) -> Handle:
        def handle(method: str, path: str, etag: bytes, body: bytes, size: int) -> bytes:
            log.append((time.monotonic(), name, method, path))
            return host.handle(method, path, etag, body, size)

        return handle

    loop = asyncio.get_running_loop()
    urls = {}
    for name, handle, tls in (
        ("source", logged("source", source), context),
        ("target", logged("target", target), context),
        ("control", _control(source, target, log), None),
    ):
        place, address = spec.get("listen", {}).get(name, ("", "127.0.0.1"))
        server = await loop.create_server(
            lambda handle=handle: Connection(handle),
            sock=listener(place, address),
            ssl=tls,
            backlog=1024,
        )
        scheme = "https" if tls else "http"
        urls[name] = f"{scheme}://{address}:{server.sockets[0].getsockname()[1]}"
    source.url, target.url = urls["source"], urls["target"]
    ready(urls)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed, on the fastest event loop available."""
    spec = orders()
    end_with_parent()
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(spec))
    else:
        uvloop.run(serve(spec))


if __name__ == "__main__":
    main()
