"""Which copies are to be compared with what, and what differs without a byte being read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mirror.core.domain.source_archives import is_archive
from mirror.core.execution.action import (
    DeleteAsset,
    Examined,
    RenameAsset,
    ReplaceAsset,
    UploadAsset,
)
from mirror.core.ledger.document import same_content
from mirror.core.planning.deletions import deletions, vanished
from mirror.core.planning.release_matching import Copies
from mirror.core.reporting.report import Difference

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Asset, Release, Snapshot
    from mirror.core.execution.action import Plan
    from mirror.core.ledger.document import AssetEntry, Ledger

ANY_NUMBER = 10**9


@dataclass(frozen=True, slots=True)
class Pair:
    """An asset and its copy.

    Attributes:
        rank: The place of the release, the newest first.
        release: The source's.
        recorded: The SHA-256 that the ledger has of the copy: a third witness.
        keep: The settings keep the first copy, if it is what was mirrored.
        against_source: Otherwise the copy is only held against what was recorded of it: an archive
            has other bytes each time that it is made, and a first copy may be kept on purpose.
    """

    rank: int
    release: Release
    asset: Asset
    copy: Asset
    recorded: str | None
    against_source: bool = True
    keep: bool = False

    @property
    def difference(self) -> Difference:
        """What it is reported as, if it differs."""
        return Difference(self.release.tag, self.asset.name, "differing")

    def verdict(self, *, full: bool) -> bool | None:
        """Whether both are the same, by what the hosts say; ``None`` where bytes must be read.

        Args:
            full: Believe no digest that a host gives.
        """
        source, copy, recorded = self.asset.sha256, self.copy.sha256, self.recorded
        if not self.against_source:
            if recorded is None:
                return True  # there is nothing to hold it against
            return None if full or copy is None else copy == recorded
        if self.asset.size != self.copy.size:
            return False
        if full or not (source and copy):
            return None
        if source != copy:
            return False
        return True if recorded in {None, source} else None

    def compare(self, copy: str, original: str | None) -> Compared:
        """Decide by the bytes that were read.

        Args:
            copy: SHA-256 of the copy's bytes.
            original: SHA-256 of the source's bytes; ``None`` unless :attr:`against_source`.
        """
        recorded = self.recorded
        if original is None:
            return Compared(copy == recorded)
        changed: Literal["source", "target"] | None = None
        if original != copy and recorded in {original, copy}:
            changed = "target" if recorded == original else "source"
        return Compared(original == copy or (self.keep and copy == recorded), changed)


@dataclass(frozen=True, slots=True)
class Compared:
    """What reading an asset and its copy has shown.

    Attributes:
        same: The copy has the bytes that it should have.
        changed: The side whose bytes are no longer those that were mirrored, if one is known.
    """

    same: bool
    changed: Literal["source", "target"] | None = None


@dataclass(slots=True)
class Comparison:
    """What a verification of one mirror is about.

    Attributes:
        pairs: Assets with their copies.
        missing: Assets of which there is nothing under their name, each with its source's release.
        extra: Copies of this mirror that nothing belongs to any more.
    """

    pairs: list[Pair] = field(default_factory=list)
    missing: list[tuple[Release, Asset]] = field(default_factory=list)
    extra: list[Difference] = field(default_factory=list)


def verifying(policy: Policy) -> Policy:
    """A mirror's policy to plan a verification with: it deletes nothing, and looks at everything."""
    return replace(policy, on_change="follow", on_delete="keep", on_deselect="keep")


def compare(
    plan: Plan,
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    now: datetime,
) -> Comparison:
    """Find out what is to be compared.

    Args:
        plan: Made with :func:`verifying`.
        source: What the source says now.
        target: What the target says now.
        ledger: What was recorded.
        policy: The mirror's own.
        now: The time.
    """
    found = Comparison()
    recorded = {
        asset.target_id: asset
        for release in ledger.releases.values()
        for asset in release.assets.values()
    }
    others = {
        release.target_id
        for release in ledger.releases.values()
        if not (release.created or release.followed)
    }
    for rank, item in enumerate(plan.examined):
        _compare_release(rank, item, recorded, others, policy, found)
    found.extra = _extra(source, target, ledger, policy, recorded, now)
    return found


def _compare_release(
    rank: int,
    item: Examined,
    recorded: Mapping[int, AssetEntry],
    others: Collection[int],
    policy: Policy,
    found: Comparison,
) -> None:
    here = {asset.id: asset for asset in item.copy.assets} if item.copy else {}
    changes = {c.asset.id: c for c in item.changes if not isinstance(c, DeleteAsset)}
    foreign = item.copy is not None and item.copy.id in others
    for asset in item.assets:
        change, entry = changes.get(asset.id), item.present.get(asset.id)
        if isinstance(change, UploadAsset | RenameAsset):
            found.missing.append((item.source, asset))
            continue
        copy = here.get(entry.target_id) if entry else None
        if isinstance(change, ReplaceAsset):
            copy = change.old
        elif copy is None:
            copy = _of_its_name(asset, here.values())
        known = recorded.get(copy.id) if copy else None
        if copy is None or (foreign and not (known and known.created)):
            continue  # what others added is theirs
        keep = policy.on_change == "keep"
        kept = keep and known and not same_content(known, asset)
        sha256 = known.sha256 if known else None
        against_source = not (kept or is_archive(asset.id))
        found.pairs.append(Pair(rank, item.source, asset, copy, sha256, against_source, keep))


def _of_its_name(asset: Asset, copies: Collection[Asset]) -> Asset | None:
    """A copy that differs and is left alone: it is not known to be of this mirror."""
    return next((copy for copy in copies if asset.name in {copy.name, copy.label}), None)


def _extra(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    recorded: Mapping[int, AssetEntry],
    now: datetime,
) -> list[Difference]:
    """What a mirror that deletes would delete: from complete listings, and of its own alone."""
    strict = replace(policy, on_delete="delete", on_deselect="delete", max_deletes=ANY_NUMBER)
    releases, assets = vanished(source, ledger, strict)
    gone = replace(source, gone_releases=frozenset(releases), gone_assets=frozenset(assets))
    copies = Copies(gone, target, ledger, "")
    found = deletions(gone, target, ledger, strict, copies, now)
    tags = {release.id: release.tag for release in source.releases}
    named = [(work.target.tag, copy) for _, work in found.releases for copy in work.target.assets]
    named += [
        (tags[number], work.target) for number, works in found.assets.items() for work in works
    ]
    return [
        Difference(tag, recorded[copy.id].source_name, "extra")
        for tag, copy in named
        if copy.id in recorded and recorded[copy.id].created
    ]


def doctored(snapshot: Snapshot, digests: Mapping[int, str]) -> Snapshot:
    """A snapshot that has the digests that were found by reading, by the asset's id."""
    if not digests:
        return snapshot

    def mend(asset: Asset) -> Asset:
        return replace(asset, sha256=digests[asset.id]) if asset.id in digests else asset

    releases = tuple(
        replace(release, assets=tuple(map(mend, release.assets)))
        if any(asset.id in digests for asset in release.assets)
        else release
        for release in snapshot.releases
    )
    return replace(snapshot, releases=releases)


def note_proof(ledger: Ledger, pair: Pair, sha256: str, *, same: bool) -> None:
    """Note in the ledger what reading a copy's bytes has proven.

    Args:
        ledger: The document.
        pair: The asset and its copy.
        sha256: Of the copy's bytes, as they were read.
        same: They are the source's.
    """
    for release in ledger.releases.values():
        if entry := release.assets.get(pair.copy.id):
            entry.proof = "bytes" if same else "refuted"
            entry.sha256 = sha256 if same else entry.sha256


def repairs(plan: Plan, damaged: Collection[int]) -> Plan:
    """The part of a plan that brings these assets of the source: nothing else is changed or removed."""
    works = []
    for work in plan.releases:
        assets = tuple(
            action
            for action in work.assets
            if isinstance(action, UploadAsset | ReplaceAsset | RenameAsset)
            and action.asset.id in damaged
        )
        if assets:
            works.append(replace(work, assets=assets))
    new = any(work.create or work.tag for work in works)
    return replace(plan, releases=tuple(works), repository=plan.repository if new else None)
