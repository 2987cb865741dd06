"""Tables: what changed has a line, the rest is counted, and what failed says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from mirror.cli.render.plan import LINES, plan_tables
from mirror.cli.render.status import status_tables
from mirror.cli.render.summary import news, summary
from mirror.cli.render.verify import verify_tables
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import ProofCounts
from mirror.core.reporting.report import (
    ActionReport,
    Report,
    RepositoryReport,
    RequestCount,
)
from mirror.core.reporting.status import MirrorStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 11, 21, tzinfo=UTC)
OLD = Quarantined("too large", "2026-01-01T00:00:00Z", "v1", "big.iso")


def report(*repositories: RepositoryReport, command: str = "sync", **facts: Any) -> Report:
    return Report(
        command,
        START,
        START + timedelta(seconds=4),
        repositories,
        requests={"github": RequestCount(10, 7)},
        **facts,
    )


def text(parts: Sequence[Any]) -> str:
    console = Console(width=100, markup=False, highlight=False, color_system=None)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def repo(number: int, status: Any = "unchanged", **facts: Any) -> RepositoryReport:
    return RepositoryReport(f"github:o/r{number}", f"m/r{number}", status, **facts)


def test_many_unchanged_are_one_line() -> None:
    """118 unchanged mirrors take one line, the one that changed has its own."""
    actions = (
        ActionReport("create-release", "done", "v1"),
        ActionReport("upload-asset", "done", "v1", "a.zip", bytes=5_000_000),
    )
    shown = text(summary(report(*map(repo, range(118)), repo(200, "ok", actions=actions))))
    assert "118 unchanged" in shown
    assert shown.count("github:o/r") == 1
    assert "1 new release, 1 asset uploaded (5.0 MB, 1.2 MB/s); 119 mirrors" in shown
    assert "10 requests (7 answered 304), 4.0 s" in " ".join(shown.split())


def test_failures_say_what_to_do() -> None:
    """A failure names release, asset, action, error and what helps; markup is only text."""
    failure = Failure(
        "rejected", "[red]no[/red]\x1b[2J", "upload-asset", "v1", "a.zip", 422, attempts=3
    )
    shown = text(summary(report(repo(1, "failed", failures=(failure,), warnings=("odd",)))))
    assert "github:o/r1 v1 a.zip (upload-asset, 3 attempts)" in shown
    assert "[red]no[/red]\\x1b[2J" in shown
    assert "→ exclude it by a filter" in shown
    assert "github:o/r1: odd" in shown
    assert "1 failure" in shown


@pytest.mark.parametrize(
    ("assumed", "line"),
    [
        ((0, 0), ""),
        (
            (0, 1),
            "1 asset is assumed, not proven: release-mirror verify --repair downloads and compares it",
        ),
        (
            (2000, 1),
            "2,001 assets are assumed, not proven: release-mirror verify --repair downloads and compares them",
        ),
    ],
)
def test_status_says_how_to_prove_what_is_assumed(assumed: tuple[int, int], line: str) -> None:
    """In one line over all mirrors, and only where something is assumed."""
    statuses = [
        MirrorStatus(
            f"github:o/{number}",
            f"m/{number}",
            "ok",
            START,
            *(1, 3000, 1),
            *(None, (), ()),
            proof=ProofCounts(0, 3000 - count, count),
        )
        for number, count in enumerate(assumed)
    ]
    shown = text(status_tables(statuses, START)).splitlines()
    assert [part.strip() for part in shown if "assumed" in part] == ([line] if line else [])


def test_quiet_tells_news_only() -> None:
    """`--quiet`: nothing when all is well or was known before; failures and interruptions are."""
    assert news(report(repo(1, "ok"))) == []
    assert news(report(repo(1, "failed", quarantined=(OLD,)))) == []
    assert "big.iso" in text(summary(report(repo(1, "failed", quarantined=(OLD,)))))
    failure = Failure("rejected", "no", "upload-asset", "v1", "a.zip")
    assert "a.zip" in text(news(report(repo(1, "failed", failures=(failure,)))))
    stopped = repo(2, "failed", warnings=("not tried: the token was refused",))
    assert "not tried" in text(news(report(stopped)))
    assert "Interrupted" in text(news(report(repo(1, "interrupted"), interrupted=True)))


@pytest.mark.parametrize(
    "odd",
    [
        repo(1, "failed", failures=(Failure("rejected", "no", "upload-asset", "v1", "a.zip"),)),
        repo(1, "failed", warnings=("not tried: the token was refused",)),
        repo(1, "interrupted"),
    ],
)
def test_quiet_begins_at_once(odd: RepositoryReport) -> None:
    """What cron mails begins with what is wrong, not with an empty line; room between stays."""
    stopped = odd.status == "interrupted"
    for parts in (
        news(report(odd, interrupted=stopped)),
        verify_tables(report(odd, command="verify", interrupted=stopped), quiet=True),
    ):
        shown = "\n".join(line.rstrip() for line in text(parts).split("\n"))
        assert shown[0] not in "\n "
        assert stopped or "\n\nFailed: " in shown


def test_a_quiet_plan_tells_no_past() -> None:
    """What `plan --quiet` tells is still to be done."""
    action = ActionReport("upload-asset", "planned", "v1", "a.zip", bytes=1000)
    odd = repo(
        1, "failed", actions=(action,), failures=(Failure("rejected", "no", "upload-asset", "v2"),)
    )
    shown = text(news(report(odd, command="plan")))
    assert "1 asset to upload (1.0 kB)" in shown
    assert "uploaded" not in shown


@pytest.mark.parametrize("releases", [2, LINES])
def test_plan(releases: int) -> None:
    """A small plan lists each action, a large one a line for each release; both tell the cost."""
    actions = tuple(
        action
        for number in range(releases)
        for action in (
            ActionReport("create-release", "planned", f"v{number}"),
            ActionReport("upload-asset", "planned", f"v{number}", "a.zip", bytes=1000),
            ActionReport("publish-release", "planned", f"v{number}"),
        )
    )
    cost = {"github": releases, "target": 4 * releases}
    planned = repo(1, "ok", actions=actions, estimated_requests=cost)
    shown = text(plan_tables(report(planned, command="plan")))
    if releases == 2:
        assert "    upload a.zip (1.0 kB)" in shown
    else:
        assert "  v7: new, 1 asset (1.0 kB)" in shown
    assert f"Would create {releases} releases, update 0, upload {releases} assets" in shown
    assert f"{4 * releases} to target" in shown
    assert "Nothing to do" in text(plan_tables(report(repo(1), command="plan")))


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure("tag-missing", "the tag is not there", "create-release"), "push the tag"),
        (Failure("not-ready", "still uploading"), "the next pass"),
        (Failure("credential", "answered 401", "sync", status_code=401), "renew the token"),
        (Failure("not-found", "answered 404", "upload-asset"), "check the spelling"),
        (Failure("internal", "X", "sync"), "--log-level debug"),
        (Failure("empty", "it has 0 bytes", "upload-asset"), "assets.exclude"),
        (Failure("unavailable", "answered 502", "upload-asset"), "the next pass"),
        (Failure("policy", "taken", hint="own-target"), "a target of its own"),
    ],
)
def test_advice(failure: Failure, said: str) -> None:
    """Every failure is shown with what helps: by its kind, or more precisely by its hint."""
    shown = text(summary(report(repo(1, "failed", failures=(failure,)))))
    assert said in failure.advice
    assert f"→ {failure.advice}" in shown
