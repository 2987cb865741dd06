"""(source, target, ledger, policy) → plan: the one place that decides what is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mirror.core.domain.asset_names import forms
from mirror.core.domain.release import fingerprint
from mirror.core.domain.selection import Wanted, filters_that_select_nothing, next_ripe, select
from mirror.core.domain.source_archives import archives_of, with_archives
from mirror.core.execution.action import (
    CreateRepository,
    DeleteAsset,
    DeleteRelease,
    Examined,
    Plan,
    PublishRelease,
    ReleaseWork,
    UpdateRelease,
)
from mirror.core.failure import Failure
from mirror.core.ledger.document import ReleaseEntry
from mirror.core.planning.asset_identity import Copies as AssetCopies
from mirror.core.planning.asset_matching import Matched, match_assets
from mirror.core.planning.deletions import deletions
from mirror.core.planning.eligibility import PENDING, Eligibility
from mirror.core.planning.plan_context import PlanContext
from mirror.core.planning.release_matching import Copies, burned_tags
from mirror.core.planning.release_text import Texts
from mirror.core.planning.tags import needs_tag, tag_for, tags_needed
from mirror.core.text.body import description, readme
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from mirror.core.domain.capabilities import Capabilities
    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.domain.source_archives import SourceArchive
    from mirror.core.ledger.document import Ledger
    from mirror.errors import FailureKind

__all__ = ["PENDING", "PlanContext", "plan", "tags_needed"]


def plan(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    circumstances: PlanContext,
) -> Plan:
    """Decide what brings the target up to the source.

    Args:
        source: What the source says now, with the commits of :func:`tags_needed`.
        target: What the target says now, likewise; ``None`` where the repository does not exist.
        ledger: What was recorded.
        policy: What the operator wants.
        circumstances: All else.
    """
    return _Planner(source, target, ledger, policy, circumstances).plan()


@dataclass(slots=True)
class _Draft:
    """A plan while it grows."""

    releases: list[ReleaseWork] = field(default_factory=list)
    learned: list[ReleaseEntry] = field(default_factory=list)
    examined: list[Examined] = field(default_factory=list)
    obstacles: list[Failure] = field(default_factory=list)
    tags: set[Failure] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    placeholders: int = 0
    frozen: int = 0
    not_frozen: int = 0
    made_again: bool = False


class _Planner:
    def __init__(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        policy: Policy,
        circumstances: PlanContext,
    ) -> None:
        self._source = source
        self._target = target = _changeable(target, circumstances.capabilities)
        self._ledger = ledger
        self._policy = policy
        self._about = circumstances
        self._copies = Copies(source, target, ledger, circumstances.source_url)
        self._deletions = deletions(source, target, ledger, policy, self._copies, circumstances.now)
        self._burned = burned_tags(ledger, target)
        self._draft = _Draft()

    def plan(self) -> Plan:
        now, selection = self._about.now, self._policy.selection
        wanted = with_archives(
            select(self._source.releases, selection, now), self._source.repository.ref, selection
        )
        if obstacle := self._closed(wanted):
            return Plan(obstacles=(obstacle,))
        # One that is too young belongs to the mirror all the same.
        selected = {item.release.id for item in select(self._source.releases, selection)}
        texts = Texts(self._source, self._target, self._policy, self._about, selected)
        self._draft.warnings.extend(filters_that_select_nothing(self._source.releases, selection))
        for rank, item in enumerate(wanted):
            self._release(rank, item, texts)
        self._delete_releases()
        self._orphans()
        draft = self._draft
        if not self._source.complete:
            draft.warnings.append(
                "the source's list of releases is not complete; what it shows was mirrored"
            )
        if self._source.repository.ref.key != self._ledger.source.partition(":")[2].casefold():
            draft.warnings.append(
                f"the source is now called {self._source.repository.ref}; it is followed, but name"
                " it so in the configuration"
            )
        if draft.placeholders:
            count = draft.placeholders
            draft.notes.append(
                f"{count} {'tag points to a placeholder commit' if count == 1 else 'tags point to placeholder commits'},"
                " because the target does not have the source's commits"
            )
        draft.notes.extend(_of_immutable_releases(draft, self._about.capabilities))
        create = None
        # Made by a run that was cut off before the first commit; another's is left as it is.
        target = self._target
        begun = target is not None and target.repository.empty and target.created_by_mirror
        if (target is None or begun) and any(work.create or work.tag for work in draft.releases):
            address = self._about.source_address
            push = self._policy.tags == "push"
            create = CreateRepository(
                self._policy.visibility,
                description(address),
                "" if push else readme(address),
                without_actions=push and not self._policy.allow_actions,
                begun=begun,
            )
        return Plan(
            repository=create,
            releases=tuple(draft.releases),
            learned=tuple(draft.learned),
            examined=tuple(draft.examined),
            obstacles=tuple(draft.obstacles),
            warnings=tuple(dict.fromkeys(draft.warnings)),
            news=tuple(dict.fromkeys(draft.news)),
            notes=tuple(dict.fromkeys(draft.notes)),
            # What a release that was made again no longer has is seen once it is known as its copy.
            wake_at=now
            if draft.made_again and self._policy.on_delete == "delete"
            else next_ripe(self._source.releases, selection, now),
        )

    def _closed(self, wanted: tuple[Wanted, ...]) -> Failure | None:
        """What stops the whole mirror."""
        if self._target is None and wanted and not self._policy.create_repository:
            return Failure(
                "policy",
                f"the target repository {self._ledger.target} does not exist, and"
                " create_repository = false",
                "create-repository",
                hint="allow-create-repository",
            )
        if self._target and self._target.repository.archived:
            return Failure(
                "archived",
                f"the target repository {self._ledger.target} is archived, hence read-only",
                "update-release",
            )
        return None

    def _release(self, rank: int, wanted: Wanted, texts: Texts) -> None:
        release = wanted.release
        copy = self._copies.of(release)
        strays = self._copies.strays(release, copy)
        intake = Eligibility(release, copy, self._ledger, self._policy, self._about)
        obstacle = (
            intake.not_tried() or self._hidden(release, copy) or self._immutable(release, copy)
        )
        if obstacle:
            self._draft.obstacles.append(obstacle)
            return
        self._draft.frozen += copy is not None and copy.frozen
        self._draft.not_frozen += release.immutable and not (copy and copy.frozen)
        entry = self._copies.entry(release, copy)
        self._draft.made_again |= entry is not None and entry.source_id != release.id
        ours = (entry.created if entry else False) or (copy is not None and copy.draft)
        if copy and not copy.draft and not ours and self._policy.existing == "skip":
            self._draft.warnings.append(
                f'release {release.tag} exists at the target and is not of this mirror; skipped (existing = "skip")'
            )
            return
        tag = None
        if needs_tag(release, copy) and self._about.capabilities.tags:
            tag = tag_for(release, self._source, self._target, self._policy, self._about)
        if isinstance(tag, Failure):
            if tag not in self._draft.tags:  # report a failure common to all releases once
                self._draft.tags.add(tag)
                self._draft.obstacles.append(tag)
            return
        takeable = intake.takeable(wanted)
        copies = AssetCopies(draft=True)
        if copy:
            copies = AssetCopies(
                copy.assets,
                entry.assets if entry else {},
                draft=copy.draft,
                assume=entry is None and not ours,
                # Into a release of ours people may put what they like.
                followed=entry.followed and not entry.created if entry else False,
                in_place=[f for name in (entry.in_place if entry else ()) for f in forms(name)],
                since=self._ledger.working_since,
            )
        matched = match_assets(
            takeable,
            (*release.assets, *self._archives(wanted, entry)),
            copies,
            follow=self._policy.on_change == "follow",
            barred=[asset.id for asset in takeable if intake.not_tried(asset)],
            leaving={a.target.id for a in self._deletions.assets.get(release.id, ())},
        )
        intake.settle(matched, copy, left_alone=copy is not None and not ours)
        barred = {obstacle.asset_id for obstacle in intake.obstacles}
        assets = tuple(asset for asset in takeable if asset.id not in barred)
        self._draft.examined.append(
            Examined(release, copy, assets, matched.present, tuple(matched.actions))
        )
        self._draft.obstacles.extend(intake.obstacles)
        warnings = (*intake.warnings, *matched.warnings)
        self._draft.warnings.extend(f"{release.tag}: {text}" for text in warnings)
        self._draft.news.extend(f"{release.tag}: {text}" for text in matched.news)
        self._note_moved_tag(release, entry)
        instead = entry.latest_instead if entry else None
        if copy and not copy.draft and texts.never_latest(release, copy, instead):
            self._draft.notes.append(
                f"{release.tag} is the source's latest release, but the target decides by itself which"
                " of its releases is the latest, and shows another one"
            )
        followed = True
        if copy:
            equal = _complete(wanted, matched) and not texts.differences(release, copy)
            adopted = copies.followed or self._policy.existing == "adopt"
            followed = ours or adopted or equal
            self._learn(release, copy, entry, matched, ours=ours, followed=followed)
        work = ReleaseWork(
            rank=rank,
            source=release,
            target=copy,
            tag=tag,
            create=texts.draft(release) if copy is None else None,
            leftovers=(*strays, *matched.leftovers),
            assets=(*matched.actions, *self._to_delete(release, matched)),
            finish=_finish(release, copy, texts, instead, followed=followed, held=intake.held),
            publish_incomplete=self._policy.incomplete == "publish",
            present=tuple(matched.present.values()),
            refused=self._refused(release),
        )
        if work.actions():
            self._draft.releases.append(work)
            self._draft.placeholders += bool(tag and tag.commit is None)

    def _refused(self, release: Release) -> int:
        """The release's place among those that the target refused before; 0 if it did not."""
        refused = self._about.refused
        return 1 + refused.index(release.id) if release.id in refused else 0

    def _to_delete(self, release: Release, matched: Matched) -> list[DeleteAsset]:
        """What the settings delete, but for what turned out to be the copy of another asset."""
        needed = {entry.target_id for entry in matched.present.values()}
        doomed = self._deletions.assets.get(release.id, ())
        return [action for action in doomed if action.target.id not in needed]

    def _archives(self, wanted: Wanted, entry: ReleaseEntry | None) -> tuple[SourceArchive, ...]:
        """The archives that are wanted, and those that were attached when they were."""
        ids = {asset.id for asset in wanted.assets}
        ids |= {known.source_id for known in entry.assets.values()} if entry else set()
        archives = archives_of(wanted.release, self._source.repository.ref)
        return tuple(archive for archive in archives if archive.id in ids)

    def _note_moved_tag(self, release: Release, entry: ReleaseEntry | None) -> None:
        now = self._source.tags.get(release.tag)
        if entry and entry.commit and now and now != entry.commit:
            self._draft.warnings.append(
                f"tag {release.tag} was moved at the source from commit {entry.commit} to {now};"
                " the target's tag was left where it is"
            )

    def _hidden(self, release: Release, copy: Release | None) -> Failure | None:
        """Where it cannot be told whether the target has a copy, none is made."""
        if copy is None and self._target and not self._target.complete:
            text = "the target's list of releases is incomplete; it may have"
            return _waiting(release, "invalid-answer", f"{text} {release.tag} already")
        if (copy is None or copy.draft) and self._copies.taken(release):
            text = "the target has the copy of another release under the tag"
            return _waiting(release, "name-taken", f"{text} {release.tag}")
        return None

    def _immutable(self, release: Release, copy: Release | None) -> Failure | None:
        """Why the target can never have a release under its tag: one of its releases is immutable."""
        if copy and copy.frozen:
            if copy.tag == release.tag:
                return None
            text = f"it was {copy.tag}, and the tag of the target's immutable release cannot change"
        elif (copy is None or copy.draft) and release.tag in self._burned:
            text = (
                f"an immutable release of the target had the tag {release.tag} and was deleted; no"
                " other release can ever have the tag there"
            )
        else:
            return None
        failure = _waiting(release, "immutable", text)
        facts = fingerprint([release])
        return replace(failure, hint="burned-tag", final=True, facts=facts)

    def _learn(
        self,
        release: Release,
        copy: Release,
        entry: ReleaseEntry | None,
        matched: Matched,
        *,
        ours: bool,
        followed: bool,
    ) -> None:
        """Note what was found at the target, where the ledger does not know it so."""
        published = None
        if not copy.draft:
            published = (entry.published if entry else None) or iso(self._about.now)
        recorded = {asset.name for asset in copy.assets if asset.id in matched.records}
        fresh = ReleaseEntry(
            source_id=release.id,
            target_id=copy.id,
            tag=release.tag,
            created=ours,
            followed=followed,
            published=published,
            commit=entry.commit if entry else self._source.tags.get(release.tag),
            assets=matched.records,
            immutable=copy.frozen,
            latest_instead=entry.latest_instead if entry else None,
            in_place=tuple(n for n in entry.in_place if n not in recorded) if entry else (),
        )
        if fresh != entry:
            self._draft.learned.append(fresh)

    def _delete_releases(self) -> None:
        """Copies that are to go because the settings say so."""
        found = self._deletions
        self._draft.warnings.extend(found.warnings)
        if found.obstacle:
            self._draft.obstacles.append(found.obstacle)
        for release, action in found.releases:
            self._delete(release, (action,))

    def _orphans(self) -> None:
        """Drafts of ours whose release vanished from the source before they were published."""
        if not self._source.complete:
            return
        alive = {release.id for release in self._source.releases}
        for source_id, drafts in self._copies.drafts.items():
            if source_id not in alive:
                strays = tuple(DeleteRelease(draft) for draft in drafts)
                self._delete(replace(drafts[0], id=source_id), strays)

    def _delete(self, release: Release, copies: tuple[DeleteRelease, ...]) -> None:
        """Delete copies of a release, after everything else."""
        intake = Eligibility(release, None, self._ledger, self._policy, self._about)
        if obstacle := intake.not_tried():
            self._draft.obstacles.append(obstacle)
            return
        rank = len(self._source.releases)
        work = ReleaseWork(
            rank,
            release,
            copies[0].target,
            leftovers=copies,
            refused=self._refused(release),
        )
        self._draft.releases.append(work)


def _complete(wanted: Wanted, matched: Matched) -> bool:
    """Whether every wanted asset is there as it should be."""
    settled = not (matched.actions or matched.taken)
    return settled and len(matched.present) == len(wanted.assets)


def _finish(
    release: Release,
    copy: Release | None,
    texts: Texts,
    instead: int | None,
    *,
    followed: bool,
    held: bool,
) -> PublishRelease | UpdateRelease | None:
    if copy and not copy.draft:
        return texts.update(release, copy, followed=followed, instead=instead)
    return None if held or release.draft else texts.publication(release)


def _changeable(target: Snapshot | None, limits: Capabilities) -> Snapshot | None:
    """A target that only stores whether its source is immutable can change its own copies."""
    if target is None or limits.immutable_releases:
        return target
    releases = (replace(r, immutable=False) if r.immutable else r for r in target.releases)
    return replace(target, releases=tuple(releases))


def _of_immutable_releases(draft: _Draft, limits: Capabilities) -> list[str]:
    """Notes: nothing is wrong, but a change of these releases cannot be mirrored, or can happen."""
    notes = []
    if draft.frozen:
        notes.append(
            f"{_releases(draft.frozen)} immutable at the target: only text and flags of these can"
            " follow the source"
        )
    if draft.not_frozen:
        notes.append(
            f"{_releases(draft.not_frozen)} immutable at the source; "
            + (
                "the copies are immutable only if immutable releases are enabled for the target"
                " repository"
                if limits.immutable_releases
                else "the target has no immutable releases"
            )
        )
    return notes


def _releases(count: int) -> str:
    return "1 release is" if count == 1 else f"{count} releases are"


def _waiting(release: Release, kind: FailureKind, text: str) -> Failure:
    return Failure(kind, text, "create-release", release_id=release.id, release=release.tag)
