"""What the settings and the ledger tell by themselves: no host is contacted.

Apart from ``app``, so that a look at the ledger loads no HTTP client.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.domain.expansion import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.selection import Selection
from mirror.core.reporting.status import mirror_statuses
from mirror.errors import LedgerError
from mirror.storage.json_ledger import FileLedgerStore
from mirror.sync.discovery import check_patterns
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.config import Config
    from mirror.config.model import Mirror as MirrorSettings
    from mirror.core.clock import Clock
    from mirror.core.ledger.index import PassRecord
    from mirror.core.reporting.status import MirrorStatus


def rules_of(config: Config) -> list[Rule]:
    """The configured mirrors as the core knows them."""
    policies: dict[str, Policy] = {}  # thousands of mirrors share few
    return [_rule(mirror, policies) for mirror in config.mirrors]


def _rule(mirror: MirrorSettings, policies: dict[str, Policy]) -> Rule:
    settings = mirror.fingerprint()
    policy = policies.get(settings) or policies.setdefault(settings, _policy(mirror))
    return Rule(
        source_name=mirror.from_name,
        source=mirror.source,
        target=mirror.target,
        policy=policy,
        settings=settings,
        exclude=mirror.exclude,
        enabled=mirror.enabled,
        forks=mirror.forks,
        archived=mirror.archived,
        interval=mirror.interval.total_seconds() if mirror.interval else 0.0,
    )


def _policy(mirror: MirrorSettings) -> Policy:
    releases, assets = mirror.releases, mirror.assets
    since = releases.since
    return Policy(
        selection=Selection(
            include=releases.include,
            exclude=releases.exclude,
            versions=releases.versions or "",
            since=datetime.combine(since, time(), UTC) if since else None,
            latest=releases.latest,
            prereleases=releases.prereleases,
            drafts=releases.drafts,
            min_age=releases.min_age or None,
            asset_include=assets.include,
            asset_exclude=assets.exclude,
            asset_max_size=assets.max_size,
            asset_latest=assets.latest,
            source_archives=assets.source_archives,
        ),
        incomplete=mirror.incomplete,
        tags=mirror.tags,
        allow_actions=mirror.allow_actions,
        create_repository=mirror.create_repository,
        visibility=mirror.visibility,
        existing=mirror.existing,
        on_change=mirror.on_change,
        on_delete=mirror.on_delete,
        on_deselect=mirror.on_deselect,
        max_deletes=mirror.max_deletes,
        mentions=mirror.body.mentions,
        footer=mirror.body.footer,
    )


class Overview(NamedTuple):
    """What the ledger knows: of each mirror, and of the last passes (the newest at the end)."""

    statuses: list[MirrorStatus]
    passes: tuple[PassRecord, ...]


async def read_overview(
    config: Config, patterns: Sequence[str] = (), *, clock: Clock | None = None
) -> Overview:
    """Tell what the ledger knows; no host is contacted and nothing is written.

    Raises:
        UsageError: A pattern that no configured source could match.
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    clock = clock or SystemClock()
    rules = rules_of(config)
    check_patterns(rules, patterns)
    ledgers = FileLedgerStore(config.ledger.directory, clock)
    if not ledgers.exists():
        raise LedgerError(
            f"there is no ledger at {config.ledger.directory}: no sync has run yet, or it ran with"
            " another [ledger] directory, or you may not read it"
        )
    index = await ledgers.load_index()
    return Overview(mirror_statuses(index, rules, patterns), index.passes)
