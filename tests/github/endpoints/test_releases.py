"""The typed endpoints, against the emulator over real sockets."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from mirror.core.domain.release import RepoRef
from mirror.core.ledger.document import PageProof
from mirror.core.retry import RetryPolicy
from mirror.emulator import Emulator, Fault, GitHubState
from mirror.errors import AuthError, BadAnswer, GitHubError, NotFound, ServerError, ValidationFailed
from mirror.github import AssetSink, GitHubClient, ReleaseStore, TokenAuth
from mirror.github.settings import Network
from support.clock import VirtualClock
from support.fakehost import FakeHost, Handler, fake_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPO = RepoRef("octo", "tool")
NEW = RepoRef("bot", "new")
DATE = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
TOKEN = "t"
MARKER = "<!-- made by a test -->"


def a_release(number: int, tag: str, **facts: Any) -> dict[str, Any]:
    """What is always there in a release's document."""
    always = {"id": number, "tag_name": tag, "draft": False, "prerelease": False, "assets": []}
    return {**always, **facts}


def client(url: str, *, token: str = TOKEN, attempts: int = 4) -> GitHubClient:
    auth = TokenAuth((lambda: token) if token else None)
    retry = RetryPolicy(attempts)
    return GitHubClient(
        "host",
        url,
        None,
        auth,
        VirtualClock(),
        network=Network(proxy=""),
        retry=retry,
        jitter=lambda: 0.0,
    )


@asynccontextmanager
async def emulated(
    *, token: str = TOKEN, **facts: Any
) -> AsyncIterator[tuple[GitHubState, ReleaseStore]]:
    state = GitHubState(**facts)
    state.add_token("t", login="bot", admin=True)
    state.add_repository("octo/tool")
    async with Emulator(state) as emulator, client(emulator.url, token=token) as host:
        yield state, ReleaseStore(host)


@asynccontextmanager
async def faked(handler: Handler) -> AsyncIterator[tuple[FakeHost, ReleaseStore]]:
    async with fake_host(handler) as host, client(host.url) as asked:
        yield host, ReleaseStore(asked)


def with_releases(state: GitHubState, count: int) -> None:
    for number in range(count):
        state.add_release("octo/tool", f"v{number}")


# --- listing and proof ----------------------------------------------------------------------------


async def test_a_release_is_what_the_host_says() -> None:
    """Every field of the domain, and null where the host has nothing."""
    async with emulated(version="3.17") as (state, store):
        state.add_release(
            "octo/tool",
            "v1",
            name="One",
            body="text",
            prerelease=True,
            date="2024-01-02T03:04:05Z",
            assets={"a.bin": b"abc"},
        )
        state.add_release("octo/tool", "v2", draft=True)
        releases = {release.tag: release for release in (await store.list_releases(REPO)).releases}
        one, two = releases["v1"], releases["v2"]
        assert (one.name, one.body, one.prerelease, one.draft) == ("One", "text", True, False)
        assert one.published_at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert "{" not in one.upload_url
        assert one.upload_url.endswith(f"/releases/{one.id}/assets")
        assert (one.assets[0].name, one.assets[0].size, one.assets[0].uploaded) == (
            "a.bin",
            3,
            True,
        )
        assert (two.draft, two.published_at, two.assets) == (True, None, ())
        assert await store.release(REPO, one.id) == one


@pytest.mark.parametrize("count", [0, 1, 99, 101, 250])
async def test_all_pages_are_read_and_proven(count: int) -> None:
    """Each release once; unchanged costs one conditional request a page and no content."""
    async with emulated() as (state, store):
        with_releases(state, count)
        listing = await store.list_releases(REPO)
        assert len(listing.releases) == len({release.id for release in listing.releases}) == count
        assert listing.complete
        assert not listing.unchanged
        pages = max(1, -(-count // 100))
        assert len(listing.pages) == pages
        store.client.reset()
        again = await store.list_releases(REPO, listing.pages)
        assert (again.unchanged, again.releases, again.pages) == (True, (), listing.pages)
        assert store.client.counts.total == store.client.counts.not_modified == pages


@pytest.mark.parametrize("count", [100, 200])
async def test_a_full_last_page_costs_one_more_conditional_request(count: int) -> None:
    """The empty page after it is asked for once in full, and from then on is a page like others."""
    async with emulated() as (state, store):
        with_releases(state, count)
        listing = await store.list_releases(REPO)
        store.client.reset()
        again = await store.list_releases(REPO, listing.pages)
        assert again.unchanged
        pages = count // 100
        counts = store.client.counts
        assert (counts.total, counts.not_modified) == (pages + 1, pages)
        for _ in range(3):
            store.client.reset()
            again = await store.list_releases(REPO, again.pages)
            assert again.unchanged
            assert len(again.pages) == pages + 1
            assert store.client.counts.total == store.client.counts.not_modified == pages + 1


@pytest.mark.parametrize("count", [100, 200])
@pytest.mark.parametrize("passes", [0, 1, 3])
async def test_a_release_that_begins_a_page_is_seen(count: int, passes: int) -> None:
    """The last page is full and stays as it is: its 304 tells nothing of the page after it."""
    async with emulated() as (state, store):
        with_releases(state, count)
        listing = await store.list_releases(REPO)
        pages = listing.pages
        for _ in range(passes):
            pages = (await store.list_releases(REPO, pages)).pages
        state.add_release("octo/tool", "older", date="2001-01-01T00:00:00Z")
        changed = await store.list_releases(REPO, pages)
        assert not changed.unchanged
        assert len(changed.releases) == count + 1
        assert (await store.list_releases(REPO, changed.pages)).unchanged


async def test_a_repository_that_begins_a_page_is_seen() -> None:
    """An owner's repositories are proven unchanged in the same way."""
    async with emulated() as (state, store):
        for number in range(99):
            state.add_repository(f"octo/a{number}")
        listing = await store.owner_repositories("octo")
        assert len(listing.repositories) == 100
        pages = (await store.owner_repositories("octo", listing.pages)).pages
        assert (await store.owner_repositories("octo", pages)).unchanged
        state.add_repository("octo/zzz")
        assert len((await store.owner_repositories("octo", pages)).repositories) == 101


async def test_a_proof_that_does_not_tell_how_full_its_page_was_is_not_enough() -> None:
    """An index of an earlier version: the last page is read once more, and then it is known."""
    async with emulated() as (state, store):
        with_releases(state, 100)
        listing = await store.list_releases(REPO)
        stored = [PageProof(page.url, page.etag, page.content) for page in listing.pages]
        store.client.reset()
        again = await store.list_releases(REPO, stored)
        assert (again.unchanged, again.pages) == (True, listing.pages)
        assert (store.client.counts.total, store.client.counts.not_modified) == (1, 0)
        state.add_release("octo/tool", "older", date="2001-01-01T00:00:00Z")
        assert len((await store.list_releases(REPO, stored)).releases) == 101


class Paged:
    """A host that gives pages as a test says: the items of each, and its ``Link`` header.

    Attributes:
        beyond: What it answers where there is no such page.
    """

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = list(pages)
        self.beyond = 200
        self.linked_304 = False
        self.linked = ""

    async def answer(self, request: web.Request) -> web.Response:
        number = int(request.query.get("page", "1"))
        if number > len(self.pages) and self.beyond != 200:
            return web.json_response({"message": "no"}, status=self.beyond)
        items = self.pages[number - 1] if number <= len(self.pages) else []
        headers = {"ETag": f'"{number}-{sha256(json.dumps(items).encode()).hexdigest()}"'}
        links = [self.linked] if self.linked else []
        if number < len(self.pages):
            links.append(f'<{request.url.update_query(page=str(number + 1))}>; rel="next"')
        if number > 1:
            links.append(f'<{request.url.update_query(page="1")}>; rel="first"')
        unchanged = request.headers.get("If-None-Match") == headers["ETag"]
        if links and (self.linked_304 or not unchanged):
            headers["Link"] = ", ".join(links)
        if unchanged:
            return web.Response(status=304, headers=headers)
        return web.json_response(items, headers=headers)


def some(count: int, first: int = 1) -> list[dict[str, Any]]:
    return [a_release(number, f"v{number}") for number in range(first, first + count)]


@pytest.mark.parametrize("size", [3, 0])
async def test_a_host_that_gives_less_than_it_is_asked_for(size: int) -> None:
    """Its pages are full with less: what an earlier page that another one followed held."""
    host = Paged(some(size), some(3, first=10))
    async with faked(host.answer) as (seen, store):
        listing = await store.list_releases(REPO)
        for _ in range(3):
            seen.seen.clear()
            listing = await store.list_releases(REPO, listing.pages)
            assert listing.unchanged
            assert len(seen.seen) == 3
        host.pages.append(some(1, first=20))
        assert len((await store.list_releases(REPO, listing.pages)).releases) == size + 4


@pytest.mark.parametrize("status", [404, 422])
async def test_a_host_without_empty_pages(status: int) -> None:
    """Where the page after the last one cannot be asked for, the full one tells by its own answer."""
    host = Paged(some(100))
    host.beyond = status
    async with faked(host.answer) as (seen, store):
        listing = await store.list_releases(REPO)
        for _ in range(3):
            seen.seen.clear()
            listing = await store.list_releases(REPO, listing.pages)
            assert listing.unchanged
            assert len(seen.seen) == 3
        host.pages.append(some(1, first=200))
        assert len((await store.list_releases(REPO, listing.pages)).releases) == 101


async def test_pages_that_have_no_number_are_read_again() -> None:
    """A cursor is made by the host alone; the full last page names what follows it."""
    pages = [some(100), some(100, first=101)]

    async def handler(request: web.Request) -> web.Response:
        second = request.query.get("after") == "x"
        headers = {"ETag": f'"{second}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        if second and len(pages) > 2:
            headers["Link"] = f'<{request.url.update_query(after="y")}>; rel="next"'
        if not second and request.query.get("after") != "y":
            headers["Link"] = f'<{request.url.update_query(after="x")}>; rel="next"'
        found = pages[2] if request.query.get("after") == "y" else pages[second]
        return web.json_response(found, headers=headers)

    async with faked(handler) as (host, store):
        listing = await store.list_releases(REPO)
        host.seen.clear()
        listing = await store.list_releases(REPO, listing.pages)
        assert listing.unchanged
        assert len(host.seen) == 3
        pages.append(some(1, first=300))
        assert len((await store.list_releases(REPO, listing.pages)).releases) == 201


async def test_a_304_that_tells_its_place_is_enough() -> None:
    """A host whose 304 has a ``Link`` header with the pages before says that none comes after."""
    host = Paged(some(100), some(100, first=101))
    host.linked_304 = True
    async with faked(host.answer) as (seen, store):
        listing = await store.list_releases(REPO)
        seen.seen.clear()
        listing = await store.list_releases(REPO, listing.pages)
        assert listing.unchanged
        assert len(seen.seen) == 2
        host.pages.append(some(1, first=300))
        assert len((await store.list_releases(REPO, listing.pages)).releases) == 201


async def test_a_link_to_something_else_tells_no_place() -> None:
    """A ``Link`` header may be about other things than pages."""
    host = Paged(some(100))
    host.linked_304, host.linked = True, '<https://docs.example/>; rel="deprecation"'
    async with faked(host.answer) as (seen, store):
        listing = await store.list_releases(REPO)
        seen.seen.clear()
        assert (await store.list_releases(REPO, listing.pages)).unchanged
        assert len(seen.seen) == 2


async def test_counters_on_a_full_page_leave_the_empty_one_known() -> None:
    """A full page that is read in full says itself that nothing follows: one request is enough."""
    downloads = 0

    async def handler(request: web.Request) -> web.Response:
        if request.query.get("page") == "2":
            etag, items = '"none"', []
        else:
            etag, items = f'"{downloads}"', some(100)
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.json_response(items, headers={"ETag": etag})

    async with faked(handler) as (host, store):
        listing = await store.list_releases(REPO)
        listing = await store.list_releases(REPO, listing.pages)
        assert len(listing.pages) == 2
        downloads = 1
        for requests in (1, 2, 2):
            host.seen.clear()
            listing = await store.list_releases(REPO, listing.pages)
            assert listing.unchanged
            assert (len(listing.pages), len(host.seen)) == (2, requests)


async def test_unchanged_is_no_answer_to_who_does_not_ask_for_it() -> None:
    """A 304 without a condition (a broken cache in between) is not an empty list of releases."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=304)

    async with faked(handler) as (_, store):
        with pytest.raises(BadAnswer, match="304"):
            await store.list_releases(REPO)


@pytest.mark.parametrize("change", ["first", "last", "new", "deleted", "asset"])
async def test_any_change_gives_the_whole_list(change: str) -> None:
    """A change on any page, at any place: all releases come back, also of the pages that answered 304."""
    async with emulated() as (state, store):
        with_releases(state, 150)
        listing = await store.list_releases(REPO)
        first, last = listing.releases[0], listing.releases[-1]
        if change in {"first", "last"}:
            state.edit_release("octo/tool", (first if change == "first" else last).id, body="new")
        elif change == "new":
            state.add_release("octo/tool", "newest")
        elif change == "deleted":
            state.delete_release("octo/tool", last.id)
        else:
            state.add_asset("octo/tool", last.id, "late.bin", b"x")
        changed = await store.list_releases(REPO, listing.pages)
        assert not changed.unchanged
        assert changed == await store.list_releases(REPO)
        assert len(changed.releases) == 150 + {"new": 1, "deleted": -1}.get(change, 0)


async def test_a_download_count_is_no_change() -> None:
    """Counters change a page's ETag and nothing that matters."""
    async with emulated() as (state, store):
        state.add_release("octo/tool", "v1", assets={"a": b"a"})
        listing = await store.list_releases(REPO)
        state.asset("octo/tool", "v1", "a").download_count += 1
        _forget(state)
        again = await store.list_releases(REPO, listing.pages)
        assert again.unchanged
        assert again.pages[0].etag != listing.pages[0].etag or store.client.counts.not_modified
        assert again.pages[0].content == listing.pages[0].content


def _forget(state: GitHubState) -> None:
    """Let the emulator write its JSON anew."""
    state.release("octo/tool", "v1").json = None


async def test_proofs_of_another_repository_are_not_used() -> None:
    """A proof belongs to its address."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        listing = await store.list_releases(REPO)
        state.add_repository("octo/other")
        other = await store.list_releases(RepoRef("octo", "other"), listing.pages)
        assert (other.unchanged, other.releases) == (False, ())


async def test_a_renamed_repository_is_read_and_told() -> None:
    """The redirect is followed, and the new address is known."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        state.rename_repository("octo/tool", "octo/renamed")
        listing = await store.list_releases(REPO)
        assert len(listing.releases) == 1
        assert listing.redirected_to is not None
        assert "?" not in listing.redirected_to
        assert (await store.repository(REPO)).ref == RepoRef("octo", "renamed")


async def test_pages_that_take_the_host_too_long_are_asked_for_smaller() -> None:
    """Half of the tries at full size, the rest at less; the policy's number of tries in all."""
    async with emulated() as (state, store):
        with_releases(state, 40)
        slow = Fault(kind="status", route="list-releases", match="per_page=100", times=None)
        state.faults.add(slow)
        listing = await store.list_releases(REPO)
        assert (len(listing.releases), len(listing.pages)) == (40, 2)
        assert (await store.list_releases(REPO, listing.pages)).unchanged
        state.faults.add(Fault(kind="status", route="list-releases", times=None))
        state.reset_requests()
        with pytest.raises(ServerError) as caught:
            await store.list_releases(REPO)
        assert caught.value.attempts == state.count(route="list-releases") == 4


async def test_a_later_page_that_takes_too_long_begins_again_with_smaller_ones() -> None:
    """Where one page of a hundred is too much, pages of thirty may not be."""
    async with emulated() as (state, store):
        with_releases(state, 150)
        state.faults.add(
            Fault(kind="status", route="list-releases", match="per_page=100&page=2", times=None)
        )
        assert len((await store.list_releases(REPO)).pages) == 5


async def test_a_list_that_is_cut_is_not_complete() -> None:
    """Nothing may be concluded from what is absent, and nothing is proven for next time."""

    async def handler(request: web.Request) -> web.Response:
        if request.query.get("page") == "2":
            return web.json_response(
                {"message": "Only the first 10000 results are available."}, status=422
            )
        link = f'<{request.url.update_query(page="2")}>; rel="next"'
        return web.json_response([a_release(1, "v1")], headers={"Link": link})

    async with faked(handler) as (_, store):
        listing = await store.list_releases(REPO)
    assert [release.tag for release in listing.releases] == ["v1"]
    assert (listing.complete, listing.pages) == (False, ())


async def test_a_list_without_some_organizations_is_not_complete() -> None:
    """Single sign-on leaves things out with a header only."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([], headers={"X-GitHub-SSO": "partial-results; organizations=1"})

    async with faked(handler) as (_, store):
        assert not (await store.list_releases(REPO)).complete


@pytest.mark.parametrize(
    ("link", "words"), [("round", "form a loop"), ("away", "which is not where")]
)
async def test_a_list_never_leads_astray(link: str, words: str) -> None:
    """Not in a loop, and not to another origin with the token."""

    async def handler(request: web.Request) -> web.Response:
        target = str(request.url) if link == "round" else "http://127.0.0.1:1/x"
        return web.json_response([], headers={"Link": f'<{target}>; rel="next"'})

    async with faked(handler) as (host, store):
        with pytest.raises(BadAnswer, match=words):
            await store.list_releases(REPO)
        assert len(host.seen) == 1


async def test_items_that_shift_while_paging_come_once() -> None:
    """A release that was pushed to the next page is not two releases."""

    async def handler(request: web.Request) -> web.Response:
        if "page" in request.query:
            return web.json_response([a_release(2, "b"), a_release(3, "c")])
        link = f'<{request.url.update_query(page="2")}>; rel="next"'
        return web.json_response([a_release(1, "a"), a_release(2, "b")], headers={"Link": link})

    async with faked(handler) as (_, store):
        assert [release.id for release in (await store.list_releases(REPO)).releases] == [1, 2, 3]


@pytest.mark.parametrize(
    ("release", "field"),
    [
        ({"id": "1", "tag_name": "v"}, "[0].id: expected `int`, got `str`"),
        ({"id": True, "tag_name": "v"}, "[0].id: expected `int`, got `bool`"),
        ({"id": 1}, "[0].tag_name: missing"),
        (a_release(1, "v", draft="no"), "[0].draft: expected `bool`, got `str`"),
        (a_release(1, "v", assets={}), "[0].assets: expected `array`, got `object`"),
        (
            a_release(1, "v", assets=[{"id": 1, "name": "a", "size": 1.5, "state": "uploaded"}]),
            "[0].assets[0].size: expected `int`, got `float`",
        ),
        (
            a_release(1, "v", assets=[{"id": 1, "name": "a", "size": -1, "state": "uploaded"}]),
            "[0].assets[0].size: expected `int` >= 0",
        ),
        (a_release(1, "v", assets=[7]), "[0].assets[0]: expected `object`, got `int`"),
        (a_release(1, "v", published_at="soon"), "[0].published_at: invalid RFC3339"),
        ([], "[0]: expected `object`, got `array`"),
    ],
)
async def test_a_wrong_type_is_named(release: object, field: str) -> None:
    """What is wrong is said, asked for again, and never guessed."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([release])

    async with faked(handler) as (host, store):
        with pytest.raises(BadAnswer, match=re.escape(field)):
            await store.list_releases(REPO)
        assert len(host.seen) == 4


async def test_wrong_types_that_pass_are_no_failure() -> None:
    """One strange answer and then a good one is a good one."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        for kind in ("wrong-types", "broken-json", "html", "reset"):
            state.faults.add(Fault(kind=kind, route="list-releases"))
            assert len((await store.list_releases(REPO)).releases) == 1
            state.faults.clear()


@pytest.mark.parametrize(
    ("embedded", "asked"),
    [(29, False), (30, True), (31, False), (60, True), (100, True), (1001, True)],
)
async def test_assets_that_may_be_cut_are_paged(embedded: int, *, asked: bool) -> None:
    """Embedded ones are all there, as far as anyone saw; at the size of a page one better looks."""
    assets = [
        {"id": number, "name": f"a{number}", "size": 1, "state": "uploaded"}
        for number in range(embedded + 5)
    ]

    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("/assets"):
            return web.json_response(assets)
        return web.json_response([a_release(1, "v", assets=assets[:embedded])])

    async with faked(handler) as (host, store):
        (release,) = (await store.list_releases(REPO)).releases
        assert len(release.assets) == (embedded + 5 if asked else embedded)
        assert len(host.seen) == (2 if asked else 1)


async def test_latest_is_the_hosts_choice() -> None:
    """Its id, or none where there is no release."""
    async with emulated() as (state, store):
        assert await store.latest(REPO) is None
        with_releases(state, 2)
        chosen = state.add_release("octo/tool", "old", date="2001-01-01T00:00:00Z", latest=True)
        assert await store.latest(REPO) == chosen.id


# --- repositories, tags, commits ------------------------------------------------------------------


async def test_a_repository_that_is_not_there_is_not_found() -> None:
    """Or the token may not see it: hosts do not tell the difference."""
    async with emulated() as (_, store):
        with pytest.raises(NotFound):
            await store.repository(RepoRef("octo", "nothing"))


@pytest.mark.parametrize("more", [0, 10])
async def test_tags_are_peeled_whichever_way_they_are_looked_up(more: int) -> None:
    """Annotated or not, with slashes or not, few or many; absent ones are left out."""
    async with emulated() as (state, store):
        with_releases(state, more)
        state.add_release("octo/tool", "plain")
        state.add_release("octo/tool", "feature/annotated", annotated=True)
        names = ["plain", "feature/annotated", "absent", *(f"v{number}" for number in range(more))]
        tags = await store.tags(REPO, names)
        assert tags.keys() == set(names) - {"absent"}
        for commit in tags.values():
            assert await store.has_commit(REPO, commit)
        assert not await store.has_commit(REPO, "0" * 40)
        assert await store.tags(REPO, []) == {}


@pytest.mark.parametrize("count", [1, 9])
async def test_an_empty_repository_has_no_tags_and_no_commits(count: int) -> None:
    """409 is an answer, too."""
    async with emulated() as (state, store):
        state.add_repository("octo/empty", empty=True)
        repo = RepoRef("octo", "empty")
        assert await store.is_empty(await store.repository(repo))
        assert await store.tags(repo, [f"v{number}" for number in range(count)]) == {}
        assert not await store.has_commit(repo, "0" * 40)
        assert await store.read_file(repo, "README.md") is None


async def test_old_servers_match_tags_by_their_beginning() -> None:
    """A list comes back for a name that others begin with: only the exact one counts.

    Source: the OpenAPI description of GitHub Enterprise Server 2.18.
    """
    refs = [
        {"ref": f"refs/tags/{name}", "object": {"type": "commit", "sha": name[-1] * 40}}
        for name in ("v1.0", "v1.1")
    ]

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(refs)

    async with faked(handler) as (_, store):
        assert await store.tags(REPO, ["v1", "v1.1"]) == {"v1.1": "1" * 40}


async def test_a_repository_is_made_from_nothing() -> None:
    """Created, without Actions, with a first commit, another commit, and a tag at it."""
    async with emulated() as (_, store):
        made = await store.create_repository(NEW, "private", "A mirror")
        assert (made.ref, made.private, made.empty, made.description) == (
            NEW,
            True,
            True,
            "A mirror",
        )
        assert await store.disable_actions(NEW)
        assert await store.actions_enabled(NEW) is False
        commit, tree = await store.first_commit(NEW, "README.md", "hello ✓", "First")
        assert await store.head(NEW, made.default_branch) == (commit, tree)
        assert await store.read_file(NEW, "README.md") == "hello ✓"
        assert not await store.is_empty(await store.repository(NEW))
        placeholder = await store.create_commit(NEW, "Of v1", tree, [commit], DATE)
        assert await store.create_commit(NEW, "Of v1", tree, [commit], DATE) == placeholder
        for _ in range(2):  # what is there already is good
            await store.create_tag(NEW, "v/1", placeholder)
        assert await store.tags(NEW, ["v/1"]) == {"v/1": placeholder}
        with pytest.raises(ValidationFailed):
            await store.create_tag(NEW, "v/1", commit)


@pytest.mark.parametrize(
    "route", ["create-repository", "create-ref", "create-commit", "put-contents"]
)
@pytest.mark.parametrize("kind", ["lost-reply", "lost-reply-status", "broken-json", "wrong-types"])
async def test_what_was_made_and_whose_answer_was_lost_is_found(route: str, kind: Any) -> None:
    """It is looked for before it is sent again: once is once, and no failure."""
    async with emulated() as (state, store):
        state.faults.add(Fault(kind=kind, route=route))
        await store.create_repository(NEW, "private", "")
        commit, tree = await store.first_commit(NEW, "README.md", "hello", "First")
        placeholder = await store.create_commit(NEW, "Of v1", tree, [commit], DATE)
        await store.create_tag(NEW, "v1", placeholder)
        assert await store.tags(NEW, ["v1"]) == {"v1": placeholder}


async def test_an_owner_that_is_missing_is_named() -> None:
    """What the operator has to do is in the sentence."""
    async with emulated() as (_, store):
        with pytest.raises(NotFound, match="the owner nobody does not exist"):
            await store.create_repository(RepoRef("nobody", "x"), "private", "")


async def test_a_name_that_is_taken_is_refused() -> None:
    """What is there already was not made by us."""
    async with emulated() as (_, store):
        await store.create_repository(NEW, "private", "")
        with pytest.raises(ValidationFailed):
            await store.create_repository(NEW, "private", "")


@pytest.mark.parametrize("status", [403, 404, 409])
async def test_servers_without_actions_settings_are_tolerated(status: int) -> None:
    """Whether Actions could be turned off is an answer, not an error."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    async with faked(handler) as (_, store):
        assert await store.disable_actions(REPO) is False
        assert await store.actions_enabled(REPO) is None


async def test_owners_are_organizations_or_users() -> None:
    """Both are listed, with the same proofs; of the token's own user private ones, too."""
    async with emulated() as (state, store):
        state.add_repository("octo/fork", fork=True, archived=True)
        listing = await store.owner_repositories("octo")
        assert {(str(r.ref), r.fork, r.archived) for r in listing.repositories} == {
            ("octo/tool", False, False),
            ("octo/fork", True, True),
        }
        assert (await store.owner_repositories("octo", listing.pages)).unchanged
        await store.create_repository(NEW, "private", "")
        own = await store.owner_repositories("bot")
        assert [r.ref for r in own.repositories] == [NEW]
        store.client.reset()
        assert (await store.owner_repositories("bot", own.pages)).unchanged
        assert store.client.counts.total == 1
        with pytest.raises(NotFound):
            await store.owner_repositories("nobody")


async def test_without_a_token_there_is_no_user() -> None:
    """And nobody is asked who it is."""
    async with emulated(token="", kind="ghes") as (state, store):
        assert await store.login() is None
        assert state.count(route="get-user") == 0


# --- releases and assets --------------------------------------------------------------------------


async def test_a_release_is_made_changed_and_deleted() -> None:
    """Draft, asset, rename, publication as latest, deletion."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        made = await store.create_release(
            REPO, {"tag_name": "v0", "name": "N", "body": MARKER, "draft": False}, MARKER
        )
        assert made.draft
        asset = await AssetSink(store.client, made.upload_url, "b.bin").send(_bytes(b"abc"), 3)
        renamed = await store.update_asset(REPO, asset.id, name="c.bin", label="see")
        assert (renamed.id, renamed.name, renamed.label) == (asset.id, "c.bin", "see")
        assert await store.asset(REPO, asset.id) == renamed
        assert await store.assets(REPO, made.id) == (renamed,)
        await store.delete_asset(REPO, asset.id)
        assert await store.asset(REPO, asset.id) is None
        changed = await store.update_release(REPO, made.id, {"tag_name": "v0", "name": "M"})
        assert (changed.name, changed.body, changed.draft) == ("M", MARKER, True)
        await store.delete_release(REPO, made.id)
        with pytest.raises(NotFound):
            await store.release(REPO, made.id)
        with pytest.raises(NotFound):
            await store.delete_release(REPO, made.id)


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize(
    ("given", "sent"), [(True, "true"), (False, "false"), ("legacy", "legacy")]
)
async def test_make_latest_is_a_text(given: object, sent: str) -> None:
    """The API has it as texts, and a boolean is refused by some servers."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response(a_release(1, "v1"))

    async with faked(handler) as (_, store):
        await store.update_release(REPO, 1, {"tag_name": "v1", "make_latest": given})
    assert seen == [{"tag_name": "v1", "make_latest": sent}]


@pytest.mark.parametrize("kind", ["lost-reply", "lost-reply-status", "broken-json", "wrong-types"])
async def test_a_draft_whose_answer_was_lost_is_not_made_twice(kind: Any) -> None:
    """It is found by its marker, also where the list lags behind for some seconds."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        state.faults.add(
            Fault(kind=kind, route="create-release"),
            Fault(kind="lag", route="list-releases", times=3),
        )
        made = await store.create_release(REPO, {"tag_name": "v9", "body": MARKER}, MARKER)
        assert state.count(route="create-release") == 1
        drafts = [release for release in state.releases("octo/tool") if release.draft]
        assert [draft.id for draft in drafts] == [made.id]


async def test_a_draft_of_others_is_not_taken_for_ours() -> None:
    """Same tag, no marker: it is left alone, and ours is made after half a minute of looking."""
    async with emulated() as (state, store):
        with_releases(state, 1)
        other = state.add_release("octo/tool", "v9", draft=True, body="theirs")
        state.faults.add(Fault(kind="status", route="create-release"))
        made = await store.create_release(REPO, {"tag_name": "v9", "body": MARKER}, MARKER)
        assert made.id != other.id
        assert state.count(route="create-release") == 2
        clock = store.client.clock
        assert isinstance(clock, VirtualClock)
        assert 30 <= clock.monotonic() < 40


@pytest.mark.parametrize("kind", ["lost-reply", "lost-reply-status", "status", "reset"])
async def test_changes_and_deletions_survive_a_lost_answer(kind: Any) -> None:
    """They are sent again, and gone is what a deletion wants."""
    async with emulated() as (state, store):
        release = state.add_release("octo/tool", "v1", assets={"a": b"a"})
        for route in ("update-release", "delete-asset", "delete-release"):
            state.faults.add(Fault(kind=kind, route=route))
        assert (
            await store.update_release(REPO, release.id, {"tag_name": "v1", "body": "b"})
        ).body == "b"
        await store.delete_asset(REPO, release.assets[0].id)
        await store.delete_release(REPO, release.id)
        assert state.releases("octo/tool") == []


async def test_a_token_that_may_only_read_is_told_so() -> None:
    """A write that is refused is an operator's matter, and does not stop reading."""
    async with emulated() as (state, store):
        state.add_token("r", login="reader")
        with_releases(state, 1)
        async with client(store.client.url, token="r") as reading:
            readonly = ReleaseStore(reading)
            with pytest.raises(GitHubError) as caught:
                await readonly.create_release(REPO, {"tag_name": "v0", "body": MARKER}, MARKER)
            assert isinstance(caught.value, (AuthError, NotFound))
            assert len((await readonly.list_releases(REPO)).releases) == 1
