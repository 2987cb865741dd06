"""The pipe between two real servers, through the HTTP library that it is used with.

Each law holds where it is asked for, and in the loop of another thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mirror.core.retry import RetryPolicy
from mirror.errors import (
    ConnectionLost,
    DigestMismatch,
    ShortRead,
    SourceChanged,
    Stalled,
    ValidationFailed,
)
from mirror.transfer.pipe import Piped
from mirror.transfer.workers import Workers
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

MIB = 2**20
DATA = random.Random(2).randbytes(3 * MIB + 11)  # noqa: S311 - no secret
DIGEST = hashlib.sha256(DATA).hexdigest()


@dataclass
class Hosts:
    """A source and a target, which misbehave as told.

    Attributes:
        cuts: Offsets at which the source's connection breaks, one a request.
        refuse_at: Bytes after which the target answers 422; ``None`` for never.
        pause: Seconds before the target reads on, each time.
        stall_at: Bytes after which the target reads no more.
        stored: Complete uploads: their size and SHA-256.
    """

    data: bytes = DATA
    repeat: int = 1
    cuts: list[int] = field(default_factory=list)
    refuse_at: int | None = None
    pause: float = 0.0
    stall_at: int | None = None
    ranges: list[int] = field(default_factory=list)
    stored: list[tuple[int, str]] = field(default_factory=list)
    broken: int = 0
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return len(self.data) * self.repeat

    def app(self) -> web.Application:
        app = web.Application(client_max_size=0)
        app.router.add_get("/asset", self.download)
        app.router.add_post("/asset", self.upload)
        return app

    async def download(self, request: web.Request) -> web.StreamResponse:
        start = request.http_range.start or 0
        self.ranges.append(start)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = self.size - start
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        if cut is not None:
            await response.write(self.data[start:cut])
            assert request.transport
            request.transport.close()
            return response
        if self.repeat == 1:
            await response.write(self.data[start:])
        else:
            for _ in range(self.repeat):
                await response.write(self.data)
        return response

    async def upload(self, request: web.Request) -> web.Response:
        digest, size = hashlib.sha256(), 0
        try:
            while chunk := await request.content.readany():
                digest.update(chunk)
                size += len(chunk)
                if self.refuse_at is not None and size >= self.refuse_at:
                    return web.json_response({"message": "no"}, status=422)
                if self.stall_at is not None and size >= self.stall_at:
                    await self.finished.wait()
                if self.pause:
                    await asyncio.sleep(self.pause)
        except (aiohttp.ClientError, ConnectionError, asyncio.CancelledError):
            self.broken += 1
            raise
        self.stored.append((size, digest.hexdigest()))
        return web.json_response({"size": size}, status=201)


def session() -> aiohttp.ClientSession:
    """Of the loop that runs: the bytes may flow in another one than the test's."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))


@dataclass
class HttpSource:
    url: str
    size: int

    @asynccontextmanager
    async def open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with session() as http, http.get(self.url, headers=headers) as response:
            yield self.read(response)

    async def read(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            raise ConnectionLost(str(error)) from error


@dataclass
class HttpSink:
    url: str

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> int:
        headers = {"Content-Length": str(size)}
        try:
            async with (
                session() as http,
                http.post(self.url, data=chunks, headers=headers) as response,
            ):
                answer = await response.json()
                if response.status == 422:
                    raise ValidationFailed("no", status=422)
                stored = answer["size"]
                assert isinstance(stored, int)
                return stored
        except aiohttp.ClientError as error:
            raise ConnectionLost(str(error)) from error


@asynccontextmanager
async def between(hosts: Hosts) -> AsyncIterator[tuple[HttpSource, HttpSink]]:
    async with TestServer(hosts.app()) as server:
        url = str(server.make_url("/asset"))
        try:
            yield HttpSource(url, hosts.size), HttpSink(url)
        finally:
            hosts.finished.set()


class Run(Protocol):
    def __call__(
        self, source: HttpSource, sink: HttpSink, **options: Any
    ) -> Coroutine[Any, Any, Piped[int]]: ...


@pytest.fixture(params=["here", "there"])
def run(request: pytest.FixtureRequest) -> Run:
    workers: Workers[None] = Workers(large=0, threads=2 if request.param == "there" else 0)

    async def copy(source: HttpSource, sink: HttpSink, **options: Any) -> Piped[int]:
        options = {
            "sha256": None,
            "clock": VirtualClock(),
            "retry": RetryPolicy(attempts=3),
            "stall_timeout": 10.0,
            "response_timeout": 10.0,
            "moved": lambda _: None,
            **options,
        }
        async with asyncio.timeout(30):
            return await workers.pipe(source, sink, **options)

    return copy


async def settled(hosts: Hosts) -> None:
    """Wait until the target noticed that an upload broke off."""
    for _ in range(100):
        if hosts.broken:
            return
        await asyncio.sleep(0.01)


async def test_whole(run: Run) -> None:
    """An asset arrives as it is."""
    hosts = Hosts()
    async with between(hosts) as (source, sink):
        piped = await run(source, sink, sha256=DIGEST)
    assert piped == Piped(len(DATA), DIGEST, len(DATA), 0)
    assert hosts.stored == [(len(DATA), DIGEST)]


async def test_empty(run: Run) -> None:
    """An asset without bytes is one, too, and its source is not asked."""
    hosts = Hosts(data=b"")
    async with between(hosts) as (source, sink):
        piped = await run(source, sink)
    assert piped.size == 0
    assert hosts.stored == [(0, hashlib.sha256().hexdigest())]
    assert hosts.ranges == []


async def test_cut_source(run: Run) -> None:
    """A source that is cut off in the middle goes on into the same upload."""
    hosts = Hosts(cuts=[MIB, 2 * MIB + 5])
    async with between(hosts) as (source, sink):
        piped = await run(source, sink, sha256=DIGEST)
    assert piped.resumed == 2
    assert hosts.ranges[0] == 0
    assert hosts.stored == [(len(DATA), DIGEST)]


async def test_early_refusal(run: Run) -> None:
    """A 422 in the middle of the upload is what is raised, although bytes are left."""
    hosts = Hosts(refuse_at=MIB)
    async with between(hosts) as (source, sink):
        with pytest.raises(ValidationFailed):
            await run(source, sink)
    assert hosts.stored == []


async def test_wrong_digest(run: Run) -> None:
    """Bytes that are not those promised never become a complete body at the target."""
    hosts = Hosts()
    async with between(hosts) as (source, sink):
        with pytest.raises(DigestMismatch):
            await run(source, sink, sha256="0" * 64)
        await settled(hosts)
    assert hosts.stored == []
    assert hosts.broken == 1


async def test_source_changed(run: Run) -> None:
    """The generator's own error is told, not what the HTTP library makes of it."""
    hosts = Hosts(cuts=[MIB])

    class Changing(HttpSource):
        @asynccontextmanager
        async def open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
            if offset:
                raise SourceChanged("replaced")
            async with super().open(offset) as chunks:
                yield chunks

    async with between(hosts) as (source, sink):
        with pytest.raises(SourceChanged):
            await run(Changing(source.url, source.size), sink)
        await settled(hosts)
    assert hosts.stored == []


async def test_source_ends_for_good(run: Run) -> None:
    """A source that never gives the last bytes leaves no complete body."""
    hosts = Hosts(cuts=[len(DATA) - 1] + [len(DATA) - 1] * 5)
    async with between(hosts) as (source, sink):
        with pytest.raises((ConnectionLost, ShortRead)):
            await run(source, sink)
        await settled(hosts)
    assert hosts.stored == []


async def test_stalled_target(run: Run) -> None:
    """A target that reads no more is given up."""
    hosts = Hosts(data=bytes(MIB), repeat=32, stall_at=1)
    async with between(hosts) as (source, sink):
        with pytest.raises(Stalled, match="the target took no byte"):
            await run(source, sink, stall_timeout=0.2)


async def test_cancelled(run: Run) -> None:
    """Cancelled in the middle, both connections end, and no complete body is left."""
    hosts = Hosts(data=bytes(MIB), repeat=32, stall_at=MIB)
    async with between(hosts) as (source, sink):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await run(source, sink)
        hosts.finished.set()
        await settled(hosts)
    assert hosts.stored == []


async def test_memory(run: Run) -> None:
    """200 MB against a target that reads slowly take a bounded amount of memory."""
    hosts = Hosts(data=random.Random(3).randbytes(MIB), repeat=200, pause=0.0005)  # noqa: S311
    peak = 0

    def rss() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def moved(done: int) -> None:
        nonlocal peak
        if done // (4 * MIB) % 2:
            peak = max(peak, rss())

    warm = Hosts()
    async with between(warm) as (source, sink):
        await run(source, sink)
    before = rss()
    async with between(hosts) as (source, sink):
        piped = await run(source, sink, moved=moved)
    assert piped.size == 200 * MIB
    assert peak - before < 30 * MIB
