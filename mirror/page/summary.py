"""The whole mirror's state in one line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mirror.core.reporting.status import proofs_of
from mirror.core.text.wording import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mirror.core.ledger.index import PassRecord
    from mirror.core.reporting.status import MirrorStatus
    from mirror.page.service_state import RunningView


def summary_of(
    statuses: Sequence[MirrorStatus],
    now: datetime,
    passes: Sequence[PassRecord],
    running: Sequence[RunningView],
) -> dict[str, Any]:
    """Counts and sums over all mirrors, and what they mean.

    ``lag_seconds`` is how long the longest awaited release is awaited; 0 if none is.
    """
    states = Counter(status.state for status in statuses)
    late = [_awaited(status, now) for status in statuses]
    lag = max(late, default=0.0)
    state, headline = _headline(len(statuses), states, sum(seconds > 0 for seconds in late))
    detail = _detail(statuses, now, passes, lag)
    moving = [transfer for view in running for transfer in view.transfers]
    return {
        "state": state,
        "text": f"{headline}; {detail}." if detail else f"{headline}.",
        "headline": headline,
        "detail": detail,
        "mirrors": len(statuses),
        **{name: states[name] for name in ("ok", "failed", "never")},
        "running": len(running),
        "transfers": len(moving),
        "bytes_per_second": round(sum(transfer.bytes_per_second for transfer in moving)),
        "releases": sum(status.releases for status in statuses),
        "assets": sum(status.assets for status in statuses),
        "bytes": sum(status.bytes for status in statuses),
        "proof": proofs_of(statuses)._asdict(),
        "lag_seconds": int(lag),
        "quarantined": sum(len(status.quarantined) for status in statuses),
    }


def _awaited(status: MirrorStatus, now: datetime) -> float:
    """Seconds that a mirror's newest release has been awaited; 0 where it is there."""
    if status.newest is None or status.visible is not None:
        return 0.0
    lag = status.lag(now)
    return lag.total_seconds() if lag else 0.0


def _headline(mirrors: int, states: Counter[str], late: int) -> tuple[str, str]:
    if not mirrors:
        return "empty", "No mirrors yet"
    if failed := states["failed"]:
        return "failed", _share(failed, mirrors, "has failed", "have failed")
    if never := states["never"]:
        return "never", _share(never, mirrors, "has never synced", "have never synced")
    if late:
        return "behind", _share(late, mirrors, "is behind", "are behind")
    return "ok", _share(mirrors, mirrors, "is healthy", "are healthy")


def _share(some: int, mirrors: int, one: str, many: str) -> str:
    if mirrors == 1:
        return f"The mirror {one}"
    if some == mirrors:
        return f"All {mirrors:,} mirrors {many}"
    return f"{some:,} of {mirrors:,} mirrors {one if some == 1 else many}"


def _detail(
    statuses: Sequence[MirrorStatus], now: datetime, passes: Sequence[PassRecord], lag: float
) -> str:
    if lag >= 1:
        return f"the largest lag is {in_words(lag)}"
    if passes:
        ended = max(record.started_at + record.seconds for record in passes)
        return f"the last pass ended {_ago(now.timestamp() - ended)}"
    good = [status.last_success for status in statuses if status.last_success]
    return f"the last success was {_ago((now - max(good)).total_seconds())}" if good else ""


def _ago(seconds: float) -> str:
    """How long ago, in minutes at least: a page that ticks is not calm."""
    return f"{in_words(seconds)} ago" if seconds >= 60 else "just now"
