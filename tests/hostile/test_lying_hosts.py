"""Hosts that lie over a socket: listings without end, answers without end, places elsewhere."""

from __future__ import annotations

import gzip
import re
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from hostile.lies import ASSET, RELEASE, one_line
from mirror.core.domain.release import Asset, RepoRef
from mirror.core.ledger.index import PageProof
from mirror.core.retry import RetryPolicy
from mirror.errors import BadAnswer, GitHubError, MirrorError
from mirror.github import AssetSink, AssetSource, GitHubClient, ReleaseStore, TokenAuth
from mirror.github.pages import MOST_PAGES
from mirror.github.settings import Network
from mirror.github.transport import LARGEST_ANSWER
from support.clock import VirtualClock
from support.fakehost import FakeHost, Handler, fake_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPO = RepoRef("octo", "tool")
TOKEN = "the-token-of-this-test"


@asynccontextmanager
async def asked(
    handler: Handler, attempts: int = 2
) -> AsyncIterator[tuple[FakeHost, ReleaseStore]]:
    async with fake_host(handler) as host:
        client = GitHubClient(
            "host",
            host.url,
            host.url,
            TokenAuth(lambda: TOKEN),
            VirtualClock(),
            network=Network(proxy=""),
            retry=RetryPolicy(attempts),
            jitter=lambda: 0.0,
        )
        async with client:
            yield host, ReleaseStore(client)


def _next(number: int) -> dict[str, str]:
    return {"Link": f'<?per_page=100&page={number}>; rel="next"'}


async def test_a_listing_without_end_ends() -> None:
    """Each page names another one, for ever: after so many pages it is refused."""
    numbers = count(2)

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([], headers=_next(next(numbers)))

    async with asked(handler) as (host, store):
        with pytest.raises(BadAnswer, match="do not end after"):
            await store.list_releases(REPO)
        assert len(host.seen) == MOST_PAGES


async def test_pages_of_tags_that_form_a_loop_end() -> None:
    """The list of all tags is read for those that are wanted; its last page names its first."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([], headers=_next(2))

    async with asked(handler) as (host, store):
        with pytest.raises(BadAnswer, match="form a loop"):
            await store.tags(REPO, [f"v{number}" for number in range(9)])
        assert len(host.seen) == 2


@pytest.mark.parametrize("packed", [True, False], ids=["compressed", "plain"])
async def test_an_answer_without_end_ends(packed: bool) -> None:
    """An answer that would fill the memory is given up, also one that comes as a few bytes."""
    content = b" " * 2**20
    if packed:
        content = gzip.compress(b" " * (LARGEST_ANSWER + 1), 1)

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/json"} | (
            {"Content-Encoding": "gzip"} if packed else {}
        )
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for _ in range(1 if packed else LARGEST_ANSWER // len(content) + 2):
            await response.write(content)
        return response

    async with asked(handler, attempts=1) as (_, store):
        with pytest.raises(MirrorError) as caught:
            await store.client.get("repos/octo/tool")
        assert packed or re.search(r"more than \d+ bytes", str(caught.value))


async def test_an_etag_that_no_header_can_carry_is_none() -> None:
    """A validator of any bytes does not keep the next pass from asking."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([RELEASE], headers={"ETag": '"\u00e9"'})

    async with asked(handler) as (host, store):
        listing = await store.list_releases(REPO)
        assert [page.etag for page in listing.pages] == [""]
        assert (await store.list_releases(REPO, listing.pages)).unchanged
        assert len(host.seen) == 2


@pytest.mark.parametrize("url", ["https://[", "http://127.0.0.1:9/x", "ftp://x/", ""])
async def test_proofs_of_another_place_prove_nothing(url: str) -> None:
    """What a file says of pages is asked for at the host, or not at all."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([RELEASE])

    async with asked(handler) as (host, store):
        (proof,) = (await store.list_releases(REPO)).pages
        listing = await store.list_releases(REPO, [proof, PageProof(url, '"e"', "f")])
        assert not listing.unchanged
        assert len(listing.releases) == 1
        assert len(host.seen) == 2


@pytest.mark.parametrize(
    "sha", ["", "../../../../user", "0" * 39, "0" * 41, "x" * 40, "0" * 39 + "\n", None, 7]
)
async def test_a_commit_that_is_none_is_not_asked_for(sha: Any) -> None:
    """The name of an object becomes a part of an address: it is one, or the answer is bad."""

    async def handler(request: web.Request) -> web.Response:
        assert request.path.endswith("/git/ref/tags/v1")
        return web.json_response({"object": {"type": "tag", "sha": sha}})

    async with asked(handler) as (_, store):
        with pytest.raises(BadAnswer, match="sha"):
            await store.tags(REPO, ["v1"])


@pytest.mark.parametrize(
    "value",
    [
        "bytes 1-2/3",
        f"bytes {'9' * 5000}-{'9' * 5000}/{'9' * 5000}",
        f"bytes 5-9/{'9' * 5000}",
        "bytes \u0665-9/10",
        "bytes 5-9/11",
        "bytes */10",
        "bytes",
        "",
        "5-9/10",
        "bytes -5-9/10",
    ],
)
async def test_a_part_that_was_not_asked_for_is_refused(value: str) -> None:
    """A ``Content-Range`` of anything: another part is never taken for the one that is missing."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=206, body=b"56789", headers={"Content-Range": value})

    async with asked(handler) as (_, store):
        source = AssetSource(store.client, REPO, Asset(1, "a", 10))
        with pytest.raises(MirrorError):
            async with source.open(5) as chunks:
                [chunk async for chunk in chunks]


@pytest.mark.parametrize("content", ["ä", "====", "a", "\n", None])
async def test_a_readme_of_anything_is_one_or_refused(content: Any) -> None:
    """The content of a file is Base64, or the answer is bad."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"content": content})

    async with asked(handler) as (_, store):
        try:
            await store.read_file(REPO, "README.md")
        except BadAnswer as error:
            one_line(error)


@pytest.mark.parametrize("answer", [{}, {"enabled": None}, {"enabled": "false"}, []])
async def test_actions_are_off_only_where_a_host_says_so(answer: Any) -> None:
    """A missing word does not mean that pushed tags start nothing."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    async with asked(handler) as (_, store):
        with pytest.raises(BadAnswer):
            await store.actions_enabled(REPO)


@pytest.mark.parametrize(
    "reply",
    [
        {**ASSET, "state": None},
        {**ASSET, "size": "1024"},
        {**ASSET, "id": -1},
        {**ASSET, "name": "\ud800"},
        [],
        None,
        7,
    ],
)
async def test_the_answer_of_an_upload_leaves_open_what_was_done(reply: Any) -> None:
    """A bad answer to an upload is looked into, not repeated: it may have been carried out."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(reply, status=201)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"

    async with asked(handler) as (host, store):
        sink = AssetSink(store.client, f"{host.url}/uploads", "a.bin")
        with pytest.raises(GitHubError) as caught:
            await sink.send(chunks(), 1)
        assert caught.value.ambiguous
        assert [seen.method for seen in host.seen].count("POST") == 1
