"""The report document, which scripts rely on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mirror.core.failure import Failure, Quarantined
from mirror.core.reporting.report import (
    ActionReport,
    Report,
    RepositoryReport,
    RequestCount,
    with_earlier,
)
from mirror.core.text.timestamps import iso

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DONE = (
    ActionReport("create-release", "done", "v1.0.0"),
    ActionReport(
        "upload-asset", "done", "v1.0.0", "gh.tar.gz", "gh.tar.gz", bytes=73400320, sha256="ab"
    ),
    ActionReport("upload-asset", "failed", "v1.0.0", "b", bytes=7),
    ActionReport("replace-asset", "done", "v1.0.0", "c", "c", bytes=80),
    ActionReport("publish-release", "skipped", "v1.0.0"),
)


def a_report(*repositories: RepositoryReport, command: str = "sync", **facts: Any) -> Report:
    return Report(command, START, START + timedelta(seconds=3), repositories, **facts)


def a_repository(status: Any = "ok", **facts: Any) -> RepositoryReport:
    return RepositoryReport("github:cli/cli", "mirrors/cli", status, **facts)


def test_a_release_is_new_when_it_is_published() -> None:
    """A draft is no new release; it is one in the pass that publishes it, whoever made the draft."""
    draft, published = (
        a_report(a_repository(actions=(ActionReport(name, "done", "v1"),)))
        for name in ("create-release", "publish-release")
    )
    assert draft.totals()["releases_created"] == 0
    assert published.totals()["releases_created"] == 1


def test_the_document_is_the_contract_s() -> None:
    """Every key, in its order, and no other."""
    requests = {"github": RequestCount(3), "target": RequestCount(9, retried=1)}
    report = a_report(
        a_repository(
            "failed",
            actions=DONE,
            failures=(Failure("rejected", "no", "upload-asset", "v1.0.0", "b", 502, 6),),
            warnings=("careful",),
            notes=("placeholder",),
            target_checked_at=START,
            quarantined=(Quarantined("never", "2026-11-20T09:00:00Z", "v0", "x", "too-large"),),
        ),
        requests=requests,
    )
    document = json.loads(json.dumps(report.to_json()))
    assert list(document) == [
        "schema", "command", "status", "started_at", "finished_at", "totals", "requests",
        "repositories",
    ]  # fmt: skip
    assert document == {
        "schema": 1,
        "command": "sync",
        "status": "failed",
        "started_at": "2026-11-21T09:00:00Z",
        "finished_at": "2026-11-21T09:00:03Z",
        "totals": {
            "repositories": 1, "unchanged": 0, "failures": 1,
            "releases_created": 0, "releases_updated": 0, "releases_deleted": 0,
            "assets_uploaded": 1, "assets_replaced": 1, "assets_deleted": 0,
            "bytes_uploaded": 73400400,
        },
        "requests": {
            "github": {"total": 3, "not_modified": 0, "retried": 0},
            "target": {"total": 9, "not_modified": 0, "retried": 1},
        },
        "repositories": [
            {
                "source": "github:cli/cli", "target": "mirrors/cli", "status": "failed",
                "actions": [
                    {"action": "create-release", "release": "v1.0.0", "status": "done"},
                    {
                        "action": "upload-asset", "release": "v1.0.0", "asset": "gh.tar.gz",
                        "target_asset": "gh.tar.gz", "bytes": 73400320, "sha256": "ab",
                        "status": "done",
                    },
                    {
                        "action": "upload-asset", "release": "v1.0.0", "asset": "b", "bytes": 7,
                        "status": "failed",
                    },
                    {
                        "action": "replace-asset", "release": "v1.0.0", "asset": "c",
                        "target_asset": "c", "bytes": 80, "status": "done",
                    },
                    {"action": "publish-release", "release": "v1.0.0", "status": "skipped"},
                ],
                "failures": [
                    {
                        "release": "v1.0.0", "asset": "b", "action": "upload-asset",
                        "kind": "rejected", "error": "no", "status_code": 502, "attempts": 6,
                        "next_attempt": None,
                    }
                ],
                "warnings": ["careful"],
                "notes": ["placeholder"],
                "quarantined": [
                    {
                        "release": "v0", "asset": "x", "kind": "too-large", "error": "never",
                        "since": "2026-11-20T09:00:00Z", "next_attempt": None,
                    }
                ],
                "target_checked_at": "2026-11-21T09:00:00Z",
            }
        ],
    }  # fmt: skip


def test_no_action_is_told_twice() -> None:
    """What a run told while it went on, and what it told at its end, are the same actions."""
    first, second, third = (ActionReport("upload-asset", "done", "v1", name) for name in "abc")
    told = a_repository("interrupted", actions=(first,), claim=7)
    whole = a_repository("interrupted", actions=(first, second), claim=7)
    other = a_repository(actions=(third,), claim=8)
    last = a_repository("unchanged", claim=9)
    assert with_earlier(last, [told, other, whole]).actions == (third, first, second)
    assert with_earlier(whole, [told, other]).actions == (third, first, second)
    assert with_earlier(last, [told, other]).status == "ok"


def test_what_does_not_apply_is_null_in_failures() -> None:
    """A failure always has all of its keys."""
    assert Failure("rejected", "no", attempts=1).to_json() == {
        "release": None,
        "asset": None,
        "action": "",
        "kind": "rejected",
        "error": "no",
        "status_code": None,
        "attempts": 1,
        "next_attempt": None,
    }


def test_a_plan_tells_what_it_would_cost() -> None:
    """Planned work counts, and requests are estimated by host, also where there are none."""
    planned = ActionReport("upload-asset", "planned", "v1", "a", bytes=5)
    report = a_report(
        a_repository(actions=(planned,), estimated_requests={"github": 1, "target": 4}),
        a_repository(actions=(planned,), estimated_requests={"target": 4}),
        command="plan",
        requests={"github": RequestCount(2), "target": RequestCount(1), "ghe": RequestCount()},
    )
    document = report.to_json()
    assert document["estimated_requests"] == {"github": 1, "target": 8, "ghe": 0}
    assert list(document)[-2:] == ["estimated_requests", "repositories"]
    assert document["totals"]["assets_uploaded"] == 2
    assert document["totals"]["bytes_uploaded"] == 10
    assert report.pending
    assert "estimated_requests" not in a_report().to_json()


@pytest.mark.parametrize(
    ("statuses", "facts", "interrupted", "expected"),
    [
        (["unchanged", "unchanged"], {}, False, "unchanged"),
        (["unchanged", "ok"], {}, False, "ok"),
        (["ok", "failed"], {}, False, "failed"),
        (["ok"], {"failures": (Failure("rejected", "waits"),)}, False, "failed"),
        (["unchanged"], {"quarantined": (Quarantined("never", ""),)}, False, "failed"),
        (["ok"], {"warnings": ("careful",)}, False, "ok"),
        (["ok", "failed"], {}, True, "interrupted"),
    ],
)
def test_the_status_of_a_pass(
    statuses: list[Any],
    facts: dict[str, Any],
    interrupted: bool,
    expected: str,
) -> None:
    """A warning is no failure; what waits, failed or is quarantined is."""
    report = a_report(*(a_repository(s, **facts) for s in statuses), interrupted=interrupted)
    assert report.status == expected


def test_a_wildcard_whose_listing_failed_has_no_target() -> None:
    """It is an entry of its own, with ``null``."""
    entry = RepositoryReport("github:cli/*", None, "failed", failures=(Failure("rejected", "no"),))
    assert entry.to_json()["target"] is None


def test_moments_are_written_in_utc() -> None:
    """Whatever zone they came in."""
    assert iso(START.astimezone(timezone(timedelta(hours=2)))) == "2026-11-21T09:00:00Z"
