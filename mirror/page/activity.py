"""What happened lately, over all mirrors: published, replaced, deleted, failed, recovered."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from mirror.core.reporting.history import EVENT_KINDS
from mirror.core.text.timestamps import iso
from mirror.core.text.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mirror.core.ledger.index import Event
    from mirror.core.reporting.status import MirrorStatus

NEWEST = 30
"""Events that are shown."""


def activity_of(statuses: Iterable[MirrorStatus]) -> list[dict[str, Any]]:
    """The newest events of all these mirrors, the newest first; unknown kinds are left out."""
    events = (
        (event.at, order, event, status)
        for status in statuses
        for order, event in enumerate(status.events)
        if event.kind in EVENT_KINDS
    )
    newest = nlargest(NEWEST, events, key=lambda found: found[:2])
    return [_entry(event, status) for _, _, event, status in newest]


def subject(entry: Mapping[str, Any]) -> str:
    """What an event is about: ``v1.2.3 and 2 more releases``; empty for the mirror as a whole."""
    name = " ".join(part for part in (entry["release"], entry["asset"]) if part)
    others = entry["number"] - 1
    if not name or others < 1:
        return name
    return f"{name} and {count(others, 'more asset' if entry['asset'] else 'more release')}"


def _entry(event: Event, status: MirrorStatus) -> dict[str, Any]:
    return {
        "at": iso(datetime.fromtimestamp(event.at, UTC)),
        "kind": event.kind,
        "source": status.source,
        "target": status.target,
        "number": event.number,
        "release": event.release,
        "asset": event.asset,
        "text": event.text,
    }
