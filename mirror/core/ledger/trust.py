"""Decides whether what an earlier pass stored may still be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.errors import Unmirrorable

if TYPE_CHECKING:
    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import Repository
    from mirror.core.ledger.document import Ledger
    from mirror.core.ledger.index import IndexEntry


def is_audit_due(
    entry: IndexEntry,
    mirror: Mirror,
    *,
    credential: str,
    target_url: str,
    interval: float,
    now: float,
) -> bool:
    """Whether both sides are read in full, whatever the index proves.

    Args:
        entry: The mirror's entry of the index.
        mirror: The mirror as it is configured now.
        credential: A fingerprint of the source's credential: ETags depend on it.
        target_url: The target host's API address.
        interval: Maximum seconds between two audits.
        now: Seconds since the epoch.
    """
    return (
        not 0 <= now - entry.audited_at < interval
        or 0 < entry.wake_at <= now
        or (entry.source, entry.settings) != (mirror.name, mirror.settings)
        or (entry.credential, entry.target_url) != (credential, target_url)
    )


def mismatch(
    ledger: Ledger, mirror: Mirror, source: Repository, target: Repository | None
) -> str | Unmirrorable:
    """Why a document does not describe this mirror; empty if it does.

    Args:
        ledger: The document.
        mirror: The mirror as it is configured now.
        source: The source repository.
        target: The target repository; ``None`` where it does not exist.

    Returns:
        A reason to set the document aside; or an error where the source's name belongs to another
        repository now, whose releases must not be mixed with those of the former one.
    """
    if target and ledger.target_id not in {0, target.id}:
        return f"{mirror.target} is another repository now"
    if ledger.source != mirror.name and ledger.source_id != source.id:
        return f"it is of another source, {ledger.source}"
    if ledger.source_id not in {0, source.id}:
        return Unmirrorable(
            "identity",
            f"{mirror.source} is another repository now (number {source.id} instead of"
            f" {ledger.source_id}); its releases are not mixed with those of the former one",
        )
    return ""
