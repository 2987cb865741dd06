"""What the index remembers of a mirror's last sessions."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from mirror.core.ledger.index import Event, Index, IndexEntry
from mirror.core.reporting.history import (
    EVENTS_KEPT,
    SESSIONS_KEPT,
    new_events,
    results,
    with_events,
    with_result,
)
from mirror.core.reporting.report import ActionReport, RepositoryReport

if TYPE_CHECKING:
    from mirror.core.reporting.report import Status

UPLOAD = ActionReport("upload-asset", "done", "v2", "a.zip")


def a_report(status: Status = "ok", *actions: ActionReport, **facts: Any) -> RepositoryReport:
    return RepositoryReport("github:o/r", "m/r", status, actions=actions, **facts)


def test_a_result_for_each_session() -> None:
    """Unchanged, changed and failed are told apart; an interrupted session has no result."""
    history = ""
    for report in (
        a_report("unchanged"),
        a_report("ok"),  # both sides were compared, and nothing was to be done
        a_report("ok", UPLOAD),
        a_report("interrupted", UPLOAD),
        a_report("failed", UPLOAD),
    ):
        history = with_result(history, report)
    assert results(history) == ["unchanged", "unchanged", "changed", "failed"]


def test_history_is_bounded_whatever_is_stored() -> None:
    """Only the last sessions are kept; letters of other code are left out."""
    history = ""
    for _ in range(100):
        history = with_result(history, a_report("failed"))
    history = with_result(history, a_report("unchanged"))
    assert len(history) == SESSIONS_KEPT
    assert results("?" * 10**6 + history)[-2:] == ["failed", "unchanged"]
    assert results("u?f") == ["unchanged", "failed"]


def test_one_event_of_each_kind_a_session() -> None:
    """The first release or asset is named, the others are counted; what was not done is no event."""
    report = a_report(
        "failed",
        UPLOAD,
        ActionReport("publish-release", "done", "v2"),
        ActionReport("publish-release", "done", "v1"),
        ActionReport("publish-release", "failed", "v0"),
        ActionReport("replace-asset", "done", "v1", "b.zip"),
    )
    found = new_events((), report, at=5.0, before="", now="v0: refused")
    assert found == [
        Event(5.0, "published", 2, "v2"),
        Event(5.0, "replaced", 1, "v1", "b.zip"),
        Event(5.0, "failed", text="v0: refused"),
    ]


def test_only_the_first_failure_and_the_recovery_are_events() -> None:
    """A mirror that stays failed says nothing more; a stopped host is not told by each mirror."""
    events: tuple[Event, ...] = ()
    troubles = ["", "down", "down", "other", "", ""]
    for at, (before, now) in enumerate(itertools.pairwise(troubles), 1):
        status: Status = "failed" if now else "unchanged"
        new = new_events(events, a_report(status), at=at, before=before, now=now)
        events = with_events(events, new)
    assert [(event.at, event.kind) for event in events] == [(1, "failed"), (4, "recovered")]
    stopped = a_report("failed", stopped="401")
    assert new_events((), stopped, at=9, before="", now="401") == []
    assert new_events((), a_report(), at=9, before="401", now="") == []
    for at in range(50):
        before, now = ("", "down") if at % 2 else ("down", "")
        new = new_events(events, a_report(), at=at, before=before, now=now)
        events = with_events(events, new)
    assert len(events) == EVENTS_KEPT


def test_the_index_keeps_it() -> None:
    """A restart loses nothing; an index of an earlier version has none; long texts are cut."""
    new = new_events((), a_report("failed"), at=2.5, before="", now="x" * 10**5)
    events = with_events((Event(1.5, "published", 2, "v2"),), new)
    entry = IndexEntry("github:o/r", "m/r", history="ucf", events=events)
    content = Index({"m/r": entry}).encode()
    assert Index.decode(content).mirrors["m/r"] == entry
    assert len(content) < 3000
    document = json.loads(content)
    del document["mirrors"]["m/r"]["history"], document["mirrors"]["m/r"]["events"]
    former = Index.decode(json.dumps(document).encode()).mirrors["m/r"]
    assert (former.history, former.events) == ("", ())
