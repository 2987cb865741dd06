"""What happened lately, over all mirrors."""

from __future__ import annotations

from mirror.page import Query
from mirror.page.activity import NEWEST, activity_of, subject
from support.pages import a_page, a_status, event


def test_the_newest_events_of_all_mirrors_come_first() -> None:
    """Merged by time, bounded, the last of a session first; words of other code are left out."""
    statuses = [
        a_status(
            f"o/{number}", events=(event("published", 9 + number), event("failed", 9 + number))
        )
        for number in range(100)
    ]
    statuses.append(a_status("o/new", events=(event("exploded", 1), event("recovered", 2))))
    found = activity_of(statuses)
    assert len(found) == NEWEST
    assert [(entry["source"], entry["kind"]) for entry in found[:4]] == [
        ("github:o/new", "recovered"),
        ("github:o/0", "failed"),
        ("github:o/0", "published"),
        ("github:o/1", "failed"),
    ]
    assert found[0]["at"] == "2026-11-21T08:58:00Z"


def test_it_follows_the_search() -> None:
    """Who searches for an owner sees what happened to its mirrors."""
    statuses = [a_status(name, events=(event("recovered"),)) for name in ("a/x", "b/y")]
    data = a_page(statuses, query=Query(search="b/"))
    assert [entry["source"] for entry in data["activity"]] == ["github:b/y"]


def test_an_event_names_the_first_and_counts_the_others() -> None:
    """A release, an asset of it, or nothing where it is about the mirror as a whole."""
    events = (
        event("recovered"),
        event("replaced", number=2, release="v1", asset="a.zip"),
        event("published", number=1, release="v1"),
        event("published", number=4, release="v9"),
    )
    assert [subject(entry) for entry in activity_of([a_status(events=events)])] == [
        "v9 and 3 more releases",
        "v1",
        "v1 a.zip and 1 more asset",
        "",
    ]
