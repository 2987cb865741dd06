"""Clients of one host in several threads: to the host, and in what they know of it, they are one."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from mirror.core.retry import RetryPolicy
from mirror.errors import AuthError, ConnectionLost, HostStopped, RateLimited, ShortRead, Stalled
from mirror.github import GitHubClient, TokenAuth
from mirror.github.settings import Limits
from mirror.github.shared_state import SharedState
from mirror.transfer.event_loops import ask, finish
from support.clock import VirtualClock
from support.fakehost import fake_host
from support.grouped import grouped
from support.threads import there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mirror.github.transport import RequestSeen

PART = b"0123456789" * 1000


def name() -> str:
    return threading.current_thread().name


def client(url: str, **settings: Any) -> GitHubClient:
    facts: dict[str, Any] = {
        "clock": VirtualClock(),
        "retry": RetryPolicy(2),
        "jitter": lambda: 0.0,
        "proxy": "",
        **settings,
    }
    auth = facts.pop("auth", TokenAuth(lambda: "secret"))
    return GitHubClient("ghe", url, None, auth, facts.pop("clock"), **grouped(facts))


@asynccontextmanager
async def pair(
    url: str, loop: asyncio.AbstractEventLoop, **settings: Any
) -> AsyncIterator[tuple[GitHubClient, GitHubClient]]:
    """A client here, and one of the same host and credential in another thread's loop."""
    settings = {"clock": VirtualClock(), "auth": TokenAuth(lambda: "secret"), **settings}
    async with client(url, **settings) as here:
        away = client(url, state=here.state, **settings)
        await ask(loop, away.__aenter__)
        try:
            yield here, away
        finally:
            await finish(loop, lambda: away.__aexit__(None, None, None))


async def read(ghe: GitHubClient, path: str) -> bytes:
    async with ghe.open_stream(path) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


async def chunks(count: int, seen: set[str]) -> AsyncIterator[bytes]:
    for _ in range(count):
        seen.add(name())
        yield PART


def upload(ghe: GitHubClient, url: str, count: int, seen: set[str]) -> Any:
    return ghe.upload(f"{url}/api/uploads/x", chunks(count, seen), count * len(PART), "x/y")


async def test_the_token_stays_with_its_origin() -> None:
    """A storage host gets no token, the API and its uploads do; each request is counted and told."""

    async def storage(_: web.Request) -> web.Response:
        return web.Response(body=PART)

    seen: list[RequestSeen] = []
    pulled: set[str] = set()

    async with fake_host(storage) as other:

        async def handler(request: web.Request) -> web.Response:
            if request.method == "POST":
                return web.json_response({"size": len(await request.read())}, status=201)
            return web.Response(status=302, headers={"Location": f"{other.url}/a?sig=x"})

        async with fake_host(handler, trusting=True) as host:
            with there() as loop:
                async with pair(host.url, loop, on_request=seen.append) as (ghe, away):
                    for _ in range(5):
                        assert await ask(loop, lambda: read(away, "a")) == PART
                    for _ in range(3):
                        answer = await ask(loop, lambda: upload(away, host.url, 3, pulled))
                        assert answer == {"size": 3 * len(PART)}
                    assert ghe.counts == away.counts
                    assert ghe.counts.total == 9  # the first proved the credential
                    assert len(host.seen) == 8
                    assert len(other.seen) == 5
                gc.collect()  # sessions that were left open would complain
    assert pulled == {"there"}
    assert all(request.headers["Authorization"] for request in host.seen)
    assert not [request for request in other.seen if "Authorization" in request.headers]
    assert len(seen) == 14
    assert {about.status for about in seen} == {302, 200, 201}


async def test_a_credential_that_was_renewed_is_tried() -> None:
    """After a 401 in between, the secret is read again and sent, by whichever client."""
    secrets = iter(["old", "new"])
    last = ""

    def secret() -> str:
        nonlocal last
        last = next(secrets, last)
        return last

    async def handler(request: web.Request) -> web.Response:
        if not request.headers["Authorization"].endswith("new"):
            return web.json_response({"message": "Bad credentials"}, status=401)
        return web.Response(body=PART)

    async with fake_host(handler) as host:
        with there() as loop:
            async with pair(host.url, loop, auth=TokenAuth(secret)) as (ghe, away):
                assert await ask(loop, lambda: read(away, "a")) == PART
                assert ghe.stopped is None
                before = len(host.seen)
                assert await read(ghe, "a") == PART
                assert len(host.seen) == before + 1


async def test_a_refused_credential_stops_the_host_once() -> None:
    """A 401 that stays is told, and nobody asks again, from whichever thread."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"message": "Bad credentials"}, status=401)

    async with fake_host(handler) as host:
        with there() as loop:
            async with pair(host.url, loop) as (ghe, away):
                with pytest.raises(AuthError):
                    await ask(loop, lambda: read(away, "a"))
                before = len(host.seen)
                for _ in range(3):
                    with pytest.raises(HostStopped):
                        await ask(loop, lambda: upload(away, host.url, 1, set()))
                    with pytest.raises(HostStopped):
                        await upload(ghe, host.url, 1, set())
                assert ghe.stopped
                assert len(host.seen) == before


async def test_a_limit_holds_everyone() -> None:
    """What an answer to a stream says of a limit is heeded by whoever asks next."""

    async def handler(_: web.Request) -> web.Response:
        headers = {"Retry-After": "30"}
        return web.json_response({"message": "slow down"}, status=429, headers=headers)

    clock = VirtualClock()
    async with fake_host(handler) as host:
        with there() as loop:
            async with pair(host.url, loop, clock=clock) as (ghe, away):
                with pytest.raises(RateLimited):
                    await ask(loop, lambda: read(away, "a"))
                for wait in (30, 60):
                    assert ghe.paused_until is not None
                    with pytest.raises(RateLimited):
                        await (ask(loop, lambda: read(away, "a")) if wait > 30 else read(ghe, "a"))
                    assert clock.seconds >= wait


async def test_after_a_connection_broke_none_is_kept() -> None:
    """A break that one thread meets is heeded in each."""
    connections: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        connections.append(request.transport)
        if request.path.endswith("/breaks"):
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b"x")

    async with fake_host(handler) as host:
        with there() as loop:
            async with pair(host.url, loop, retry=RetryPolicy(1)) as (ghe, away):
                for _ in range(3):
                    await ask(loop, lambda: read(away, "x"))
                with pytest.raises(ConnectionLost):
                    await ask(loop, lambda: read(away, "breaks"))
                before = len({*connections})
                for _ in range(3):
                    await ask(loop, lambda: read(away, "x"))
                    await read(ghe, "x")
                assert len({*connections}) == before + 6


@asynccontextmanager
async def several(url: str, threads: int, **settings: Any) -> AsyncIterator[Crowd]:
    """A client here, and one in each of several other threads; they work at once."""
    with ExitStack() as loops:
        async with AsyncExitStack() as stack:
            settings = {"clock": VirtualClock(), "auth": TokenAuth(lambda: "secret"), **settings}
            ghe = await stack.enter_async_context(client(url, **settings))
            away = []
            for _ in range(threads):
                loop = loops.enter_context(there())
                settings["state"] = ghe.state
                other = client(url, **settings)
                await ask(loop, other.__aenter__)
                stack.push_async_callback(finish, loop, partial(other.__aexit__, None, None, None))
                away.append((loop, other))
            yield Crowd(ghe, away)


@dataclass
class Crowd:
    """Clients of one host, in as many threads."""

    here: GitHubClient
    away: list[tuple[asyncio.AbstractEventLoop, GitHubClient]]

    async def all(self, work: Callable[[GitHubClient], Coroutine[Any, Any, Any]]) -> None:
        """Do some work with every client, all at once."""
        async with asyncio.TaskGroup() as group:
            group.create_task(work(self.here))
            for loop, ghe in self.away:
                group.create_task(ask(loop, partial(work, ghe)))


async def test_together_they_never_have_more_connections() -> None:
    """At no moment do all clients of a host together send more than ``max_connections`` requests.

    Each is counted exactly once, and so is each repetition.
    """
    now, most = 0, 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _turn in range(20):
            await asyncio.sleep(0)
        now -= 1
        return web.Response(body=PART)

    async def work(ghe: GitHubClient) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(take(ghe, repeated=number % 3 == 0))

    async def take(ghe: GitHubClient, *, repeated: bool) -> None:
        async with ghe.open_stream("a", repeated=repeated) as stream:
            assert b"".join([chunk async for chunk in stream.chunks]) == PART

    async with (
        fake_host(handler, trusting=True) as host,
        several(host.url, 3, max_connections=4) as crowd,
    ):
        await crowd.all(work)
        assert most == 4
        assert len(host.seen) == 120
        proofs = 1  # GET /meta
        assert crowd.here.counts.total == 120 + proofs
        assert crowd.here.counts.retried == 40
        for _ in range(4):
            await asyncio.wait_for(crowd.here.rate_limiter.take(write=False), 10)  # all are free


class Standing(VirtualClock):
    """A clock that stands still, and notes the waits."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_together_they_never_write_more() -> None:
    """All clients of a host together begin ``writes_per_minute`` writes in any minute."""
    times: list[float] = []

    async def handler(request: web.Request) -> web.Response:
        times.append(clock.monotonic())
        return web.json_response({"size": len(await request.read())}, status=201)

    async with fake_host(handler, trusting=True) as host:
        clock = VirtualClock()
        async with several(host.url, 3, clock=clock, writes_per_minute=30) as crowd:

            async def work(ghe: GitHubClient) -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(20):
                        group.create_task(upload(ghe, host.url, 1, set()))

            await crowd.all(work)
        assert len(host.seen) == 80
    assert all(sum(0 <= other - one < 60 for other in times) <= 30 for one in times)


async def test_one_request_proves_the_credential_of_all() -> None:
    """Streams that are begun in several threads at once wait for one proof."""
    proofs = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal proofs
        if request.path.endswith("/meta"):
            proofs += 1
            return web.json_response({})
        return web.Response(body=PART)

    async with fake_host(handler) as host, several(host.url, 3) as crowd:
        await crowd.all(lambda ghe: read(ghe, "a"))
        assert proofs == 1
        crowd.here.reset()
        await crowd.all(lambda ghe: read(ghe, "a"))
    assert proofs == 2


async def test_it_is_used_while_it_is_open() -> None:
    """Before and after its block a stream is refused in words."""
    ghe = client("http://127.0.0.1:9")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside its `async with` block"):
            await read(ghe, "a")
        with pytest.raises(RuntimeError, match="inside its `async with` block"):
            await upload(ghe, "http://127.0.0.1:9", 1, set())
        async with ghe:
            pass


@dataclass
class Endless:
    """A host whose bodies never end; ``open`` are the connections that stand."""

    url: str = ""
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    served: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.served += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nfirst")
            await reader.read()  # until the other side leaves
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@asynccontextmanager
async def endless() -> AsyncIterator[Endless]:
    host = Endless()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    async with server:
        host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield host


async def test_cancelled_at_any_moment() -> None:
    """No slot is lost, and no answer that nobody took is left for the collector of garbage."""
    async with endless() as host:
        with there() as loop:
            loop.set_debug(True)  # complains of answers that were not closed, and of wrong threads
            limits = {"max_connections": 2, "stall_timeout": 30.0}
            async with pair(host.url, loop, **limits) as (ghe, away):
                for turns in range(120):
                    async with asyncio.TaskGroup() as group:
                        task = group.create_task(ask(loop, lambda: read(away, "a")))
                        for _ in range(turns % 25):
                            await asyncio.to_thread(name)  # each thread gets a turn
                        if turns > 60:
                            await until(lambda turns=turns: host.served > turns - 61)  # type: ignore[misc]
                        task.cancel()
                        for _ in range(turns % 3):
                            await asyncio.sleep(0)
                            task.cancel()
                    assert task.cancelled()
                gc.collect()
                await until(lambda: not host.open)
                assert host.served > 50
                async with ghe.rate_limiter.slot(), ghe.rate_limiter.slot():  # all are free
                    pass


async def until(good: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not good():  # noqa: ASYNC110 - a turn of the loop, not a wait
            await asyncio.sleep(0)


# --- what arrives, pulled in either way -----------------------------------------------------------


async def pulled(ghe: GitHubClient, path: str, ways: str) -> tuple[bytes, Exception | None]:
    """Read by taking what is at hand (``h``) and by waiting (``w``) in turn; the end, or its error."""
    got, at = b"", 0
    try:
        async with ghe.open_stream(path) as stream:
            while True:
                way, at = ways[at % len(ways)], at + 1
                if way == "h":
                    chunk = stream.chunks.at_hand()
                else:
                    chunk = await anext(stream.chunks, b"")
                    if not chunk:
                        return got, None
                got += chunk
                await asyncio.sleep(0)
    except (ConnectionLost, Stalled, ShortRead) as error:
        return got, error


@pytest.mark.parametrize("ways", ["w", "hw", "wh", "hhw", "whww"])
async def test_either_way_comes_to_the_same(ways: str) -> None:
    """The bytes, and what ends them, are the same however they are pulled."""
    hold = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        what = request.path.rpartition("/")[2]
        response = web.StreamResponse()
        response.content_length = len(PART) * 3
        await response.prepare(request)
        for _ in range(3 if what == "whole" else 2):
            await response.write(PART)
            await asyncio.sleep(0)
        if what == "stalls":
            await hold.wait()
        if what != "whole":
            assert request.transport is not None
            request.transport.close()
        return response

    async with (
        fake_host(handler, trusting=True) as host,
        client(host.url, stall_timeout=0.1) as ghe,
    ):
        for what, size, kind in (("whole", 3, None), ("breaks", 2, ConnectionLost)):
            got, error = await pulled(ghe, what, ways)
            assert type(error) is (kind or type(None))
            assert kind or got == size * PART
            assert PART * 3 >= got == (PART * 3)[: len(got)]
        got, error = await pulled(ghe, "stalls", ways)
        hold.set()
        assert type(error) is Stalled
        assert got == 2 * PART


@pytest.mark.parametrize("state", ["open", "half-open"])
def test_a_new_pass_tries_every_lane(state: str) -> None:
    """The last pass may have ended while a probe was in flight, with many transfers refused."""
    shared = SharedState("ghe", VirtualClock(), Limits(), github=False)
    lane = shared.breakers["download"]
    lane.trip(0, ConnectionLost("down"))
    assert sum(lane.allows(1) for _ in range(20)) == 5
    if state == "open":
        lane.trip(1, ConnectionLost("still down"))
    assert lane.state == state
    shared.revive()
    assert lane.allows(1)
