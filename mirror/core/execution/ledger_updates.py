"""Outcomes → ledger: what was done becomes what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.domain.asset_names import forms, is_temporary
from mirror.core.execution.action import (
    CreateRelease,
    CreateRepository,
    DeleteAsset,
    DeleteRelease,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.ledger.document import AssetEntry, QuarantineEntry, ReleaseEntry, proof_of
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.outcome import Outcome
    from mirror.core.failure import Failure
    from mirror.core.ledger.document import Ledger


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
    """Note in the ledger what was done; of what failed, only that a tag can never be used again."""
    if burned := _burned_tag(outcome):
        ledger.burned_tags = tuple(sorted({*ledger.burned_tags, burned}))
    known = ledger.releases.get(outcome.source.id) if outcome.source else None
    if known and isinstance(outcome.action, UpdateRelease) and outcome.release:
        known.latest_instead = outcome.latest_instead
    if outcome.status != "done":
        return
    if isinstance(outcome.action, CreateRepository):
        ledger.created_repository = True
        ledger.creating_repository = False
        ledger.target_id = outcome.repository_id
    elif outcome.source and outcome.release:
        _record_release(ledger, outcome, outcome.source, outcome.release, now)


def record_arrival(
    ledger: Ledger, source: Release, asset: Asset, copy: Asset, sha256: str | None
) -> None:
    """Note an upload that was answered, and of which nothing is verified yet.

    Args:
        ledger: The document.
        source: The source's release.
        asset: The source's asset.
        copy: The target's.
        sha256: Of the bytes that went through.
    """
    known = ledger.releases.get(source.id)
    if known is None:
        return
    known.note(_entry(asset, copy, sha256))


def record_renaming(ledger: Ledger, source: Release, asset: Asset, copy: Asset) -> None:
    """Note that a copy is about to get an asset's name: the answer may be lost."""
    known = ledger.releases.get(source.id)
    if entry := known and known.assets.get(copy.id):
        entry.new_name = asset.name


def record_in_place(ledger: Ledger, source: Release, name: str) -> None:
    """Note a name whose asset is about to be uploaded under it, with nothing to tell whose it is."""
    known = ledger.releases.get(source.id)
    if known and name not in known.in_place:
        known.in_place += (name,)


def forget_in_place(ledger: Ledger, source: Release, name: str) -> None:
    """Note that nothing of ours is under a name: another asset has it."""
    if known := ledger.releases.get(source.id):
        known.in_place = tuple(other for other in known.in_place if other != name)


def forget_asset(ledger: Ledger, source: Release, gone: Asset) -> None:
    """Note that an asset of the target is gone."""
    if known := ledger.releases.get(source.id):
        known.assets.pop(gone.id, None)


def _record_release(
    ledger: Ledger, outcome: Outcome, source: Release, target: Release, now: datetime
) -> None:
    known = ledger.releases.get(source.id)
    match outcome.action:
        case DeleteRelease(target=copy):
            if known and known.target_id == copy.id:
                del ledger.releases[source.id]
        case DeleteAsset(target=gone):
            forget_asset(ledger, source, gone)
        case CreateRelease():
            ledger.releases[source.id] = ReleaseEntry(source.id, target.id, target.tag)
        case UploadAsset(asset=asset) if known and outcome.asset:
            _record_copy(known, outcome, asset, outcome.asset)
        case ReplaceAsset(asset=asset, old=old) if known and outcome.asset:
            known.assets.pop(old.id, None)
            _record_copy(known, outcome, asset, outcome.asset)
        case RenameAsset(asset=asset) if known and outcome.asset:
            _record_name(known, asset, outcome.asset)
        case PublishRelease() | UpdateRelease() if known:
            known.tag = target.tag
            if not target.draft:
                known.published = known.published or iso(now)
                known.immutable = target.immutable
        case _:
            pass


def _burned_tag(outcome: Outcome) -> str | None:
    """A tag that the target will refuse from now on, or has just refused, for ever."""
    match outcome.action:
        case DeleteRelease(target=copy) if copy.frozen and outcome.status == "done":
            return copy.tag
        case CreateRelease() | PublishRelease() if outcome.failure and outcome.source:
            return outcome.source.tag if outcome.failure.kind == "immutable" else None
        case _:
            return None


def _entry(asset: Asset, copy: Asset, sha256: str | None) -> AssetEntry:
    """The record of an upload that was answered."""
    return AssetEntry(
        source_id=asset.id,
        source_name=asset.name,
        target_id=copy.id,
        target_name=copy.name,
        size=copy.size,
        sha256=sha256,
        source_digest=asset.sha256,
        source_updated_at=iso(asset.updated_at) if asset.updated_at else None,
        target_created_at=iso(copy.created_at) if copy.created_at else None,
    )


def _record_name(known: ReleaseEntry, asset: Asset, copy: Asset) -> None:
    entry = known.assets.get(copy.id)
    if entry and not is_temporary(copy.name):
        entry.source_name = asset.name
        entry.target_name = copy.name
        entry.new_name = None


def _record_copy(known: ReleaseEntry, outcome: Outcome, asset: Asset, copy: Asset) -> None:
    """A copy that is verified and has its name."""
    before = known.assets.get(copy.id)
    sha256 = outcome.sha256 or (before.sha256 if before else None)
    if asset.sha256 and asset.sha256 == copy.sha256:
        sha256 = copy.sha256
    entry = _entry(asset, copy, sha256)
    entry.proof = proof_of(before or entry, copy, sha256)
    known.note(entry)
    known.in_place = tuple(n for n in known.in_place if copy.name not in forms(n))


def quarantine(ledger: Ledger, failures: Iterable[Failure], now: datetime) -> list[Failure]:
    """Keep exactly what failed for good in this pass; what failed so before keeps its date.

    Returns:
        Those that are new.
    """
    before = ledger.quarantined
    after: dict[tuple[int, int], QuarantineEntry] = {}
    fresh = []
    for failure in failures:
        if not failure.final:
            continue
        key = (failure.release_id, failure.asset_id)
        known = before.get(key)
        if known is None or known.facts != failure.facts:
            fresh.append(failure)
            known = None
        after[key] = QuarantineEntry(
            release_id=failure.release_id,
            asset_id=failure.asset_id,
            facts=failure.facts,
            kind=failure.kind,
            error=failure.detail,
            since=known.since if known else iso(now),
            release=failure.release or "",
            asset=failure.asset,
            hint=failure.hint,
        )
    ledger.quarantined = after
    return fresh
