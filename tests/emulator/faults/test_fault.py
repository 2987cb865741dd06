"""Every kind of fault, as a client meets it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import KINDS, Fault, Generated

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"
OCTETS = {"Accept": "application/octet-stream"}
BODY = b"hello world"


@pytest.fixture
async def host(start: Callable[..., Any]) -> Any:
    """A host that answers downloads itself."""
    return await start(direct_download=True)


async def download(host: Any, **headers: str) -> Any:
    asset = host.state.asset("octo/tool", "v1.0.0", "tool.txt")
    return await host.get(f"{R}/assets/{asset.id}", **OCTETS, **headers)


async def test_status(host: Any) -> None:
    """Answered as scripted; nothing is done, and the next request is served."""
    host.state.faults.add(
        Fault(
            kind="status",
            route="create-release",
            status=503,
            headers={"Retry-After": "7"},
            body="{}",
        )
    )
    document = {"tag_name": "v2", "draft": True}
    reply = await host.send("POST", R, json=document)
    assert (reply.status, reply.headers["Retry-After"], reply.body) == (503, "7", b"{}")
    assert len(host.state.releases("octo/tool")) == 1
    assert (await host.send("POST", R, json=document)).status == 201


async def test_delay(host: Any) -> None:
    """Time passes first; another fault comes after it."""
    host.state.faults.add(Fault(kind="delay", seconds=0.05), Fault(kind="status", status=500))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await host.get("/meta")).status == 500
    assert loop.time() - begun >= 0.05


async def test_reset(host: Any) -> None:
    """The connection is reset and nothing is done."""
    host.state.faults.add(Fault(kind="reset", route="create-release"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.send("POST", R, json={"tag_name": "v2"})
    assert len(host.state.releases("octo/tool")) == 1


@pytest.mark.parametrize("kind", ["lost-reply", "lost-reply-status"])
async def test_lost_reply(host: Any, kind: Any) -> None:
    """The request is done; its answer is not seen."""
    host.state.faults.add(Fault(kind=kind, route="create-release", status=502))
    if kind == "lost-reply":
        with pytest.raises(aiohttp.ClientConnectionError):
            await host.send("POST", R, json={"tag_name": "v2"})
    else:
        assert (await host.send("POST", R, json={"tag_name": "v2"})).status == 502
    assert host.state.release("octo/tool", "v2").draft is False


async def test_a_lost_reply_of_an_upload(host: Any) -> None:
    """The asset is there, whole."""
    draft = await host.draft()
    host.state.faults.add(Fault(kind="lost-reply", route="upload-asset"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.upload(draft["id"], "a")
    assert host.state.asset("octo/tool", "v9", "a").state == "uploaded"


async def test_reset_midway(host: Any) -> None:
    """The bytes before it arrive, then the connection is reset."""
    size, stop = 5_000_000, 3_456_789
    asset = host.state.add_asset("octo/tool", "v1.0.0", "big", Generated(seed=1, size=size))
    host.state.faults.add(Fault(kind="reset-midway", route="download-asset", at_byte=stop))
    url = f"{host.emulator.api_url}{R}/assets/{asset.id}"
    got: list[int] = []

    async def count() -> None:
        async with host.session.get(url, headers={**OCTETS, "Authorization": "Bearer t0ken"}) as r:
            async for chunk in r.content.iter_any():
                got.append(len(chunk))  # noqa: PERF401 - what came before the break counts

    with pytest.raises((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        await count()
    assert sum(got) == stop
    assert host.state.requests[-1].bytes_out == stop


async def test_truncate(host: Any) -> None:
    """With the length announced the client can tell; without it, it cannot."""
    host.state.faults.add(
        Fault(kind="truncate", route="download-asset", at_byte=5),
        Fault(kind="truncate", route="download-asset", at_byte=5, keep_length=False, nth=2),
    )
    with pytest.raises(aiohttp.ClientPayloadError):
        await download(host)
    reply = await download(host)
    assert (reply.status, reply.body) == (200, b"hello")


async def test_stall(host: Any) -> None:
    """The body stops; after `seconds` it goes on, without it only the client ends it."""
    host.state.faults.add(
        Fault(kind="stall", route="download-asset", at_byte=5, seconds=0.05),
        Fault(kind="stall", route="download-asset", at_byte=5, nth=2),
    )
    assert (await download(host)).body == BODY
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await download(host)


async def test_an_upload_stalls(host: Any) -> None:
    """Nothing more is read; when the client gives up, a starter is left."""
    draft = await host.draft()
    changed = asyncio.Event()
    host.state.change_listeners.append(changed.set)
    host.state.faults.add(Fault(kind="stall", route="upload-asset", at_byte=3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await host.upload(draft["id"], "a")
    release = host.state.release("octo/tool", "v9")
    await changed.wait()
    assert release.assets[0].state == "starter"


async def test_slow(host: Any) -> None:
    """Bytes flow at the rate."""
    host.state.add_asset("octo/tool", "v1.0.0", "big", b"x" * 10_000)
    host.state.faults.add(Fault(kind="slow", route="download-asset", rate=100_000))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    asset = host.state.asset("octo/tool", "v1.0.0", "big")
    reply = await host.get(f"{R}/assets/{asset.id}", **OCTETS)
    assert reply.body == b"x" * 10_000
    assert loop.time() - begun >= 0.07


async def test_corrupt(host: Any) -> None:
    """One byte is another, the length is right."""
    host.state.faults.add(Fault(kind="corrupt", route="download-asset", at_byte=4))
    assert (await download(host)).body == b"hell" + bytes([ord("o") ^ 0xFF]) + b" world"


@pytest.mark.parametrize(("announced", "seen"), [(5, b"hello"), (99, None)])
async def test_wrong_length(host: Any, announced: int, seen: bytes | None) -> None:
    """Announced too small, what is too much comes as if unasked; too large, the end is missing."""
    host.state.faults.add(Fault(kind="wrong-length", route="download-asset", at_byte=announced))
    if seen is None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await download(host)
    else:
        assert (await download(host)).body == seen
    with contextlib.suppress(aiohttp.ClientError):  # the connection may be spoilt
        await download(host)
    assert (await download(host)).body == BODY


async def test_the_answer_to_an_upload_breaks(host: Any) -> None:
    """Its body was read; the answer's is what is cut."""
    draft = await host.draft()
    host.state.faults.add(Fault(kind="truncate", route="upload-asset", at_byte=5, way="out"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await host.upload(draft["id"], "a")
    assert host.state.asset("octo/tool", "v9", "a").state == "uploaded"


@pytest.mark.parametrize("kind", ["reset-midway", "stall"])
async def test_the_body_of_a_request_breaks(host: Any, kind: Any) -> None:
    """Some of it is read, and nothing is done."""
    host.state.faults.add(Fault(kind=kind, route="create-release", at_byte=5, way="in"))
    with pytest.raises((aiohttp.ClientConnectionError, TimeoutError)):
        async with asyncio.timeout(0.1):
            await host.send("POST", R, json={"tag_name": "v2"})
    assert len(host.state.releases("octo/tool")) == 1
    host.state.faults.add(Fault(kind="slow", route="create-release", rate=10_000, way="in"))
    assert (await host.send("POST", R, json={"tag_name": "v2"})).status == 201


async def test_html(host: Any) -> None:
    """200 with a page where JSON or bytes should be."""
    host.state.faults.add(Fault(kind="html"))
    reply = await download(host)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


async def test_broken_json(host: Any) -> None:
    """JSON that ends in the middle."""
    host.state.faults.add(Fault(kind="broken-json"))
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated|delimiter"):
        await host.get(R)


async def test_wrong_types(host: Any) -> None:
    """Every value has another type."""
    host.state.faults.add(Fault(kind="wrong-types"))
    release = (await host.get(R)).json[0]
    assert isinstance(release["tag_name"], int)
    assert isinstance(release["id"], str)
    assert isinstance(release["assets"], dict)


async def test_redirect(host: Any) -> None:
    """To wherever it is told."""
    host.state.faults.add(Fault(kind="redirect", status=307, location="http://elsewhere.invalid/"))
    reply = await host.get(R)
    assert (reply.status, reply.headers["Location"]) == (307, "http://elsewhere.invalid/")


async def test_a_redirect_without_an_end(host: Any) -> None:
    """Each hop leads to another address, which is hit again."""
    endless = "{path}?{query}&hop={n}"
    host.state.faults.add(Fault(kind="redirect", location=endless, times=2))
    first = await host.get(f"{R}?page=1")
    assert first.headers["Location"].endswith(f"{R}?page=1&hop=1")
    there = host.emulator.url + first.headers["Location"]
    second = await host.get(there)
    assert second.headers["Location"].endswith("?page=1&hop=1&hop=2")
    assert (await host.get(there)).status == 200


async def test_early_answer(host: Any) -> None:
    """The answer is there although the body was not read."""
    draft = await host.draft()
    host.state.faults.add(Fault(kind="early-answer", route="upload-asset", status=422, seconds=0.1))
    asked = asyncio.Event()

    async def endless() -> Any:
        yield b"x"
        await asked.wait()

    async with asyncio.timeout(5):
        reply = await host.upload(draft["id"], "a", endless(), Content_Length="1000000")
    assert reply.status == 422
    assert host.state.release("octo/tool", "v9").assets == []


def test_a_fault_that_cannot_happen_is_refused(host: Any) -> None:
    """A test must not pass because of a slip of the pen."""
    with pytest.raises(ValueError, match="no route"):
        host.state.faults.add(Fault(kind="reset", route="list-release"))
    with pytest.raises(ValueError, match="unknown kind"):
        Fault(kind="reset-mid")  # type: ignore[arg-type]
    for wrong in ({"nth": 0}, {"times": 0}):
        with pytest.raises(ValueError, match="begin at 1"):
            Fault(kind="reset", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate"):
        Fault(kind="slow")
    with pytest.raises(ValueError, match="location"):
        Fault(kind="redirect")
    with pytest.raises(ValueError, match="nothing lags"):
        Fault(kind="lag", route="upload-asset")
    with pytest.raises(ValueError, match="unknown keys"):
        Fault.from_json({"kind": "reset", "rout": "*"})
    assert len(KINDS) == 18
