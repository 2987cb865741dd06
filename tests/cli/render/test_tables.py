"""Failures as they are printed: place, cause and remedy."""

from __future__ import annotations

import pytest

from mirror.cli.render.sync_text import summary
from mirror.core.failure import Failure
from mirror.core.reporting.report import ActionReport, RepositoryReport
from support.reports import repo, report, text


def test_failures_say_what_to_do() -> None:
    """A failure names release, asset, action, error and what helps; markup is only text."""
    failure = Failure(
        "rejected", "[red]no[/red]\x1b[2J", "upload-asset", "v1", "a.zip", 422, attempts=3
    )
    shown = text(summary(report(repo(1, "failed", failures=(failure,), warnings=("odd",)))))
    assert "github:o/r1 → m/r1 v1 a.zip (upload-asset, 3 attempts)" in shown
    assert "[red]no[/red]\\x1b[2J" in shown
    assert f"→ {failure.advice}" in " ".join(shown.split())
    assert "Warnings\n  github:o/r1 → m/r1\n    odd\n" in "\n".join(
        map(str.rstrip, shown.split("\n"))
    )
    assert "1 failure" in shown


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure("tag-missing", "the tag is not there", "create-release"), "push the tag"),
        (Failure("not-ready", "still uploading"), "nothing to do"),
        (Failure("credential", "answered 401", "sync", status_code=401), "renew the token"),
        (Failure("not-found", "answered 404", "upload-asset"), "check the spelling"),
        (Failure("internal", "X", "sync"), "--log-level debug"),
        (Failure("empty", "it has 0 bytes", "upload-asset"), "assets.exclude"),
        (Failure("unavailable", "answered 502", "upload-asset"), "nothing to do"),
        (Failure("policy", "taken", hint="own-target"), "a target of its own"),
    ],
)
def test_advice(failure: Failure, said: str) -> None:
    """Every failure is shown with what helps: by its kind, or more precisely by its hint."""
    shown = text(summary(report(repo(1, "failed", failures=(failure,)))))
    assert said in failure.advice
    assert f"→ {failure.advice}" in shown


LONG = "github:hashicorp/terraform-provider-kubernetes-alpha"
TAG = "v0.6.0-beta.20261120"


def mirrors() -> list[RepositoryReport]:
    """Three mirrors of one source that fail alike, and one with long names."""
    failure = Failure("unavailable", "answered 502", "upload-asset", TAG, "a.zip")
    alike = [
        RepositoryReport("github:cli/cli", target, "failed", failures=(failure,))
        for target in ("mirrors/cli", "mirrors/cli-only-latest", "mirrors/other-cli")
    ]
    actions = (ActionReport("publish-release", "done", TAG),)
    return [*alike, RepositoryReport(LONG, "mirrors/terraform", "ok", actions)]


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_no_width_splits_a_word(width: int) -> None:
    """At every width each name and heading stands whole, cut at its end if it is wider itself."""
    shown = text(summary(report(*mirrors())), width)
    lines = shown.split("\n")
    assert max(map(len, lines)) <= width
    words = set(shown.replace("…", "… ").split())
    known = {*LONG.split(), "mirrors/terraform", "mirrors/other-cli", TAG, "502"}
    cut = {LONG[: width - 1] + "…"} if len(LONG) > width else set()
    assert known - words <= ({LONG} if cut else set())
    assert not cut or cut <= words


def test_one_error_is_told_once_for_all_that_it_is_about() -> None:
    """Mirrors of one source are told apart by their targets, above the one error."""
    shown = "\n".join(map(str.rstrip, text(summary(report(*mirrors()))).split("\n")))
    assert shown.count("answered 502") == 1
    told = [f"  github:cli/cli → {name} {TAG} a.zip (upload-asset)\n" for name in
            ("mirrors/cli", "mirrors/cli-only-latest", "mirrors/other-cli")]  # fmt: skip
    assert "Failed\n" + "".join(told) + "    answered 502\n" in shown


def test_a_host_that_was_given_up_is_told_once() -> None:
    """The failure tells why; the other mirrors of the host are only named."""
    reason = "request not sent, target is disabled for now: answered 401"
    first = repo(1, "failed", failures=(Failure("credential", "answered 401", "sync"),))
    others = [
        repo(number, "failed", warnings=(f"not tried: {reason}",), stopped=reason)
        for number in range(2, 5)
    ]
    shown = text(summary(report(first, *others)))
    assert shown.count("answered 401") == 1
    assert all(f"github:o/r{number} → m/r{number}" in shown for number in range(1, 5))


def test_notes_are_no_warnings() -> None:
    """Notes stand by themselves, a few of them."""
    shown = text(summary(report(*(repo(n, "ok", notes=(f"note {n}",)) for n in range(9)))))
    assert "Warnings" not in shown
    assert "Notes" in shown
    assert "note 2" in shown
    assert "note 3" not in shown
    assert "and 6 more" in shown
