"""What the ledger knows of each mirror, for a glance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.ledger.index import Index, IndexEntry, ProofCounts
from mirror.core.reporting.status import mirror_statuses

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def rule(source: str, target: str, **settings: Any) -> Rule:
    return Rule("github", source, target, Policy(), "", **settings)


def index(*pairs: tuple[str, str]) -> Index:
    return Index(
        {
            target.casefold(): IndexEntry(f"github:{source}", target, succeeded_at=1.0)
            for source, target in pairs
        }
    )


def told(known: Index, *rules: Rule) -> list[tuple[str, str]]:
    return [(status.target, status.state) for status in mirror_statuses(known, rules)]


def test_each_target_of_one_source_is_told() -> None:
    """A mirror is a pair: what is known of one target says nothing of another."""
    known = index(("octo/tool", "a/tool"))
    rules = (rule("octo/tool", "a/tool"), rule("octo/tool", "b/tool"))
    assert told(known, *rules) == [("a/tool", "ok"), ("b/tool", "never")]


def test_a_target_that_is_no_longer_configured_is_not_told() -> None:
    """The configuration says what a mirror is; the ledger only what is known of it."""
    known = index(("octo/tool", "old/tool"))
    assert told(known, rule("Octo/Tool", "new/tool")) == [("new/tool", "never")]
    assert told(known, rule("octo/*", "Old/{repo}")) == [("old/tool", "ok")]


def test_an_explicit_mirror_stands_before_a_pattern() -> None:
    """As in a pass: what a pattern once mirrored is its no more; a disabled mirror is none."""
    known = index(("octo/tool", "all/tool"))
    pattern = rule("octo/*", "all/{repo}")
    assert told(known, rule("octo/tool", "own/tool"), pattern) == [("own/tool", "never")]
    assert told(known, rule("octo/tool", "own/tool", enabled=False), pattern) == []


def test_an_index_with_nonsense_in_it_is_shown_without_it() -> None:
    """Whatever a damaged index names as a source, telling the rest goes on."""
    known = index(("octo/tool", "a/tool"))
    known.mirrors["x/y"] = IndexEntry("no source at all", "x/y")
    assert told(known, rule("octo/tool", "a/tool")) == [("a/tool", "ok")]


def test_proofs_are_told_as_counted() -> None:
    """Of a mirror that never began there are none."""
    known, rules = index(("octo/tool", "a/tool")), (rule("octo/tool", "a/tool"), rule("o/x", "a/x"))
    known.mirrors["a/tool"].proof = ProofCounts(20, 5, 1)
    never, counted = mirror_statuses(known, rules)
    assert counted.to_json(NOW)["proof"] == {"bytes": 20, "sent": 5, "assumed": 1}
    assert never.to_json(NOW)["proof"] == {"bytes": 0, "sent": 0, "assumed": 0}


def test_a_lag_is_counted_from_the_mirror_s_beginning() -> None:
    """A release that is older than its mirror is not late by years; one that waits grows later."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    entry = IndexEntry(
        "github:octo/tool",
        "octo/tool",
        newest="2025-01-01T00:00:00Z",
        newest_visible="2026-11-01T00:05:00Z",
        since=start.timestamp(),
        succeeded_at=start.timestamp(),
    )
    known, rules = Index(mirrors={"octo/tool": entry}), [rule("octo/tool", "octo/tool")]
    (status,) = mirror_statuses(known, rules)
    assert status.lag(start + timedelta(days=9)) == timedelta(minutes=5)
    entry.newest, entry.newest_visible = "2026-11-03T00:00:00Z", None
    (status,) = mirror_statuses(known, rules)
    assert status.lag(start + timedelta(days=9)) == timedelta(days=7)
