"""Mirrors that are well: as long as their source answers that nothing changed, they need no session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.core.ledger.trust import is_audit_due
from mirror.core.reporting.report import RepositoryReport
from mirror.core.reporting.request_tally import counted

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.domain.mirror import Mirror
    from mirror.core.host import Listing
    from mirror.core.ledger.index import IndexEntry
    from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint


class Asked(NamedTuple):
    """What a session may start from.

    Attributes:
        at: When the source was asked.
        listing: Its releases, which changed.
    """

    at: datetime
    listing: Listing


async def ask(
    mirror: Mirror, source: Endpoint, target: TargetEndpoint, context: SessionContext
) -> RepositoryReport | Asked | None:
    """Ask the source of a mirror that is well whether anything changed.

    As in every session, the target's credential is proven to work, once in a pass.

    Returns:
        The report, if nothing changed; otherwise what a session starts from. ``None`` if a session is
        needed whatever the source answers; nothing was asked then.
    """
    entry, at = context.index.mirrors.get(mirror.key), context.clock.now()
    if entry is None or not _is_well(entry, mirror, source, target, context, at.timestamp()):
        return None
    entry.listed = ()
    listing = await source.store.list_releases(mirror.source, entry.pages)
    if not listing.unchanged:
        return Asked(at, listing)
    await target.store.client.prove(mirror.target, context.since)
    entry.pages = listing.pages
    entry.passed_at = entry.settled_at = entry.succeeded_at = at.timestamp()
    # The same texts; thousands of mirrors need not have them in memory twice.
    entry.source, entry.target = mirror.name, str(mirror.target)
    return RepositoryReport(
        mirror.name,
        str(mirror.target),
        "unchanged",
        warnings=entry.warnings,
        target_checked_at=entry.checked,
        requests=counted(),
    )


def _is_well(
    entry: IndexEntry,
    mirror: Mirror,
    source: Endpoint,
    target: TargetEndpoint,
    context: SessionContext,
    now: float,
) -> bool:
    """Whether the last pass left nothing undone and nothing to tell, and nothing new is known."""
    undone = entry.failed or entry.failure or entry.quarantined or not entry.pages
    return not (
        undone
        or context.full
        or context.announced
        or is_audit_due(
            entry,
            mirror,
            credential=source.credential,
            target_url=target.api_url,
            interval=context.audit_interval,
            now=now,
        )
    )
