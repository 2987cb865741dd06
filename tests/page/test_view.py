"""The page's data."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.failure import Failure, Quarantined
from mirror.core.reporting.workers import Worker
from mirror.core.text.timestamps import iso
from mirror.page import EVERYTHING, HostView, Query, RunningView, TransferView
from support.pages import a_page, a_status, busy, failed, hostile, never, passes, running
from support.values import NOW

if TYPE_CHECKING:
    from mirror.core.reporting.status import MirrorStatus


def names(data: dict[str, Any]) -> list[str]:
    return [mirror["source"].partition("/")[2] for mirror in data["mirrors"]]


ENDED = "the last pass ended 14 minutes ago"


@pytest.mark.parametrize(
    ("statuses", "state", "text"),
    [
        ([], "empty", f"No mirrors yet; {ENDED}."),
        ([a_status()], "ok", f"The mirror is healthy; {ENDED}."),
        ([a_status("o/a"), a_status("o/b")], "ok", f"All 2 mirrors are healthy; {ENDED}."),
        (
            [a_status(), failed()],
            "failed",
            "1 of 2 mirrors has failed; the largest lag is 3 hours.",
        ),
        (
            [failed("o/a"), failed("o/b")],
            "failed",
            "All 2 mirrors have failed; the largest lag is 3 hours.",
        ),
        ([a_status(), never()], "never", f"1 of 2 mirrors has never synced; {ENDED}."),
        (
            [a_status(), a_status("o/b", newest=NOW - timedelta(minutes=1), visible=None)],
            "behind",
            "1 of 2 mirrors is behind; the largest lag is 1 minute.",
        ),
        (
            [a_status(f"o/{n}") for n in range(1234)],
            "ok",
            f"All 1,234 mirrors are healthy; {ENDED}.",
        ),
    ],
)
def test_one_line_tells_the_state_of_all(
    statuses: list[MirrorStatus], state: str, text: str
) -> None:
    """What is worst is said first, then how far behind, or else when a pass last ended."""
    summary = a_page(statuses)["summary"]
    assert (summary["state"], summary["text"]) == (state, text)
    assert summary["mirrors"] == len(statuses)


def test_without_a_pass_the_last_success_is_told() -> None:
    """An index of an earlier version remembers no passes."""
    text = a_page([a_status(), never()], passes=())["summary"]["text"]
    assert text == "1 of 2 mirrors has never synced; the last success was 3 minutes ago."
    assert a_page([], passes=())["summary"]["text"] == "No mirrors yet."


def test_sums_are_over_all_mirrors() -> None:
    """Counts, sums and what moves do not depend on what is shown."""
    moving = a_status("o/a")
    quarantined = (Quarantined("0 bytes", "2026-01-01T00:00:00Z"),) * 2
    statuses = [moving, failed(), never(), a_status("o/q", quarantined=quarantined)]
    whole = a_page(statuses, running=running(moving))["summary"]
    part = a_page(statuses, running=running(moving), query=Query("never"))["summary"]
    assert whole == part
    facts = {"ok": 2, "failed": 1, "never": 1, "running": 1, "transfers": 1, "quarantined": 2}
    assert facts.items() <= whole.items()
    assert whole["releases"] == 36
    assert whole["proof"] == {"bytes": 720, "sent": 0, "assumed": 0}
    assert whole["bytes_per_second"] == 24_000_000
    assert whole["lag_seconds"] == 3 * 3600


def test_what_failed_comes_first_then_what_runs() -> None:
    """What needs eyes stands above; a session that has just begun stays where it is."""
    moving, long = a_status("o/moving"), a_status("o/long")
    statuses = [a_status("o/a"), never("o/never"), failed("o/failed"), long, moving]
    sessions = running(moving) | {
        (long.source, long.target): RunningView(NOW - timedelta(seconds=9)),
        ("github:o/a", "mirrors/a"): RunningView(NOW - timedelta(seconds=1)),
    }
    data = a_page(statuses, running=sessions)
    assert names(data) == ["failed", "long", "moving", "never", "a"]
    assert data["mirrors"][4]["running_since"] == "2026-11-21T08:59:59Z"


def test_pages() -> None:
    """Each mirror is on exactly one page; a page that is not there is the nearest."""
    statuses = [a_status(f"o/{number:03}") for number in range(250)]
    seen: list[str] = []
    for number in (1, 2, 3, 4, 5):
        data = a_page(statuses, query=Query.of({"page": str(number)}))
        seen += names(data)
        assert data["page"]["pages"] == 5
    assert seen == [f"{number:03}" for number in range(250)]
    assert a_page(statuses, query=Query(number=9))["page"]["number"] == 5
    assert a_page([], query=Query(number=9))["page"] == {
        "number": 1,
        "pages": 1,
        "size": 50,
        "shown": 0,
        "matching": 0,
        "state": "",
        "search": "",
        "view": "",
    }
    assert len(a_page(statuses, query=EVERYTHING)["mirrors"]) == 250


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({}, Query()),
        ({"state": "failed", "search": "  a   b ", "page": "2"}, Query("failed", "a b", 2)),
        ({"state": "<b>", "page": "-1", "other": "x"}, Query()),
        ({"page": "1e9"}, Query()),
        ({"page": "9" * 5000}, Query()),
        ({"page": "²"}, Query()),
        ({"page": "0"}, Query(number=0)),
        ({"view": "dense", "state": "ok"}, Query("ok", size=60, view="dense")),
        ({"view": "full"}, Query(view="full")),
        ({"view": "<b>"}, Query()),
        ({"search": "x" * 5000}, Query(search="x" * 200)),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_left_out(asked: dict[str, str], query: Query) -> None:
    """Whatever an address holds, there is a page."""
    assert Query.of(asked) == query
    assert a_page([a_status()], query=Query.of(asked))["page"]["number"] == 1


def test_filter_and_search() -> None:
    """A state, and words that are all in source or target, ignoring case."""
    statuses = [a_status("Octo/Tool", target="x/y"), failed("octo/tool-b"), never("cli/cli")]
    sessions = {(statuses[2].source.upper(), statuses[2].target): RunningView(NOW)}

    def found(**wishes: str) -> list[str]:
        return names(a_page(statuses, query=Query.of(wishes), running=sessions))

    assert found(state="failed") == ["tool-b"]
    assert found(state="running") == ["cli"]
    assert found(state="ok") == ["Tool"]
    assert found(search="TOOL octo") == ["tool-b", "Tool"]
    assert found(search="x/y") == ["Tool"]
    assert found(search="tool", state="never") == []


@pytest.mark.parametrize(
    ("base", "repository", "link"),
    [
        ("https://github.com", "cli/cli", "https://github.com/cli/cli"),
        ("https://ghe.example.com/", "a/b.c", "https://ghe.example.com/a/b.c"),
        ("http://127.0.0.1:8080", "a/b", "http://127.0.0.1:8080/a/b"),
        ("javascript:alert(1)", "a/b", None),
        ("https://name:secret@ghe.example.com", "a/b", None),
        ("//ghe.example.com", "a/b", None),
        ("https://[", "a/b", None),
        ("", "a/b", None),
        ("https://github.com", "a/../b", None),
        ("https://github.com", "a/..", None),
        ("https://github.com", 'a/"><b>', None),
        ("https://github.com", "a/b?c#d", None),
        ("https://github.com", "no repository", None),
    ],
)
def test_links(base: str, repository: str, link: str | None) -> None:
    """To http and https alone, to what can be a repository, and never with a password."""
    status = a_status(target=repository)
    data = a_page([status], links={"target": base}, hosts=[HostView("target", base)])
    assert data["mirrors"][0]["target_url"] == link
    assert data["mirrors"][0]["source_url"] is None
    if link is None and "/" in repository and repository == "a/b":
        assert data["hosts"][0]["url"] is None


@pytest.mark.parametrize("data", [busy(), hostile(), a_page([])], ids=["busy", "hostile", "empty"])
def test_it_is_json(data: dict[str, Any]) -> None:
    """What ``/api/status`` gives out can be read back, and has the parts that are documented."""
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    parts = (
        "schema generated_at version build service summary notices mirrors activity hosts workers"
    )
    parts += " passes page"
    assert list(data) == parts.split()


def test_a_mirror_is_told_as_status_tells_it() -> None:
    """The same keys as ``status --json``, and what only a service knows."""
    status = a_status()
    moving = RunningView(NOW, (TransferView("v1", "a.zip", 10, 5, 2.6),))
    data = a_page([status], running={("GITHUB:octo/Tool", "mirrors/TOOL"): moving})
    assert data["mirrors"] == [
        {
            **status.to_json(NOW),
            "history": "",
            "source_url": "https://github.com/octo/tool",
            "target_url": "https://ghe.example.com/mirrors/tool",
            "running_since": "2026-11-21T09:00:00Z",
            "worker": None,
            "next_run_at": "2026-11-21T09:04:00Z",
            "queued": False,
            "transfers": [
                {
                    "release": "v1",
                    "asset": "a.zip",
                    "size": 10,
                    "done": 5,
                    "bytes_per_second": 3,
                }
            ],
        }
    ]
    assert data["passes"][-1]["started_at"] == "2026-11-21T08:45:00Z"
    assert len(data["passes"]) == len(passes())


def test_a_failure_comes_with_a_cause_and_a_command() -> None:
    """Quarantined ones too; beside a daemon, what tries again is ``trigger``, elsewhere ``sync``."""
    standing = Failure("git", "the hook declined")
    item = Quarantined("0 bytes", "2026-01-01T00:00:00Z", "v1", "a.zip", kind="empty")
    status = a_status(state="failed", failure=standing, quarantined=(item,))
    (told,) = a_page([status])["mirrors"]
    assert [(one["cause"], one["command"]) for one in told["failures"] + told["quarantined"]] == [
        ("git failed", "release-mirror trigger github:octo/tool"),
        ("Empty asset", "release-mirror plan github:octo/tool"),
    ]
    (told,) = a_page([status], service=None)["mirrors"]
    assert told["failures"][0]["command"] == "release-mirror sync --full github:octo/tool"


def test_a_time_that_is_computed_from_now_does_not_flicker() -> None:
    """A wait that is told some microseconds later ends at the same second."""
    due = NOW + timedelta(minutes=4)
    pages = [
        a_page([a_status()], next_run=lambda *_, at=at: at)["mirrors"][0]["next_run_at"]
        for at in (due - timedelta(microseconds=9), due + timedelta(microseconds=9))
    ]
    assert pages == [iso(due)] * 2


def test_workers_are_told_as_the_contract_has_them() -> None:
    """One entry a process; none where there is but one."""
    worker = Worker("host:7", "1.0.0", NOW, NOW, mirrors=2, bytes_per_second=2.6)
    assert a_page([], workers=[worker])["workers"] == [
        {
            "name": "host:7",
            "version": "1.0.0",
            "since": iso(NOW),
            "last_heartbeat": iso(NOW),
            "mirrors": 2,
            "bytes_per_second": 3,
            "outdated": False,
        }
    ]
    assert a_page([])["workers"] == []


def test_a_host_tells_of_its_token_and_of_our_limits() -> None:
    """When the token expires, and which limit of ours requests wait for; null for neither."""
    told = HostView(
        "github",
        "https://github.com",
        token_expires_at=NOW,
        paced_by="900 points a minute",
        paced_until=NOW,
    )
    keys = ("token_expires_at", "paced_by", "paced_until")
    one, other = a_page([], hosts=[told, HostView("target", "https://ghe.example.com")])["hosts"]
    assert [one[key] for key in keys] == [iso(NOW), "900 points a minute", iso(NOW)]
    assert [other[key] for key in keys] == [None, None, None]
