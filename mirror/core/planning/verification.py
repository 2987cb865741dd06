"""What a verification compares: each name that a consumer sees at the target with its source.

A release is found by its tag and an asset by its name, whatever the ledger and the planner's matching
say: a fault of theirs must not hide itself. The ledger is asked for what only it can know: which
bytes were mirrored, and what is of this mirror's making.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mirror.core.domain.asset_names import forms, is_temporary, may_become
from mirror.core.domain.release import ABSENT, UNREADABLE
from mirror.core.domain.selection import select
from mirror.core.domain.source_archives import is_archive, with_archives
from mirror.core.execution.action import RenameAsset, ReplaceAsset, UploadAsset
from mirror.core.ledger.document import same_content
from mirror.core.planning.deletions import deletions, vanished
from mirror.core.planning.release_matching import Copies
from mirror.core.planning.release_text import Texts
from mirror.core.reporting.report import Difference
from mirror.core.text.body import marked_release

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Asset, Release, Snapshot
    from mirror.core.execution.action import Plan
    from mirror.core.failure import Failure
    from mirror.core.ledger.document import Ledger, ReleaseEntry
    from mirror.core.planning.plan_context import PlanContext
    from mirror.core.reporting.report import DifferenceKind

ANY_NUMBER = 10**9

MOST_NAMED_IN_NOTE = 5
"""Releases and assets that a note names; it counts the others."""

Item = tuple[int, int]
"""Ids of a release of the source and of one of its assets; 0 for the release itself."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An asset and the one that the target has under its name.

    Attributes:
        rank: The place of the release, the newest first.
        release: The source's.
        recorded: The SHA-256 that the ledger has of the copy: a third witness.
        keep: The settings keep the first copy, if it is what was mirrored.
        against_source: Otherwise the copy is only held against what was recorded of it: an archive
            has other bytes each time that it is made, and a first copy may be kept on purpose.
        theirs: It is not of this mirror, which leaves it as it is (``existing``).
    """

    rank: int
    release: Release
    asset: Asset
    copy: Asset
    recorded: str | None
    against_source: bool = True
    keep: bool = False
    theirs: bool = False

    @property
    def item(self) -> Item:
        """What it is about."""
        return self.release.id, self.asset.id

    @property
    def key(self) -> Item:
        """The ids of both assets: the bytes of an id never change."""
        return self.asset.id, self.copy.id

    def verdict(self, *, full: bool) -> bool | None:
        """Whether both are the same, by what the hosts say; ``None`` where bytes must be read.

        Args:
            full: Believe no digest that a host gives.
        """
        source, copy, recorded = self.asset.sha256, self.copy.sha256, self.recorded
        same_size = self.asset.size == self.copy.size
        if self.copy.state in {ABSENT, UNREADABLE} or (self.against_source and not same_size):
            return False
        if not self.against_source:
            if recorded is None:
                return True  # there is nothing to hold it against
            return None if full or copy is None else copy == recorded
        if full or not (source and copy):
            return None
        if source != copy:
            return False
        return True if recorded in {None, source} else None

    def compare(self, copy: str | None, original: str | None) -> Compared:
        """Decide by the bytes that were read.

        Args:
            copy: SHA-256 of the copy's bytes; ``None`` if they cannot be read to their end.
            original: SHA-256 of the source's bytes; ``None`` unless :attr:`against_source`.
        """
        recorded = self.recorded
        if copy is None:
            return Compared(same=False)
        if original is None:
            return Compared(copy == recorded)
        changed: Literal["source", "target"] | None = None
        if original != copy and recorded in {original, copy}:
            changed = "target" if recorded == original else "source"
        return Compared(original == copy or (self.keep and copy == recorded), changed)

    def read_back(self) -> Pair:
        """The same, to be compared by the copy's bytes with those that were sent."""
        copy = replace(self.copy, sha256=None)  # what a host says of it is not believed
        return replace(self, copy=copy, against_source=self.recorded is None)


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
    """What a verification of one mirror found without reading a byte, and what it has to read.

    Attributes:
        pairs: Assets with what the target has under their names.
        differences: What is missing or different, by what it is about.
        extra: Copies of this mirror that its settings will delete.
        theirs: What differs, is not of this mirror, and is left as it is (``existing``).
        notes: What else differs and is kept, because the settings say so.
    """

    pairs: list[Pair] = field(default_factory=list)
    differences: dict[Item, list[Difference]] = field(default_factory=dict)
    extra: list[Difference] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, release: Release, asset: Asset | None, kind: DifferenceKind) -> None:
        """Note a difference of an asset, or of the release itself."""
        item = (release.id, asset.id if asset else 0)
        found = Difference(release.tag, asset.name if asset else None, kind)
        self.differences.setdefault(item, []).append(found)


def verifying(policy: Policy) -> Policy:
    """A mirror's policy to plan a repair with: it deletes nothing, and follows its source."""
    return replace(policy, on_change="follow", on_delete="keep", on_deselect="keep")


def compare(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    about: PlanContext,
) -> Comparison:
    """Compare all that is selected, name by name.

    Args:
        source: What the source says now.
        target: What the target says now; ``None`` where the repository does not exist.
        ledger: What was recorded.
        policy: The mirror's own.
        about: What else the text of a release depends on, and the time.
    """
    return _Comparer(source, target, ledger, policy, about).compare()


class _Comparer:
    def __init__(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        policy: Policy,
        about: PlanContext,
    ) -> None:
        self._source = source
        self._target = target
        self._ledger = ledger
        self._policy = policy
        self._about = about
        selected = {item.release.id for item in select(source.releases, policy.selection)}
        self._texts = Texts(source, target, policy, about, selected)
        releases = target.releases if target else ()
        self._published = {release.tag: release for release in releases if not release.draft}
        self._drafts = [release for release in releases if release.draft]
        self._entries = {entry.target_id: entry for entry in ledger.releases.values()}
        self._recorded = {
            asset.target_id: asset
            for release in ledger.releases.values()
            for asset in release.assets.values()
        }
        self._found = Comparison()
        self._changed: list[str] = []

    def compare(self) -> Comparison:
        selection = self._policy.selection
        wanted = select(self._source.releases, selection, self._about.now)
        archived = with_archives(wanted, self._source.repository.ref, selection)
        for rank, item in enumerate(archived):
            self._release(rank, item.release, item.assets)
        self._extra()
        what = 'changed at the source, and the first copy is kept (on_change = "keep")'
        self._found.notes += note(what, self._changed)
        return self._found

    def _release(self, rank: int, release: Release, assets: Iterable[Asset]) -> None:
        # A temporary name is that of a mirror that is the source; what is not complete is no asset.
        assets = [a for a in assets if a.uploaded and not is_temporary(a.name)]
        copy = self._copy(release)
        if copy is None:
            for asset in assets:
                self._found.add(release, asset, "missing")
            if not assets:
                self._found.add(release, None, "missing")
            return
        entry = self._entries.get(copy.id)
        ours = copy.draft or (entry is not None and entry.created)
        followed = ours or (entry is not None and entry.followed)
        if not ours and self._policy.existing == "skip":
            self._found.theirs.append(release.tag)
            return
        if not copy.draft:
            instead = entry.latest_instead if entry else None
            follows = followed or self._policy.existing == "adopt"
            self._text(release, copy, instead, followed=follows)
        for asset in assets:
            self._asset(rank, release, asset, copy, entry, ours=ours)

    def _copy(self, release: Release) -> Release | None:
        """What a consumer sees under the tag; of a draft of the source, our draft."""
        if release.draft:
            for draft in self._drafts:
                if marked_release(draft.body, self._about.source_url) == release.id:
                    return draft
        return self._published.get(release.tag)

    def _text(
        self, release: Release, copy: Release, instead: int | None, *, followed: bool
    ) -> None:
        fields = self._texts.differences(release, copy)
        if fields and not followed:
            self._found.theirs.append(release.tag)
            fields = {}
        if fields.keys() & {"name", "body"}:
            self._found.add(release, None, "text")
        latest = self._texts.update(
            release, copy, followed=False, instead=instead
        )  # of others, too
        if "prerelease" in fields or latest:
            self._found.add(release, None, "flags")

    def _asset(
        self,
        rank: int,
        release: Release,
        asset: Asset,
        copy: Release,
        entry: ReleaseEntry | None,
        *,
        ours: bool,
    ) -> None:
        found = _named(asset, copy.assets, entry)
        if found is None or found.begun:
            self._found.add(release, asset, "missing")
            return
        known = self._recorded.get(found.id)
        followed = entry is not None and entry.followed
        # Without a ledger a pass takes what may be a copy for one.
        assumed = entry is None and asset.size == found.size and not (asset.sha256 and found.sha256)
        keep = self._policy.on_change == "keep"
        kept = keep and known is not None and not same_content(known, asset)
        if kept and not is_archive(asset.id):
            self._changed.append(f"{release.tag} {asset.name}")
        self._found.pairs.append(
            Pair(
                rank,
                release,
                asset,
                found,
                known.sha256 if known else None,
                against_source=not (kept or is_archive(asset.id)),
                keep=keep,
                theirs=not (ours or assumed or (known and (followed or known.created))),
            )
        )

    def _extra(self) -> None:
        """Copies of this mirror that its settings delete, and those that they keep."""
        mine = self._policy
        policy = replace(mine, on_delete="keep", on_deselect="keep", max_deletes=ANY_NUMBER)
        gone = self._doomed(replace(policy, on_delete="delete"))
        deselected = self._doomed(replace(policy, on_deselect="delete"))
        for extra, keeps, text in (
            (gone, mine.on_delete, 'no longer at the source, and kept (on_delete = "keep")'),
            (deselected, mine.on_deselect, 'no longer selected, and kept (on_deselect = "keep")'),
        ):
            if keeps == "delete":
                self._found.extra += extra
            else:
                self._found.notes += note(text, [one.place for one in extra])

    def _doomed(self, strict: Policy) -> list[Difference]:
        """What a policy deletes, from complete listings."""
        releases, assets = vanished(self._source, self._ledger, strict)
        gone = replace(
            self._source, gone_releases=frozenset(releases), gone_assets=frozenset(assets)
        )
        copies = Copies(gone, self._target, self._ledger, self._about.source_url)
        now = self._about.now
        found = deletions(gone, self._target, self._ledger, strict, copies, now)
        tags = {release.id: release.tag for release in self._source.releases}
        extra: list[Difference] = []
        for _, work in found.releases:
            names = sorted(name for copy in work.target.assets if (name := self._name(copy)))
            extra += [Difference(work.target.tag, name, "extra") for name in names or (None,)]
        for number, works in found.assets.items():
            names = sorted(name for work in works if (name := self._name(work.target)))
            extra += [Difference(tags[number], name, "extra") for name in names]
        return extra

    def _name(self, copy: Asset) -> str | None:
        """The source's name of a copy of ours; ``None`` for what others made."""
        known = self._recorded.get(copy.id)
        return known.source_name if known and known.created else None


def _named(asset: Asset, copies: Collection[Asset], entry: ReleaseEntry | None) -> Asset | None:
    """What the target has under an asset's name, or under what the server made of that name.

    Where the server changed the name in a way that nobody could foresee, its label tells the
    source's name, or else the ledger what its answer was.
    """
    by_name = {copy.name: copy for copy in copies if not is_temporary(copy.name)}
    if exact := by_name.get(asset.name):
        return exact
    for copy in by_name.values():
        if copy.label == asset.name and may_become(asset.name, copy.name):
            return copy
    known = entry.assets.values() if entry else ()
    answers = [one.target_name for one in known if one.source_name == asset.name]
    return next((by_name[name] for name in (*forms(asset.name), *answers) if name in by_name), None)


def note(what: str, names: list[str]) -> list[str]:
    """A note on some releases and assets; none on none."""
    if not names:
        return []
    more = len(names) - MOST_NAMED_IN_NOTE
    named = ", ".join(names[:MOST_NAMED_IN_NOTE]) + (f" and {more} more" if more > 0 else "")
    return [f"{what}: {named}"]


def doctored(snapshot: Snapshot, digests: Mapping[int, str | None]) -> Snapshot:
    """A snapshot that has the digests that were found by reading, by the asset's id.

    ``None`` is that of an asset whose bytes cannot be read to their end.
    """
    if not digests:
        return snapshot

    def mend(asset: Asset) -> Asset:
        if asset.id not in digests:
            return asset
        sha256 = digests[asset.id]
        return replace(asset, sha256=sha256) if sha256 else replace(asset, state=UNREADABLE)

    releases = tuple(
        replace(release, assets=tuple(map(mend, release.assets)))
        if any(asset.id in digests for asset in release.assets)
        else release
        for release in snapshot.releases
    )
    return replace(snapshot, releases=releases)


def note_proof(ledger: Ledger, pair: Pair, sha256: str | None, *, same: bool) -> None:
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


def repairs(plan: Plan, wrong: Collection[Item]) -> Plan:
    """The part of a plan that mends these releases and assets; nothing else is changed or removed.

    Args:
        plan: Made with :func:`verifying`.
        wrong: What is missing or differs.
    """
    changed = {release for release, asset in wrong if not asset}
    touched = {release for release, _ in wrong}
    assets = {asset for _, asset in wrong if asset}
    works = []
    for work in plan.releases:
        kept = tuple(
            action
            for action in work.assets
            if isinstance(action, UploadAsset | ReplaceAsset | RenameAsset)
            and action.asset.id in assets
        )
        unseen = work.target is None or work.target.draft  # it is published, at least
        if kept or work.source.id in (touched if unseen else changed):
            works.append(replace(work, assets=kept))
    new = any(work.create or work.tag for work in works)
    repository = plan.repository if new else None
    return replace(plan, releases=tuple(works), repository=repository, obstacles=())


def told_once(
    differences: Mapping[Item, list[Difference]],
    obstacles: Iterable[Failure],
    right: Collection[Item],
) -> tuple[list[Difference], tuple[Failure, ...]]:
    """Tell each fault once: as a failure where the plan knows its reason, else as a difference.

    An obstacle to what is at the target as it should be matters to no verification.

    Args:
        differences: What was found.
        obstacles: What the plan cannot do.
        right: What was compared and is the same.
    """
    wrong = {release for release, _ in differences}
    failures = tuple(
        failure
        for failure in obstacles
        if (
            (failure.release_id, failure.asset_id) not in right
            if failure.asset_id
            else failure.release_id in wrong
            if failure.release_id
            else bool(wrong)
        )
    )
    explained = {(failure.release_id, failure.asset_id) for failure in failures}
    left = [
        difference
        for (release, asset), found in differences.items()
        if not explained & {(release, asset), (release, 0)}
        for difference in found
    ]
    return left, failures
