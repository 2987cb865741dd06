"""What is known of the target's assets, and which of the source's each of them is the copy of."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mirror.core.domain.asset_names import guessed_name, is_temporary, label_of, may_become
from mirror.core.domain.release import ABSENT
from mirror.core.domain.source_archives import is_archive
from mirror.core.ledger.document import AssetEntry, proof_of, same_content
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mirror.core.domain.release import Asset


@dataclass(frozen=True, slots=True)
class Copies:
    """The target's assets of one release, and what is known of them.

    Attributes:
        assets: All of them.
        entries: Their records, by the target's id.
        draft: The release is a draft of ours: all of its assets are.
        assume: An equal name and size count, since nothing proves that they are not the source's.
        followed: What equals the source's is kept equal, whoever made it.
        in_place: Names under which an upload of ours may have been cut off.
        since: When the run began that may have been cut off (ISO 8601).
    """

    assets: Collection[Asset] = ()
    entries: Mapping[int, AssetEntry] = field(default_factory=dict)
    draft: bool = False
    assume: bool = False
    followed: bool = False
    in_place: Collection[str] = ()
    since: str = ""


@dataclass(slots=True)
class KnownCopy:
    """One asset of the target.

    Attributes:
        entry: Its record, if it is of this very asset.
        ours: It may be renamed, replaced and deleted.
        intact: Its bytes are those that were recorded, as far as both sides tell.
        spoken_for: An asset of the source has exactly its name.
    """

    asset: Asset
    entry: AssetEntry | None
    ours: bool
    intact: bool
    spoken_for: bool

    @property
    def temporary(self) -> bool:
        """Whether it has a temporary name of ours."""
        return is_temporary(self.asset.name)

    @property
    def sha256(self) -> str | None:
        """Of its bytes, as the target tells it, else as it was recorded."""
        recorded = self.entry.sha256 if self.entry and self.intact else None
        return self.asset.sha256 or recorded

    def is_called(self, asset: Asset) -> bool:
        """Whether its name is the one that the target has for an asset of the source."""
        name, entry = self.asset.name, self.entry
        if self.temporary:
            return False
        if name == asset.name or (self.spoken_for and not entry):
            return name == asset.name
        if entry:
            known = (entry.source_name, entry.target_name, entry.new_name)
            return known == (asset.name, name, None)
        # Of a name that the server changed in a way that nobody could guess, the label tells.
        guess = guessed_name(asset.name)
        labelled = self.asset.label in {asset.name, asset.label or asset.name}
        return name == guess or (labelled and may_become(asset.name, name))


def examine(copies: Copies, living: Mapping[int, Asset]) -> dict[int, KnownCopy]:
    """Find out what is known of these copies, by their ids.

    Args:
        copies: All of the release.
        living: The source's assets by their ids.
    """
    names = {asset.name for asset in living.values()}
    assets = sorted(copies.assets, key=lambda asset: asset.id)
    return {asset.id: _examine(asset, copies, living, names) for asset in assets}


def _examine(
    asset: Asset, copies: Copies, living: Mapping[int, Asset], names: Collection[str]
) -> KnownCopy:
    entry = copies.entries.get(asset.id)
    if entry and not is_recorded(entry, asset, living.get(entry.source_id)):
        entry = None
    entry = entry and as_found(entry, asset)
    # Only a bundle shows an absent copy, and nobody else writes to that.
    ours = copies.draft or is_temporary(asset.name) or asset.state == ABSENT
    if entry:
        ours |= entry.created or copies.followed
    else:
        made = asset.created_at
        if made is not None and asset.name in copies.in_place:
            ours |= "" < copies.since <= iso(made)
    intact = entry is not None and is_intact(entry, asset)
    return KnownCopy(asset, entry, ours, intact, asset.name in names)


def as_found(entry: AssetEntry, copy: Asset) -> AssetEntry:
    """A record with the names that its copy has now.

    The response to a rename may have been lost, or the ledger restored from a backup. The recorded
    intent, or a label set by this program, shows which of the source's names the copy has.
    """
    if copy.name == entry.target_name:
        return entry
    before, after = entry.source_name, entry.new_name
    if is_temporary(copy.name):
        return replace(entry, source_name=after or before, target_name=copy.name)
    known = not is_temporary(entry.target_name)  # what the server makes of the name before
    for name in (after or "", "" if known else before, copy.label):
        if may_become(name, copy.name) and not (known and name == before):
            # Of a name that the server changed, only the answer to another try is certain.
            after = None if name == copy.name else after
            return replace(entry, source_name=name, target_name=copy.name, new_name=after)
    return entry


def is_recorded(entry: AssetEntry, copy: Asset, asset: Asset | None = None) -> bool:
    """Whether an asset of the target is the one that was recorded under its id.

    A target that was restored from an older backup gives ids a second time.

    Args:
        entry: The record.
        copy: What has its id now.
        asset: The source's asset that it is of, where that still exists.
    """
    if entry.target_created_at and copy.created_at:
        if entry.target_created_at != iso(copy.created_at):
            return False
        if copy.size == entry.size:
            return True
    names = {entry.target_name, entry.source_name, asset.name if asset else entry.source_name}
    known = copy.name in names | {guessed_name(name) for name in names} or is_temporary(copy.name)
    return known or (copy.sha256 is not None and copy.sha256 == entry.sha256)


def is_intact(entry: AssetEntry, copy: Asset) -> bool:
    """Whether nothing contradicts that a copy holds the bytes that were recorded."""
    proven = entry.proof != "refuted" and copy.uploaded
    return proven and copy.size == entry.size and _agree(copy.sha256, entry.sha256)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


Way = tuple["Callable[[Asset], Iterator[KnownCopy]]", "Callable[[KnownCopy, Asset], bool]"]


class Pairing:
    """Finds copies of the source's assets; the surest way goes first for all of them.

    Also for those that are not wanted, so that none takes what is more likely another's.

    Args:
        copies: The target's assets.
        assume: An equal name and size count where nothing is recorded.
    """

    def __init__(self, copies: Collection[KnownCopy], *, assume: bool) -> None:
        self._recorded: dict[int, list[KnownCopy]] = defaultdict(list)
        self._of_digest: dict[str, list[KnownCopy]] = defaultdict(list)
        self._unknown: dict[str, list[KnownCopy]] = defaultdict(list)
        for copy in copies:
            if copy.entry and copy.intact:
                self._recorded[copy.entry.source_id].append(copy)
            # What was read and refuted is not what its digest promises.
            refuted = copy.entry is not None and copy.entry.proof == "refuted"
            if copy.asset.uploaded and copy.sha256 and not refuted:
                self._of_digest[copy.sha256].append(copy)
        unknown = [copy for copy in copies if not (copy.entry or copy.temporary)]
        self._free = [c for c in unknown if c.asset.uploaded] if assume else []
        for copy in self._free:
            for name in {copy.asset.name, copy.asset.label}:
                self._unknown[name].append(copy)

    def pairs(self, source: Collection[Asset]) -> dict[int, KnownCopy]:
        """The copies that were found, by the source asset's id."""
        ways: list[Way] = [
            (self._by_record, KnownCopy.is_called),
            (self._by_digest, KnownCopy.is_called),
            (self._by_record, lambda copy, _asset: copy.ours),
            (self._by_digest, lambda copy, _asset: copy.ours),
            (self._by_name, _is_as_we_leave_it),
            (self._by_name, lambda copy, asset: copy.asset.name == asset.name),
            (self._by_name, lambda _copy, _asset: True),
        ]
        pairs: dict[int, KnownCopy] = {}
        taken: set[int] = set()
        for candidates, fits in ways:
            for asset in source:
                if asset.id in pairs:
                    continue
                found = (c for c in candidates(asset) if c.asset.id not in taken and fits(c, asset))
                if copy := next(found, None):
                    pairs[asset.id] = copy
                    taken.add(copy.asset.id)
        free = [copy for copy in self._free if copy.asset.id not in taken]
        return pairs | _by_own_label([a for a in source if a.id not in pairs], free)

    def _by_record(self, asset: Asset) -> Iterator[KnownCopy]:
        for copy in self._recorded.get(asset.id, ()):
            same = copy.entry is not None and same_content(copy.entry, asset)
            if is_archive(asset.id) or (same and _agree(asset.sha256, copy.asset.sha256)):
                yield copy

    def _by_digest(self, asset: Asset) -> Iterator[KnownCopy]:
        recorded = (copy.sha256 for copy in self._by_record(asset) if copy.sha256)
        digest = asset.sha256 or next(recorded, None)
        for copy in self._of_digest.get(digest, ()) if digest else ():
            if copy.asset.size == asset.size:
                yield copy

    def _by_name(self, asset: Asset) -> Iterator[KnownCopy]:
        for name in dict.fromkeys((asset.name, guessed_name(asset.name))):
            for copy in self._unknown.get(name, ()):
                if copy.is_called(asset) and _alike(asset, copy.asset):
                    yield copy


def _by_own_label(source: Collection[Asset], copies: Collection[KnownCopy]) -> dict[int, KnownCopy]:
    """Copies under a name that nobody could guess and a label of the source's own.

    There must be but one such copy and one such asset.
    """

    def key(asset: Asset) -> tuple[str, int]:
        return asset.label, asset.size

    assets = {key(a): a for a in source if a.label and guessed_name(a.name) != a.name}
    mine = Counter(key(a) for a in source if a.label and guessed_name(a.name) != a.name)
    theirs = Counter(key(copy.asset) for copy in copies)
    return {
        asset.id: copy
        for copy in copies
        if (asset := assets.get(key(copy.asset)))
        and may_become(asset.name, copy.asset.name)
        and mine[key(asset)] == theirs[key(asset)] == 1
        and _alike(asset, copy.asset)
    }


def _alike(asset: Asset, copy: Asset) -> bool:
    same_size = asset.size == copy.size or is_archive(asset.id)
    return same_size and _agree(asset.sha256, copy.sha256)


def _is_as_we_leave_it(copy: KnownCopy, asset: Asset) -> bool:
    return copy.asset.label == label_of(asset, copy.asset.name)


def new_record(asset: Asset, copy: KnownCopy, *, called: bool, created: bool) -> AssetEntry:
    """What the ledger should know of an asset's copy.

    Its names are those under which it was right: until it has its new one, the former ones stay.
    One that was found under a wrong name never had a right one; one under a temporary name has its
    own ahead of it.
    """
    entry, here = copy.entry, copy.asset
    arrives = asset.name if copy.temporary else here.name
    sha256 = entry.sha256 if entry and copy.intact else None
    if asset.sha256 and asset.sha256 == here.sha256:
        sha256 = here.sha256
    return AssetEntry(
        source_id=asset.id,
        source_name=asset.name if called else entry.source_name if entry else arrives,
        target_id=here.id,
        target_name=entry.target_name if entry and not called else here.name,
        size=here.size,
        sha256=sha256,
        source_digest=asset.sha256 or (entry.source_digest if entry else None),
        source_updated_at=iso(asset.updated_at) if asset.updated_at else None,
        created=entry.created if entry else created,
        target_created_at=iso(here.created_at) if here.created_at else None,
        proof=proof_of(entry, here, sha256),
        new_name=entry.new_name if entry and not called else None,
    )
