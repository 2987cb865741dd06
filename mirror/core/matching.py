"""Which asset of the target is the copy of which asset of the source, and what each needs."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.core.action import (
    AssetAction,
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.ledger import AssetEntry, same_content
from mirror.core.report import iso

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mirror.core.release import Asset

_TEMPORARY = re.compile(r"release-mirror-tmp-(\d+)-")


@dataclass(slots=True)
class Matched:
    """What the assets of one release need.

    Attributes:
        actions: In the order of the wanted assets.
        present: Copies that are right already, by the source asset's id.
        leftovers: Rests of uploads that broke.
        warnings: What an operator should know.
    """

    actions: list[AssetAction] = field(default_factory=list)
    present: dict[int, AssetEntry] = field(default_factory=dict)
    leftovers: list[DeleteAsset] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def temporary_name(asset: Asset) -> str:
    """The name under which an asset's new bytes arrive while the old ones are still in use."""
    return f"release-mirror-tmp-{asset.id}-{asset.name}"


def guessed_name(name: str) -> str:
    """What a server may make of an asset's name: "special characters" become periods.

    Only a guess, to look for a copy and to see a collision coming; the name in the server's
    answer is the truth.

    Source: https://docs.github.com/rest/releases/assets#upload-a-release-asset
    """
    return re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._+-]+", ".", name)).strip(".")


def asset_facts(asset: Asset) -> str:
    """A fingerprint of an asset; another one is another try for what failed for good."""
    return hashlib.sha256(json.dumps(asset.facts()).encode()).hexdigest()[:16]


def match_assets(
    wanted: Collection[Asset],
    source: Collection[Asset],
    target: Collection[Asset],
    entries: Mapping[int, AssetEntry],
    *,
    ours: bool,
    follow: bool,
) -> Matched:
    """Find each wanted asset's copy at the target, and what it needs.

    Args:
        wanted: The source's assets that are wanted.
        source: All of the source's assets of the release.
        target: All assets of its copy.
        entries: What the ledger knows of the release, by the source asset's id.
        ours: This mirror made the copy; otherwise what differs is left alone.
        follow: An asset that was replaced at the source is replaced at the target.
    """
    return _Matcher(source, target, entries, ours=ours, follow=follow).match(wanted)


class _Matcher:
    """The state of one matching: what has been found and what is claimed."""

    def __init__(
        self,
        source: Collection[Asset],
        target: Collection[Asset],
        entries: Mapping[int, AssetEntry],
        *,
        ours: bool,
        follow: bool,
    ) -> None:
        self._entries = entries
        self._ours = ours
        self._follow = follow
        self._here = {asset.id: asset for asset in target}
        self._temporaries = _temporaries(target)
        self._claimed = {entries[asset.id].target_id for asset in source if asset.id in entries} | {
            asset.id for asset in self._temporaries.values()
        }
        ids = {asset.id for asset in source}
        self._former = {
            entry.source_name: entry
            for entry in entries.values()
            if entry.source_id not in ids and entry.target_id in self._here
        }
        self._claimed |= {entry.target_id for entry in self._former.values()}
        self._result = Matched()

    def match(self, wanted: Collection[Asset]) -> Matched:
        for asset in wanted:
            self._match(asset)
        _mark_collisions(self._result)
        self._collect_leftovers(wanted)
        return self._result

    def _match(self, asset: Asset) -> None:
        entry = self._entries.get(asset.id) or self._former.get(asset.name)
        copy = self._here.get(entry.target_id) if entry else None
        if entry and copy and copy.uploaded:
            if _intact(entry, copy) and same_content(entry, asset):
                self._keep(asset, copy, entry)
            else:
                self._replace(asset, copy, mine=entry.created)
            return
        if self._temporary(asset):
            self._replace(asset, None, mine=True)
            return
        found = self._by_name(asset)
        if found is None or not found.uploaded:
            self._result.actions.append(UploadAsset(asset))
        elif found.size == asset.size and _agree(found.sha256, asset.sha256):
            self._claimed.add(found.id)
            self._keep(asset, found, _entry(asset, found, created=self._ours))
        else:
            self._claimed.add(found.id)
            self._replace(asset, found, mine=self._ours)

    def _keep(self, asset: Asset, copy: Asset, entry: AssetEntry) -> None:
        fresh = _entry(asset, copy, created=entry.created, sha256=entry.sha256)
        self._result.present[asset.id] = fresh
        if not (entry.created or self._ours):
            return
        label = asset.label or ("" if copy.name == asset.name else asset.name)
        if asset.name not in {entry.source_name, copy.name}:
            self._result.actions.append(RenameAsset(asset, copy, asset.name))
        elif copy.label != label:
            self._result.actions.append(UpdateAsset(asset, copy, label))

    def _replace(self, asset: Asset, old: Asset | None, *, mine: bool) -> None:
        if old and not mine:
            self._result.warnings.append(
                f"asset {asset.name} differs from the source's; it is not of this mirror"
                " and was left alone"
            )
            return
        if old and not self._follow:
            self._result.warnings.append(
                f"asset {asset.name} was replaced at the source; the first copy was kept"
            )
            self._result.present[asset.id] = _entry(asset, old, created=mine)
            return
        if old:
            self._result.warnings.append(
                f"asset {asset.name} was replaced at the source under the same name"
            )
        name = old.name if old else asset.name
        temporary = self._temporary(asset)
        self._result.actions.append(
            ReplaceAsset(asset, old, name, temporary_name(asset), temporary)
        )

    def _temporary(self, asset: Asset) -> Asset | None:
        """What an exchange that was cut off had already uploaded, if it is what is needed."""
        found = self._temporaries.get(asset.id)
        good = found and found.uploaded and found.size == asset.size
        return found if found and good and _agree(found.sha256, asset.sha256) else None

    def _by_name(self, asset: Asset) -> Asset | None:
        free = [copy for copy in self._here.values() if copy.id not in self._claimed]
        guess = guessed_name(asset.name)
        ways: list[list[Asset]] = [
            [copy for copy in free if copy.name == asset.name],
            [copy for copy in free if copy.label == asset.name],
            [copy for copy in free if copy.name == guess],
        ]
        return next((found[0] for found in ways if found), None)

    def _collect_leftovers(self, wanted: Collection[Asset]) -> None:
        """What broken uploads left: in releases of ours all of it, in others' what is in the way."""
        used = {
            action.temporary.id
            for action in self._result.actions
            if isinstance(action, ReplaceAsset) and action.temporary
        }
        names = {name for asset in wanted for name in (asset.name, guessed_name(asset.name))}
        temporaries = {asset.id for asset in self._temporaries.values()}
        for copy in self._here.values():
            broken = not copy.uploaded and (self._ours or copy.name in names)
            if copy.id not in used and (broken or copy.id in temporaries):
                self._result.leftovers.append(DeleteAsset(copy))


def _temporaries(target: Collection[Asset]) -> dict[int, Asset]:
    found = {}
    for asset in target:
        if parts := _TEMPORARY.match(asset.name):
            found[int(parts.group(1))] = asset
    return found


def _intact(entry: AssetEntry, copy: Asset) -> bool:
    return copy.size == entry.size and _agree(copy.sha256, entry.sha256)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _entry(asset: Asset, copy: Asset, *, created: bool, sha256: str | None = None) -> AssetEntry:
    return AssetEntry(
        source_id=asset.id,
        source_name=asset.name,
        target_id=copy.id,
        target_name=copy.name,
        size=copy.size,
        sha256=sha256 or copy.sha256,
        source_digest=asset.sha256,
        source_updated_at=iso(asset.updated_at) if asset.updated_at else None,
        created=created,
    )


def _mark_collisions(result: Matched) -> None:
    """Assets that a server may give one name are uploaded one after the other."""
    seen: set[str] = {
        guessed_name(entry.target_name).casefold() for entry in result.present.values()
    }
    for place, action in enumerate(result.actions):
        if isinstance(action, UploadAsset):
            name = guessed_name(action.asset.name).casefold()
            if name in seen:
                result.actions[place] = UploadAsset(action.asset, collides=True)
            seen.add(name)
