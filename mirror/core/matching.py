"""Which asset of the target is the copy of which asset of the source, and what each needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mirror.core.action import (
    AssetAction,
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.archives import is_archive
from mirror.core.ledger import AssetEntry, same_content
from mirror.core.report import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mirror.core.release import Asset

_TEMPORARY = re.compile(r"release-mirror-tmp-(\d+)-")


@dataclass(slots=True)
class Matched:
    """What the assets of one release need.

    Attributes:
        actions: In the order of the wanted assets; a rename after that which frees its name.
        present: Copies that are right already, by the source asset's id.
        leftovers: Rests of uploads that broke.
        warnings: What an operator should know for as long as it is so.
        news: What an operator should know once.
    """

    actions: list[AssetAction] = field(default_factory=list)
    present: dict[int, AssetEntry] = field(default_factory=dict)
    leftovers: list[DeleteAsset] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    news: list[str] = field(default_factory=list)


def temporary_name(asset: Asset) -> str:
    """The name under which an asset's new bytes arrive while the old ones are still in use."""
    return f"release-mirror-tmp-{asset.id}-{asset.name}"


def is_temporary(name: str) -> bool:
    """Whether an asset of this name is the new half of an exchange that was cut off."""
    return _TEMPORARY.match(name) is not None


@lru_cache(maxsize=4096)
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
    followed: bool = False,
) -> Matched:
    """Find each wanted asset's copy at the target, and what it needs.

    Args:
        wanted: The source's assets that are wanted.
        source: All of the source's assets of the release.
        target: All assets of its copy.
        entries: What the ledger knows of the release, by the source asset's id.
        ours: This mirror made the copy; otherwise what differs is left alone.
        follow: An asset that was replaced at the source is replaced at the target.
        followed: The copy is kept equal to the source's, although it may be others'.
    """
    matcher = _Matcher(source, target, entries, ours=ours, follow=follow, followed=followed)
    return matcher.match(wanted)


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
        followed: bool,
    ) -> None:
        self._source = sorted(source, key=lambda asset: (-asset.size, asset.id))
        self._entries = entries
        self._ours = ours
        self._follow = follow
        self._followed = followed
        self._here = {asset.id: asset for asset in target}
        self._temporaries = _temporaries(target)
        ids = {asset.id for asset in source}
        self._former = {
            entry.source_name: entry
            for entry in sorted(entries.values(), key=lambda entry: entry.source_id)
            if entry.source_id not in ids and entry.target_id in self._here
        }
        claimed = {entry.target_id for entry in self._former.values()}
        claimed |= {entries[number].target_id for number in ids if number in entries}
        self._free = [
            copy
            for copy in sorted(target, key=lambda copy: copy.id)
            if copy.uploaded and copy.id not in claimed and not is_temporary(copy.name)
        ]
        self._names = {copy.name.casefold(): copy for copy in target}
        gone = (entry for entry in entries.values() if entry.target_id not in self._here)
        self._vacated = {_folded(entry.target_name) for entry in gone}
        self._shown = {
            entry.source_name: entry.target_name for entry in entries.values() if entry.created
        }
        self._exchanged: dict[int, Asset] = {}
        self._orphans: dict[str, Asset] = {}
        self._result = Matched()

    def match(self, wanted: Collection[Asset]) -> Matched:
        # First, so that no other asset whose name is their label takes them for its copy.
        self._exchanged = self._find_exchanged()
        self._give(self._exchanged)
        found = self._find()
        self._give(found)
        for asset in wanted:
            self._match(asset, found.get(asset.id))
        self._untie()
        self._give_names_back()
        _mark_collisions(self._result)
        self._collect_leftovers(wanted)
        self._leave_taken_names()
        self._order_renames()
        return self._result

    def _give(self, found: Mapping[int, Asset]) -> None:
        given = {copy.id for copy in found.values()}
        self._free = [copy for copy in self._free if copy.id not in given]

    def _recorded(self, asset: Asset) -> tuple[AssetEntry, Asset] | None:
        """The copy that the ledger knows: of this asset, or of a former one of its name."""
        entry = self._entries.get(asset.id) or self._former.get(asset.name)
        copy = self._here.get(entry.target_id) if entry else None
        good = entry and copy and copy.uploaded and _is_recorded(entry, copy, asset)
        return (entry, copy) if entry and copy and good else None

    def _match(self, asset: Asset, found: Asset | None) -> None:
        if recorded := self._recorded(asset):
            entry, copy = recorded
            if is_archive(asset.id):
                # Its bytes differ each time that a host makes them: what is there stays.
                sha256 = entry.sha256 if _intact(entry, copy) else None
                self._keep(asset, copy, replace(entry, sha256=sha256))
            elif _intact(entry, copy) and same_content(entry, asset):
                self._keep(asset, copy, entry)
            else:
                # What was equal to the source's follows it from then on, whoever made it.
                self._replace(asset, copy, entry, mine=entry.created or self._followed)
            return
        temporary = self._temporary(asset)
        if found is None and temporary is None:
            self._result.actions.append(UploadAsset(asset))
        elif found is None:
            self._replace(asset, None, None, mine=True)
        elif is_archive(asset.id) or (
            _alike(asset, found) and not (temporary and self._ours and not found.sha256)
        ):
            self._keep(asset, found, _entry(asset, found, created=self._ours))
        else:
            # It differs, or an exchange for it had begun and nothing tells the two apart.
            self._replace(asset, found, None, mine=self._ours)

    def _keep(self, asset: Asset, copy: Asset, entry: AssetEntry) -> None:
        fresh = _entry(asset, copy, created=entry.created, sha256=entry.sha256)
        self._result.present[asset.id] = fresh
        ours = entry.created or self._ours
        names = {entry.source_name, copy.name}
        renamed = asset.name not in names and guessed_name(asset.name) != copy.name
        if not ours and not (renamed and self._followed):
            return
        if renamed and self._is_exchanged(asset, copy):
            return
        if renamed:
            # Until the copy has it, the ledger does not know the new name either.
            self._result.present[asset.id] = replace(fresh, source_name=entry.source_name)
            former = self._former.get(asset.name)
            old = self._here.get(former.target_id) if former else None
            if former and old and old.uploaded and _is_recorded(former, old, asset):
                # It took the name of another, which is gone: an exchange without an upload.
                mine = former.created or self._followed
                self._replace(asset, old, former, mine=mine, temporary=copy)
            else:
                self._result.actions.append(RenameAsset(asset, copy, asset.name))
        elif copy.label != _label(asset, copy) and (asset.label or copy.label != asset.name):
            self._result.actions.append(UpdateAsset(asset, copy, _label(asset, copy)))

    def _holder(self, name: str) -> Asset | None:
        """Who has a name at the target now."""
        return self._names.get(name.casefold()) or self._names.get(self._called(name))

    def _is_vacant(self, name: str) -> bool:
        """Whether a copy that had a name was deleted, as an exchange does before its last step."""
        return self._called(name) in self._vacated and not self._holder(name)

    def _called(self, name: str) -> str:
        """What the server makes of a name, where a copy of ours has shown it, or else as guessed."""
        return _folded(self._shown.get(name, name))

    def _is_exchanged(self, asset: Asset, copy: Asset) -> bool:
        """An asset that was renamed has another copy, of an exchange of names that was cut off.

        That one is gone on with; the former one only keeps its name for whose it is now.
        """
        if fresh := self._exchanged.get(asset.id):
            self._keep(asset, fresh, _entry(asset, fresh, created=True))
        elif (temporary := self._temporary(asset)) and self._is_vacant(asset.name):
            self._result.present.pop(asset.id)
            self._replace(asset, None, None, mine=True, temporary=temporary)
        else:
            return False
        self._orphans[_folded(copy.name)] = copy
        return True

    def _find_exchanged(self) -> dict[int, Asset]:
        """The new copies of exchanges that were cut off, by the source asset's id."""
        found = {}
        for asset in self._source:
            entry, copy = self._recorded(asset) or (None, None)
            if not (entry and copy and _intact(entry, copy) and same_content(entry, asset)):
                continue
            if fresh := self._new_copy(asset, entry):
                found[asset.id] = fresh
        return found

    def _new_copy(self, asset: Asset, entry: AssetEntry) -> Asset | None:
        """It has the bytes of the former one, and the copy whose name it took is gone.

        Any other asset of the name and size is somebody's own: the former copy is all there is.
        """
        name = self._called(asset.name)
        if asset.name == entry.source_name or name not in self._vacated:
            return None
        same = (c for c in self._free if c.name.casefold() == name and _alike(asset, c))
        return next((c for c in same if _agree(c.sha256, entry.sha256)), None)

    def _give_names_back(self) -> None:
        """The copy that is needed no more goes when whoever is to have its name has arrived."""
        actions = self._result.actions
        for place, action in enumerate(actions):
            if isinstance(action, UploadAsset):
                temporary = None
            elif isinstance(action, ReplaceAsset) and action.old is None:
                temporary = action.temporary
            else:
                continue
            asset = action.asset
            if old := self._orphans.pop(self._called(asset.name), None):
                actions[place] = ReplaceAsset(
                    asset, old, old.name, temporary_name(asset), temporary
                )
        self._result.leftovers += [DeleteAsset(copy) for copy in self._orphans.values()]

    def _untie(self) -> None:
        """Assets that took each other's names are exchanged: as renames each would wait for ever."""
        result = self._result
        renames = {a.target.id: a for a in result.actions if isinstance(a, RenameAsset)}
        tied = _in_circles({n: self._holder(a.target_name) for n, a in renames.items()})
        for number in tied:
            result.actions.remove(renames[number])
            result.present.pop(renames[number].asset.id, None)
        entries = {entry.target_id: entry for entry in self._entries.values()}
        for number, holder in tied.items():
            entry = entries.get(holder.id)
            mine = self._followed or (entry.created if entry else self._ours)
            self._replace(renames[number].asset, holder, entry, mine=mine)

    def _leave_taken_names(self) -> None:
        """A copy whose new name another keeps is not asked to take it, in every pass anew."""
        result = self._result
        renames = {a.target.id: a for a in result.actions if isinstance(a, RenameAsset)}
        stuck = self._stuck(renames, set(_leaving(result)))
        for action in (renames[number] for number in renames if number in stuck):
            result.actions.remove(action)
            result.warnings.append(
                f"asset {action.asset.name} was renamed at the source; its copy is still called"
                f" {action.target.name}, because another asset at the target has the new name"
            )

    def _stuck(self, renames: Mapping[int, RenameAsset], leaving: set[int]) -> set[int]:
        """Copies whose wanted name is of one that stays, or of one that is stuck itself."""
        taken = self._taken(renames)
        stuck: set[int] = set()
        while more := {n for n, other in taken.items() if other not in leaving} - stuck:
            stuck |= more
            leaving -= more
        return stuck

    def _order_renames(self) -> None:
        """Who has another's new name goes first, so that a chain of renames ends in one session."""
        actions = self._result.actions
        renames = {a.target.id: a for a in actions if isinstance(a, RenameAsset)}
        taken = {n: other for n, other in self._taken(renames).items() if other in renames}
        turns = dict.fromkeys(renames.keys() - taken.keys(), 0)
        while more := [n for n in taken if n not in turns and taken[n] in turns]:
            turns |= {n: turns[taken[n]] + 1 for n in more}
        actions.sort(key=lambda a: turns.get(a.target.id, 0) if isinstance(a, RenameAsset) else 0)

    def _taken(self, renames: Mapping[int, RenameAsset]) -> dict[int, int]:
        """Which other copy has the name that a copy wants, by the copy's id."""
        holders = {n: self._holder(action.target_name) for n, action in renames.items()}
        return {n: holder.id for n, holder in holders.items() if holder and holder.id != n}

    def _replace(
        self,
        asset: Asset,
        old: Asset | None,
        entry: AssetEntry | None,
        *,
        mine: bool,
        temporary: Asset | None = None,
    ) -> None:
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
            # What is known of the first copy stays known, so that the next pass warns again.
            if entry is None or not _intact(entry, old):
                entry = replace(_entry(asset, old, created=mine), source_digest=None)
            self._result.present[entry.source_id] = entry
            return
        if old and entry and same_content(entry, asset):
            self._result.news.append(
                f"asset {asset.name} had changed at the target; it is made anew"
            )
        elif old:
            self._result.news.append(
                f"asset {asset.name} was replaced at the source under the same name"
            )
        name = old.name if old else asset.name
        temporary = temporary or self._temporary(asset)
        self._result.actions.append(
            ReplaceAsset(asset, old, name, temporary_name(asset), temporary)
        )

    def _temporary(self, asset: Asset) -> Asset | None:
        """What an exchange that was cut off had already uploaded, if it is what is needed."""
        found = self._temporaries.get(asset.id)
        good = found and found.uploaded and found.size == asset.size
        return found if found and good and _agree(found.sha256, asset.sha256) else None

    def _find(self) -> dict[int, Asset]:
        """Copies that the ledger does not know, by the source asset's id.

        The surest way goes first for all assets, also those that are not wanted, so that none
        takes what is more likely another's.
        """
        found: dict[int, Asset] = {}
        free = self._free
        for way in _WAYS:
            for asset in self._source:
                if not free:
                    return found
                if asset.id in found or self._recorded(asset):
                    continue
                copy = next((copy for copy in free if way(asset, copy)), None)
                if copy:
                    found[asset.id] = copy
                    free = [other for other in free if other.id != copy.id]
        return found | self._find_by_label(free, found)

    def _find_by_label(self, free: Collection[Asset], found: Collection[int]) -> dict[int, Asset]:
        """Copies under a name that nobody could guess and a label of the source's own.

        There must be but one such copy and one such asset.
        """
        pairs = [
            (asset, copy)
            for copy in free
            for asset in self._source
            if asset.id not in found
            and asset.label == copy.label != ""
            and guessed_name(asset.name) != asset.name
            and _alike(asset, copy)
            and not self._recorded(asset)
        ]
        assets = Counter(asset.id for asset, _ in pairs)
        copies = Counter(copy.id for _, copy in pairs)
        return {asset.id: copy for asset, copy in pairs if assets[asset.id] == copies[copy.id] == 1}

    def _collect_leftovers(self, wanted: Collection[Asset]) -> None:
        """What broken uploads left: in releases of ours all of it, in others' what is in the way."""
        used = {
            action.temporary.id
            for action in self._result.actions
            if isinstance(action, ReplaceAsset) and action.temporary
        }
        names = {name for asset in wanted for name in (asset.name, guessed_name(asset.name))}
        # Under a name that nobody could guess the label tells whose upload it was.
        changed = {asset.name for asset in wanted if guessed_name(asset.name) != asset.name}
        for copy in self._here.values():
            in_the_way = copy.name in names or copy.label in changed
            broken = not copy.uploaded and (self._ours or in_the_way)
            if copy.id not in used and (broken or is_temporary(copy.name)):
                self._result.leftovers.append(DeleteAsset(copy))


def _temporaries(target: Collection[Asset]) -> dict[int, Asset]:
    found = {}
    for asset in sorted(target, key=lambda asset: asset.id):
        if parts := _TEMPORARY.match(asset.name):
            found[int(parts.group(1))] = asset
    return found


def _folded(name: str) -> str:
    """What servers compare names by, as far as can be guessed."""
    return guessed_name(name).casefold()


def _in_circles(holders: Mapping[int, Asset | None]) -> dict[int, Asset]:
    """Copies whose wanted name another copy has, which wants a name, too, and so on, back to them.

    Args:
        holders: Who has the name that a copy wants, by the copy's id.
    """
    following = {
        number: holder
        for number, holder in holders.items()
        if holder and holder.id in holders and holder.id != number
    }

    def returns(start: int) -> bool:
        at = start
        for _ in following:
            if at not in following or (at := following[at].id) == start:
                break
        return at == start

    return {number: holder for number, holder in following.items() if returns(number)}


def _leaving(result: Matched) -> Iterator[int]:
    """Copies that give their names up."""
    for action in (*result.actions, *result.leftovers):
        if isinstance(action, RenameAsset | DeleteAsset):
            yield action.target.id
        elif isinstance(action, ReplaceAsset) and action.temporary:
            yield action.temporary.id


def _is_recorded(entry: AssetEntry, copy: Asset, asset: Asset) -> bool:
    """Whether an asset of the target is what was recorded, and not only of the same number.

    A target that was restored from an older backup gives numbers a second time.
    """
    names = {entry.target_name, asset.name, guessed_name(asset.name)}
    proven = copy.sha256 is not None and copy.sha256 == entry.sha256
    return copy.name in names or proven or is_temporary(copy.name)


def _intact(entry: AssetEntry, copy: Asset) -> bool:
    return copy.size == entry.size and _agree(copy.sha256, entry.sha256)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _alike(asset: Asset, copy: Asset) -> bool:
    return asset.size == copy.size and _agree(asset.sha256, copy.sha256)


def _label(asset: Asset, copy: Asset) -> str:
    """A copy's label; where the server renamed it, it keeps the name that people look for."""
    return asset.label or ("" if copy.name == asset.name else asset.name)


def _as_we_leave_it(asset: Asset, copy: Asset) -> bool:
    names = {asset.name, guessed_name(asset.name)}
    return copy.name in names and copy.label == _label(asset, copy)


_WAYS: tuple[Callable[[Asset, Asset], bool], ...] = (
    lambda asset, copy: _as_we_leave_it(asset, copy) and _alike(asset, copy),
    _as_we_leave_it,
    lambda asset, copy: copy.name == asset.name,
    lambda asset, copy: copy.label == asset.name,
    lambda asset, copy: copy.name == guessed_name(asset.name),
)
"""How a copy that the ledger does not know is recognised, the surest way first."""


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
