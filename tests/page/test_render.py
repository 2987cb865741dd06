"""The page as HTML, read by a parser."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import ProofCounts
from mirror.core.reporting.workers import Worker
from mirror.page import EVERYTHING, HostView, Query, RunningView, TransferView, render
from mirror.page.render import policy
from support.pages import HOSTILE, HOSTS, a_page, a_status, busy, failed, hostile, never, running
from support.values import NOW

VOID = {"meta", "link", "input", "use", "path", "circle", "rect", "img", "br"}


@dataclass
class Seen(HTMLParser):
    """Tags with their attributes, text, and whether all was closed in order."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    raw: dict[str, str] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] and self.open[-1] in {"style", "script"}:
            self.raw[self.open[-1]] = data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(data: dict[str, Any]) -> Seen:
    seen = Seen()
    seen.feed(render(data))
    seen.close()
    assert seen.open == []
    return seen


def shape(seen: Seen) -> set[tuple[str, tuple[str, ...]]]:
    """Which elements there are, and which attributes they have."""
    return {(tag, tuple(attributes)) for tag, attributes in seen.tags}


PAGES = {
    "busy": busy(),
    "hostile": hostile(),
    "empty": a_page([]),
    "bare": a_page([], passes=(), hosts=()),
    "found nothing": a_page([a_status()], query=Query("failed")),
    "file": a_page([a_status(), failed()], service=None, hosts=(), query=EVERYTHING),
    "tiles": busy(Query(view="dense")),
    "many": a_page([a_status(f"o/{n}") for n in range(300)], query=Query(number=2)),
}
every_page = pytest.mark.parametrize("data", PAGES.values(), ids=PAGES)


@every_page
def test_it_stands_alone(data: dict[str, Any]) -> None:
    """Nothing is fetched from anywhere: what a page needs is in it."""
    seen = read(data)
    for tag, attributes in seen.tags:
        assert "src" not in attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        href = attributes.get("href") or ""
        if tag == "link":
            assert href.startswith("data:image/svg+xml,")
        elif tag == "a":
            assert href.startswith(("http://", "https://", "?", "#")) or href == "api/status"
        elif href:
            assert href.startswith("#i-")
    assert "url(" not in seen.raw["style"]
    assert "@import" not in seen.raw["style"]


@every_page
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(data: dict[str, Any]) -> None:
    """Every inline element has its hash in the policy, and the policy no other."""
    page, seen = render(data), read(data)
    said = dict(rule.split(" ", 1) for rule in policy(page).split("; "))
    hashes = {
        tag: f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for tag, text in seen.raw.items()
    }
    assert said["default-src"] == "'none'"
    assert said["frame-ancestors"] == "'none'"
    assert said["style-src"] == hashes["style"]
    assert said.get("script-src") == hashes.get("script")
    assert ("connect-src" in said) == ("script" in hashes)
    assert "unsafe" not in policy(page)


def test_a_file_holds_its_policy_and_no_script() -> None:
    """Who opens a file gets no header; nobody would answer a script or a form."""
    seen = read(PAGES["file"])
    (said,) = [
        attributes["content"]
        for attributes in seen.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert said is not None
    assert "script-src" not in said
    assert not seen.all("script") + seen.all("form")
    assert "https://ghe.example.com/mirrors/tool" in [a["href"] for a in seen.all("a")]


@every_page
def test_order_for_those_who_do_not_see_it(data: dict[str, Any]) -> None:
    """A language, landmarks, one first heading, named regions, headers with a scope, unique ids."""
    seen = read(data)
    assert seen.all("html")[0]["lang"] == "en"
    for landmark in ("header", "main", "footer", "h1"):
        assert len(seen.all(landmark)) == 1, landmark
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in seen.all("section"):
        assert attributes["aria-labelledby"] in ids
    for attributes in seen.all("nav") + seen.all("progress"):
        assert attributes["aria-label"]
    for attributes in seen.all("th"):
        assert attributes["scope"] in {"col", "row"}
    for attributes in seen.all("time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attributes["datetime"] or "")
    assert any(attributes.get("role") == "status" for attributes in seen.all("span"))


def test_it_says_what_there_is_to_say() -> None:
    """State, reason, quarantine, warnings, transfers, hosts and next runs are words, not colours."""
    text = " ".join(read(busy()).text.split())
    for words in (
        "2 of 14 mirrors have failed; the largest lag is 3 hours.",
        "Host unavailable the whole mirror next attempt in 2 h the target answered 502 → nothing",
        "Request rejected v1.0.0 empty.bin since 2026-11-20T04:00:00Z 0 bytes: never taken",
        "an asset changed under its name: replaced",
        "120.0 MB of 500.0 MB · 24.0 MB/s · 16 s left",
        "4,312 of 5,000 requests left, resets in 31 min",
        "github:octo/moving to mirrors/moving Healthy Running",
        "3 h and growing",
        "Running · next pass in 4 min",
        "30 passes, the newest at the right; 5 with failures",
        "Published 8 min ago github:octo/moving v2.0.0 and 2 more releases",
        "Replaced 7 min ago github:octo/moving v1.9.0 tool.zip",
        "Failed 6 min ago github:octo/moving the target answered 502",
        "Recovered 5 min ago github:octo/moving",
    ):
        assert words in text, words


def test_what_waits_for_its_turn_is_queued() -> None:
    """With a time only where a host accepts nothing until then."""
    soon = read(a_page([a_status()], queued=lambda *_: True, next_run=lambda *_: None))
    late = read(a_page([a_status()], queued=lambda *_: True))
    assert "73.4 MB Queued Hosts" in " ".join(soon.text.split())
    assert "73.4 MB Queued starts in 4 min Hosts" in " ".join(late.text.split())


@pytest.mark.parametrize(
    ("proof", "title", "words", "explained"),
    [
        ((240, 0, 0), None, [], []),
        (
            (0, 240, 0),
            "240 assets: 0 verified by digest, 240 sent, 0 assumed",
            ["all sent"],
            ["Sent:"],
        ),
        (
            (200, 37, 3),
            "240 assets: 200 verified by digest, 37 sent, 3 assumed",
            ["37 sent", "3 assumed"],
            ["Sent:", "Assumed:"],
        ),
        (
            (239, 0, 0),
            "240 assets: 239 verified by digest, 0 sent, 0 assumed, 1 known to differ",
            ["1 differs"],
            ["Differs:"],
        ),
        (
            (200, 0, 38),
            "240 assets: 200 verified by digest, 0 sent, 38 assumed, 2 known to differ",
            ["38 assumed", "2 differ"],
            ["Assumed:", "Differs:"],
        ),
    ],
)
def test_what_is_less_than_verified_is_said(
    proof: tuple[int, int, int], title: str | None, words: list[str], explained: list[str]
) -> None:
    """Beside the number of assets, with an explanation below; nothing where digests prove all."""
    seen = read(a_page([a_status(proof=ProofCounts(*proof)), never()]))
    cells = [cell for cell in seen.all("td") if cell.get("data-name") == "Assets"]
    assert [cell.get("title") for cell in cells] == [None, title]
    text = " ".join(seen.text.split())
    assert f"240 {' '.join(words)} 73.4 MB".replace("  ", " ") in text
    assert [word for word in ("Sent:", "Assumed:", "Differs:") if word in text] == explained


def test_names_of_others_are_names() -> None:
    """No name becomes an element, an attribute or a link; none turns text around or hides it."""
    seen = read(hostile())
    harmless = a_page(
        [failed("octo/tool")],
        hosts=[],
    )
    assert not seen.all("img")
    assert [a for a in seen.all("a") if (a["href"] or "").startswith("javascript")] == []
    assert len(seen.all("script")) == len(read(harmless).all("script")) == 1
    for text in HOSTILE[:6]:
        assert text in seen.text
    assert "\\u202egnp.exe\\u200b\\x1b[2J" in seen.text
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\x1b\ud800-\udfff]", seen.text)
    assert "49" not in re.sub(r"\d{3,}", "", seen.text)  # no template in a name is computed
    render(hostile()).encode()


@given(text=st.text(min_size=1, max_size=80))
def test_whatever_a_name_is_the_page_has_the_same_shape(text: str) -> None:
    """A property: names are text, whatever characters they hold."""

    def page(name: str) -> dict[str, Any]:
        status = a_status(
            "octo/tool",
            state="failed",
            failure=Failure("internal", name),
            warnings=(name,),
            quarantined=(Quarantined(name, name, name, name),),
        )
        moving = RunningView(NOW, (TransferView(name, name, 10, 5, 1.0),))
        return a_page(
            [status],
            running={(status.source, status.target): moving},
            notices=(name,),
            passes=(),
        )

    assert shape(read(page(text))) == shape(read(page("name")))


def test_a_tile_tells_what_a_glance_needs() -> None:
    """Name, state in words, the newest release; what failed, by its cause; a link to all of it."""
    failing = failed("octo/broken")
    late = a_status("octo/late", visible=None, newest_tag="v2")
    moving = a_status("octo/moving", newest_tag="v3")
    statuses = [a_status("octo/tool", newest_tag="v1.2.3"), failing, late, never(), moving]
    seen = read(a_page(statuses, query=Query(view="dense", search="octo"), running=running(moving)))
    text = " ".join(seen.text.split())
    assert (
        "octo/broken Host unavailable octo/moving Running v3 octo/new Never synced"
        " octo/tool Healthy v1.2.3 1 d ago octo/late Healthy v2 2 d late"
    ) in text
    assert "?search=github%3Aocto%2Ftool" in [a["href"] for a in seen.all("a")]
    two = (HostView("other", "https://other.example.com"), *HOSTS)
    assert "github:octo/tool" in read(a_page(statuses, query=Query(view="dense"), hosts=two)).text


def test_workers_tell_what_they_do_and_what_is_wrong() -> None:
    """What needs somebody is said at the top as well."""
    day = NOW - timedelta(days=1)
    workers = [
        Worker("a:1", "1.0.0", day, NOW, mirrors=2, bytes_per_second=48e6),
        Worker("b:2", "1.0.0", day, NOW, outdated=True),
        Worker("c:3", "1.0.0", day, NOW - timedelta(seconds=61), mirrors=1),
        Worker("d:4", "1.0.0", day, NOW - timedelta(seconds=60)),
    ]
    text = " ".join(read(a_page([], workers=workers)).text.split())
    for words in (
        "Worker c:3 has sent no heartbeat for a minute; others take over its mirrors",
        "Worker b:2 has older settings of some mirrors, and leaves these alone until it is reloaded",
        "a:1 Working 2 mirrors at 48.0 MB/s · started 1 d ago · version 1.0.0",
        "b:2 Outdated 0 mirrors",
        "c:3 No heartbeat last seen 1 min ago",
        "d:4 Idle 0 mirrors",
    ):
        assert words in text, words


def test_version_and_build_are_told() -> None:
    """The script loads a page of another build anew: style and script may differ."""
    seen = read(a_page([], build="a1b2c3d4e5f6"))
    assert "release-mirror 1.2.3, build a1b2c3d4e5f6 · started" in " ".join(seen.text.split())
    assert seen.all("html")[0]["data-version"] == "1.2.3 a1b2c3d4e5f6"
    assert read(a_page([])).all("html")[0]["data-version"] == "1.2.3"


def test_a_long_list_is_cut_and_counted() -> None:
    """A mirror with a thousand quarantined assets does not fill the page."""
    many = tuple(
        Quarantined("0 bytes", "2026-01-01T00:00:00Z", "v1", f"{n}.zip") for n in range(1000)
    )
    text = read(a_page([a_status(state="failed", quarantined=many)])).text
    assert "1000 quarantined" in text
    assert "and 980 more" in text
    assert "20.zip" not in text


def test_a_failure_is_a_cause_a_sentence_and_a_command() -> None:
    """Addresses are cut to their hosts, and told in full in details that are closed."""
    address = "https://ghe.example.com/api/v3/repos/mirrors/tool/releases?page=2"
    failure = Failure("permission", f"GET {address}: 403 Forbidden", release="v1")
    other = Failure("permission", "PATCH https://ghe.example.com: 403 Forbidden", release="v2")
    data = a_page([a_status(state="failed", failure=failure, failures=(failure, other))])
    seen = read(data)
    text = " ".join(seen.text.split())
    assert (
        "Permission missing v1 blocked: GET ghe.example.com/…: 403 Forbidden"
        " → grant the token the missing permission (see release-mirror check) release-mirror check"
        f" Address {address} Permission missing v2 blocked: PATCH https://ghe.example.com: 403"
    ) in text
    assert text.count(address) == 1
    assert text.count("→ grant") == 1  # the second failure needs the same
    assert not [attributes for attributes in seen.all("details") if "open" in attributes]


def test_links_of_filters_keep_what_was_asked() -> None:
    """Relative, so that any path of a proxy will do; the search stays when the filter changes."""
    data = a_page([a_status(f"o/&{n}") for n in range(300)], query=Query("ok", "o/&", number=2))
    links = [a["href"] for a in read(data).all("a")]
    assert "?state=failed&search=o%2F%26" in links
    assert "?state=ok&search=o%2F%26" in links  # the first page of the same
    assert "?state=ok&search=o%2F%26&page=3" in links
    assert "?search=o%2F%26" in links
    assert "?state=ok&search=o%2F%26&view=dense" in links


def test_the_script_is_small_and_writes_no_html() -> None:
    """A few lines that set text and attributes, and never parse a string into the page."""
    script = read(busy()).raw["script"]
    assert len(script.splitlines()) < 100
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script


def test_the_last_sessions_are_a_strip_that_is_also_told_in_words() -> None:
    """One path for each result, the newest at the right edge; no history, no strip."""
    seen = read(a_page([a_status(history="u" * 40 + "c?f")]))
    said = "Last sessions: 27 unchanged, 1 changed, 1 failed"
    assert said in seen.text
    paths = {path.get("class"): path["d"] or "" for path in seen.all("path")}
    assert paths["failed"] == "M29 0h.7v10h-.7z"
    assert paths["changed"] == "M27 3h.7v7h-.7z"
    assert paths["unchanged"].startswith("M0 6")
    assert "Last sessions" not in read(a_page([a_status()])).text
