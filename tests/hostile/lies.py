"""Lies: what a host, a file or a stranger may say instead of what is expected.

A lie about a document is a valid one with something of it missing, null, of another type, or
huge; so every strategy here begins with what is good.
"""

from __future__ import annotations

import copy
import json
import string
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mirror.core.text.sanitise import clean
from support.seed import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Any
Path = tuple[str | int, ...]

MISSING = object()
"""In the place of a value: the key, or the item, is not there."""


def tries(quick: int, everything: int = 0) -> settings:
    """So many examples of a property; more where all is run."""
    return settings(
        max_examples=(everything or 40 * quick) if EVERYTHING else quick,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def one_line(error: Exception, part: str = "") -> None:
    """An error for people: a sentence that a terminal does not act on, and no book."""
    text = clean(error) if part else str(error)
    assert text.isprintable()
    assert part in text
    assert 0 < len(text) < 20_000


HUGE: tuple[Json, ...] = (
    "x" * 200_000,
    "a." * 20_000,
    "\u202e\x1b[2J\x00" * 5_000,
    "9" * 5_000,
    2**63,
    -(2**63) - 1,
    10**400,
    -(10**400),
    1e308,
    [0] * 20_000,
    {str(number): number for number in range(5_000)},
)
ODD: tuple[Json, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    float("inf"),
    float("nan"),
    "",
    " ",
    "\x00",
    "\ud800",
    "..",
    "../../etc/passwd",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "https://[",
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
    "sha256:0",
    [],
    {},
    [[]],
    [None],
    {"": None},
)

texts = st.text(st.characters(), max_size=40) | st.text(string.printable, max_size=40)
"""Of all characters, halves of surrogate pairs among them."""

values: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(HUGE),
    st.integers(),
    st.floats(),
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
)
"""Anything that JSON can hold."""


def paths(document: Json, here: Path = ()) -> Iterator[Path]:
    """Every place in a document, from the whole of it to the last value."""
    yield here
    if isinstance(document, dict):
        for key, inner in document.items():
            yield from paths(inner, (*here, key))
    elif isinstance(document, list):
        for place, inner in enumerate(document):
            yield from paths(inner, (*here, place))


def put(document: Json, path: Path, value: Json) -> Json:
    """A copy of a document with another value, or :data:`MISSING`, in one place."""
    if not path:
        return {} if value is MISSING else value
    made = copy.deepcopy(document)
    inner = made
    for part in path[:-1]:
        inner = inner[part]
    if value is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


@st.composite
def lies(draw: st.DrawFn, document: Json, most: int = 3) -> Json:
    """A valid document with up to ``most`` lies in it."""
    made = document
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(list(paths(made))))
        made = put(made, path, draw(st.just(MISSING) | values))
    return made


def encoded(document: Json) -> bytes:
    """As a host would send it: Python's JSON, which has NaN and halves of surrogate pairs too."""
    return json.dumps(document).encode()


@st.composite
def bodies(draw: st.DrawFn, document: Json) -> bytes:
    """An answer's bytes: a lie in JSON, or JSON that is broken, or no JSON at all."""
    content = encoded(draw(lies(document)))
    way = draw(st.integers(0, 9))
    if way == 0:
        return content[: draw(st.integers(0, len(content)))]
    if way == 1:
        return draw(st.binary(max_size=200))
    if way == 2:
        return draw(
            st.sampled_from(
                (
                    b"",
                    b" ",
                    b"null",
                    b"0",
                    b'"text"',
                    b"[" * 100_000,
                    b'{"a":' * 100_000,
                    b"9" * 10_000,
                    b"\xef\xbb\xbf{}",
                    b"\xff\xfe{\x00}\x00",
                    b"<html><title>" + b"<" * 10_000,
                    b'{"message": "\\ud800", "errors": [[[]]]}',
                )
            )
        )
    return content


headers = st.one_of(
    st.text(st.characters(blacklist_characters="\r\n\0"), max_size=60),
    st.text(string.digits, max_size=25),
    st.sampled_from(
        (
            "",
            " ",
            "-1",
            "0",
            "1e9",
            "9" * 15,
            "9" * 5_000,
            "²",
            "٣",
            "NaN",
            "Infinity",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 -1200",
            "Mon, 01 Jan 0001 00:00:00 +1400",
            "Sat, 21 Nov 2026 09:00:00",
            "\udcff\udcfe",
        )
    ),
)
"""What may stand behind a header's name; halves of surrogate pairs are bytes that are no UTF-8."""


@st.composite
def links(draw: st.DrawFn) -> str:
    """A ``Link`` header: parts of good ones, glued together in any way."""
    parts = st.sampled_from(
        (
            "<",
            ">",
            ";",
            ",",
            '"',
            "\\",
            " ",
            "rel=",
            'rel="next"',
            "rel=next",
            'rel="prev next"',
            'REL="NEXT"',
            'title="a, <b>; rel=next"',
            "<https://api.github.com/repos/o/r/releases?page=2>",
            "<https://evil.example/repos?page=2>",
            "<//evil.example/>",
            "<?page=2>",
            "<https://[>",
            "<javascript:alert(1)>",
            "</a\x7f>",
        )
    )
    return "".join(draw(st.lists(parts | texts, max_size=40)))


# --- what is good ---------------------------------------------------------------------------------

ASSET: Json = {
    "id": 11,
    "url": "https://api.github.com/repos/o/r/releases/assets/11",
    "name": "tool.tar.gz",
    "label": None,
    "state": "uploaded",
    "content_type": "application/gzip",
    "size": 1024,
    "digest": f"sha256:{'0' * 64}",
    "download_count": 3,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "browser_download_url": "https://github.com/o/r/releases/download/v1/tool.tar.gz",
    "uploader": {"login": "octocat", "id": 1},
}
RELEASE: Json = {
    "id": 1,
    "url": "https://api.github.com/repos/o/r/releases/1",
    "upload_url": "https://uploads.github.com/repos/o/r/releases/1/assets{?name,label}",
    "html_url": "https://github.com/o/r/releases/tag/v1",
    "tag_name": "v1",
    "target_commitish": "main",
    "name": "One",
    "body": "Thanks @octocat",
    "draft": False,
    "prerelease": False,
    "immutable": False,
    "created_at": "2026-01-01T00:00:00Z",
    "published_at": "2026-01-01T00:00:00Z",
    "author": {"login": "octocat", "id": 1},
    "assets": [ASSET],
}
REPOSITORY: Json = {
    "id": 5,
    "full_name": "o/r",
    "private": False,
    "archived": False,
    "fork": False,
    "default_branch": "main",
    "html_url": "https://github.com/o/r",
    "description": None,
}
ERROR: Json = {
    "message": "Validation Failed",
    "errors": [
        {"resource": "Release", "code": "custom", "field": "body", "message": "is too long"},
        "a text",
    ],
    "documentation_url": "https://docs.github.com/rest",
    "status": "422",
}
LEDGER: Json = {
    "version": 2,
    "source": "github:o/r",
    "target": "m/r",
    "target_url": "https://ghe.example.com/api/v3",
    "source_id": 5,
    "target_id": 6,
    "created_repository": True,
    "creating_repository": False,
    "working_since": "",
    "burned_tags": ["v0"],
    "releases": [
        {
            "source_id": 1,
            "target_id": 2,
            "tag": "v1",
            "created": True,
            "followed": True,
            "published": "2026-01-01T00:00:00Z",
            "commit": "0" * 40,
            "in_place": ["tool.tar.gz"],
            "assets": [
                {
                    "source_id": 11,
                    "source_name": "tool.tar.gz",
                    "target_id": 12,
                    "target_name": "tool.tar.gz",
                    "size": 1024,
                    "sha256": "0" * 64,
                    "source_digest": None,
                    "source_updated_at": "2026-01-01T00:00:00Z",
                    "created": True,
                    "target_created_at": "2026-01-01T00:00:00Z",
                    "proof": "bytes",
                }
            ],
        }
    ],
    "quarantined": [
        {
            "release_id": 1,
            "asset_id": 0,
            "facts": "f",
            "error": "too large",
            "since": "2026-01-01T00:00:00Z",
            "release": "v1",
            "asset": None,
            "kind": "text-too-long",
        }
    ],
}
INDEX: Json = {
    "version": 2,
    "finished_at": 1760000000.0,
    "passes": [
        {
            "started_at": 1760000000.0,
            "seconds": 1.5,
            "mirrors": 1,
            "unchanged": 0,
            "failed": 0,
            "bytes": 1024,
            "requests": 9,
        }
    ],
    "told": [{"command": "sync", "source": "github:o/*", "target": None}],
    "hosts": {
        "github": {
            "credential": "c",
            "token_expires_at": 1760000000.0,
            "points": [[1760000000.0, 5]],
            "writes": [[1760000000.0, 1]],
            "paced_by": "900 points a minute",
            "paced_until": 1760000000.0,
        }
    },
    "mirrors": {
        "m/r": {
            "source": "github:o/r",
            "target": "m/r",
            "settings": "s",
            "credential": "c",
            "target_url": "https://ghe.example.com/api/v3",
            "source_id": 5,
            "pages": [["https://api.github.com/repos/o/r/releases?per_page=100", 'W/"e"', "f"]],
            "listed": [["https://api.github.com/repos/o/r/releases?per_page=100", 'W/"e"', "f", 1]],
            "audited_at": 1760000000.0,
            "settled_at": 1760000000.0,
            "succeeded_at": 1760000000.0,
            "target_checked_at": 1760000000.0,
            "passed_at": 1760000000.0,
            "refused": [1],
            "error": "",
            "releases": 1,
            "assets": 1,
            "bytes": 1024,
            "newest": "2026-01-01T00:00:00Z",
            "newest_tag": "v1",
            "newest_visible": "2026-01-01T00:00:00Z",
            "since": 1760000000.0,
            "wake_at": 0.0,
            "warnings": ["a tag was moved"],
            "failure": {
                "kind": "rate-limit",
                "detail": "the host says when to come back",
                "action": "list-releases",
                "release": "v1",
                "asset": None,
                "status_code": 429,
                "attempts": 6,
                "hint": None,
                "final": False,
                "next_attempt": "2026-01-01T00:00:00Z",
                "release_id": 1,
                "asset_id": 0,
                "facts": "",
            },
            "failed": [
                {
                    "failure": {"kind": "corrupt", "detail": "d", "release_id": 1, "asset_id": 11},
                    "tried_at": 1760000000.0,
                    "delay": 900.0,
                }
            ],
            "proof": [1, 0, 0],
            "quarantined": [
                {
                    "release": "v1",
                    "asset": None,
                    "error": "e",
                    "since": "2026-01-01T00:00:00Z",
                    "kind": "too-large",
                }
            ],
            "told": False,
        }
    },
    "listings": {
        "github:o": {
            "credential": "c",
            "pages": [["https://api.github.com/orgs/o/repos", 'W/"e"', "f"]],
            "repositories": [["o/r", 5, False, False]],
        }
    },
}
WEBHOOK: Json = {
    "action": "published",
    "release": RELEASE,
    "repository": {"id": 5, "full_name": "o/r", "html_url": "https://github.com/o/r"},
    "sender": {"login": "octocat"},
}
