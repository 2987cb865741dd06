"""Failures as they are printed: place, cause and remedy."""

from __future__ import annotations

import pytest

from mirror.cli.render.sync_text import summary
from mirror.core.failure import Failure
from support.reports import repo, report, text


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
