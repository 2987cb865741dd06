"""Made-up states of a mirror for the status page: busy, calm, empty, large, hostile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import NO_PROOF, Event, PassRecord, ProofCounts
from mirror.core.reporting.status import MirrorStatus
from mirror.core.reporting.workers import Worker
from mirror.core.text.timestamps import iso
from mirror.page import (
    HostView,
    Query,
    RunningView,
    ServiceView,
    TransferView,
    page_data,
)
from support.values import NOW

LINKS = {"github": "https://github.com", "target": "https://ghe.example.com"}
HOSTS = (
    HostView("github", "https://github.com", 5000, 4312, NOW + timedelta(minutes=31)),
    HostView("target", "https://ghe.example.com"),
)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "</title></style></table>--><!--",
    "abc\u202egnp.exe\u200b\x1b[2J",
    "half \ud800 a character",
    "W" * 400,
)


def a_status(name: str = "octo/tool", **facts: Any) -> MirrorStatus:
    """A mirror that synced three minutes ago, by default."""
    good = MirrorStatus(
        source=f"github:{name}",
        target=f"mirrors/{name.partition('/')[2] or name}",
        state="ok",
        last_success=NOW - timedelta(minutes=3),
        releases=12,
        assets=240,
        proof=ProofCounts(240, 0, 0),
        bytes=73_400_320,
        failure=None,
        quarantined=(),
        warnings=(),
        newest=NOW - timedelta(days=2),
        visible=NOW - timedelta(days=2) + timedelta(seconds=42),
        since=NOW - timedelta(days=90),
    )
    return replace(good, **facts)


def failed(name: str = "octo/broken", error: str = "the target answered 502") -> MirrorStatus:
    """A mirror whose newest release is three hours late."""
    newest = NOW - timedelta(hours=3)
    failure = Failure("unavailable", error, next_attempt=iso(NOW + timedelta(hours=2)))
    return a_status(name, state="failed", failure=failure, newest=newest, visible=None)


def event(kind: str, minutes: float = 5.0, **facts: Any) -> Event:
    """Something that happened so many minutes ago."""
    return Event((NOW - timedelta(minutes=minutes)).timestamp(), kind, **facts)


def never(name: str = "octo/new") -> MirrorStatus:
    """A mirror that no pass has completed."""
    nothing = {"releases": 0, "assets": 0, "bytes": 0, "proof": NO_PROOF}
    return a_status(
        name, state="never", last_success=None, newest=None, visible=None, since=None, **nothing
    )


def passes(count: int = 30) -> tuple[PassRecord, ...]:
    """A pass every 15 minutes; every seventh failed, every third uploaded something."""
    return tuple(
        PassRecord(
            started_at=(NOW - timedelta(minutes=15 * (count - number))).timestamp(),
            seconds=4.0 + number % 5,
            mirrors=42,
            unchanged=40,
            failed=int(number % 7 == 0),
            bytes=10**8 * (number % 3 == 0),
            requests=60,
        )
        for number in range(count)
    )


def running(*statuses: MirrorStatus, done: int = 120_000_000) -> dict[Any, RunningView]:
    """Sessions of these mirrors, each with one transfer of 500 MB."""
    moving = TransferView("v2.0.0", "tool_linux_amd64.tar.gz", 500_000_000, done, 24_000_000)
    return {
        (status.source, status.target): RunningView(NOW - timedelta(seconds=42), (moving,))
        for status in statuses
    }


def busy(query: Query | None = None, *, count: int = 8, done: int = 120_000_000) -> dict[str, Any]:
    """A busy service, with transfers, failures and warnings."""
    moving = a_status(
        "octo/moving",
        events=(
            event("published", 8, number=3, release="v2.0.0"),
            event("replaced", 7, release="v1.9.0", asset="tool.zip"),
            event("failed", 6, text="the target answered 502"),
            event("recovered", 5),
        ),
    )
    quarantined = (
        Quarantined("0 bytes: never taken", "2026-11-20T04:00:00Z", "v1.0.0", "empty.bin"),
    )
    statuses = [
        *(a_status(f"octo/tool-{number:03}") for number in range(count)),
        moving,
        failed(),
        a_status("octo/partly", state="failed", quarantined=quarantined),
        a_status("octo/warned", warnings=("an asset changed under its name: replaced",)),
        a_status("octo/unproven", proof=ProofCounts(220, 16, 3)),
        never(),
    ]
    return a_page(statuses, query=query, running=running(moving, done=done))


def hostile() -> dict[str, Any]:
    """Hostile names from a server, in every field."""
    statuses = [
        a_status(
            f"octo/{text}",
            target=f"mirrors/{text}",
            state="failed",
            failure=Failure("internal", text),
            warnings=(text,),
            quarantined=(Quarantined(text, text, text, text),),
            events=(event("failed", 5, number=2, release=text, asset=text, text=text),),
        )
        for text in HOSTILE
    ]
    moving = {
        (status.source, status.target): RunningView(NOW, (TransferView(text, text, 10, 5, 1.0),))
        for status, text in zip(statuses, HOSTILE, strict=True)
    }
    hosts = [HostView(text, text, 10, 5, stopped=text) for text in HOSTILE]
    workers = [Worker(text, text, NOW, NOW, outdated=True) for text in HOSTILE]
    return a_page(
        statuses,
        running=moving,
        hosts=hosts,
        workers=workers,
        notices=HOSTILE,
        query=Query(search=HOSTILE[1]),
    ) | {name: a_page(statuses, running=moving)[name] for name in ("mirrors", "activity")}


def a_page(statuses: Any = (), **facts: Any) -> dict[str, Any]:
    """The page's data, by default of a running service."""
    service = ServiceView("running", True, NOW - timedelta(days=12), NOW + timedelta(minutes=4))
    return page_data(
        **{
            "now": NOW,
            "statuses": statuses,
            "links": LINKS,
            "passes": passes(),
            "version": "1.2.3",
            "service": service,
            "hosts": HOSTS,
            "next_run": lambda *_: NOW + timedelta(minutes=4),
            **facts,
        }
    )
