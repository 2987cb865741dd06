"""Parsers of what a host says: whatever it is, the answer is a value or an error of our own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hostile.lies import (
    ASSET,
    ERROR,
    RELEASE,
    REPOSITORY,
    bodies,
    encoded,
    headers,
    lies,
    links,
    one_line,
    put,
    texts,
    tries,
    values,
)
from mirror.core.domain.capabilities import BODY_LIMIT, Capabilities
from mirror.core.domain.release import Digest, Release, fingerprint, newest_first
from mirror.core.domain.selection import Selection, next_ripe, select
from mirror.core.text.body import marker, render_body, render_footer, with_marker
from mirror.core.text.mentions import escape_mentions
from mirror.core.text.timestamps import iso
from mirror.core.text.wording import size
from mirror.errors import BadAnswer, GitHubError, MirrorError
from mirror.github.answers import AssetAnswer, ReleaseAnswer, RepositoryAnswer, decode
from mirror.github.protocol.errors import Context, decode_response, error_of
from mirror.github.protocol.headers import moment_of
from mirror.github.protocol.pagination import next_link
from mirror.github.protocol.rate_limit import RateLimit
from mirror.github.protocol.urls import origin, public, without_secrets

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CONTEXT = Context("github", "GET", "https://api.github.com/repos/o/r/releases", NOW)
STATUSES = st.integers(100, 599)
HEADERS = st.dictionaries(
    st.sampled_from(
        (
            "Date",
            "Retry-After",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
            "X-GitHub-SSO",
            "X-GitHub-Request-Id",
            "X-OAuth-Scopes",
            "X-Accepted-OAuth-Scopes",
            "X-Accepted-GitHub-Permissions",
            "Content-Type",
        )
    ),
    headers,
)
SELECTION = Selection(versions=">=1", min_age=timedelta(days=7), include=("*",), latest=5)


@tries(100)
@given(STATUSES, HEADERS, bodies(ERROR))
@example(403, {"Retry-After": "9" * 15, "Date": "Mon, 01 Jan 0001 00:00:00 +1400"}, b"{}")
@example(200, {}, b"[" * 100_000)
def test_every_answer_is_json_or_an_error_of_ours(
    status: int, given_headers: dict[str, str], body: bytes
) -> None:
    """Status, headers and body may be anything; the sentence is one short printable line."""
    try:
        data = decode_response(status, CIMultiDict(given_headers), body, CONTEXT)
    except GitHubError as error:
        one_line(error)
    else:
        assert data is None or isinstance(data, (dict, list))


@tries(100)
@given(links(), st.sampled_from(("https://api.github.com/repos/o/r", "http://127.0.0.1:80/a?b")))
def test_a_next_page_is_at_the_same_origin_or_refused(header: str, base: str) -> None:
    """No ``Link`` header leads the token elsewhere."""
    try:
        address = next_link(header, base)
    except GitHubError as error:
        one_line(error)
    else:
        assert address is None or origin(address) == origin(base)


def test_a_long_link_header_is_read_in_no_time() -> None:
    """As long as a header can be (8 KiB), in forms that backtrack: each step is one of many."""
    for unit in ('<a>;"', "<", '<>; rel="', '<a>; rel="next\\', '<a>;a="b";', '"', "<a>,"):
        for _ in range(3):
            next_link(unit * (8190 // len(unit)), "https://api.github.com/")


@tries(100)
@given(HEADERS, st.datetimes(timezones=st.just(UTC)))
def test_limits_give_moments_or_none(given_headers: dict[str, str], now: datetime) -> None:
    """Rate limits, ``Retry-After`` and ``Date`` are moments of our clock, never before now."""
    limit = RateLimit.parse(CIMultiDict(given_headers))
    for moment in (limit.resets_at(now), limit.retries_at(now)):
        assert moment is None or moment >= now
    found = moment_of(given_headers.get("Date"))
    assert found is None or found.tzinfo is not None
    error = error_of(429, CIMultiDict(given_headers), b"", CONTEXT)
    assert getattr(error, "retry_at", NOW) >= NOW


@tries(100)
@given(headers)
@example("9" * 5000 + ".1")
def test_a_version_is_of_any_age(text: str) -> None:
    """What a server calls its version is one, or of unknown age."""
    Capabilities.of(text)


SHAPES: dict[str, Any] = {
    "release": ReleaseAnswer,
    "asset": AssetAnswer,
    "repository": RepositoryAnswer,
}


def read(shape: Any, document: Any) -> Any:
    """A document, from the bytes of an answer to its value."""
    data = decode_response(200, CIMultiDict(), encoded(document), CONTEXT)
    found: Any = decode(data, shape, "github")
    return [item.value() for item in found] if isinstance(found, list) else found.value()


def _use_release(release: Release) -> None:
    """What the program does with a release, but for the network."""
    fingerprint([release])
    newest_first([release, release])
    select([release], SELECTION, NOW)
    next_ripe([release], SELECTION, NOW)
    for moment in (release.published_at, release.created_at):
        assert moment is None or iso(moment)
    body = render_body(
        release.body,
        origin=release.html_url,
        footer=render_footer("{source_url} {published_at} {author}", release),
    )
    assert len(body) <= BODY_LIMIT
    with_marker(body, marker("https://github.com", release))
    for asset in release.assets:
        size(asset.size)
        assert asset.updated_at is None or iso(asset.updated_at)


@tries(100)
@given(lies(RELEASE) | values)
@example(put(RELEASE, ("published_at",), "0001-01-01T00:00:00+14:00"))
@example(put(RELEASE, ("published_at",), "9999-12-31T00:00:00Z"))
@example(put(RELEASE, ("tag_name",), f"v1.{'9' * 5000}"))
@example(put(RELEASE, ("assets", 0, "size"), 10**400))
@example(put(RELEASE, ("assets", 0, "size"), -1))
def test_a_release_can_be_used_or_is_refused(document: Any) -> None:
    """Whatever comes as a release: a bad answer, or a value that nothing trips over."""
    try:
        release = read(ReleaseAnswer, document)
    except BadAnswer as error:
        one_line(error)
        return
    _use_release(release)
    assert release.id >= 0
    assert all(asset.size >= 0 and asset.id >= 0 for asset in release.assets)


@tries(80)
@given(lies(ASSET) | lies(REPOSITORY) | lies([RELEASE]) | values)
def test_assets_and_repositories_are_values_or_refused(document: Any) -> None:
    """The same for the other documents."""
    for shape in (AssetAnswer, RepositoryAnswer, list[ReleaseAnswer]):
        try:
            read(shape, document)
        except BadAnswer as error:
            one_line(error)


REQUIRED = [
    (what, document, field)
    for what, document, fields in (
        ("release", RELEASE, ("id", "tag_name", "draft", "prerelease", "assets")),
        ("asset", ASSET, ("id", "name", "size", "state")),
        ("repository", REPOSITORY, ("id", "full_name", "fork")),
    )
    for field in fields
]


@pytest.mark.parametrize("lie", ["missing", "null"])
@pytest.mark.parametrize(("what", "document", "field"), REQUIRED, ids=lambda v: str(v)[:12])
def test_what_decides_is_there_or_nothing_is_decided(
    what: str, document: Any, field: str, lie: str
) -> None:
    """A draft is not published, and no asset deleted, because a word is missing in an answer.

    These fields are in every version's schema, and never null there.
    """
    read(SHAPES[what], document)
    bad = {**document, field: None}
    if lie == "missing":
        del bad[field]
    with pytest.raises(BadAnswer, match=field):
        read(SHAPES[what], bad)


def test_every_field_that_is_read_is_checked_for_its_type() -> None:
    """A value of another type is a bad answer, never taken for something else."""
    fields = {
        "release": "id tag_name name body draft prerelease target_commitish created_at published_at"
        " html_url upload_url immutable assets author",
        "asset": "id name size content_type state label digest updated_at",
        "repository": "id full_name private archived fork default_branch html_url description",
    }
    documents = {"release": RELEASE, "asset": ASSET, "repository": REPOSITORY}
    for what, names in fields.items():
        for name in names.split():
            value = documents[what][name]
            wrong: Any = "text" if isinstance(value, (int, dict, list)) else 7
            for lie in (wrong, 1.5):
                with pytest.raises(BadAnswer):
                    read(SHAPES[what], {**documents[what], name: lie})


@tries(80)
@given(values)
def test_a_digest_is_one_or_none(text: Any) -> None:
    """A SHA-256 has 64 digits."""
    found = Digest.parse(text)
    assert not found or not found.sha256 or re.fullmatch("[0-9a-f]{64}", found.sha256)


@tries(80)
@given(texts | st.text(alphabet="@`~\n <>!-a/.:\t\\", max_size=300))
def test_mentions_are_escaped_once_and_for_all(text: str) -> None:
    """Any text ends; doing it twice changes nothing."""
    once = escape_mentions(text)
    assert escape_mentions(once) == once


HARD = {
    "ticks": "".join("`" * n + " " for n in range(1, 495)),
    "ticks again": ("`" * 3 + "a" + "`" * 2 + "@b ") * 17_000,
    "comments": "<!--" * 31_000 + "@a",
    "comment": "<!-- " + "-" * 124_000 + "@a",
    "addresses": "http://a)@" * 12_000,
    "dots": "a." * 62_000 + "@b",
    "schemes": "a+" * 62_000 + "@b",
    "mentions": "@a" * 62_000,
    "tabs": "`" + "\n\t" * 62_000 + "@a",
    "blanks": ("`a\n" + " " * 1000) * 120 + "@a",
    "quotes": ">" * 100_000 + "```@a",
    "lists": "- " * 60_000 + "```@a",
    "nested": "".join(" " * (2 * n) + "- a\n" for n in range(340)) + "    @a",
    "brackets": "[" * 60_000 + "](@a" + "\n    @b",
    "links": "[a](" * 30_000 + "\n    @b",
    "images": "![[]()" * 20_000 + "\n    @b",
    "stars": "*a_ " * 30_000 + "\n    @b",
    "html": "<a b='" * 20_000 + "\n    @b",
    "fences": "```\n@a\n" * 17_000,
    "open fence": "~~~" + "\n@a" * 40_000,
    "entities": "&" * 120_000 + "\n    @b",
    "references": "[a]: b\n" * 17_000 + "\n    @b",
    "long reference": "[" + "a\n" * 60_000 + "    @b",
    "cut span": "`" + "@a " * 50_000,
    "cut fence": "```\n" + "@a\n" * 50_000,
    "tables": "|a" * 60_000 + "\n    @b",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    """A release's text of 125,000 characters holds the program up for a moment at most.

    The bound is the test's time-out; the good case takes a fraction of a second.
    """
    body = render_body(text * (2 if len(text) < 100_000 else 1), origin="https://x", footer="@a")
    assert len(body) <= BODY_LIMIT


@tries(80)
@given(texts, st.integers(0, 3))
def test_texts_for_people_are_one_line(text: str, more: int) -> None:
    """A host's text in an error: printable, bounded, no query and no user of an address."""
    told = without_secrets(text * 10**more)
    assert told.isprintable()
    assert len(told) <= 500
    secret = without_secrets(f"see https://u:{'p' * 9}@h/x?sig=topsecret {text}")
    assert "topsecret" not in secret
    assert "ppppppppp" not in secret
    public(text)


@tries(80)
@given(bodies([RELEASE]))
def test_a_whole_answer_from_bytes_to_values(body: bytes) -> None:
    """From the wire to the domain nothing but our errors is raised."""
    try:
        data = decode_response(200, CIMultiDict(), body, CONTEXT)
        for release in decode(data, list[ReleaseAnswer], "github"):
            _use_release(release.value())
    except MirrorError as error:
        one_line(error)
