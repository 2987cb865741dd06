from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from mirror.errors import (
    AuthError,
    BadAnswer,
    GitHubError,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from mirror.github.protocol.errors import Context, decode_response
from mirror.github.protocol.headers import token_expiry
from mirror.github.protocol.pagination import following, next_link, page_size
from mirror.github.protocol.rate_limit import RateLimit, creates_content, points_of
from mirror.github.protocol.urls import (
    RefusedAddress,
    accepted_upload_origins,
    api_url,
    is_loopback,
    origin,
    public,
    without_secrets,
)
from mirror.github.protocol.webhook import is_signature, is_signed

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
CONTEXT = Context("github", "GET", "https://api.github.com/x?sig=SECRET", NOW)
BASE = "https://api.github.com/repos/o/r/releases?per_page=100"


def decode(status: int, body: bytes | object = b"", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return decode_response(status, named, content, CONTEXT)


def error(status: int, body: bytes | object = b"", **headers: str) -> GitHubError:
    with pytest.raises(GitHubError) as caught:
        decode(status, body, **headers)
    return caught.value


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://github.com/", "https://api.github.com"),
        ("https://www.github.com", "https://api.github.com"),
        ("https://octocorp.ghe.com", "https://api.octocorp.ghe.com"),
        ("https://api.octocorp.ghe.com", "https://api.octocorp.ghe.com"),
        ("https://ghe.example.com", "https://ghe.example.com/api/v3"),
        ("https://ghe.example.com:8443/", "https://ghe.example.com:8443/api/v3"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/api/v3"),
        ("https://evil-ghe.com", "https://evil-ghe.com/api/v3"),
        ("https://github.com.evil.example", "https://github.com.evil.example/api/v3"),
    ],
)
def test_the_api_address_follows_from_the_web_address(url: str, api: str) -> None:
    """github.com and GHE.com have an api host; every other host has it below /api/v3."""
    assert api_url(url) == api


@pytest.mark.parametrize("url", ["", "github.com", "ftp://github.com", "https://", "https://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """An address without scheme or host is a mistake, not a host."""
    with pytest.raises(ValueError, match=r"http|URL|IPv6|netloc"):
        api_url(url)


def test_origins_have_one_spelling() -> None:
    """Case, the default port, path and user make no other origin."""
    assert origin("HTTPS://u:p@GHE.example.com:443/a?b") == "https://ghe.example.com"
    assert origin("http://[::1]:80/") == "http://[::1]"
    assert origin("https://h:444") != origin("https://h")


@pytest.mark.parametrize(
    ("url", "accepted", "refused"),
    [
        ("https://github.com", "https://uploads.github.com", "https://uploads.github.com:444"),
        ("https://o.ghe.com", "https://uploads.o.ghe.com", "https://uploads.p.ghe.com"),
        ("https://ghe.example.com", "https://ghe.example.com", "https://uploads.github.com"),
        ("https://ghe.example.com", "https://uploads.ghe.example.com", "http://ghe.example.com"),
        ("http://ghe.lan:8080", "http://uploads.ghe.lan:8080", "http://uploads.ghe.lan"),
    ],
)
def test_uploads_go_to_the_host_itself_only(url: str, accepted: str, refused: str) -> None:
    """The host, its uploads host, and nothing that merely looks alike."""
    origins = accepted_upload_origins(url, api_url(url))
    assert accepted in origins
    assert refused not in origins


def test_one_more_upload_origin_may_be_configured() -> None:
    """upload_origin adds one; empty adds none."""
    api = "https://ghe.example.com/api/v3"
    more = accepted_upload_origins("https://ghe.example.com", api, "https://cdn.example.com/")
    none = accepted_upload_origins("https://ghe.example.com", api, "")
    assert more - none == {"https://cdn.example.com"}


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80", True),
        ("http://ghe.localhost", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_loopback_is_this_machine_only(url: str, *, loopback: bool) -> None:
    """A name that begins like loopback is not loopback."""
    assert is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ('<https://api.github.com/p?page=2>; rel="next"', "https://api.github.com/p?page=2"),
        ("<https://api.github.com/p?page=2>; rel=next", "https://api.github.com/p?page=2"),
        ('<https://api.github.com/a>; REL="NEXT"', "https://api.github.com/a"),
        (
            (
                '<https://api.github.com/1>; rel="prev first", <https://api.github.com/3>;'
                ' title="a, <b>; rel=\\"next\\""; rel="last next"'
            ),
            "https://api.github.com/3",
        ),
        (
            '<https://api.github.com/x?a=1,2;b=3>; rel="next", <https://api.github.com/l>; rel="last"',
            "https://api.github.com/x?a=1,2;b=3",
        ),
        ('<https://api.github.com/1>; rel="last"; rel="next"', None),
        ('<https://api.github.com/1>; rel="nextish"', None),
        (
            "</repositories/1/releases?page=2>; rel=next",
            "https://api.github.com/repositories/1/releases?page=2",
        ),
        ('<https://api.github.com/1> rel="next"', None),
        ("garbage", None),
    ],
)
def test_the_next_page_is_found_in_any_spelling(header: str | None, expected: str | None) -> None:
    """RFC 8288: several links, several rels, commas and semicolons inside, any case and order."""
    assert next_link(header, BASE) == expected


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/p",
        "http://api.github.com/p",
        "https://api.github.com:444/",
        "//evil/",
        "http://[",
    ],
)
def test_a_next_page_of_another_origin_is_refused(target: str) -> None:
    """The token would go with it; and asking again would not help."""
    with pytest.raises(RefusedAddress) as caught:
        next_link(f'<{target}?secret=1>; rel="next"', BASE)
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("?per_page=100", "?per_page=100&page=2"),
        ("?type=all&per_page=100&page=2", "?type=all&per_page=100&page=3"),
        ("", "?page=2"),
        ("?after=x&per_page=100", None),
        ("?page=x", None),
        ("?page=-1", None),
        (f"?page={'9' * 5000}", None),
        ("?page=\u0665", None),
    ],
)
def test_the_address_after_a_numbered_page(url: str, expected: str | None) -> None:
    """The number alone changes; what has another order than numbers has no such address."""
    wanted = None if expected is None else f"https://api.github.com/x{expected}"
    assert following(f"https://api.github.com/x{url}") == wanted


@pytest.mark.parametrize(
    ("query", "size"), [("?per_page=100", 100), ("", 30), ("?per_page=x", 30), ("?per_page=0", 30)]
)
def test_the_size_of_a_page_is_in_its_address(query: str, size: int) -> None:
    """As it was asked for, else the hosts' own."""
    assert page_size(f"https://api.github.com/x{query}") == size


@given(st.text(), st.text())
def test_no_link_header_breaks_the_parser(header: str, more: str) -> None:
    """Whatever a host sends: an address of the same origin, None, or a GitHubError."""
    for text in (header, f'<{more}>; rel="next"', f"<{header}>{more}; rel=next"):
        try:
            found = next_link(text, BASE)
        except GitHubError:
            continue
        assert found is None or origin(found) == "https://api.github.com"


@given(
    st.integers(100, 999),
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["message", "errors", "code", "field"]) | st.text(), inner
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.dictionaries(
        st.sampled_from(
            [
                "Retry-After",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
                "Date",
                "X-GitHub-SSO",
                "Content-Type",
                "X-GitHub-Request-Id",
            ]
        ),
        st.text()
        | st.sampled_from(
            [
                "0",
                "99999999999999999999",
                "Wed, 21 Oct 2026 07:28:00 GMT",
                "required; url=https://x?y",
            ]
        ),
    ),
)
def test_no_answer_breaks_the_decoder(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Whatever a host sends: JSON, nothing, or a GitHubError that knows its host and its status."""
    outcome: object
    try:
        outcome = decode_response(status, CIMultiDict(headers), body, CONTEXT)
    except GitHubError as caught:
        outcome = caught
    if isinstance(outcome, GitHubError):
        assert outcome.host == "github"
        assert outcome.status == status
        assert str(status) in str(outcome)
    else:
        assert status < 400
        assert outcome is None or isinstance(outcome, (dict, list))


def test_good_answers_are_their_json() -> None:
    """2xx: the document; 204, 304 and empty bodies: nothing."""
    assert decode(200, [1]) == [1]
    assert decode(201, {"id": 1}) == {"id": 1}
    assert decode(204) is None
    assert decode(304) is None
    assert decode(202, b" \n") is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title>Sign in</title>", "Sign in"),
        (b'{"id": 1', "broken"),
        (b'"text"', "broken"),
        (b"[" * 100_000, "broken"),
        (b"\xff\xfe", "broken"),
    ],
)
def test_a_success_that_is_no_json_is_a_bad_answer(body: bytes, words: str) -> None:
    """It is retryable, and leaves open whether a write was carried out."""
    caught = error(200, body, Content_Type="text/html")
    assert isinstance(caught, BadAnswer)
    assert words in str(caught)
    assert caught.retryable
    assert caught.ambiguous


@pytest.mark.parametrize(
    ("held", "named"), [("read:org", True), ("", True), ("read:org, repo", False), ("repo", False)]
)
def test_a_refusal_names_scopes_only_where_the_token_has_none_of_them(
    held: str, *, named: bool
) -> None:
    """A token with the scope lacks something else: naming the scope would mislead."""
    accepted = {"X-Accepted-OAuth-Scopes": "admin:org, repo", "X-OAuth-Scopes": held}
    assert ("scopes" in str(error(403, {"message": "Forbidden"}, **accepted))) == named


@pytest.mark.parametrize(
    ("body", "final"),
    [
        ({"errors": [{"code": "already_exists", "field": "name"}]}, True),
        ({"errors": [{"code": "custom", "field": "size", "message": "too large"}]}, True),
        ({"message": "Cannot upload assets to an immutable release."}, True),
        ({"errors": [{"code": "custom", "message": "something is odd"}]}, False),
        ({"errors": [{"code": "invalid", "field": "target_commitish"}]}, False),
        ({"errors": [{"code": "invalid", "field": "name"}]}, False),
        ({"errors": ["something is odd"]}, False),
        ({"message": "Validation Failed"}, False),
    ],
)
def test_only_a_known_reason_is_final(body: object, *, final: bool) -> None:
    """Whatever else a rejection says may be over by the next pass: a field alone is no reason."""
    assert error(422, body).final == final


@pytest.mark.parametrize(
    ("status", "kind", "final", "retryable"),
    [
        (301, BadAnswer, False, True),
        (400, ValidationFailed, False, False),
        (401, AuthError, False, False),
        (403, AuthError, False, False),
        (404, NotFound, False, False),
        (408, ServerError, False, True),
        (409, ValidationFailed, False, False),
        (410, NotFound, False, False),
        (413, ValidationFailed, True, False),
        (415, ValidationFailed, False, False),
        (422, ValidationFailed, False, False),
        (429, RateLimited, False, True),
        (451, NotFound, False, False),
        (500, ServerError, False, True),
        (503, ServerError, False, True),
        (599, ServerError, False, True),
    ],
)
@pytest.mark.parametrize("body", [b"", {"message": "No."}])
def test_a_status_is_one_kind_of_error(
    status: int, kind: type[GitHubError], body: bytes | object, *, final: bool, retryable: bool
) -> None:
    """Each kind knows what may be done about it; its sentence says who answered what.

    What tells no reason is not final: nobody knows what it depends on.
    """
    caught = error(status, body, X_GitHub_Request_Id="AB:12")
    assert type(caught) is kind
    assert (caught.final, caught.retryable) == (final, retryable)
    assert caught.request_id == "AB:12"
    assert f"github: GET https://api.github.com/x answered {status}" in str(caught)
    assert "AB:12" in str(caught)
    assert "SECRET" not in str(caught)


def test_the_items_of_a_validation_error_are_told() -> None:
    """Objects and plain texts alike, and the objects give the reason."""
    caught = error(
        422,
        {
            "message": "Validation Failed",
            "errors": [
                {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"},
                "Name is wrong",
                7,
            ],
        },
    )
    assert isinstance(caught, ValidationFailed)
    assert caught.reason == "already-exists"
    assert (caught.kind, caught.final) == ("name-taken", True)
    assert "ReleaseAsset name already_exists; Name is wrong" in str(caught)


def item(field: str | None = None, code: str = "custom", message: str = "") -> dict[str, Any]:
    facts = {"resource": "Release", "code": code, "field": field, "message": message}
    return {key: value for key, value in facts.items() if value}


@pytest.mark.parametrize(
    ("status", "message", "items", "reason", "kind", "final"),
    [
        (413, "", [], "too-large", "too-large", True),
        (422, "", [item("name", "already_exists")], "already-exists", "name-taken", True),
        (422, "", [item("tag_name", "already_exists")], "already-exists", "name-taken", True),
        (422, "", [item(None, message="Repository is empty.")], "repository-empty", "rejected", False),
        (409, "Git Repository is empty.", [], "repository-empty", "rejected", False),
        (422, "Cannot upload assets to an immutable release.", [], "immutable", "immutable", True),
        (
            422, "", [item("tag_name", message="tag_name was used by an immutable release")],
            "immutable", "immutable", True,
        ),
        (
            422, "", [item("body", message="body is too long (maximum is 125000 characters)")],
            "text-too-long", "text-too-long", True,
        ),
        (
            422, "", [item("file_count", message="file_count limited to 1000 assets per release")],
            "too-many-assets", "too-many-assets", True,
        ),
        (
            422, "", [item("size", message="size must be less than or equal to 2147483648")],
            "too-large", "too-large", True,
        ),
        (
            422, "", [item("size", message="size must be greater than or equal to 1")],
            "empty", "empty", True,
        ),
        (422, "", [item("name", "invalid")], "invalid-name", "rejected", False),
        (422, "", [item("target_commitish", "invalid")], "invalid-field", "rejected", False),
        (422, "Reference already exists", [], "reference-exists", "name-taken", False),
        (422, "Only the first 10000 results are available.", [], "listing-cut", "rejected", False),
        (422, "", [item(None, message="Published releases must have a valid tag")], None, "rejected", False),
        (422, "", [item("name", message="immutable release.zip is invalid")], "invalid-name", "rejected", False),
        (422, "", [item("size", message="size is not included in the list")], "too-large", "too-large", True),
        (403, "Repository was archived so is read-only.", [], "archived", "archived", False),
        (403, "Repository access blocked", [], "access-blocked", "permission", False),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason(
    status: int, message: str, items: list[Any], reason: str | None, kind: str, *, final: bool
) -> None:
    """By status, code and field, by a documented message where there is nothing else; never by names."""
    text = message or "Validation Failed"
    caught = error(status, {"message": text} | ({"errors": items} if items else {}))
    assert isinstance(caught, ValidationFailed)
    assert (caught.reason, caught.kind, caught.final) == (reason, kind, final)


def test_what_an_operator_has_to_do_is_a_hint() -> None:
    """Single sign-on and suspended accounts are told apart from a permission that is missing."""
    sso = error(403, {"message": "Resource protected"}, X_GitHub_SSO="required; url=https://x")
    assert (sso.kind, sso.hint) == ("permission", "authorize-sso")
    suspended = error(403, {"message": "This installation has been suspended"})
    assert isinstance(suspended, GitHubError)
    assert (suspended.kind, suspended.reason) == ("permission", "suspended")
    refused = error(401, {"message": "'Issued at' claim ('iat') must be an Integer"})
    assert isinstance(refused, GitHubError)
    assert (refused.kind, refused.reason) == ("credential", "token-time")


def test_a_missing_page_of_a_web_server_is_not_a_missing_release() -> None:
    """404 with HTML is no answer of the API: nothing may be concluded from it."""
    assert isinstance(error(404, b"<html>not here"), BadAnswer)


@pytest.mark.parametrize(
    ("body", "headers", "kind", "words"),
    [
        ({"message": "API rate limit exceeded"}, {}, RateLimited, "accepts requests again"),
        ({"message": "x"}, {"X_RateLimit_Remaining": "0"}, RateLimited, "accepts requests again"),
        ({"message": "x"}, {"Retry_After": "7"}, RateLimited, "09:00:07"),
        ({"message": "You have exceeded a secondary rate limit"}, {}, RateLimited, "09:01:00"),
        ({"message": "You have triggered an abuse detection mechanism"}, {}, RateLimited, "09:01"),
        ({"message": "Repository was archived so is read-only."}, {}, ValidationFailed, "archived"),
        (
            {"message": "Resource protected by organization SAML enforcement"},
            {"X_GitHub_SSO": "required; url=https://github.com/orgs/o/sso?authorization_request=S"},
            AuthError,
            "SAML",
        ),
        (
            {"message": "Resource not accessible by personal access token"},
            {"X_Accepted_GitHub_Permissions": "contents=write"},
            AuthError,
            "contents=write",
        ),
        (
            {"message": "Must have admin rights"},
            {"X_Accepted_OAuth_Scopes": "repo", "X_OAuth_Scopes": ""},
            AuthError,
            "'repo'",
        ),
        (b"<html>blocked by policy</html>", {}, BadAnswer, "web page"),
    ],
)
def test_a_403_is_sorted(
    body: object, headers: dict[str, str], kind: type[GitHubError], words: str
) -> None:
    """A limit, a repository that takes no writes, or a permission with what to do about it.

    A page is no answer of the API: a proxy sent it, and no permission would help.
    """
    caught = error(403, body, **headers)
    assert type(caught) is kind
    assert words in str(caught)
    assert "authorization_request" not in str(caught)


@pytest.mark.parametrize(
    ("method", "status", "ambiguous"),
    [("POST", 303, True), ("POST", 302, False), ("GET", 303, False)],
)
def test_a_redirect_to_a_result_leaves_a_write_open(
    method: str, status: int, *, ambiguous: bool
) -> None:
    """It may lead to what the write has made: the host is looked at before it is sent again."""
    context = CONTEXT._replace(method=method)
    with pytest.raises(BadAnswer) as caught:
        decode_response(status, CIMultiDict(), b"", context)
    assert caught.value.ambiguous == ambiguous


def test_a_422_for_spam_is_a_limit() -> None:
    """Not every 422 is for good: "spammed" and "submitted too quickly" pass."""
    assert isinstance(error(422, {"message": "was submitted too quickly"}), RateLimited)
    assert isinstance(error(422, {"message": "endpoint has been spammed."}), RateLimited)


@pytest.mark.parametrize(
    "item",
    [
        "was submitted too quickly",
        {"resource": "Release", "code": "custom", "message": "was submitted too quickly"},
        {"code": "unprocessable", "field": "data", "message": "was submitted too quickly"},
    ],
)
def test_an_item_of_a_422_may_be_a_limit(item: object) -> None:
    """What passes by itself is not quarantined because the answer names a field."""
    caught = error(422, {"message": "Validation Failed", "errors": [{"code": "invalid"}, item]})
    assert isinstance(caught, RateLimited)
    assert not caught.final


@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "0"}, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1"}],
)
def test_a_limit_that_is_over_is_waited_for_all_the_same(headers: dict[str, str]) -> None:
    """A moment at least: otherwise all attempts are spent at once, and the limit is hit again."""
    caught = error(429, {"message": "slow down"}, **headers)
    assert isinstance(caught, RateLimited)
    assert caught.retry_at == NOW + timedelta(seconds=1)


def test_maintenance_may_say_when_it_ends() -> None:
    """Retry-After of a 503 is kept."""
    caught = error(503, b"", Retry_After="120")
    assert isinstance(caught, ServerError)
    assert caught.retry_at == NOW + timedelta(seconds=120)


@pytest.mark.parametrize("skew", [-3600, 0, 90])
def test_limits_end_by_our_clock(skew: int) -> None:
    """The host's clock may go wrong: only the time between its Date and its reset counts."""
    theirs = NOW + timedelta(seconds=skew)
    caught = error(
        403,
        {"message": "API rate limit exceeded"},
        X_RateLimit_Remaining="0",
        X_RateLimit_Reset=str(int(theirs.timestamp()) + 600),
        Date=format_datetime(theirs, usegmt=True),
    )
    assert isinstance(caught, RateLimited)
    assert caught.retry_at == NOW + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        (format_datetime(NOW + timedelta(seconds=45), usegmt=True), 45),
        (format_datetime(NOW - timedelta(seconds=45), usegmt=True), 0),
        ("soon", None),
        ("-1", None),
        ("999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int | None) -> None:
    """Both forms of RFC 9110; nonsense is as good as nothing."""
    found = RateLimit(retry_after=text).retries_at(NOW)
    assert found == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_absent_limits_are_not_zero() -> None:
    """Servers without limits and upload hosts say nothing, which is not "nothing left"."""
    limit = RateLimit.parse(CIMultiDict({"X-RateLimit-Limit": "x"}))
    assert limit == RateLimit()
    assert limit.resets_at(NOW) is None


@pytest.mark.parametrize(
    "secret",
    [
        "https://s.example/a?sig=SECRET&x=1",
        "https://user:SECRET@h.example/a",
        "see https://h/a?SECRET.",
    ],
)
def test_texts_for_people_hold_no_signature(secret: str) -> None:
    """Queries, users and passwords are taken out of addresses, wherever they stand."""
    assert "SECRET" not in without_secrets(f"failed: {secret} (x)")
    if secret.startswith("https"):
        assert "SECRET" not in public(secret)


def test_texts_for_people_are_one_short_line() -> None:
    """No control characters of a host reach a terminal or a log."""
    text = without_secrets("a\x1b[31m\r\nb" + "x" * 10_000)
    assert text.startswith("a [31m b")
    assert len(text) <= 500


def test_a_webhook_is_signed_as_github_says() -> None:
    """The example of GitHub's documentation, and nothing that differs from it.

    Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed(body, right, secret)
    assert not is_signed(body + b"\n", right, secret)
    assert not is_signed(body, right, secret + " ")
    assert not is_signed(body, right, "")
    for wrong in (None, "", right[7:], right.upper(), right[:-1] + "8", f" {right}", "sha256=é"):
        assert not is_signed(body, wrong, secret)
    assert is_signature(right)
    assert not is_signature(right.replace("sha256", "sha1"))


def test_when_a_token_expires() -> None:
    """Both forms of the header are read; what is none is no error."""
    assert token_expiry("2026-12-01 09:00:00 UTC") == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert token_expiry("2026-12-01 01:00:00 -0800") == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert token_expiry("0001-01-01 00:00:00 +1400") is None
    assert token_expiry("soon") is None


@pytest.mark.parametrize(
    ("method", "points", "creates"),
    [
        ("GET", 1, False),
        ("HEAD", 1, False),
        ("POST", 5, True),
        ("PUT", 5, True),
        ("PATCH", 5, True),
        ("DELETE", 5, False),
    ],
)
def test_what_a_request_costs(method: str, points: int, creates: bool) -> None:
    """Reads cost a point and everything else five; deleting creates nothing."""
    assert (points_of(method), creates_content(method)) == (points, creates)
