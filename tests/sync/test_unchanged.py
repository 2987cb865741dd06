"""Which mirrors need no session as long as their source answers that nothing changed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mirror.core.domain.mirror import Mirror, Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef
from mirror.core.failure import Failure, Quarantined
from mirror.core.host import Listing
from mirror.core.ledger.backoff import FailedItem
from mirror.core.ledger.document import Index, IndexEntry, PageProof
from mirror.core.reporting.report import RepositoryReport
from mirror.sync.unchanged import Asked, ask
from support.clock import VirtualClock

MIRROR = Mirror(
    Rule("github", "octo/tool", "mirrors/tool", Policy(), "settings"),
    RepoRef("octo", "tool"),
    RepoRef("mirrors", "tool"),
)
PROOF = PageProof("https://api.github.com/repos/octo/tool/releases?per_page=100", "e", "c", 1)
TARGET = "https://ghe.example.com/api/v3"
FAILURE = Failure("unavailable", "the host is down")
HOUR = 3600.0


class Host:
    """A source that answers as told, and a target whose credential is good; both count."""

    def __init__(self, *, unchanged: bool = True) -> None:
        self.unchanged = unchanged
        self.asked: list[str] = []
        self.client = self

    async def list_releases(self, repo: RepoRef, proofs: tuple[PageProof, ...]) -> Listing:
        self.asked.append(str(repo))
        return Listing((), proofs, unchanged=self.unchanged)

    async def prove(self, repo: RepoRef, since: float) -> None:
        del since
        self.asked.append(f"prove {repo}")


async def answer(
    host: Host, *, full: bool = False, announced: bool = False, **changes: Any
) -> tuple[Any, IndexEntry]:
    """What is known of a mirror that is well, but for some changes, and its entry afterwards."""
    clock = VirtualClock()
    now = clock.timestamp()
    about: dict[str, Any] = {
        "settings": "settings",
        "credential": "credential",
        "target_url": TARGET,
        "pages": (PROOF,),
        "audited_at": now - HOUR,
    }
    if "wakes" in changes:
        about["wake_at"] = now + changes.pop("wakes")
    entry = IndexEntry(MIRROR.name, str(MIRROR.target), **about | changes)
    index = Index({MIRROR.key: entry})
    context: Any = SimpleNamespace(
        index=index,
        clock=clock,
        full=full,
        announced=announced,
        audit_interval=24 * HOUR,
        since=0.0,
    )
    end: Any = SimpleNamespace(store=host, credential="credential", api_url=TARGET)
    return await ask(MIRROR, end, end, context), entry


async def test_a_mirror_that_is_well_needs_one_request() -> None:
    """Nothing changed: its report, a success, after the target's credential was proven."""
    host = Host()
    report, entry = await answer(host)
    assert isinstance(report, RepositoryReport)
    assert (report.source, report.target) == (MIRROR.name, "mirrors/tool")
    assert report.status == "unchanged"
    assert host.asked == ["octo/tool", "prove mirrors/tool"]
    assert entry.passed_at == entry.settled_at == entry.succeeded_at == VirtualClock().timestamp()


async def test_a_session_starts_from_what_was_asked() -> None:
    """Something changed: nothing is asked twice, and the entry says no success."""
    host = Host(unchanged=False)
    asked, entry = await answer(host)
    assert isinstance(asked, Asked)
    assert host.asked == ["octo/tool"]
    assert entry.succeeded_at == entry.settled_at == entry.passed_at == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"full": True},
        {"announced": True},
        {"pages": ()},
        {"failure": FAILURE},
        {"failed": (FailedItem(FAILURE, 1.0, HOUR),)},
        {"quarantined": (Quarantined("empty", "2026-01-01T00:00:00Z", kind="empty"),)},
        {"audited_at": 0.0},
        {"settings": "others"},
        {"credential": "another"},
        {"target_url": "https://other.example.com/api/v3"},
        {"wakes": -1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_what_demands_a_session(changes: dict[str, Any]) -> None:
    """What is undone, failed, announced, told in every report, or due for an audit: nothing is asked."""
    host = Host()
    assert (await answer(host, **changes))[0] is None
    assert host.asked == []


async def test_a_release_that_ripens_later_demands_none() -> None:
    """It is waited for."""
    assert isinstance((await answer(Host(), wakes=HOUR))[0], RepositoryReport)
