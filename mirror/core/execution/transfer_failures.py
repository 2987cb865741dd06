"""What the failure of an asset's transfer means: who is at fault, and whether to retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.domain.source_archives import SourceArchive
from mirror.core.execution.settlement import is_name_taken
from mirror.core.retry import is_transient
from mirror.errors import (
    BadAnswer,
    ConnectionLost,
    DigestMismatch,
    GitHubError,
    MirrorError,
    NotFound,
    NotTried,
    RateLimited,
    ServerError,
    SourceChanged,
    Stalled,
    Unreachable,
    Waiting,
)

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.circuit_breaker import CircuitBreaker, Lane
    from mirror.core.domain.release import Asset

WRONG_BYTES = 3
"""Attempts to copy an asset whose bytes do not match its digest: they rarely change."""

SHORT_WAIT = 10.0
"""Seconds for which a transfer that is going to be repeated keeps its slot."""

_HOST_AT_FAULT = (ServerError, ConnectionLost, Unreachable, BadAnswer)
"""Failures that are rarely caused by the one asset that they happen to."""

_SUSPENDED: dict[Lane, str] = {
    "download": "downloads from",
    "archive": "downloads of source archives from",
    "upload": "uploads to",
}


def download_lane(asset: Asset) -> Lane:
    """The lane of the source that an asset is downloaded in."""
    return "archive" if isinstance(asset, SourceArchive) else "download"


def not_tried(breaker: CircuitBreaker) -> NotTried:
    """Why nothing is transferred while the circuit of a lane is open."""
    return NotTried(
        f"{_SUSPENDED[breaker.lane]} {breaker.host} are suspended for now, since one asset after"
        f" the other failed ({breaker.reason})"
    )


def lane_at_fault(error: MirrorError, asset: Asset, source: str) -> Lane | None:
    """The lane whose host is at fault; ``None`` where the asset itself may be.

    Args:
        error: How the transfer failed.
        asset: The source's asset.
        source: The source host's name.
    """
    if isinstance(error, Stalled):
        return "upload" if error.at_target else download_lane(asset)
    if not isinstance(error, _HOST_AT_FAULT) or error.status in {404, 410}:
        return None
    return download_lane(asset) if error.host == source else "upload"


def may_retry(error: MirrorError, *, lane_suspect: bool) -> bool:
    """Whether another attempt to copy an asset may succeed.

    Args:
        error: How the last attempt failed. A rate limit is waited for elsewhere.
        lane_suspect: So many assets failed in the lane at fault that retries are not worth it.
    """
    if lane_suspect or (isinstance(error, DigestMismatch) and error.attempts >= WRONG_BYTES):
        return False
    return is_name_taken(error) or (error.retryable and not isinstance(error, RateLimited))


def gives_slot_back(error: MirrorError, now: datetime) -> bool:
    """Whether the next attempt comes so late that other assets are to be transferred meanwhile."""
    if isinstance(error, RateLimited):
        return is_transient(error, now)
    retry_at = error.retry_at if isinstance(error, ServerError) else None
    return retry_at is not None and (retry_at - now).total_seconds() > SHORT_WAIT


def is_gone(error: MirrorError, source: str) -> bool:
    """Whether the source no longer seems to have what it listed."""
    missing = isinstance(error, NotFound) and error.host == source
    return missing or isinstance(error, SourceChanged)


def settle_gone(
    asset: Asset, observed: Asset | None, error: MirrorError, source: str
) -> MirrorError:
    """The failure to report for an asset that seems to be gone from its source.

    Args:
        asset: As it was listed.
        observed: As the source shows it now; ``None`` where it does not, and for an archive.
        error: How the download failed.
        source: The source host's name.
    """
    if observed and (observed.size, observed.sha256) == (asset.size, asset.sha256):
        return BadAnswer(f"{error}; but {source} still lists it unchanged", host=source)
    if isinstance(asset, SourceArchive):
        status = error.status if isinstance(error, GitHubError) else None
        text = f"the source has no {asset.form} of the tag {asset.tag} ({error})"
        return NotFound(text, status=status)
    text = f"{asset.name} was replaced or removed at the source while it was copied ({error})"
    return Waiting("not-ready", text)
