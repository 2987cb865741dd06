"""The client's table of errors, without sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog.testing
from aioresponses import aioresponses

from mirror.core.retry import RetryPolicy
from mirror.errors import (
    AuthError,
    BadAnswer,
    ConnectionLost,
    GitHubError,
    HostStopped,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from mirror.github import GitHubClient, RefusedAddress, RequestSeen, TokenAuth
from mirror.github.settings import Network
from support.clock import START, VirtualClock
from support.grouped import grouped
from support.mocked import MockedResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "https://api.github.com"
X = f"{API}/x"
META = f"{API}/meta"
RESET = aiohttp.ClientOSError(104, "Connection reset by peer")


class Mocked(aioresponses):
    """Answers in turn, one a request."""

    def answers(self, method: str, url: str, *answers: Any) -> None:
        """Each a status, an exception, or facts with ``json`` or ``body``."""
        for answer in answers:
            if isinstance(answer, Exception):
                self.add(url, method, exception=answer)
                continue
            facts: dict[str, Any] = {"status": answer} if isinstance(answer, int) else dict(answer)
            payload = facts.pop("json", {"ok": True})
            if "body" not in facts:
                facts["payload"] = payload
            self.add(url, method, response_class=MockedResponse, **facts)

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [
            (method, str(url)) for method, url in self.requests for _ in self.requests[method, url]
        ]


@pytest.fixture
def host() -> Iterator[Mocked]:
    mocked = Mocked()
    with mocked:
        yield mocked


def client(clock: VirtualClock, **settings: Any) -> GitHubClient:
    auth = TokenAuth(lambda: "secret")
    retry = RetryPolicy(4, first=1.0, longest=60.0)
    return GitHubClient(
        "github",
        "https://github.com",
        None,
        auth,
        clock,
        retry=retry,
        jitter=lambda: 1.0,
        **grouped(settings),
    )


@pytest.mark.parametrize(
    ("answer", "kind", "tries", "waits"),
    [
        ({"status": 400}, ValidationFailed, 1, []),
        ({"status": 403, "json": {"message": "Resource not accessible"}}, AuthError, 1, []),
        ({"status": 404}, NotFound, 1, []),
        ({"status": 410}, NotFound, 1, []),
        ({"status": 422}, ValidationFailed, 1, []),
        ({"status": 451}, NotFound, 1, []),
        ({"status": 500}, ServerError, 4, [1, 2, 4]),
        ({"status": 502, "body": "<html>Unicorn"}, ServerError, 4, [1, 2, 4]),
        ({"status": 504}, ServerError, 4, [1, 2, 4]),
        ({"status": 200, "body": "<html>login"}, BadAnswer, 4, [1, 2, 4]),
        ({"status": 200, "body": '{"half": '}, BadAnswer, 4, [1, 2, 4]),
        (RESET, ConnectionLost, 4, [1, 2, 4]),
        (aiohttp.ServerDisconnectedError(), ConnectionLost, 4, [1, 2, 4]),
        (aiohttp.SocketTimeoutError("Timeout on reading data"), ConnectionLost, 4, [1, 2, 4]),
    ],
)
async def test_each_failure_of_a_read_is_one_kind_of_error(
    host: Mocked,
    answer: dict[str, Any] | Exception,
    kind: type[GitHubError],
    tries: int,
    waits: list[float],
) -> None:
    """What may pass is tried again with growing waits, and has an end; what will not pass is not."""
    clock = VirtualClock()
    for _ in range(tries):
        host.answers("GET", X, dict(answer) if isinstance(answer, dict) else answer)
    host.answers("GET", META, 200)
    async with client(clock) as github:
        with pytest.raises(kind) as caught:
            await github.get("x")
        assert github.counts.retried == tries - 1
        assert github.stopped is None
    assert type(caught.value) is kind
    assert caught.value.attempts == tries
    assert host.sent.count(("GET", X)) == tries
    assert clock.slept == waits


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 503},
        {"body": "<html>"},
        RESET,
        {"status": 429},
        {"status": 403, "headers": {"X-RateLimit-Remaining": "0"}},
    ],
)
async def test_what_passes_is_not_an_error(host: Mocked, failure: Any) -> None:
    """A failure and then an answer is an answer, and counts as one that was repeated."""
    host.answers("GET", X, failure, 200)
    async with client(VirtualClock()) as github:
        answer = await github.get("x")
        assert answer.data == {"ok": True}
        assert (github.counts.total, github.counts.retried) == (2, 1)
        github.reset()
        assert github.counts.total == 0


async def test_the_fast_path_waits_for_nothing(host: Mocked) -> None:
    """An answer at once: one request, no wait, and whoever counts is told."""
    clock, seen = VirtualClock(), list[RequestSeen]()
    host.answers("GET", X, {"headers": {"ETag": 'W/"1"', "Link": f'<{X}?page=2>; rel="next"'}})
    async with client(clock, on_request=seen.append) as github:
        answer = await github.get("x")
    assert (answer.etag, answer.next, answer.url) == ('W/"1"', f"{X}?page=2", X)
    assert clock.slept == []
    assert [(event.host, event.method, event.status) for event in seen] == [("github", "GET", 200)]


async def test_an_etag_goes_back_as_it_came(host: Mocked) -> None:
    """304 is an answer without data, and is counted."""
    host.answers("GET", X, {"status": 304, "body": ""})
    async with client(VirtualClock()) as github:
        answer = await github.get("x", etag='W/"1"')
        assert answer.not_modified
        assert github.counts.not_modified == 1
    ((call,),) = host.requests.values()
    assert call.kwargs["headers"]["If-None-Match"] == 'W/"1"'
    assert call.kwargs["headers"]["Authorization"] == "Bearer secret"
    assert call.kwargs["headers"]["X-GitHub-Api-Version"] == "2022-11-28"
    assert call.kwargs["allow_redirects"] is False


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "17"}, "slow down", 17),
        (
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(START.timestamp()) + 600)},
            "API rate limit exceeded",
            601,
        ),
        ({}, "You have exceeded a secondary rate limit", 60),
    ],
)
async def test_a_limit_is_waited_for_as_long_as_the_host_says(
    host: Mocked, headers: dict[str, str], message: str, seconds: float
) -> None:
    """Retry-After, else the end of the window, else a minute."""
    clock = VirtualClock()
    host.answers("GET", X, {"status": 403, "headers": headers, "json": {"message": message}}, 200)
    async with client(clock) as github:
        await github.get("x")
    assert clock.monotonic() == pytest.approx(seconds)


async def test_a_limit_that_lasts_too_long_is_told_and_not_waited_for(host: Mocked) -> None:
    """Everyone else is told the same, and the host is not asked again."""
    clock = VirtualClock()
    host.answers("GET", X, {"status": 429, "headers": {"Retry-After": "86400"}})
    async with client(clock) as github:
        for _ in range(2):
            with pytest.raises(RateLimited):
                await github.get("x")
    assert len(host.sent) == 1
    assert clock.monotonic() == 0


async def test_a_limit_without_end_has_an_end(host: Mocked) -> None:
    """Going on would make a host ban us: a limit counts as a try like every failure."""
    host.answers("GET", X, *[{"status": 429} for _ in range(4)])
    async with client(VirtualClock()) as github:
        with pytest.raises(RateLimited) as caught:
            await github.get("x")
    assert caught.value.attempts == 4


async def test_one_401_stops_the_credential(host: Mocked) -> None:
    """More would lock the account: everything after fails without a request, until the next pass."""
    host.answers("GET", X, 401, 200)
    async with client(VirtualClock()) as github:
        with pytest.raises(AuthError):
            await github.get("x")
        with pytest.raises(HostStopped):
            await github.get("x")
        assert len(host.sent) == 1
        github.reset()
        await github.get("x")


@pytest.mark.parametrize("failure", [{"status": 503}, RESET])
async def test_a_host_that_is_down_is_given_up(host: Mocked, failure: Any) -> None:
    """After the last try one more request asks how the host itself is; then nobody asks any more."""
    host.answers(
        "GET", X, *[dict(failure) if isinstance(failure, dict) else failure for _ in range(4)]
    )
    host.answers("GET", META, failure)
    async with client(VirtualClock()) as github:
        with pytest.raises(GitHubError) as caught:
            await github.get("x")
        assert not isinstance(caught.value, HostStopped)
        with pytest.raises(HostStopped):
            await github.get("y")
    assert len(host.sent) == 5


@pytest.mark.parametrize(("failures", "cool_downs"), [([401], (3600, 3600)), ([503] * 4, (30, 60))])
async def test_a_host_that_is_disabled_is_probed_after_a_while(
    host: Mocked, failures: list[int], cool_downs: tuple[float, float]
) -> None:
    """By who can wait for it, by one request, after the cool-down; a bad host later each time."""
    clock = VirtualClock()
    host.answers("GET", META, failures[0])
    host.answers("GET", X, *failures, failures[0], 200)
    async with client(clock) as github:
        assert github.closed_for() == 0
        with structlog.testing.capture_logs() as logs:
            for cool_down in cool_downs:
                with pytest.raises(GitHubError):
                    await github.get("x")
                assert github.closed_for() == cool_down
                clock.advance(cool_down - 1)
                github.revive_if_due()
                with pytest.raises(HostStopped):
                    await github.get("x")
                clock.advance(1)
                github.revive_if_due()
                assert github.closed_for() == 0
            assert (await github.get("x")).status == 200
    lines = [line for line in logs if line["event"].startswith("circuit.")]
    assert [(line["event"], line["host"], line["lane"]) for line in lines] == [
        ("circuit.opened", "github", "api"),
        ("circuit.closed", "github", "api"),
    ]
    assert str(failures[0]) in lines[0]["reason"]


async def test_a_limit_closes_a_host_until_it_is_over(host: Mocked) -> None:
    """Nothing is disabled for it, and nothing has to be probed."""
    clock = VirtualClock()
    host.answers("GET", X, {"status": 429, "headers": {"Retry-After": "7200"}})
    async with client(clock) as github:
        with pytest.raises(RateLimited):
            await github.get("x")
        assert github.closed_for() == 7200
        assert github.stopped is None
        clock.advance(7200)
        assert github.closed_for() == 0


async def test_a_post_is_not_repeated_blindly(host: Mocked) -> None:
    """Without a way to look, an answer that is lost is the end of it."""
    host.answers("POST", X, 502, 201)
    async with client(VirtualClock()) as github:
        with pytest.raises(ServerError):
            await github.post("x", {})
    assert len(host.sent) == 1


@pytest.mark.parametrize(
    "failure",
    [{"status": 502}, {"status": 201, "body": "<html>"}, {"status": 201, "json": [1]}, RESET],
)
async def test_a_post_whose_answer_was_lost_is_settled_by_looking(
    host: Mocked, failure: Any
) -> None:
    """What is found is the answer, and it is not sent again."""
    host.answers("POST", X, failure)
    looks = []

    async def look() -> object:
        looks.append(1)
        return {"id": 7}

    async with client(VirtualClock()) as github:
        answer = await github.post("x", {}, settle=look, shape=dict[str, int])
    assert answer.data == {"id": 7}
    assert (len(host.sent), len(looks)) == (1, 1)


async def test_a_post_that_was_not_carried_out_is_sent_again(host: Mocked) -> None:
    """Each loss is settled before the next try."""
    host.answers("POST", X, 502, RESET, {"status": 201, "json": {"id": 8}})
    looks = []

    async def look() -> None:
        looks.append(1)

    async with client(VirtualClock()) as github:
        assert (await github.post("x", {}, settle=look)).data == {"id": 8}
    assert len(looks) == 2


async def test_a_post_that_cannot_be_settled_is_not_sent_again(host: Mocked) -> None:
    """When looking fails too, nothing is known: the first failure is told."""
    host.answers("POST", X, 502, 201)

    async def look() -> object:
        raise ServerError("cannot look", host="github", status=500)

    async with client(VirtualClock()) as github:
        with pytest.raises(ServerError, match="502"):
            await github.post("x", {}, settle=look)
    assert len(host.sent) == 1


async def test_a_host_that_is_given_up_while_a_post_is_settled_is_told_of(host: Mocked) -> None:
    """Somebody gets the failure itself: were all told that others know, nobody would."""
    host.answers("POST", X, 503)
    host.answers("GET", META, 503)
    host.answers("GET", API + "/looks", *[503] * 6)

    async with client(VirtualClock()) as github:

        async def look() -> object:
            return (await github.get("looks")).data

        with pytest.raises(ServerError, match="looks answered 503"):
            await github.post("x", {}, settle=look)
        assert github.stopped is not None
        with pytest.raises(HostStopped):
            await github.get("x")
    assert host.sent.count(("POST", X)) == 1


async def test_a_refusal_after_a_doubt_is_looked_into(host: Mocked) -> None:
    """A refusal on the second try may be the first try's work, seen late."""
    host.answers("POST", X, 502, {"status": 422, "json": {"message": "name already exists"}})
    found = iter([None, {"id": 9}])

    async def look() -> object:
        return next(found)

    async with client(VirtualClock()) as github:
        assert (await github.post("x", {}, settle=look)).data == {"id": 9}


async def test_a_refusal_without_a_doubt_is_a_refusal(host: Mocked) -> None:
    """What is there already was not made by us: nobody looks."""
    host.answers("POST", X, {"status": 422, "json": {"message": "already exists"}})

    async def look() -> object:
        raise AssertionError

    async with client(VirtualClock()) as github:
        with pytest.raises(ValidationFailed):
            await github.post("x", {}, settle=look)


@pytest.mark.parametrize(
    "failure", [{"status": 429}, {"status": 403, "headers": {"Retry-After": "1"}}]
)
async def test_a_post_refused_for_a_limit_is_repeated(host: Mocked, failure: Any) -> None:
    """A limit is no doubt: nothing was done."""
    host.answers("POST", X, failure, {"status": 201})
    async with client(VirtualClock()) as github:
        await github.post("x", {})
    assert len(host.sent) == 2


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_writes_that_may_be_repeated_are(host: Mocked, method: str) -> None:
    """PUT and PATCH set what they set, once or twice."""
    host.answers(method, X, 502, RESET, 200)
    async with client(VirtualClock()) as github:
        await getattr(github, method.lower())("x", {"a": 1})
    assert len(host.sent) == 3


async def test_gone_after_a_doubtful_delete_is_done(host: Mocked) -> None:
    """The first try deleted it; without a first try, not there is not there."""
    host.answers("DELETE", X, RESET, 404, 404)
    async with client(VirtualClock()) as github:
        assert (await github.delete("x")).status == 204
        with pytest.raises(NotFound):
            await github.delete("x")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_reads_follow_redirects(host: Mocked, status: int) -> None:
    """A renamed repository: the answer says where it came from."""
    there = f"{API}/repositories/1"
    host.answers("GET", X, {"status": status, "headers": {"Location": "/repositories/1"}})
    host.answers("GET", there, 200)
    async with client(VirtualClock()) as github:
        assert (await github.get("x")).url == there
    calls = [call for calls in host.requests.values() for call in calls]
    assert all(call.kwargs["headers"]["Authorization"] == "Bearer secret" for call in calls)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://api.github.com/x", "https to http"),
        ("ftp://x/", "nowhere"),
        ("", "nowhere"),
        (X, "nowhere"),
    ],
)
async def test_some_redirects_are_refused(host: Mocked, location: str, words: str) -> None:
    """Down to http, to nowhere, to itself: asked again, since it may pass, and told at last."""
    host.answers("GET", X, *[{"status": 302, "headers": {"Location": location}}] * 4)
    async with client(VirtualClock()) as github:
        with pytest.raises(RefusedAddress, match=words):
            await github.get("x")
    assert len(host.sent) == 4


async def test_a_redirect_that_passes(host: Mocked) -> None:
    """A portal that was in between for a moment is no failure."""
    portal = {"status": 302, "headers": {"Location": "http://portal.example/login"}}
    host.answers("GET", X, portal, 200)
    host.answers("POST", X, portal, 201)
    async with client(VirtualClock()) as github:
        assert (await github.get("x")).status == 200
        assert (await github.post("x", {})).status == 201


async def test_redirects_have_an_end(host: Mocked) -> None:
    """Two addresses that point to one another do not hold us."""
    for here, there in [("x", "y"), ("y", "x")] * 12:
        host.answers("GET", f"{API}/{here}", {"status": 302, "headers": {"Location": f"/{there}"}})
    async with client(VirtualClock()) as github:
        with pytest.raises(RefusedAddress, match="more than 5"):
            await github.get("x")
    assert len(host.sent) == 24  # four tries of six


@pytest.mark.parametrize(
    ("status", "location", "sent"),
    [
        (301, "/y", 2),
        (307, "/y", 2),
        (308, "/y", 2),
        (302, "/y", 4),
        (303, "/y", 1),  # it may have been carried out, and there is no way to look
        (307, "https://other.example/y", 4),
    ],
)
async def test_a_redirected_write_stays_what_it_is(
    host: Mocked, status: int, location: str, sent: int
) -> None:
    """Same method and body, on the same origin only: a create never becomes a listing."""
    host.answers("POST", X, *[{"status": status, "headers": {"Location": location}}] * 4)
    host.answers("POST", f"{API}/y", {"status": 201})
    async with client(VirtualClock()) as github:
        if sent == 2:
            assert (await github.post("x", {"a": 1})).status == 201
            calls = [call for calls in host.requests.values() for call in calls]
            assert [call.kwargs["data"] for call in calls] == [b'{"a": 1}'] * 2
        else:
            with pytest.raises(RefusedAddress):
                await github.post("x", {})
            assert len(host.sent) == sent


async def test_capabilities_of_github_cost_no_request(host: Mocked) -> None:
    """github.com has no version to ask for."""
    async with client(VirtualClock()) as github:
        assert (await github.capabilities()).make_latest
    assert host.sent == []


async def test_a_token_over_plain_http_is_refused(host: Mocked) -> None:
    """Unless it is loopback, or allowed; and nothing is sent."""
    url = "http://ghe.example.com"
    auth = TokenAuth(lambda: "secret")
    async with GitHubClient("ghe", url, None, auth, VirtualClock()) as ghe:
        with pytest.raises(AuthError, match="allow_plaintext"):
            await ghe.get("x")
    assert host.sent == []
    host.answers("GET", f"{url}/api/v3/x", 200, 200)
    async with GitHubClient(
        "ghe", url, None, auth, VirtualClock(), network=Network(allow_plaintext=True)
    ) as ghe:
        await ghe.get("x")
    async with GitHubClient("ghe", url, None, TokenAuth(), VirtualClock()) as ghe:
        await ghe.get("x")
