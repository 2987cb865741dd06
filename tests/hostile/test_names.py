"""Names as weapons: whoever may publish a release chooses them, and nothing may act on them.

One world of hostile names, mirrored by the real command in a process of its own: what a host would
take arrives unharmed, the rest is refused by its name, and nothing else happens anywhere.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hostile.test_leaks import GIT
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import Index, IndexEntry, PassRecord
from mirror.core.text.sanitise import MOST_NAMED, clean, shorten
from mirror.emulator import Answer, RequestRecord, normalise
from mirror.errors import truncate
from mirror.storage.json_ledger import FileLedgerStore
from support.clock import MachineClock, VirtualClock
from support.daemon import daemon, service
from support.process import Finished, run
from support.world import World, sha256

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXTS = {
    "traversal": "../../../../tmp/pwned",
    "absolute": "/etc/passwd",
    "backslash": "..\\..\\pwned",
    "escape": "\x1b[2J\x1b]0;pwned\x07",
    "c1": "\x9b31m\x85",
    "newline": "a\r\nX-Injected: 1\r\n\r\nb",
    "bidi": "\u202egpj.exe\u2066\u200f",
    "zero width": "to\u200bol\u2060\ufeff",
    "shell": "$(touch pwned);`touch pwned`|touch pwned&touch pwned",
    "quotes": "'\"\\'\" ; touch pwned #",
    "html": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" x="',
    "image": "<img src=x onerror=alert(1)>",
    "closing": "--></style></script></title><h1>pwned</h1>",
    "javascript": "javascript:alert(1)",
    "template": "{{7*7}}{% raw %}${jndi:ldap://x}%s%n{0}",
    "markup": "[bold red]pwned[/] [link=http://x]y[/link]",
    "markdown": "[x](javascript:alert(1)) ![](http://x/y.png) @everyone <!here>",
    "long": "x" * 10_000,
    "long words": "ab " * 3_000,
    "device": "CON.txt",
    "device nul": "nul",
    "dash": "-rf",
    "option": "--upload-pack=touch pwned",
    "option output": "--output=/tmp/pwned",
    "nfc": "caf\u00e9",
    "nfd": "cafe\u0301",
    "percent": "%2e%2e%2f%00%0d%0a",
    "plus": "a+b&name=c#d?e=f",
    "null": "a\x00b",
    "dots": "..",
    "space": "   ",
    "emoji": "\U0001f4a9\ufe0f",
    "label": 'x"} 1\n# HELP pwned',
    "json": '","x":"y',
    "env": "${HOME}~root%PATH%",
}
"""By what they attack; some of them no host would take."""

TAGS = {
    "option": "--upload-pack=x",
    "dash": "-v1",
    "shell": "v1;$(touch${IFS}pwned)`id`|cat&",
    "html": "<img/src=x/onerror=alert(1)>",
    "attribute": "v1\"onmouseover='x'",
    "slashes": "refs/heads/main",
    "deep": "a/b/c/d",
    "nfc": "caf\u00e9",
    "nfd": "cafe\u0301",
    "bidi": "v\u202e1",
    "percent": "v%2f%2e%00%0a",
    "query": "v1&x=y#z+",
    "device": "CON",
    "mention": "@everyone",
    "braces": "{{7+7}}${jndi}",
    "plus": "+v1",
    "equal": "=v1",
    "hash": "#v1",
    "bang": "!v1",
    "long": "v" + "1" * 240,
}
"""What git takes as the name of a tag."""

BAD_TAGS = {
    "escape": "v\x1b[2J",
    "space": "v 1",
    "dots": "../../x",
    "colon": "a:b",
    "caret": "v^{}",
}
"""What it does not take: no host has them, but one may say so."""

REFUSED = {
    (
        f"t{number}",
        text,
    )
    for number, (what, text) in enumerate(TEXTS.items(), 1)
    if what in {"long", "long words"}
} | {(tag, None) for tag in (TAGS["option"], TAGS["dash"])}
"""Names that no address has room for, and tags that hosts do not take although git does."""

REPORTED = {(tag, name and truncate(name, MOST_NAMED)) for tag, name in REFUSED}
"""As a report names them."""

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def unseen(text: str) -> set[str]:
    """Characters that a terminal or a page acts on, or that hide."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in INVISIBLE}


class Tags(HTMLParser):
    """Which elements with which attributes a page has, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[str, tuple[str, ...]]] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shapes.add((tag, tuple(sorted(name for name, _ in attrs))))
        for name, value in attrs:
            if name in {"href", "src", "action", "formaction", "srcset", "data"}:
                self.links.append(value or "")

    @classmethod
    def of(cls, page: str) -> Tags:
        made = cls()
        made.feed(page)
        made.close()
        return made


def check_page(page: str, innocent: str) -> None:
    """No element, attribute or address of the page is made of a name."""
    found, known = Tags.of(page), Tags.of(innocent)
    assert found.shapes <= known.shapes
    for link in found.links:
        assert urlsplit(link).scheme in {"", "http", "https", "data"}, link
        assert "alert(1)" not in link.partition("?")[0]
    assert not unseen(re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL))


MIRRORS = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
[[mirrors]]
source = "octo/tags"
target = "mirrors/tags"
tags = "push"
[[mirrors]]
source = "octo/con"
target = "spool/nul"
[[mirrors]]
source = "octo/-rf"
target = "git/-rf"
[[mirrors]]
source = "octo/..."
target = "lock/index.json"
"""


def seed(world: World) -> None:
    source = world.source
    for name in ("tool", "tags", "con", "-rf", "..."):
        source.add_repository(f"octo/{name}")
    for owner in ("spool", "git", "lock"):
        world.target.add_organization(owner)
    for number, (what, text) in enumerate(TEXTS.items(), 1):
        tag = f"t{number}"
        source.add_release(
            "octo/tool",
            tag,
            name=text,
            body=f"{text}\n\n{what}",
            date=f"2026-01-{number % 28 + 1:02}T00:00:00Z",
            assets={"tool.bin": text.encode(), f"weapon-{number}.bin": what.encode() * 9},
        )
        weapon = source.asset("octo/tool", tag, f"weapon-{number}.bin")
        weapon.name, weapon.label = text, text
        if text.isascii() and text.isprintable() and len(text) < 1000:
            weapon.content_type = f"text/html; {text}"  # more than that no header can carry
        source.edit_release("octo/tool", tag)
    for number, tag in enumerate(TAGS.values(), 1):
        date = f"2026-02-{number:02}T00:00:00Z"
        source.add_release("octo/tags", tag, name=tag, date=date, assets={"a.bin": tag.encode()})
    for name in ("con", "-rf", "..."):
        source.add_release(f"octo/{name}", "v1", assets={"a.bin": name.encode()})


@asynccontextmanager
async def armed(directory: Path) -> AsyncIterator[World]:
    git = shutil.which("git")
    assert git
    programs = directory / "bin"
    programs.mkdir()
    wrapper = programs / "git"
    wrapper.write_text(GIT.format(python=sys.executable, log=str(directory / "git.log"), git=git))
    wrapper.chmod(0o755)
    extra = service() + "[sync]\nattempts = 2  # two names are refused, every time\n"
    async with World(directory, MIRRORS, extra=extra, clock=MachineClock()) as world:
        world.environ["PATH"] = f"{programs}:/usr/bin:/bin"
        world.environ["WEBHOOK_SECRET"] = "secret-of-the-webhook"
        seed(world)
        yield world


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def check_output(finished: Finished) -> None:
    """What a person sees, and what a machine reads, holds nothing that acts."""
    for text in (finished.out, finished.err):
        assert not unseen(text)
    assert "Traceback" not in finished.err
    assert "internal error" not in finished.out + finished.err


def check_releases(world: World) -> None:
    """Every release is there with its texts, its bytes, and the names that the host gave."""
    theirs = world.published("mirrors/tool")
    for number, (what, text) in enumerate(TEXTS.items(), 1):
        if (f"t{number}", text) in REFUSED:
            continue
        copy = theirs[f"t{number}"]
        assert (copy.name or "").strip() == text.strip()
        assert what in (copy.body or "")
        assets = {asset.name: asset for asset in copy.assets}
        assert assets["tool.bin"].sha256 == sha256(text.encode())
        weapon = assets[normalise(text)]
        assert weapon.sha256 == sha256(what.encode() * 9)
        assert weapon.label == text


def check_uploads(world: World) -> None:
    """Each name was one parameter of an upload's address, and nothing else of it."""
    sent = [
        parse_qs(r.query, keep_blank_values=True)
        for r in world.target.requests
        if r.route == "upload-asset"
    ]
    assert sent
    assert all(set(query) <= {"name", "label"} for query in sent)
    assert {t for t in TEXTS.values() if len(t) < 9000} <= {query["name"][0] for query in sent}
    for record in world.target.requests + world.source.requests:
        assert record.path.isascii()
        assert record.headers.get("content-type", "").isprintable()


async def test_a_bouquet_of_names_arrives_unharmed(tmp_path: Path) -> None:
    """Through the network, the disk, git, the terminal, the log, the report and the pages."""
    async with armed(tmp_path) as world:
        before = files(tmp_path) | {"git.log"}
        finished = await run(
            world, "sync", "--log-level", "debug", "--log-format", "json", "--json"
        )
        check_output(finished)
        for line in finished.err.splitlines():
            assert line.startswith("release-mirror:") or json.loads(line)
        report = finished.json()
        failures = {
            (repo["source"], f["release"], f["asset"]): f["error"]
            for repo in report["repositories"]
            for f in repo["failures"]
        }
        assert {place[1:] for place in failures} == REPORTED
        assert finished.status == 1
        check_releases(world)
        check_uploads(world)
        tags = world.published("mirrors/tags")
        assert set(tags) == set(TAGS.values()) - {tag for tag, _ in REFUSED}
        for target in ("spool/nul", "git/-rf", "lock/index.json"):
            assert len(world.published(target)) == 1
        made = files(tmp_path) - before
        # git keeps tags as files of their names, below a directory of its own.
        ours = {name for name in made if ".git/refs/tags/" not in name}
        assert all(name.isascii() and name.startswith("ledger") for name in ours), ours
        assert not [name for name in ours if "pwned" in name]
        assert not list(Path("/tmp").glob("pwned*"))  # noqa: ASYNC240, S108
        check_git(tmp_path)
        again = await run(world, "sync", "--json")
        assert again.json()["totals"]["unchanged"] == 3  # all but those with what is refused
        for command in (("status",), ("status", "--json"), ("plan", "--full"), ("verify",)):
            told = await run(world, *command)
            check_output(told)
            assert told.status in {0, 1}, told.err


def check_git(directory: Path) -> None:
    """A tag is a part of a reference's name on git's command line, never a word of its own."""
    lines = (directory / "git.log").read_text().splitlines()
    assert lines
    for line in lines:
        words = json.loads(line)["argv"]
        for tag in TAGS.values():
            for word in words:
                assert word != tag
                if word.startswith("-"):
                    assert not word.startswith((f"-{tag}", "--upload-pack", "--output"))
    pushed = [word for line in lines for word in json.loads(line)["argv"] if "refs/tags/" in word]
    assert {f"refs/tags/{tag}:refs/tags/{tag}" for tag in TAGS.values()} <= set(pushed)


async def test_what_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    """A tag that git does not take fails alone, and says which; the others are mirrored."""
    mirrors = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\ntags = "push"\n'
    async with World(tmp_path, mirrors, clock=MachineClock()) as world:
        world.source.add_repository("octo/tool")
        for number, tag in enumerate(("good", *BAD_TAGS.values()), 1):
            world.source.add_release(
                "octo/tool",
                f"w{number}",
                assets={"a.bin": tag.encode()},
                date="2026-01-01T00:00:00Z",
            )
        for release in world.source.releases("octo/tool"):
            number = int(release.tag[1:])
            if number > 1:
                release.tag = list(BAD_TAGS.values())[number - 2]
                release.json = None
        world.source.edit_release("octo/tool", "w1", body="changed")
        finished = await run(world, "sync", "--json")
        check_output(finished)
        assert finished.status == 1
        (repo,) = finished.json()["repositories"]
        named = {failure["release"] for failure in repo["failures"]}
        assert named == set(BAD_TAGS.values())
        assert set(world.published()) == {"w1"}


async def pages(world: World, texts: list[str]) -> dict[str, str]:
    """What is shown of a ledger that holds these names."""
    errors = [Quarantined(f"refused: {t}", "2026-01-01T00:00:00Z", t, t) for t in texts]
    tool = IndexEntry(
        "github:octo/tool",
        "mirrors/tool",
        failure=Failure("internal", "; ".join(texts)),
        warnings=tuple(texts),
        quarantined=tuple(errors[:18]),
        succeeded_at=1760000000.0,
    )
    tags = IndexEntry(
        "github:octo/tags",
        "mirrors/tags",
        failure=Failure("internal", texts[-1]),
        quarantined=tuple(errors[18:]),
    )
    store = FileLedgerStore(world.ledger, VirtualClock())
    past = PassRecord(started_at=1760000000.0, seconds=3.0, mirrors=2, failed=2, requests=9)
    async with store.lock(0):
        await store.save_index(
            Index({"mirrors/tool": tool, "mirrors/tags": tags}, passes=(past, past))
        )
    page = world.directory / "page.html"
    told = await run(world, "status", "--html", str(page))
    assert told.status == 1, told.err
    found = {"file": page.read_text()}
    async with daemon(world) as running:
        for path in PATHS:
            status, found[path] = await running.get(path)
            assert status == 200
    return found


LIMIT = (
    '<svg class="left" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true"'
    ' focusable="false"><rect width="1" height="1"/></svg>'
)
"""What is there once a host has told its limit, which may be before or after the page is asked for."""

PATHS = (
    "/",
    "/?search=octo&state=failed&page=1",
    "/?search=%3Cscript%3Ealert(1)%22onx%3D%00%FF",
    "/api/status",
    "/metrics",
)


async def test_pages_and_metrics_of_hostile_names(tmp_path: Path) -> None:
    """What failed is named on the page, as text; data and metrics can be read."""

    def down(_record: RequestRecord, answer: Answer) -> None:
        answer.status = 503

    async with armed(tmp_path) as world:
        world.source.tamper = world.target.tamper = down
        innocent = await pages(world, ["x"] * len(TEXTS))
        hostile = await pages(world, list(TEXTS.values()))
        for path in ("file", *PATHS[:3]):
            check_page(hostile[path], innocent["/"] + innocent["file"] + innocent[path] + LIMIT)
        assert "&lt;script&gt;" in hostile["/"]
        assert json.loads(hostile["/api/status"])["mirrors"]
        read = text_string_to_metric_families
        names = [
            {family.name for family in read(found["/metrics"])} for found in (innocent, hostile)
        ]
        assert names[0] == names[1]
        assert not unseen(hostile["/metrics"])
        for command in (("status",), ("status", "--json")):
            check_output(await run(world, *command))


@pytest.mark.parametrize("text", [*TEXTS.values(), *TAGS.values(), *BAD_TAGS.values()], ids=ascii)
def test_a_name_is_shown_harmlessly(text: str) -> None:
    """On a terminal no name moves the cursor, turns text around or fills the screen."""
    assert not unseen(clean(text))
    assert "\n" not in clean(text)
    assert len(shorten(text, 60)) <= 60
