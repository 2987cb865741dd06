"""Which asset of the target holds which asset of the source, and what each of them needs.

A copy is known by its record in the ledger: hosts never give an id other bytes, so that a record
stays true whatever the copy is called by then. Next comes a digest. Name and size alone count only
in a release that the ledger does not know to be this mirror's. What follows from that:

=====================================  ==========================  ===============================
the copy of an asset is known by       its name at the target      what is done
=====================================  ==========================  ===============================
its record or a digest                 right                       nothing, or its label changes
its record, or a digest if it is ours  wrong                       it is renamed
a digest, and it is others'            right                       nothing
name and size, nothing recorded        right                       nothing: ``assumed``
nothing                                free                        upload
nothing                                of a former copy of ours    replace; ``keep``: stays
nothing                                of ours, bytes contradict   replace
nothing                                of ours, bytes were lost    replace
nothing                                of ours, about to move      upload, after that has moved
nothing                                of others                   nothing: told as name taken
nothing                                perhaps what another has    upload: the server will tell
=====================================  ==========================  ===============================

A copy is ours if the ledger says so, if it is in a draft of ours, or if it has a temporary name of
ours. In a draft of ours, what neither record nor digest proves is deleted and uploaded again. Into
a published release everything arrives under a temporary name. A former copy that nobody's name
needs is left to the settings (:mod:`mirror.core.planning.deletions`). What a server makes of a name
is known from the record of a copy; a guess of it deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from mirror.core.domain.asset_names import (
    folded,
    guessed_name,
    is_temporary,
    label_of,
    temporary_name,
)
from mirror.core.domain.release import Asset
from mirror.core.execution.action import (
    AssetAction,
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.ledger.document import AssetEntry, same_content
from mirror.core.planning.asset_identity import Pairing, examine, new_record
from mirror.core.planning.renames import in_order, vacated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mirror.core.planning.asset_identity import Copies, KnownCopy


@dataclass(frozen=True, slots=True)
class Taken:
    """A wanted asset whose name at the target is another's.

    Attributes:
        holder: What has the name.
        called: The name of the copy, where there is one.
        ours: The holder is this mirror's copy of another asset.
    """

    asset: Asset
    holder: Asset
    called: str = ""
    ours: bool = False


@dataclass(slots=True)
class Matched:
    """What the assets of one release need.

    Attributes:
        actions: In an order in which they can be done.
        present: The records of wanted assets that are at the target, by the source asset's id.
        records: What the ledger should know of the target's assets, by their id.
        leftovers: Assets of ours that are of no use, to be deleted first.
        taken: What cannot arrive under its name.
        warnings: What an operator should know for as long as it is so.
        news: What an operator should know once.
    """

    actions: list[AssetAction] = field(default_factory=list)
    present: dict[int, AssetEntry] = field(default_factory=dict)
    records: dict[int, AssetEntry] = field(default_factory=dict)
    leftovers: list[DeleteAsset] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    news: list[str] = field(default_factory=list)


class _Name(Enum):
    """What stands between an asset and its name at the target."""

    FREE = auto()
    BROKEN = auto()  # an upload of ours that was never complete
    MOVING = auto()  # a copy of ours that is about to get another name
    SUPERSEDED = auto()  # a copy of ours of nothing that has the name at the source
    KEPT = auto()  # the same, and the settings keep it
    TAKEN = auto()


def match_assets(
    wanted: Collection[Asset],
    source: Collection[Asset],
    copies: Copies,
    *,
    follow: bool,
    barred: Collection[int] = (),
    leaving: Collection[int] = (),
) -> Matched:
    """Find each wanted asset's copy at the target, and what it needs.

    Args:
        wanted: The source's assets that are wanted.
        source: All of the source's assets of the release.
        copies: The target's.
        follow: An asset that was replaced at the source is replaced at the target.
        barred: Assets, by id, that are not tried: their copies do not move.
        leaving: Copies, by the target's id, that are deleted for another reason.
    """
    matcher = _Matcher(wanted, source, copies, follow=follow, barred=barred, leaving=leaving)
    return matcher.match()


class _Matcher:
    """The state of one matching."""

    def __init__(
        self,
        wanted: Collection[Asset],
        source: Collection[Asset],
        copies: Copies,
        *,
        follow: bool,
        barred: Collection[int],
        leaving: Collection[int],
    ) -> None:
        self._wanted = {asset.id: asset for asset in wanted}
        self._living = {asset.id: asset for asset in source}
        self._draft = copies.draft
        self._follow = follow or copies.draft  # nobody has seen the first copy yet
        self._barred = barred
        self._copies = examine(copies, self._living)
        self._names = {copy.asset.name.casefold(): copy for copy in self._copies.values()}
        self._labels = {copy.asset.label: copy for copy in self._copies.values()}
        self._shown = {
            copy.entry.source_name: copy.entry.target_name
            for copy in self._copies.values()
            if copy.entry and not is_temporary(copy.entry.target_name)
        }
        source = sorted(source, key=lambda asset: (-asset.size, asset.id))
        self._pairs = Pairing(self._copies.values(), assume=copies.assume).pairs(source)
        self._former = self._former_copies()
        self._kept = {} if self._follow else self._first_copies(wanted)
        self._owners = {
            copy.asset.id: self._living[number]
            for number, copy in (self._pairs | self._kept).items()
        }
        needed = {number for number, owner in self._owners.items() if owner.id in self._wanted}
        self._leaving = {number for number in leaving if number not in needed}
        self._used: set[int] = set()  # what an action deletes
        self._result = Matched()

    def match(self) -> Matched:
        result = self._result
        result.records = {n: copy.entry for n, copy in self._copies.items() if copy.entry}
        # Those that cannot have their names first: others may need the names that they have.
        for asset in sorted(self._wanted.values(), key=self._may_move):
            if copy := self._pairs.get(asset.id) or self._kept.get(asset.id):
                self._keep(asset, copy)
            else:
                self._bring(asset)
        self._clean_up()
        result.actions = in_order(result.actions)
        moving = {vacated(action) for action in result.actions}
        there = (self._copies[entry.target_id].asset for entry in result.present.values())
        if self._draft:
            _mark_collisions(result.actions, [c.name for c in there if c.id not in moving])
        return result

    # -- existing copies ------------------------------------------------------------------------

    def _former_copies(self) -> dict[int | str, KnownCopy]:
        """Copies of ours of what was replaced since, by its id or, where that is gone, its name."""
        paired = {copy.asset.id for copy in self._pairs.values()}
        ours = [c for n, c in self._copies.items() if c.entry and c.ours and n not in paired]
        # What people have seen comes before what has a temporary name.
        ours.sort(key=lambda copy: (copy.intact, not copy.temporary))
        entries = [(copy, copy.entry) for copy in ours if copy.entry]
        return {
            e.source_id if e.source_id in self._living else e.source_name: c for c, e in entries
        }

    def _former_copy(self, asset: Asset) -> KnownCopy | None:
        return self._former.get(asset.id) or self._former.get(asset.name)

    def _first_copies(self, wanted: Iterable[Asset]) -> dict[int, KnownCopy]:
        """Copies kept although their assets were replaced, by the id of the replacing asset."""
        lacking = [asset for asset in wanted if asset.id not in self._pairs]
        found = {asset.id: self._former_copy(asset) for asset in lacking}
        return {number: copy for number, copy in found.items() if copy and copy.intact}

    def _keep(self, asset: Asset, copy: KnownCopy) -> None:
        called, first = copy.is_called(asset), asset.id in self._kept
        entry = new_record(asset, copy, called=called, created=self._draft or copy.temporary)
        if first and copy.entry:  # what is known of it stays known, so that each pass warns
            entry = copy.entry
            self._warn_kept(asset)
        self._result.records[copy.asset.id] = entry
        self._result.present[asset.id] = entry
        label = label_of(asset, copy.asset.name)
        fine = first or not entry.created or copy.asset.label in {label, asset.label or asset.name}
        if not called:
            self._move(asset, copy)
        elif not fine:
            self._result.actions.append(UpdateAsset(asset, copy.asset, label))

    def _warn_kept(self, asset: Asset) -> None:
        self._result.warnings.append(
            f"asset {asset.name} was replaced at the source; the first copy was kept"
        )

    # -- what is to change ----------------------------------------------------------------------

    def _move(self, asset: Asset, copy: KnownCopy) -> None:
        """Give a copy its name."""
        if not copy.ours:
            return
        entry, name = copy.entry, asset.name
        if (
            entry
            and entry.source_name == name
            and not (is_temporary(entry.target_name) or entry.new_name)
        ):
            name = entry.target_name
        state, holder = self._name_of(asset, copy)
        rename = RenameAsset(asset, copy.asset, name, label_of(asset, guessed_name(name)))
        if state is _Name.TAKEN and holder:
            self._leave(asset, holder, copy.asset.name)
            if copy.temporary and asset.id not in self._kept:  # of a first copy there is no other
                self._delete(copy)
        elif state is _Name.KEPT:
            self._warn_kept(asset)
            if copy.temporary:
                self._delete(copy)
        elif asset.id in self._barred and copy.temporary and asset.id not in self._kept:
            self._delete(copy)
            self._result.actions.append(UploadAsset(asset))
        elif state is _Name.SUPERSEDED and holder and not self._draft:
            self._replace(asset, holder, copy)
        else:
            self._make_way(state, holder)
            after = (holder.asset.id,) if holder and state is _Name.MOVING else ()
            self._result.actions.append(replace(rename, after=after))

    def _bring(self, asset: Asset) -> None:
        """Upload what has no copy."""
        state, holder = self._name_of(asset, None)
        upload = UploadAsset(asset)
        if state is _Name.TAKEN and holder:
            self._leave(asset, holder)
        elif state is _Name.KEPT:
            self._warn_kept(asset)
        elif state is _Name.SUPERSEDED and holder and not self._draft:
            self._replace(asset, holder, None)
        else:
            self._make_way(state, holder)
            if old := self._former_copy(asset):
                self._delete(old)
            if state is _Name.MOVING and holder:
                upload = replace(upload, after=(holder.asset.id,))
            if upload.after or not self._draft:
                upload = replace(upload, temporary_name=temporary_name(asset))
            self._result.actions.append(upload)

    def _make_way(self, state: _Name, holder: KnownCopy | None) -> None:
        if holder and state in {_Name.BROKEN, _Name.SUPERSEDED}:
            self._delete(holder)

    def _leave(self, asset: Asset, holder: KnownCopy, called: str = "") -> None:
        self._result.taken.append(Taken(asset, holder.asset, called, holder.ours))

    def _replace(self, asset: Asset, old: KnownCopy, fresh: KnownCopy | None) -> None:
        entry = old.entry
        if fresh or (entry and (entry.source_id != asset.id or not same_content(entry, asset))):
            text = "was replaced at the source under the same name"
        else:
            text = "had changed at the target; it is made anew"
        self._result.news.append(f"asset {asset.name} {text}")
        self._use(old)
        action = ReplaceAsset(
            asset,
            old.asset,
            self._shown.get(asset.name, asset.name),
            temporary_name(asset),
            fresh.asset if fresh else None,
        )
        self._result.actions.append(action)

    def _delete(self, copy: KnownCopy) -> None:
        if copy.asset.id not in self._used:
            self._use(copy)
            self._result.leftovers.append(DeleteAsset(copy.asset))

    def _use(self, copy: KnownCopy) -> None:
        """Note that a copy goes, whosever it is."""
        self._used.add(copy.asset.id)
        if owner := self._owners.get(copy.asset.id):
            self._result.present.pop(owner.id, None)

    def _clean_up(self) -> None:
        """Delete what is of no use; what has a temporary name and is kept gets its own back."""
        names = {asset.name for asset in self._living.values()}
        for copy in self._copies.values():
            owner = self._owners.get(copy.asset.id)
            if not copy.ours or (owner and owner.id in self._wanted):
                continue
            entry = copy.entry if copy.intact else None
            if copy.temporary and not self._draft:
                if owner is None and entry and entry.source_name not in names:
                    owner = Asset(entry.source_id, entry.source_name, entry.size)
                if owner and entry and self._holder(owner, copy) is None:
                    self._move(owner, copy)
                else:
                    self._delete(copy)
            elif self._draft or (owner is None and copy.asset.begun):
                self._delete(copy)

    # -- who has a name -------------------------------------------------------------------------

    def _holder(self, asset: Asset, copy: KnownCopy | None) -> KnownCopy | None:
        """Who else has an asset's name at the target now, as far as can be guessed."""
        shown = self._shown.get(asset.name, asset.name)
        for name in (asset.name.casefold(), shown.casefold(), folded(asset.name)):
            found = self._names.get(name)
            if found and found is not copy and found.asset.id not in self._used:
                return found
        found = self._labels.get(asset.name)
        named = found and found is not copy and found.is_called(asset)
        return found if found and named and found.asset.id not in self._used else None

    def _has_name(self, holder: KnownCopy, asset: Asset) -> bool:
        """Whether the name is known to be an asset's, not only guessed."""
        shown = self._shown.get(asset.name, asset.name)
        names = {asset.name.casefold(), shown.casefold()}
        return holder.asset.name.casefold() in names or holder.asset.label == asset.name

    def _name_of(
        self, asset: Asset, copy: KnownCopy | None, *, direct: bool = False
    ) -> tuple[_Name, KnownCopy | None]:
        """What stands between an asset and its name, and which copy that is.

        Args:
            asset: The source's.
            copy: Its copy, where there is one.
            direct: Look no further than at the holder of the name.
        """
        holder = self._holder(asset, copy)
        if holder is None:
            return _Name.FREE, None
        owner = self._owners.get(holder.asset.id)
        certain = self._has_name(holder, asset)
        right = owner is not None and holder.is_called(owner)
        if holder.asset.id in self._leaving:
            state = _Name.MOVING
        elif not holder.ours or right or (holder.spoken_for and not certain):
            state = _Name.TAKEN if certain else _Name.FREE
        elif holder.asset.begun:
            state = _Name.BROKEN
        elif owner and owner.id in self._wanted and (direct or self._may_move(owner)):
            state = _Name.MOVING
        elif not certain:  # nothing is deleted, and nothing given up, on a guess
            state = _Name.FREE
        else:
            state = _Name.SUPERSEDED if self._follow or not holder.intact else _Name.KEPT
        return state, holder

    def _may_move(self, asset: Asset) -> bool:
        """Whether a wanted asset's copy, if it has a wrong name, gets its own."""
        seen: set[int] = set()
        while asset.id not in seen:
            seen.add(asset.id)
            copy = self._pairs.get(asset.id) or self._kept.get(asset.id)
            if copy is None or not copy.ours:
                return copy is None
            state, holder = self._name_of(asset, copy, direct=True)
            if asset.id in self._barred or state in {_Name.TAKEN, _Name.KEPT}:
                return False
            owner = self._owners.get(holder.asset.id) if holder else None
            if self._follow or owner is None or state is not _Name.MOVING:
                return True
            asset = owner  # kept where it is, it keeps this one as well
        return True


def _mark_collisions(actions: list[AssetAction], names: Iterable[str]) -> None:
    """Assets that a server may give one name are uploaded one after the other.

    Args:
        actions: What is to be done.
        names: What stays at the target.
    """
    seen = {folded(name) for name in names}
    changes = (a for a in actions if isinstance(a, ReplaceAsset | RenameAsset))
    seen |= {folded(action.target_name) for action in changes}
    for place, action in enumerate(actions):
        if isinstance(action, UploadAsset) and not action.after:
            name = folded(action.asset.name)
            if name in seen:
                actions[place] = replace(action, collides=True)
            seen.add(name)
