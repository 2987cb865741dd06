"""Reading an asset from any place, and sending it once."""

from __future__ import annotations

import hashlib
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pytest
from aiohttp import web

from mirror.core.domain.release import Asset, RepoRef
from mirror.emulator import Emulator, Fault, GitHubState
from mirror.errors import (
    BadAnswer,
    ConnectionLost,
    GitHubError,
    MirrorError,
    NotFound,
    ShortRead,
    SourceChanged,
    ValidationFailed,
)
from mirror.github import (
    AssetSink,
    AssetSource,
    GitHubClient,
    RefusedAddress,
    ReleaseStore,
    StorageError,
    TokenAuth,
)
from support.clock import VirtualClock
from support.fakehost import FakeHost, Handler, fake_host
from support.grouped import grouped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPO = RepoRef("octo", "tool")


@runtime_checkable
class HasAtHand(Protocol):
    def at_hand(self) -> bytes: ...


DATA = hashlib.shake_256(b"asset").digest(300_000)


def asset(size: int = len(DATA), content_type: str = "application/octet-stream") -> Asset:
    return Asset(7, "a.bin", size, content_type)


def client(url: str, **settings: Any) -> GitHubClient:
    return GitHubClient(
        "source",
        url,
        None,
        TokenAuth(lambda: "t"),
        VirtualClock(),
        **grouped({"proxy": "", **settings}),
    )


@asynccontextmanager
async def source(
    handler: Handler, what: Asset | None = None
) -> AsyncIterator[tuple[AssetSource, FakeHost]]:
    async with fake_host(handler, trusting=True) as host, client(host.url) as github:
        yield AssetSource(github, REPO, what or asset()), host


async def read(reader: AssetSource, offset: int = 0) -> bytes:
    async with reader.open(offset) as chunks:
        return b"".join([chunk async for chunk in chunks])


@asynccontextmanager
async def emulated(**facts: Any) -> AsyncIterator[tuple[GitHubState, ReleaseStore, AssetSource]]:
    state = GitHubState(version="3.17", **facts)
    state.add_token("t", login="bot", admin=True)
    state.add_repository("octo/tool")
    state.add_release("octo/tool", "v1", assets={"a.bin": DATA})
    async with Emulator(state) as emulator, client(emulator.url) as github:
        store = ReleaseStore(github)
        (release,) = (await store.list_releases(REPO)).releases
        yield state, store, AssetSource(github, REPO, release.assets[0])


@pytest.mark.parametrize("direct_download", [True, False])
@pytest.mark.parametrize("ignore_range", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 150_000, len(DATA) - 1])
async def test_an_asset_is_read_from_any_place(
    offset: int, *, direct_download: bool, ignore_range: bool
) -> None:
    """Sent by the API or by storage, from the offset or skipped up to it: the bytes are the same."""
    async with emulated(direct_download=direct_download, ignore_range=ignore_range) as (
        _,
        _,
        reader,
    ):
        assert reader.size == len(DATA)
        assert await read(reader) == DATA
        assert await read(reader, offset) == DATA[offset:]


@pytest.mark.parametrize("kind", ["reset-midway", "truncate"])
@pytest.mark.parametrize("route", ["download-asset", "storage-download"])
async def test_a_download_that_breaks_is_resumed_where_it_broke(kind: Any, route: str) -> None:
    """Both halves together are the asset."""
    async with emulated(direct_download=route == "download-asset") as (state, _, reader):
        state.faults.add(Fault(kind=kind, route=route, at_byte=100_000))
        got: list[bytes] = []
        with pytest.raises(MirrorError) as caught:
            await gather(reader, got)
        assert caught.value.retryable
        half = b"".join(got)
        assert 0 < len(half) < len(DATA)
        assert half + await read(reader, len(half)) == DATA


async def gather(reader: AssetSource, got: list[bytes]) -> None:
    async with reader.open(0) as chunks:
        async for chunk in chunks:
            got.append(chunk)  # noqa: PERF401 - what came before the failure counts


async def test_a_deleted_asset_is_absent_at_first_and_changed_later() -> None:
    """Before the first byte it is not found; in the middle of it it was replaced."""
    async with emulated() as (_, store, reader):
        assert await read(reader) == DATA
        (release,) = (await store.list_releases(REPO)).releases
        await store.delete_asset(REPO, release.assets[0].id)
        with pytest.raises(NotFound):
            await read(reader)
        with pytest.raises(SourceChanged):
            await read(reader, 10)


async def test_an_address_that_expired_is_asked_for_again() -> None:
    """A signed address lives for minutes: a refusal of storage costs one more request, not the asset."""
    refusals = 1

    async def handler(_: web.Request) -> web.Response:
        nonlocal refusals
        if refusals:
            refusals -= 1
            return web.Response(status=403)
        return web.Response(body=DATA)

    async with fake_host(handler) as storage:

        async def api(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{storage.url}/a?sig=x"})

        async with source(api) as (reader, host):
            assert await read(reader) == DATA
            assert len(host.seen) == 2
            refusals = 9
            with pytest.raises(StorageError):
                await read(reader)
            assert len(host.seen) == 4


async def test_a_storage_address_is_asked_for_in_advance() -> None:
    """The next opening needs no request to the API, unless the address is old or refused."""
    refusals = 0
    asked: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        nonlocal refusals
        asked.append(request.headers.get("Authorization"))
        if refusals:
            refusals -= 1
            return web.Response(status=403)
        return web.Response(body=DATA)

    async with fake_host(handler) as storage:

        async def api(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{storage.url}/a?sig=x"})

        async with source(api) as (reader, host):
            assert not await reader.locate()  # whether this host has a storage is not known yet
            assert await read(reader) == DATA
            assert len(host.seen) == 1
            assert await reader.locate()
            assert (len(host.seen), len(asked)) == (2, 1)
            assert await read(reader) == DATA
            assert (len(host.seen), len(asked)) == (2, 2)
            await reader.locate()
            await reader.client.clock.sleep(61)
            assert await read(reader) == DATA
            assert (len(host.seen), len(asked)) == (4, 3)
            await reader.locate()
            refusals = 1
            retried = reader.client.counts.retried
            assert await read(reader) == DATA
            assert (len(host.seen), len(asked)) == (6, 5)
            assert reader.client.counts.retried == retried + 1
            assert set(asked) == {None}


async def test_no_address_is_asked_for_where_the_api_sends_the_bytes() -> None:
    """A request in advance would be one in vain."""
    async with emulated(direct_download=True) as (state, _, reader):
        assert await read(reader) == DATA
        before = len(state.requests)
        assert not await reader.locate()
        assert len(state.requests) == before


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (416, {}, SourceChanged),
        (206, {"Content-Range": "bytes 10-299999/300000", "ETag": '"b"'}, SourceChanged),
        (206, {"Content-Range": "bytes 10-300000/300001", "ETag": '"a"'}, SourceChanged),
        (206, {"Content-Range": "bytes 0-299999/300000", "ETag": '"a"'}, BadAnswer),
        (206, {}, BadAnswer),
        (200, {"ETag": '"b"'}, SourceChanged),
    ],
)
async def test_what_changed_in_between_is_never_joined(
    status: int, headers: dict[str, str], kind: type[MirrorError]
) -> None:
    """Another ETag, another size, another place: two halves of different files make no asset."""

    async def handler(request: web.Request) -> web.Response:
        if "Range" not in request.headers:
            return web.Response(body=DATA, headers={"ETag": '"a"'})
        return web.Response(
            status=status, body=DATA[10:] if status == 206 else DATA, headers=headers
        )

    async with source(handler) as (reader, host):
        await read(reader)
        with pytest.raises(kind):
            await read(reader, 10)
        assert host.seen[1].headers["Range"] == "bytes=10-"
        assert host.seen[1].headers["If-Range"] == '"a"'


async def test_a_weak_etag_is_no_condition_for_a_range() -> None:
    """If-Range wants a strong one; with a weak one the answer's own is compared."""

    async def handler(request: web.Request) -> web.Response:
        headers = {"ETag": 'W/"a"'}
        if "Range" in request.headers:
            headers["Content-Range"] = f"bytes 10-{len(DATA) - 1}/{len(DATA)}"
            return web.Response(status=206, body=DATA[10:], headers=headers)
        return web.Response(body=DATA, headers=headers)

    async with source(handler) as (reader, host):
        await read(reader)
        assert await read(reader, 10) == DATA[10:]
        assert "If-Range" not in host.seen[1].headers


PAGE = b"<html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("body", "headers", "kind", "words"),
    [
        (PAGE, {"Content-Type": "text/html; charset=utf-8"}, BadAnswer, "login page"),
        (b'{"id": 7}', {"Content-Type": "application/json"}, BadAnswer, "json"),
        (b"x", {"Content-Encoding": "gzip", "Content-Type": "text/html"}, BadAnswer, "proxy"),
        (b"x", {"Content-Type": "application/zip"}, SourceChanged, "1 bytes now"),
    ],
)
async def test_something_else_is_never_an_asset(
    body: bytes, headers: dict[str, str], kind: type[MirrorError], words: str
) -> None:
    """A login page, the asset's description, what a proxy compressed: told, and not mirrored."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async with source(handler) as (reader, _):
        with pytest.raises(kind, match=words):
            await read(reader)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAGE, {"Content-Type": "text/html"}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}),
    ],
)
async def test_pages_documents_and_stored_gzip_can_be_assets(
    body: bytes, headers: dict[str, str]
) -> None:
    """With the right length they are what was asked for, byte for byte."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async with source(handler, asset(len(body))) as (reader, _):
        assert await read(reader) == body


@pytest.mark.parametrize(
    ("sent", "words"), [(len(DATA) - 1, "ended after"), (len(DATA) + 1, "more than")]
)
async def test_bytes_are_counted(sent: int, words: str) -> None:
    """Without a Content-Length a short body looks whole: only counting tells."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        await response.write((DATA + b"!")[:sent])
        return response

    async with source(handler) as (reader, _):
        with pytest.raises(ShortRead, match=words):
            await read(reader)


@pytest.mark.parametrize("ways", ["w", "hw", "wh", "hhw"])
@pytest.mark.parametrize(
    ("sent", "offset", "words"),
    [
        (len(DATA), 0, ""),
        (len(DATA), 123_456, ""),  # all of it, although a part was asked for
        (len(DATA) - 1, 0, "ended after"),
        (len(DATA) - 1, 123_456, "ended after"),
        (len(DATA) + 1, 0, "more than"),
        (3 * len(DATA), 123_456, "more than"),
    ],
)
async def test_what_is_at_hand_is_counted_too(
    ways: str, sent: int, offset: int, words: str
) -> None:
    """Taking what is at hand (h) and waiting (w), in any order, come to the same as waiting."""
    body = (DATA * 3 if sent > len(DATA) + 1 else DATA + b"!")[:sent]

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        for at in range(0, sent, 70_000):
            await response.write(body[at : at + 70_000])
        return response

    async def pull(got: list[bytes]) -> None:
        async with reader.open(offset) as chunks:
            assert isinstance(chunks, HasAtHand)
            take = chunks.at_hand
            for way in itertools.cycle(ways):
                if way == "h":
                    got.append(take())
                elif chunk := await anext(chunks, b""):
                    got.append(chunk)
                else:
                    return

    got: list[bytes] = []
    async with source(handler) as (reader, _):
        if words:
            with pytest.raises(ShortRead, match=words):
                await pull(got)
        else:
            await pull(got)
    whole = b"".join(got)
    assert whole == DATA[offset:] if not words else DATA[offset:].startswith(whole)


async def test_a_reader_may_stop_early() -> None:
    """Leaving the block ends the download, and its connection is free again."""
    async with emulated() as (_, store, reader):
        for _ in range(40):  # more than there are connections
            async with reader.open(0) as chunks:
                async for _chunk in chunks:
                    break
        await store.latest(REPO)


# --- sending --------------------------------------------------------------------------------------


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


@pytest.mark.parametrize("name", ["a+b.bin", "ä ö.txt", "a&name=b#c?.zip", "100%.txt", "発.bin"])
async def test_names_and_labels_arrive_as_they_are(name: str) -> None:
    """Everything special is encoded: `+` is no space, `&` begins no parameter."""
    seen: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.query["name"], request.query["label"]))
        await request.read()
        return web.json_response({"id": 1, "name": "x", "size": 1, "state": "uploaded"}, status=201)

    async with fake_host(handler, trusting=True) as host, client(host.url) as github:
        url = f"{host.url}/api/uploads/repos/o/r/releases/1/assets{{?name,label}}"
        await AssetSink(github, url, name, f"label of {name}").send(body(b"x"), 1)
    assert seen == [(name, f"label of {name}")]


async def test_an_upload_gives_the_asset_as_the_host_has_it() -> None:
    """Its name there, its size, its digest."""
    async with emulated() as (_, store, _):
        (release,) = (await store.list_releases(REPO)).releases
        sink = AssetSink(store.client, release.upload_url, "b c.bin", "a label", "application/zip")
        made = await sink.send(body(DATA), len(DATA))
    assert (made.name, made.label, made.size) == ("b.c.bin", "a label", len(DATA))
    assert made.content_type == "application/zip"
    assert made.sha256 == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("image/svg+xml", "image/svg+xml"),
        ("a/b\r\nX-Evil: 1", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("\x1b[31m/ü", "application/octet-stream"),
    ],
)
async def test_a_content_type_that_is_none_is_not_passed_on(given: str, sent: str) -> None:
    """It comes from a source, and goes into a header."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"id": 1, "name": "x", "size": 1, "state": "uploaded"}, status=201)

    async with fake_host(handler, trusting=True) as host, client(host.url) as github:
        await AssetSink(github, f"{host.url}/u", "x", content_type=given).send(body(b"x"), 1)
    assert host.seen[0].headers["Content-Type"] == sent


async def test_an_upload_elsewhere_is_refused() -> None:
    """An upload_url of a stranger gets no token."""
    async with emulated() as (_, store, _):
        with pytest.raises(RefusedAddress):
            await AssetSink(store.client, "https://uploads.github.com/x{?name,label}", "b").send(
                body(b"x"), 1
            )


@pytest.mark.parametrize(
    ("fault", "kind", "ambiguous"),
    [
        (Fault(kind="lost-reply", route="upload-asset"), ConnectionLost, True),
        (Fault(kind="lost-reply-status", route="upload-asset", status=502), GitHubError, True),
        (Fault(kind="reset-midway", route="upload-asset", at_byte=100_000), ConnectionLost, None),
        (Fault(kind="broken-json", route="upload-asset"), BadAnswer, True),
        (Fault(kind="wrong-types", route="upload-asset"), BadAnswer, True),
        (
            Fault(kind="early-answer", route="upload-asset", status=422, seconds=5),
            ValidationFailed,
            False,
        ),
    ],
)
async def test_an_upload_that_fails_tells_whether_it_may_be_there(
    fault: Fault, kind: type[GitHubError], *, ambiguous: bool | None
) -> None:
    """What may be there is looked for, never sent again blindly."""
    async with emulated() as (state, store, _):
        (release,) = (await store.list_releases(REPO)).releases
        state.faults.add(fault)
        with pytest.raises(kind) as caught:
            await AssetSink(store.client, release.upload_url, "b").send(body(DATA), len(DATA))
        if ambiguous is not None:
            assert caught.value.ambiguous is ambiguous
        assert state.count(route="upload-asset") == 1
