"""Parsers of what is on the disk, and of what strangers send: a value, or an error of our own."""

from __future__ import annotations

import hashlib
import hmac
import json
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hostile.lies import (
    INDEX,
    LEDGER,
    RELEASE,
    WEBHOOK,
    bodies,
    encoded,
    headers,
    lies,
    one_line,
    paths,
    put,
    texts,
    tries,
    values,
)
from mirror.cli.render.error_text import config_lines, sentence
from mirror.config import load_config
from mirror.config.messages import quote
from mirror.config.model import fingerprint
from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import Selection
from mirror.core.ledger.document import Ledger
from mirror.core.ledger.index import Index
from mirror.core.reporting.notices import as_known, find_news
from mirror.core.reporting.status import mirror_statuses
from mirror.daemon.metrics import Metrics, Present
from mirror.daemon.webhook import Ignored, Ping, Refused, ReleaseChanged, decide
from mirror.errors import ConfigError, LedgerCorrupt, LedgerError, MirrorError
from mirror.git.errors import plain, reason_of, refused
from mirror.git.program import Finished
from mirror.git.tag_pusher import _verdicts, valid_name
from mirror.page import EVERYTHING, Query, page_data, render
from mirror.storage.json_ledger import FileLedgerStore
from mirror.sync.discovery import Catalogue
from support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


def rule(source: str, target: str) -> Rule:
    return Rule("github", source, target, settings="s", policy=Policy(Selection()))


RULES = [rule("o/r", "m/r"), rule("o/*", "m/{repo}")]


# --- the ledger ----------------------------------------------------------------------------------


@tries(120)
@given(lies(LEDGER) | values)
@example(put(LEDGER, ("source_id",), 10**400))
def test_a_document_is_one_or_corrupt(document: Any) -> None:
    """What is read can be written, and read again as the same."""
    try:
        ledger = Ledger.decode(encoded(document))
    except LedgerError as error:
        one_line(error)
        return
    assert Ledger.decode(ledger.encode()) == ledger


@tries(150)
@given(lies(INDEX) | values)
@example(put(INDEX, ("mirrors", "m/r", "succeeded_at"), 1e300))
@example(put(INDEX, ("mirrors", "m/r", "source"), "no repository"))
@example(put(INDEX, ("mirrors", "m/r", "newest"), "2026-01-01T00:00:00"))
@example(put(INDEX, ("mirrors", "m/r", "newest"), "0001-01-01T00:00:00+14:00"))
@example(put(INDEX, ("mirrors", "m/r", "bytes"), 10**400))
@example(put(INDEX, ("listings", "github:o", "repositories", 0, 0), "../.."))
@example(put(INDEX, ("mirrors", "m/r", "failure", "release_id"), 10**400))
@example(put(INDEX, ("passes", 0, "started_at"), 1e300))
@example(put(INDEX, ("passes", 0, "seconds"), -1e300))
@example(put(INDEX, ("passes", 0, "bytes"), 10**400))
def test_an_index_can_be_shown_or_is_corrupt(document: Any) -> None:
    """What is read can be shown: as a table's rows, as a page, as metrics, as notices."""
    try:
        index = Index.decode(encoded(document))
    except LedgerError as error:
        one_line(error)
        return
    assert Index.decode(index.encode()) == index
    statuses = mirror_statuses(index, RULES, ["github:o/*"])
    for status in statuses:
        json.dumps(status.to_json(NOW), allow_nan=False)
    data = page_data(
        now=NOW,
        statuses=statuses,
        links={"github": "https://github.com", "target": "https://ghe.example.com"},
        passes=index.passes,
        version="1",
        service=None,
        query=EVERYTHING,
    )
    json.dumps(data, allow_nan=False)
    render(data)
    Metrics("1").scrape(Present(NOW, ready=True, statuses=tuple(statuses)))()
    find_news(index, as_known(index, RULES))
    Catalogue(RULES, {}, index)


def test_the_valid_documents_are_valid() -> None:
    """Else all lies about them would be corrupt for the same reason; nothing in them is left out."""
    for kind, document in ((Ledger, LEDGER), (Index, INDEX)):
        written = json.loads(kind.decode(encoded(document)).encode())
        assert written.keys() == document.keys()
        assert set(paths(written)) >= set(paths(document))


@tries(60)
@given(bodies(INDEX), bodies(LEDGER))
async def test_a_file_of_the_ledger_holds_anything(
    tmp_path_factory: pytest.TempPathFactory, index: bytes, document: bytes
) -> None:
    """A file that is none of ours is as good as none, or the error says which file it is."""
    directory = tmp_path_factory.mktemp("ledger")
    (directory / "m").mkdir()
    (directory / "index.json").write_bytes(index)
    (directory / "m" / "r.json").write_bytes(document)
    store = FileLedgerStore(directory, VirtualClock())
    for read in (store.load_index(), store.load("m/r"), store.rebuild_index()):
        try:
            await read
        except LedgerError as error:
            one_line(error, str(directory))


@tries(80)
@given(texts | st.sampled_from(("..", "a/..", "a/../b", "a/b/c", "/etc/passwd", "a/\0", "lock/x")))
async def test_a_key_stays_in_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    """No name of a repository leads out of the directory."""
    directory = tmp_path_factory.getbasetemp() / "keys"
    store = FileLedgerStore(directory, VirtualClock())
    try:
        path = store._files.path(key)
    except LedgerError:
        return
    assert path.resolve().is_relative_to(directory.resolve())
    assert path.parent != directory


# --- the configuration -----------------------------------------------------------------------------

CONFIG: Any = {
    "target": {
        "url": "https://ghe.example.com",
        "token": "env:TARGET",
        "upload_origin": "https://uploads.example.com",
        "stall_timeout": "60s",
        "max_connections": 16,
        "ca_file": "ca.pem",
    },
    "sources": {
        "github": {
            "url": "https://github.com",
            "app": {"id": 1, "installation_id": 2, "private_key": "file:app.pem"},
            "proxy": "http://proxy.example.com:3128",
        }
    },
    "defaults": {"assets": {"exclude": ["*.sbom.json"]}},
    "mirrors": [
        {"source": "cli/cli", "target": "mirrors/cli", "from": "github"},
        {
            "source": "hashicorp/*",
            "exclude": ["hashicorp/*-archive"],
            "releases": {
                "latest": 10,
                "include": ["v*"],
                "versions": ">=1.2",
                "since": "2026-01-01",
                "min_age": "7d",
            },
            "assets": {"max_size": "1GiB"},
            "body": {"footer": "From {source_url}", "mentions": "escape"},
            "interval": "5m",
        },
    ],
    "sync": {"transfers": 8, "bandwidth": "50MB/s", "audit_interval": "24h"},
    "ledger": {"directory": "/var/lib/release-mirror"},
    "daemon": {"schedule": "*/15 * * * *", "listen": "127.0.0.1:8321", "jitter": "30s"},
    "notify": {"urls": ["env:NOTIFY"], "heartbeat_url": "credential:beat"},
    "log": {"level": "debug", "format": "json"},
}


def toml(value: Any) -> str:
    """A value of TOML, as an inline one; what TOML has not becomes a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    return "''" if value is None else str(value)


def _mistakes(error: ConfigError) -> None:
    assert error.problems
    for line in (*config_lines(error), sentence(error)):
        assert line.isprintable()


def _check(file: Path, text: str | bytes) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        config = load_config(file, {"HOME": "/home/me"})
    except ConfigError as error:
        _mistakes(error)
        return
    list(config.secrets())
    for mirror in config.mirrors:
        fingerprint(mirror.settings)
        assert RepoRef.parse(mirror.target_of("owner", "name")).key


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.toml"


@tries(200)
@given(document=lies(CONFIG))
def test_settings_of_any_kind_are_told_in_sentences(file: Path, document: Any) -> None:
    """Wrong values, keys and tables are mistakes that are named; nothing else is raised."""
    document = document if isinstance(document, dict) else {"x": document}
    _check(file, "".join(f"{json.dumps(str(k))} = {toml(v)}\n" for k, v in document.items()))


TOML = """[target]
url = "https://ghe.example.com"
token = "env:TARGET"
[sources.github]
url = 'https://github.com'
[[mirrors]]
source = "cli/cli"
releases.since = 2026-01-01
[mirrors.assets]
include = ["a", \"\"\"b\"\"\"] # c
"""


@st.composite
def broken_toml(draw: st.DrawFn) -> str:
    text = TOML
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        pieces = st.sampled_from(
            ('"', "'''", "[[", "]", "=", ".", "\n", "#", "{", "}", "1e400", "9" * 5000, "\\", "\0")
        )
        text = text[:start] + draw(pieces | texts | st.just("")) + text[end:]
    return text


@tries(250)
@given(text=broken_toml())
@example(text="a = " + "[" * 100_000)
@example(text="a = " + "{b=" * 50_000)
@example(text="." * 5_000)
@example(text="[" + "a." * 20_000 + "a]")
@example(text='"' * 100_000)
@example(text="#" * 100_000 + '"' * 1000)
@example(text="a = " + "9" * 10_000)
@example(text="a = 2026-02-30")
def test_a_file_that_is_no_toml_is_told_with_its_line(file: Path, text: str) -> None:
    """A file with anything in it is good, or wrong in a sentence."""
    _check(file, text)


@tries(60)
@given(content=st.binary(max_size=300))
def test_a_file_of_any_bytes_is_told(file: Path, content: bytes) -> None:
    """The same for what is no text."""
    _check(file, content)


@tries(60)
@given(text=texts)
def test_a_quoted_value_is_printable(text: str) -> None:
    """What a message repeats of a file moves no cursor."""
    assert quote(text).isprintable()


def test_the_valid_configuration_is_valid(file: Path) -> None:
    """Else all lies about it would be refused for the same reason."""
    file.write_text("".join(f"{k} = {toml(v)}\n" for k, v in CONFIG.items()))
    assert tomllib.loads(file.read_text()) == CONFIG
    assert len(load_config(file, {}).mirrors) == 2


# --- the webhook ----------------------------------------------------------------------------------

SECRET = "the webhook's secret"


def _signed(body: bytes) -> str:
    return f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"


WEBHOOK_HEADERS = st.dictionaries(
    st.sampled_from(
        (
            "Content-Type",
            "X-GitHub-Event",
            "X-GitHub-Delivery",
            "X-GitHub-Enterprise-Host",
            "X-Hub-Signature",
        )
    ),
    headers
    | st.sampled_from(
        (
            "release",
            "ping",
            "application/json",
            "application/x-www-form-urlencoded",
            "ghe.example.com",
            "../..",
            "[::1]",
        )
    ),
)


@tries(200)
@given(bodies(WEBHOOK), WEBHOOK_HEADERS, st.booleans())
def test_a_delivery_is_decided(body: bytes, given_headers: dict[str, str], form: bool) -> None:
    """Signed or not, a delivery asks for nothing but a repository whose name is one."""
    about = {"X-GitHub-Event": "release", "Content-Type": "application/json", **given_headers}
    if form:
        about["Content-Type"] = "application/x-www-form-urlencoded"
        body = b"payload=" + quote_from_bytes(body).encode()
    assert decide(CIMultiDict(about), body, SECRET) == Refused(401)
    about["X-Hub-Signature-256"] = _signed(body)
    found = decide(CIMultiDict(about), body, SECRET)
    if isinstance(found, ReleaseChanged):
        assert str(RepoRef.parse(found.repository)) == found.repository
        assert found.host is None or found.host.isascii()
    elif isinstance(found, (Refused, Ignored)):
        assert found.reason.isprintable()
        assert found.reason.isascii()
    else:
        assert isinstance(found, Ping)


@tries(150)
@given(headers | st.text("0123456789abcdefABCDEF=sha", max_size=90), st.binary(max_size=40), texts)
def test_no_signature_but_the_right_one_opens(header: str, body: bytes, secret: str) -> None:
    """Whatever stands in the header, and whatever the secret is."""
    about = CIMultiDict({"X-Hub-Signature-256": header, "X-GitHub-Event": "ping"})
    assert decide(about, body, secret) == Refused(401)
    assert decide(about, body, SECRET) == Refused(401)


@tries(60)
@given(
    st.binary(max_size=100)
    | st.sampled_from((b"payload=%", b"payload=%ff", b"payload=1&payload=2", b"&" * 100, b"="))
)
def test_a_form_of_any_bytes_is_decided(body: bytes) -> None:
    """Also where the form is broken."""
    about = CIMultiDict(
        {
            "X-GitHub-Event": "release",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Hub-Signature-256": _signed(body),
        }
    )
    assert isinstance(decide(about, body, SECRET), (Refused, Ignored))


def test_the_valid_delivery_is_taken() -> None:
    """Else all lies about it would be refused for the same reason."""
    body = encoded(WEBHOOK)
    about = {"X-GitHub-Event": "release", "Content-Type": "application/json"}
    about["X-Hub-Signature-256"] = _signed(body)
    assert decide(CIMultiDict(about), body, SECRET) == ReleaseChanged(None, "o/r", "published")
    assert RELEASE["tag_name"]


# --- the page's query, and git -----------------------------------------------------------------------


@tries(100)
@given(st.dictionaries(st.sampled_from(("state", "search", "page")), headers | texts))
def test_a_query_is_a_page(asked: dict[str, str]) -> None:
    """Whatever stands behind the question mark."""
    data = page_data(
        now=NOW,
        statuses=mirror_statuses(Index(), RULES),
        links={},
        passes=(),
        version="1",
        service=None,
        query=Query.of(asked),
    )
    assert render(data).encode("utf-8", "replace")


GIT_LINES = st.lists(
    st.sampled_from(
        (
            "To https://ghe.example.com/m/r.git",
            "*\trefs/tags/v1:refs/tags/v1\t[new tag]",
            "!\trefs/tags/v1:refs/tags/v1\t[remote rejected] (pre-receive hook declined)",
            "=\t\t\t",
            "remote: error: GH001 \x1b[31m",
            "fatal: unable to access 'https://u:p@ghe/': error",
            "Done",
        )
    )
    | texts,
    max_size=12,
).map("\n".join)


@tries(150)
@given(GIT_LINES, GIT_LINES, texts)
def test_whatever_git_says_is_a_sentence(out: str, err: str, tag: str) -> None:
    """Verdicts are found or not; reasons are one printable line without a user's name."""
    finished = Finished(
        1,
        bytearray(out.encode("utf-8", "surrogatepass")),
        bytearray(err.encode("utf-8", "surrogatepass")),
    )
    verdicts = _verdicts(finished)
    for text in (reason_of(finished.errors), plain(out)):
        assert text.isprintable()
        assert "u:p@" not in text
    for _, line in verdicts.values():
        assert refused(line, "v1", finished.errors)
    valid_name(tag)


@tries(150)
@given(texts)
def test_a_name_that_git_takes_is_no_option_and_no_other_ref(name: str) -> None:
    """Within a refspec it stays one name."""
    if not valid_name(name):
        return
    assert not set(name) & set(" :^~?*[\\\n\r\0\x7f")
    assert ".." not in name
    assert not name.startswith("/")
    assert name.encode()


def test_errors_of_documents_are_ours() -> None:
    """The family that every user's error belongs to."""
    assert issubclass(LedgerCorrupt, MirrorError)
