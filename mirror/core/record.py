"""Outcomes → ledger: what was done becomes what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.action import (
    CreateRelease,
    CreateRepository,
    DeleteAsset,
    DeleteRelease,
    Outcome,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.ledger import AssetEntry, QuarantineEntry, ReleaseEntry
from mirror.core.report import iso

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from mirror.core.action import Obstacle
    from mirror.core.ledger import Ledger
    from mirror.core.release import Asset, Release


def learn(ledger: Ledger, entries: Collection[ReleaseEntry]) -> None:
    """Note what a plan found at the target.

    A copy has one entry: that of a release which was deleted at the source and made again under
    its tag goes.
    """
    fresh = {entry.target_id: entry.source_id for entry in entries}
    for source_id, known in list(ledger.releases.items()):
        if fresh.get(known.target_id, source_id) != source_id:
            del ledger.releases[source_id]
    for entry in entries:
        ledger.releases[entry.source_id] = entry


def note_commits(ledger: Ledger, commits: Mapping[str, str]) -> None:
    """Note at which commits the source's tags were when they were first looked at."""
    for entry in ledger.releases.values():
        entry.commit = entry.commit or commits.get(entry.tag)


def record(ledger: Ledger, outcome: Outcome, now: datetime) -> None:
    """Note in the ledger what was done; what failed changes nothing in it."""
    if outcome.status != "done":
        return
    if isinstance(outcome.action, CreateRepository):
        ledger.created_repository = True
        ledger.target_id = outcome.repository_id
    elif outcome.source and outcome.release:
        _record_release(ledger, outcome, outcome.source, outcome.release, now)


def _record_release(
    ledger: Ledger, outcome: Outcome, source: Release, target: Release, now: datetime
) -> None:
    match outcome.action:
        case DeleteRelease(target=copy):
            known = ledger.releases.get(source.id)
            if known and known.target_id == copy.id:
                del ledger.releases[source.id]
        case DeleteAsset(target=gone):
            _forget_asset(ledger, source, gone)
        case CreateRelease():
            ledger.releases[source.id] = ReleaseEntry(source.id, target.id, target.tag)
        case UploadAsset(asset=asset) | ReplaceAsset(asset=asset):
            _record_asset(ledger, outcome, source, asset)
        case RenameAsset(asset=asset) | UpdateAsset(asset=asset) if outcome.asset:
            entry = ledger.releases[source.id].assets.get(asset.id)
            if entry:
                entry.source_name = asset.name
                entry.target_name = outcome.asset.name
        case PublishRelease() | UpdateRelease() if source.id in ledger.releases:
            entry_ = ledger.releases[source.id]
            entry_.tag = target.tag
            if not target.draft:
                entry_.published = entry_.published or iso(now)
        case _:
            pass


def _record_asset(ledger: Ledger, outcome: Outcome, source: Release, asset: Asset) -> None:
    entry = ledger.releases.get(source.id)
    if entry is None or outcome.asset is None:
        return
    former = [
        key
        for key, known in entry.assets.items()
        if known.source_name == asset.name and key != asset.id
    ]
    for key in former:
        del entry.assets[key]
    entry.assets[asset.id] = AssetEntry(
        source_id=asset.id,
        source_name=asset.name,
        target_id=outcome.asset.id,
        target_name=outcome.asset.name,
        size=outcome.asset.size,
        sha256=outcome.sha256 or outcome.asset.sha256,
        source_digest=asset.sha256,
        source_updated_at=iso(asset.updated_at) if asset.updated_at else None,
    )


def _forget_asset(ledger: Ledger, source: Release, gone: Asset) -> None:
    known = ledger.releases.get(source.id)
    if known:
        known.assets = {k: v for k, v in known.assets.items() if v.target_id != gone.id}


def quarantine(ledger: Ledger, obstacles: Iterable[Obstacle], now: datetime) -> list[Obstacle]:
    """Keep exactly what failed for good in this pass; what failed so before keeps its date.

    Returns:
        Those that are new.
    """
    before = ledger.quarantined
    after: dict[tuple[int, int], QuarantineEntry] = {}
    fresh = []
    for obstacle in obstacles:
        if not obstacle.final:
            continue
        key = (obstacle.release_id, obstacle.asset_id)
        known = before.get(key)
        if known is None or known.facts != obstacle.facts:
            fresh.append(obstacle)
            known = None
        after[key] = QuarantineEntry(
            release_id=obstacle.release_id,
            asset_id=obstacle.asset_id,
            facts=obstacle.facts,
            error=obstacle.error,
            since=known.since if known else iso(now),
            release=obstacle.release or "",
            asset=obstacle.asset,
        )
    ledger.quarantined = after
    return fresh
