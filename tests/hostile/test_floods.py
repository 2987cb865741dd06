"""A server may say megabytes; what is kept and shown of it is what a person reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from mirror.core.execution.ledger_updates import quarantine
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.document import Ledger
from mirror.core.reporting.report import (
    ActionReport,
    Difference,
    RepositoryReport,
)
from mirror.errors import MAX_MESSAGE, GitHubError, MirrorError, TransferError, ValidationFailed
from mirror.github.protocol.errors import Context, error_of
from mirror.sync.results import planned_report
from support.values import NOW, a_ledger, a_release, a_source, a_target, an_asset, planned

MEBIBYTE = 1024 * 1024
FLOOD = "x" * 10 * MEBIBYTE
CONTEXT = Context("target", "POST", "https://ghe.example.com/api/v3/repos/o/r/releases", NOW)
TAKEN = {"resource": "Release", "code": "already_exists", "field": "tag_name"}


def answered(status: int, document: Any, **headers: str) -> GitHubError:
    """The error of an answer."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return error_of(status, named, json.dumps(document).encode(), CONTEXT)


@pytest.mark.parametrize("count", [21, 5000, 400_000])
def test_a_long_list_of_errors_is_cut_and_its_codes_are_seen(count: int) -> None:
    """The sentence has the first items and says that there were more; decisions see the codes."""
    other = {"resource": "Release", "code": "custom", "message": "m" * 20}
    document = {"message": "Validation Failed", "errors": [other] * 20 + [TAKEN] * (count - 20)}
    error = answered(422, document, X_GitHub_Request_Id="ABCD:1234")
    text = str(error)
    assert isinstance(error, ValidationFailed)
    assert len(text) <= MAX_MESSAGE
    assert "Validation Failed (Release custom mmm" in text
    assert "…" in text
    assert text.endswith(" [request ABCD:1234]")
    assert error.reason == "already-exists"


@pytest.mark.parametrize(
    "document",
    [
        {"message": FLOOD},
        {"message": "Validation Failed", "errors": FLOOD},
        {"message": "Validation Failed", "errors": [FLOOD]},
        {"message": "Validation Failed", "errors": [{**TAKEN, "message": FLOOD}]},
        {"message": "Validation Failed", "errors": [TAKEN, {"message": "é" * MEBIBYTE}]},
        {"message": "Validation Failed", "errors": [TAKEN, [[FLOOD]]]},
        {"message": "Validation Failed", "errors": [TAKEN], "documentation_url": FLOOD},
    ],
    ids=["message", "text", "item", "field", "second", "nested", "address"],
)
def test_one_long_text_is_cut(document: dict[str, Any]) -> None:
    """Wherever it is; what came before it is told."""
    error = answered(422, document)
    assert len(str(error)) <= MAX_MESSAGE
    assert document["message"][:20] in str(error)


LONG = st.integers(0, 9000).map(lambda count: "r\x1b[31mé" * (count // 6))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([400, 401, 403, 404, 407, 422, 429, 500, 599]),
    LONG,
    st.lists(LONG, max_size=30),
    st.dictionaries(
        st.sampled_from(
            ["X-GitHub-Request-Id", "X-GitHub-SSO", "X-Accepted-GitHub-Permissions",
             "X-Accepted-OAuth-Scopes", "X-OAuth-Scopes", "Content-Type", "Retry-After"]
        ),
        LONG,
    ),
)  # fmt: skip
def test_no_answer_makes_a_long_failure(
    status: int, message: str, errors: list[str], headers: dict[str, str]
) -> None:
    """Whatever is long, the text is one short line without control characters."""
    error = answered(status, {"message": message, "errors": errors}, **headers)
    assert len(str(error)) <= MAX_MESSAGE
    assert str(error).isprintable()
    assert len(error.request_id or "") <= 80


def test_every_error_with_a_servers_part_in_it_is_cut() -> None:
    """What is raised with a name or an answer of others in it, and what wraps such an error."""
    for kind in (MirrorError, TransferError, GitHubError):
        text = str(kind(f"the copy of {FLOOD} cannot be read"))
        assert len(text) == MAX_MESSAGE
        assert text.endswith("…")


def test_a_failure_is_cut() -> None:
    """Its text and the names in it; an ordinary one is as it was made."""
    flooded = Failure("rejected", FLOOD, release=FLOOD, asset=FLOOD)
    assert len(flooded.error) == 500
    assert len(flooded.release or "") == len(flooded.asset or "") == 300
    assert (flooded.error + (flooded.asset or "")).count("…") == 2
    plain = Failure("rejected", "refused", release="v" * 255, asset=None)
    assert (plain.error, plain.release, plain.asset) == ("refused", "v" * 255, None)
    advised = Failure("policy", FLOOD, hint="own-target")
    assert len(advised.error) == 500
    assert advised.error.endswith(f"…; {advised.advice}")


def test_reports_are_cut() -> None:
    """Every text of others in a report."""
    report = RepositoryReport(
        "github:o/r",
        "o/r",
        "failed",
        actions=(ActionReport("upload-asset", "done", FLOOD, FLOOD, FLOOD),),
        failures=(Failure("rejected", FLOOD, release=FLOOD, asset=FLOOD),),
        warnings=(FLOOD,),
        quarantined=(Quarantined(FLOOD, "2026-11-21T09:00:00Z", FLOOD, FLOOD),),
    )
    assert len(json.dumps(report.to_json())) < 5000
    assert len(json.dumps(Difference(FLOOD, FLOOD, "missing").to_json())) < 1000


@pytest.mark.parametrize("tags", ["create", "require", "push"])
@pytest.mark.parametrize(
    "release",
    [
        a_release(1, FLOOD),
        a_release(1, "v1", name=FLOOD, author=FLOOD, html_url=FLOOD),
        a_release(1, "v1", an_asset(1, FLOOD), an_asset(2, FLOOD.upper(), size=0)),
        a_release(1, "v1", an_asset(1, FLOOD, state="starter"), an_asset(2, FLOOD, state="open")),
        a_release(1, "v1", an_asset(1, label=FLOOD), an_asset(2, "b", label=FLOOD)),
        a_release(1, "v1", body="@n " * MEBIBYTE),
    ],
    ids=["tag", "title", "name", "state", "label", "text"],
)
def test_a_flood_of_a_source_stays_out_of_ledger_and_report(release: Any, tags: Any) -> None:
    """Names of ten mebibytes: what is quarantined and reported has the beginnings of them."""
    ledger = a_ledger()
    target = a_target(tags={}, actions=False)
    work = planned(a_source(release), target, ledger, tags=tags, footer="{author} {source_url}")
    report = planned_report("github:o/r", "o/r", work, ledger, {})
    assert len(json.dumps(report.to_json())) < 10_000
    quarantine(ledger, work.obstacles, datetime.now(UTC))
    assert len(ledger.encode()) < 10_000
    assert Ledger.decode(ledger.encode()) == ledger
    assert all(len(text) <= MAX_MESSAGE for text in (*work.warnings, *work.news))
    for work_on in work.releases:
        for action in work_on.actions():
            body = getattr(action, "fields", {}).get("body", "")
            assert len(body) <= 125_000
