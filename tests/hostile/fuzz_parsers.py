"""A coverage-guided fuzzer for the parsers of what others say; not a part of `make test`.

It needs atheris (``pip install atheris``), and runs one target for as long as it is told::

    .venv/bin/python tests/hostile/fuzz_parsers.py answer -max_total_time=120

Whatever is raised but an error of this program ends it, and is written to a file ``crash-…`` here.
Further arguments are libFuzzer's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-untyped]  # not a dependency: see above

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
with atheris.instrument_imports(include=["mirror"]):
    from multidict import CIMultiDict

    from mirror.config import load_config
    from mirror.core.domain.release import fingerprint
    from mirror.core.domain.selection import Selection, select
    from mirror.core.ledger.document import Ledger
    from mirror.core.ledger.index import Index
    from mirror.core.text.body import render_body
    from mirror.core.text.mentions import escape_mentions
    from mirror.daemon.webhook import decide
    from mirror.errors import MirrorError
    from mirror.git.errors import reason_of
    from mirror.git.program import Finished
    from mirror.git.tag_pusher import _verdicts, valid_name
    from mirror.github.answers import ReleaseAnswer, RepositoryAnswer, decode
    from mirror.github.protocol.errors import Context, decode_response
    from mirror.github.protocol.pagination import next_link
    from mirror.github.protocol.rate_limit import RateLimit

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CONTEXT = Context("host", "GET", "https://api.github.com/repos/o/r", NOW)
SECRET = "secret"
BASE = "https://api.github.com/repos/o/r"


def answer(data: bytes) -> None:
    """A status, three headers and a body, from the wire to values."""
    source = atheris.FuzzedDataProvider(data)
    status = source.ConsumeIntInRange(100, 599)
    names = ["Date", "Retry-After", "X-RateLimit-Reset", "X-RateLimit-Remaining", "X-GitHub-SSO"]
    headers = CIMultiDict(
        (source.PickValueInList(names), source.ConsumeUnicode(40)) for _ in range(3)
    )
    limit = RateLimit.parse(headers)
    limit.resets_at(NOW)
    limit.retries_at(NOW)
    document = decode_response(status, headers, source.ConsumeBytes(10_000), CONTEXT)
    releases = [release.value() for release in decode(document, list[ReleaseAnswer], "host")]
    fingerprint(releases)
    select(releases, Selection(versions=">=1"), NOW)


def documents(data: bytes) -> None:
    """JSON as each kind of document that is read."""
    document = json.loads(data)
    for read in (
        lambda: Ledger.decode(data),
        lambda: Index.decode(data),
        lambda: decode(document, ReleaseAnswer, "host").value(),
        lambda: decode(document, RepositoryAnswer, "host").value(),
    ):
        try:
            read()
        except MirrorError:
            continue


def link(data: bytes) -> None:
    """A ``Link`` header."""
    next_link(data.decode("utf-8", "surrogateescape"), BASE)


def webhook(data: bytes) -> None:
    """A signed delivery."""
    source = atheris.FuzzedDataProvider(data)
    kinds = ["application/json", "application/x-www-form-urlencoded", ""]
    headers = CIMultiDict(
        {
            "X-GitHub-Event": source.PickValueInList(["release", "ping", "x", ""]),
            "Content-Type": source.PickValueInList(kinds),
            "X-GitHub-Enterprise-Host": source.ConsumeUnicode(20),
        }
    )
    body = source.ConsumeBytes(10_000)
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers["X-Hub-Signature-256"] = f"sha256={digest}"
    decide(headers, body, SECRET)


def text(data: bytes) -> None:
    """A release's text."""
    body = data.decode("utf-8", "replace")
    once = escape_mentions(body)
    if escape_mentions(once) != once:
        raise AssertionError("escaped twice")
    render_body(body, footer="@x")


def config(data: bytes) -> None:
    """A configuration file."""
    FILE.write_bytes(data)
    load_config(FILE, {"HOME": "/"})


def git(data: bytes) -> None:
    """What git writes."""
    finished = Finished(1, bytearray(data), bytearray(data))
    _verdicts(finished)
    reason_of(finished.errors)
    valid_name(data.decode("utf-8", "surrogateescape"))


TARGETS = {
    target.__name__: target for target in (answer, documents, link, webhook, text, config, git)
}


def main() -> None:
    """Run the target that the first argument names."""
    name, *rest = sys.argv[1:]
    target = TARGETS[name]

    def once(data: bytes) -> None:
        try:
            target(data)
        except MirrorError:
            return
        except (ValueError, RecursionError):
            if target is not documents or _is_json(data):  # the store's part, not the parsers'
                raise

    atheris.Setup([sys.argv[0], *rest], once)
    atheris.Fuzz()


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        FILE = Path(directory, "config.toml")
        main()
