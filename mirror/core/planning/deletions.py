"""What vanished at the source or is no longer selected, and what may be deleted because of it.

Nothing is deleted unless the settings ask for it, from a complete listing, of what this mirror
made, and all or nothing under `max_deletes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from msgspec import structs

from mirror.core.domain.asset_names import is_temporary
from mirror.core.domain.selection import select
from mirror.core.domain.source_archives import is_archive, with_archives
from mirror.core.execution.action import DeleteAsset, DeleteRelease
from mirror.core.failure import Failure
from mirror.core.planning.asset_identity import as_found
from mirror.core.planning.asset_identity import is_recorded as is_same_asset
from mirror.core.planning.release_matching import is_recorded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.ledger.document import AssetEntry, Ledger, ReleaseEntry
    from mirror.core.planning.release_matching import Copies


@dataclass(slots=True)
class Deletions:
    """What a plan deletes.

    Attributes:
        releases: Each with the source's release as far as it is still known.
        assets: By the id of the source's release that they belong to.
        obstacle: Why nothing is deleted although something would have to be.
        warnings: What an operator should know.
    """

    releases: list[tuple[Release, DeleteRelease]] = field(default_factory=list)
    assets: dict[int, list[DeleteAsset]] = field(default_factory=dict)
    obstacle: Failure | None = None
    warnings: list[str] = field(default_factory=list)


def vanished(source: Snapshot, ledger: Ledger, policy: Policy) -> tuple[list[int], list[int]]:
    """Recorded releases and assets that the source no longer lists.

    A list that shifts while its pages are read can omit existing items, so each of these is requested
    by its id before it is deleted (:attr:`Snapshot.gone_releases`). If there are more than may be
    deleted, none is requested, because none will be deleted.

    Returns:
        Ids of releases, and ids of assets, that this mirror copied.
    """
    if policy.on_delete != "delete" or not source.complete:
        return [], []
    living = {release.id: _living(release) for release in source.releases}
    releases = [entry for entry in ledger.releases.values() if entry.created]
    gone = [entry.source_id for entry in releases if entry.source_id not in living]
    assets = [
        asset.source_id
        for entry in releases
        if entry.source_id in living
        for asset in entry.assets.values()
        if asset.created and None in _heirs(asset, living[entry.source_id])
    ]
    assets = list(dict.fromkeys(assets))
    room = policy.max_deletes + 1
    return gone[:room], assets[: max(0, room - len(gone))]


def deletions(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    copies: Copies,
    now: datetime,
) -> Deletions:
    """Decide what is deleted at the target.

    Args:
        source: With what is gone for certain.
        target: ``None`` where there is no repository, and hence nothing to delete.
        ledger: What this mirror made; nothing else is ever deleted.
        policy: What the operator wants.
        copies: Which release of the target belongs to which of the source.
        now: The time, for ``min_age``.
    """
    found = Deletions()
    if target is None or not source.complete or not target.complete:
        return found
    chooser = _Chooser(source, target, ledger, policy, copies, now)
    for entry in list(ledger.releases.values()):
        chooser.consider(entry, found)
    count = len(found.releases) + sum(map(len, found.assets.values()))
    if count > policy.max_deletes:
        text = (
            f"{count} releases and assets would be deleted at the target, more than max_deletes ="
            f" {policy.max_deletes}; nothing was deleted"
        )
        obstacle = Failure("max-deletes", text, "delete-release")
        return Deletions(obstacle=obstacle, warnings=found.warnings)
    return found


class _Chooser:
    def __init__(
        self,
        source: Snapshot,
        target: Snapshot,
        ledger: Ledger,
        policy: Policy,
        copies: Copies,
        now: datetime,
    ) -> None:
        self._source = {release.id: release for release in source.releases}
        # Of what was deleted and made again under its tag, the former copy is the copy.
        new = (release for release in source.releases if release.id not in ledger.releases)
        self._made_again = {release.tag: release for release in new}
        deletes = policy.on_delete == "delete"
        self._gone_releases = source.gone_releases if deletes else frozenset()
        self._gone_assets = source.gone_assets if deletes else frozenset()
        self._target = {release.id: release for release in target.releases}
        self._policy = policy
        self._used = {copy.id for r in source.releases if (copy := copies.of(r))}
        # A release that is too young is not deselected: it waits, and its copy with it. Nor does
        # it take the place of an older one among the newest before it can be there itself.
        self._wanted: dict[int, set[int]] = {}
        for moment in (None, now):
            chosen = select(source.releases, policy.selection, moment)
            for wanted in with_archives(chosen, source.repository.ref, policy.selection):
                ids = {asset.id for asset in wanted.assets}
                self._wanted.setdefault(wanted.release.id, set()).update(ids)

    def consider(self, entry: ReleaseEntry, found: Deletions) -> None:
        """One release that this mirror once copied."""
        copy = self._target.get(entry.target_id)
        release = self._source.get(entry.source_id) or self._made_again.get(entry.tag)
        if copy is None or not entry.created or not is_recorded(entry, copy, release):
            return
        if release is None:
            certain = entry.source_id in self._gone_releases and copy.id not in self._used
            if certain and not copy.draft:
                self._delete_release(replace(copy, id=entry.source_id), copy, entry, found)
        elif release.draft and not copy.draft:
            found.warnings.append(
                f"release {release.tag} was un-published at the source; its copy was kept"
            )
        elif release.id in self._wanted:
            self._consider_assets(release, copy, entry, found)
        elif self._policy.on_deselect == "delete":
            if copy.frozen and self._policy.on_delete != "delete":
                found.warnings.append(
                    f"release {copy.tag} is no longer selected, and was kept: it is immutable at the"
                    ' target, and deleting it burns its tag for ever (on_delete = "delete" accepts'
                    " that)"
                )
                return
            self._delete_release(release, copy, entry, found)

    @staticmethod
    def _delete_release(
        release: Release, copy: Release, entry: ReleaseEntry, found: Deletions
    ) -> None:
        """Delete a copy, unless others keep something of their own in it."""
        ours = {asset.target_id for asset in entry.assets.values() if asset.created}
        theirs = [a.name for a in copy.assets if a.id not in ours and not a.begun]
        theirs = sorted(name for name in theirs if not is_temporary(name))
        if theirs:
            found.warnings.append(
                f"release {copy.tag} would be deleted, but holds what is not of this mirror"
                f" ({', '.join(theirs[:3])}{', …' if len(theirs) > 3 else ''}); it was kept"
            )
            return
        if copy.frozen:
            found.warnings.append(
                f"release {copy.tag} is immutable at the target: deleting it burns its tag, which no"
                " release can ever have there again"
            )
        found.releases.append((release, DeleteRelease(copy)))

    def _consider_assets(
        self, release: Release, copy: Release, entry: ReleaseEntry, found: Deletions
    ) -> None:
        here, living = {asset.id: asset for asset in copy.assets}, _living(release)
        wanted = self._wanted[release.id]
        for known in entry.assets.values():
            asset = here.get(known.target_id)
            if asset is None or not known.created or not is_same_asset(known, asset):
                continue
            heir = _heir(as_found(known, asset), living)
            if heir is None:
                doomed = known.source_id in self._gone_assets
            else:
                doomed = self._policy.on_deselect == "delete" and heir not in wanted
            if doomed and copy.frozen:
                found.warnings.append(
                    f"{asset.name} stays in {copy.tag}: the target's release is immutable"
                )
            elif doomed:
                found.assets.setdefault(release.id, []).append(DeleteAsset(asset))


def _living(release: Release) -> dict[int | str, int]:
    """The ids of a release's assets, by id and by name."""
    by_id: dict[int | str, int] = {asset.id: asset.id for asset in release.assets}
    return by_id | {asset.name: asset.id for asset in release.assets}


def _heirs(entry: AssetEntry, living: Mapping[int | str, int]) -> set[int | None]:
    """As :func:`_heir`, where it is not known whether the copy got its new name."""
    names = {entry.source_name, entry.new_name or entry.source_name}
    return {_heir(structs.replace(entry, source_name=name), living) for name in names}


def _heir(entry: AssetEntry, living: Mapping[int | str, int]) -> int | None:
    """The id of the source's asset that a copy stands for; ``None`` where it vanished.

    The asset may have been replaced by another one under its name. A tag has its archives for as
    long as it exists.
    """
    archive = entry.source_id if is_archive(entry.source_id) else None
    return living.get(entry.source_id) or living.get(entry.source_name, archive)
