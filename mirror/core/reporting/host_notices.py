"""What people should know of a host: its token expires soon, or a pass waits for its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mirror.core.text.timestamps import iso
from mirror.core.text.wording import in_words, paced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.core.ledger.index import HostRecord

SOON = timedelta(days=7)
"""A token that expires within this time is warned of."""


def expiry_text(expires_at: datetime, now: datetime) -> str:
    """What is wrong with a token's expiry: ``expires on 2026-12-01, in 3 days``; empty for nothing."""
    left = expires_at - now
    if left >= SOON:
        return ""
    if left <= timedelta(0):
        return f"expired on {expires_at:%Y-%m-%d}"
    return f"expires on {expires_at:%Y-%m-%d}, in {in_words(left.total_seconds())}"


def host_notices(hosts: Mapping[str, HostRecord], now: datetime) -> list[str]:
    """A sentence for each token that expires soon."""
    return [
        f"The token of {name} {expiry_text(expires_at, now)}: renew it."
        for name, expires_at in expiring(hosts, now)
    ]


def expiring(hosts: Mapping[str, HostRecord], now: datetime) -> list[tuple[str, datetime]]:
    """The hosts whose token expires soon, and when."""
    known = ((name, token_expiry(record)) for name, record in hosts.items())
    return [(name, at) for name, at in known if at and expiry_text(at, now)]


def token_expiry(record: HostRecord) -> datetime | None:
    """When the token expires; ``None`` where the host told no time."""
    at = record.token_expires_at
    return datetime.fromtimestamp(at, UTC) if at else None


def pace(name: str, record: HostRecord, now: datetime) -> str:
    """Why requests to a host wait now; empty if they do not."""
    seconds = record.paced_until - now.timestamp()
    return paced(record.paced_by, name, seconds) if record.paced_by and seconds > 0 else ""


def host_json(name: str, record: HostRecord) -> dict[str, Any]:
    """As ``status --json`` prints it."""
    expires_at = token_expiry(record)
    return {
        "name": name,
        "token_expires_at": iso(expires_at) if expires_at else None,
        "paced_by": record.paced_by or None,
        "paced_until": iso(datetime.fromtimestamp(record.paced_until, UTC))
        if record.paced_by
        else None,
    }
