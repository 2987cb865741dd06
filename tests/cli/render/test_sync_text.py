"""What `sync` prints: a line for each mirror that changed, counts of the others, and news for cron."""

from __future__ import annotations

import pytest

from mirror.cli.render.sync_text import news, summary
from mirror.cli.render.verify_text import verify_tables
from mirror.core.failure import Failure, Quarantined
from mirror.core.reporting.report import (
    ActionReport,
    RepositoryReport,
)
from support.reports import repo, report, text

OLD = Quarantined("too large", "2026-01-01T00:00:00Z", "v1", "big.iso")


def test_many_unchanged_are_one_line() -> None:
    """118 unchanged mirrors take one line, the one that changed has its own."""
    actions = (
        ActionReport("publish-release", "done", "v1"),
        ActionReport("upload-asset", "done", "v1", "a.zip", bytes=5_000_000),
    )
    shown = text(summary(report(*map(repo, range(118)), repo(200, "ok", actions=actions))))
    assert "118 with source unchanged" in shown
    assert shown.count("github:o/r") == 1
    assert "1 new release, 1 asset uploaded (5.0 MB, 1.2 MB/s); 119 mirrors" in shown
    assert "10 requests (7 answered 304), 4.0 s" in " ".join(shown.split())


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


def test_an_interrupted_pass_tells_the_drafts_that_it_left() -> None:
    """A draft is no new release, and is told where nothing else shows it."""
    made = [ActionReport("create-release", "done", tag) for tag in ("v1", "v2", "v3")]
    actions = (*made, ActionReport("publish-release", "done", "v2"))
    odd = repo(1, "interrupted", actions=actions)
    shown = " ".join(text(summary(report(odd, interrupted=True))).split())
    assert "Interrupted: 1 new release, 2 drafts to be published by the next pass;" in shown
