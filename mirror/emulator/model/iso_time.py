"""Timestamps as GitHub writes them: `2026-01-01T00:00:00Z`."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(timestamp: float) -> str:
    """Format seconds since the epoch."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(moment: str) -> int:
    """Parse an ISO 8601 timestamp; without an offset it is UTC, and a bare date is midnight."""
    parsed = datetime.fromisoformat(moment)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
