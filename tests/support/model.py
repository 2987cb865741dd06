"""A target in memory that plans are applied to, and what a source may go through."""

from __future__ import annotations

import copy as copies
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mirror.core.domain.asset_names import guessed_name, is_temporary
from mirror.core.domain.release import (
    Asset,
    Release,
    Repository,
    Snapshot,
    asset_fingerprint,
    fingerprint,
)
from mirror.core.execution.action import (
    Action,
    CreateRelease,
    DeleteAsset,
    DeleteRelease,
    Plan,
    PublishRelease,
    ReleaseWork,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UpdateRelease,
    UploadAsset,
    moves_bytes,
)
from mirror.core.execution.ledger_updates import (
    learn,
    quarantine,
    record,
    record_arrival,
    record_in_place,
)
from mirror.core.execution.outcome import Outcome
from mirror.core.failure import Failure
from mirror.core.planning.planner import PlanContext, plan, tags_needed
from mirror.core.planning.renames import vacated as vacated_by
from mirror.core.text.timestamps import iso
from support.values import NOW, TARGET, digest_of

if TYPE_CHECKING:
    from random import Random

    from mirror.core.domain.policy import Policy
    from mirror.core.ledger.document import Ledger

Rename = Callable[[str], str]


class Cut(Exception):
    """The process died."""


class Refused(Exception):
    """The server will never take this."""


def transliterated(name: str) -> str:
    """A server's renaming that nobody could guess."""
    return guessed_name(name.replace("ä", "ae"))


def content_of(asset: Asset) -> str:
    """The digest of a source asset's bytes, also where the source does not tell it."""
    return asset.sha256 or digest_of(f"content of {asset.id}")


@dataclass
class Target:
    """A server that takes what an executor sends it.

    Attributes:
        rename: What it makes of an asset's name.
        digests: It tells the digests of its assets.
        first_commit: The repository has one.
        contents: What the assets truly hold, by id.
        pushed: Tags that are there, and commits that are.
        others: Ids of releases and assets that were made by other hands.
    """

    rename: Rename = guessed_name
    digests: bool = True
    make_latest: bool = True
    repository: Repository | None = None
    created: bool = False
    first_commit: bool = True
    releases: dict[int, Release] = field(default_factory=dict)
    latest: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    contents: dict[int, str] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)
    ids: int = 5000
    budget: int | None = None
    broken_upload: bool = True
    saved: Ledger | None = None

    # -- what others do ------------------------------------------------------------------------

    def new_id(self) -> int:
        self.ids += 1
        return self.ids

    def copy(self) -> Target:
        return copies.deepcopy(self)

    def add_release(self, release: Release) -> Release:
        """A release that other hands made, with ids of this server."""
        assets = []
        for asset in release.assets:
            made = replace(asset, id=self.new_id())
            self.contents[made.id] = content_of(asset)
            digest = content_of(asset) if self.digests and asset.uploaded else None
            assets.append(replace(made, sha256=digest))
        made_release = replace(release, id=self.new_id(), assets=tuple(assets))
        self.releases[made_release.id] = made_release
        self.others |= {made_release.id, *(asset.id for asset in assets)}
        if not release.draft:
            self.tags.setdefault(release.tag, "f" * 40)
        return made_release

    # -- what it says --------------------------------------------------------------------------

    def snapshot(
        self, source: Snapshot, ledger: Ledger, policy: Policy, url: str
    ) -> Snapshot | None:
        """What a session would read."""
        if self.repository is None:
            return None
        bare = Snapshot(
            replace(self.repository, empty=not self.first_commit),
            releases=tuple(self.releases.values()),
            latest=self.latest,
            created_by_mirror=self.created,
        )
        needed = tags_needed(source, bare, ledger, policy, url)
        tags = {tag: commit for tag, commit in self.tags.items() if tag in needed}
        commits = {source.tags[tag] for tag in needed if tag in source.tags} & self.commits
        return replace(bare, tags=tags, commits=frozenset(commits))

    def state(self) -> object:
        """What a visitor sees, and what is hidden in drafts; ids aside."""
        return sorted(
            (
                release.tag,
                release.draft,
                release.name,
                release.body,
                release.prerelease,
                sorted(
                    (a.name, a.label, a.size, a.state, self.contents[a.id]) for a in release.assets
                ),
            )
            for release in self.releases.values()
        )

    # -- what an executor does -----------------------------------------------------------------

    def apply(self, work: Plan, ledger: Ledger) -> list[Failure]:
        """Carry a plan out as the executor does; what was learnt goes into the ledger.

        Raises:
            Cut: The budget of writes is used up.
        """
        learnt: list[Failure] = []
        learn(ledger, work.learned)
        ledger.working_since = ledger.working_since or iso(NOW)
        self.saved = copies.deepcopy(ledger)  # as it is before anything is done
        if work.repository:
            self._write()
            self.repository = self.repository or Repository(TARGET, 2000, default_branch="main")
            self.created = True
            self.first_commit = False
            self._write()
            self.first_commit = True
            record(ledger, Outcome(work.repository, "done", repository_id=2000), NOW)
        for item in work.releases:
            self._release(item, ledger, learnt)
        obstacles = [*work.obstacles, *learnt]
        quarantine(ledger, obstacles, NOW)
        if all(obstacle.final for obstacle in obstacles):
            ledger.settle()
        return obstacles

    def _write(self) -> None:
        if self.budget is not None:
            if self.budget == 0:
                raise Cut
            self.budget -= 1

    def _release(self, work: ReleaseWork, ledger: Ledger, learnt: list[Failure]) -> None:
        assert self.first_commit, "nothing can be made in an empty repository"
        if work.tag:
            self._write()
            assert work.tag.tag not in self.tags, "a tag is never moved"
            assert work.tag.commit is None or work.tag.commit in self.commits
            self.tags[work.tag.tag] = work.tag.commit or f"placeholder of {work.tag.tag}"
        for leftover in work.leftovers:
            self._delete(leftover)
        number = work.target.id if work.target else 0
        if work.create:
            number = self._create(work.create)
            record(ledger, Outcome(work.create, "done", work.source, self.releases[number]), NOW)
        refused = self._assets(number, work, ledger, learnt)
        if work.finish and (
            work.publish_incomplete or not refused or not isinstance(work.finish, PublishRelease)
        ):
            try:
                self._finish(number, work.finish)
            except Refused as error:
                learnt.append(_obstacle(work.finish, work.source, str(error)))
            else:
                record(
                    ledger, Outcome(work.finish, "done", work.source, self.releases[number]), NOW
                )

    def _assets(
        self, number: int, work: ReleaseWork, ledger: Ledger, learnt: list[Failure]
    ) -> bool:
        """Uploads first, then names in the order of the plan; tell whether one was refused."""
        arrived: dict[int, Asset] = {}
        failed: list[Action] = []
        vacated = {leftover.target.id for leftover in work.leftovers}

        def refuse(action: Action, error: Refused) -> None:
            failed.append(action)
            learnt.append(_obstacle(action, work.source, str(error)))

        uploads = [action for action in work.assets if moves_bytes(action)]
        for upload in sorted(uploads, key=lambda a: isinstance(a, UploadAsset) and a.collides):
            try:
                copy = self._bring(number, upload, work.source, ledger)
            except Refused as error:
                refuse(upload, error)
                continue
            arrived[upload.asset.id] = copy
            digest = self.contents[copy.id]
            record_arrival(ledger, work.source, upload.asset, copy, digest)
        self.saved = copies.deepcopy(ledger)  # before names change
        pending = [action for action in work.assets if action not in failed]
        while ready := [a for a in pending if vacated.issuperset(getattr(a, "after", ()))]:
            pending = [action for action in pending if action not in ready]
            for action in ready:
                try:
                    asset = self._asset(number, action, arrived)
                except Refused as error:
                    refuse(action, error)
                    continue
                vacated |= {gone for gone in [vacated_by(action)] if gone is not None}
                sha256 = self.contents[asset.id] if asset else None
                release = self.releases[number]
                record(ledger, Outcome(action, "done", work.source, release, asset, sha256), NOW)
        return any(isinstance(action, UploadAsset | ReplaceAsset) for action in failed)

    def _bring(
        self, number: int, action: UploadAsset | ReplaceAsset, source: Release, ledger: Ledger
    ) -> Asset:
        name = action.asset.name
        if isinstance(action, ReplaceAsset) and not action.temporary_name:
            name = action.target_name
        if not (action.temporary_name or self.releases[number].draft):
            for document in (ledger, self.saved or ledger):  # saved before it is done
                record_in_place(document, source, name)
        if isinstance(action, ReplaceAsset) and not action.temporary_name:
            self._delete(DeleteAsset(action.old))
        return self._upload(number, action.asset, action.temporary_name or name)

    def _create(self, action: CreateRelease) -> int:
        self._write()
        fields = action.fields
        assert fields["draft"] is True
        assert "make_latest" not in fields
        number = self.new_id()
        self.releases[number] = Release(
            number,
            fields["tag_name"],
            name=fields["name"],
            body=fields["body"],
            draft=True,
            prerelease=fields["prerelease"],
        )
        return number

    def _asset(self, number: int, action: Action, arrived: dict[int, Asset]) -> Asset | None:
        match action:
            case UploadAsset(asset=asset) | ReplaceAsset(asset=asset, temporary=None) if (
                not action.temporary_name
            ):
                return arrived[asset.id]
            case UploadAsset(asset=asset):
                return self._name(number, arrived[asset.id].id, asset.name, asset)
            case ReplaceAsset(asset=asset, old=old, target_name=name):
                self._delete(DeleteAsset(old))
                copy = action.temporary or arrived[asset.id]
                return self._name(number, copy.id, name, asset)
            case RenameAsset(target=copy, target_name=name, label=label):
                return self._rename(number, copy.id, name, label)
            case UpdateAsset(target=copy, label=label):
                self._write()
                return self._put(number, replace(self._one(number, copy.id), label=label))
            case DeleteAsset():
                self._delete(action)
                return None
            case _:
                raise AssertionError(action)

    def _name(self, number: int, asset_id: int, name: str, asset: Asset) -> Asset:
        """The end of an upload: its own name, and the label that tells it where that changed."""
        label = asset.label or ("" if name == asset.name else asset.name)
        copy = self._rename(number, asset_id, name, label)
        if copy.name != asset.name and not copy.label:
            self._write()
            copy = self._put(number, replace(copy, label=asset.name))
        return copy

    def _upload(self, number: int, asset: Asset, name: str) -> Asset:
        made = self.rename(name)
        assert asset.size, "no host takes 0 bytes"
        if any(copy.name == made for copy in self.releases[number].assets):
            raise Refused(f"{made} already_exists")
        copy = Asset(
            self.new_id(),
            made,
            asset.size,
            label=asset.label or ("" if made == asset.name or is_temporary(made) else asset.name),
            sha256=content_of(asset) if self.digests else None,
            created_at=NOW,
        )
        self.contents[copy.id] = content_of(asset)
        try:
            self._write()
        except Cut:
            if self.broken_upload:
                self._put(number, replace(copy, state="starter", sha256=None, size=0))
            raise
        return self._put(number, copy)

    def _rename(self, number: int, asset_id: int, name: str, label: str | None) -> Asset:
        made = self.rename(name)
        copy = self._one(number, asset_id)
        if any(c.name == made and c.id != asset_id for c in self.releases[number].assets):
            if is_temporary(copy.name):
                self._delete(DeleteAsset(copy))
            raise Refused(f"{made} already_exists")
        self._write()
        label = copy.label if label is None else label
        return self._put(number, replace(copy, name=made, label=label))

    def _one(self, number: int, asset_id: int) -> Asset:
        return next(a for a in self.releases[number].assets if a.id == asset_id)

    def _put(self, number: int, asset: Asset) -> Asset:
        release = self.releases[number]
        rest = [a for a in release.assets if a.id != asset.id]
        self.releases[number] = replace(release, assets=(*rest, asset))
        return asset

    def _delete(self, action: DeleteAsset | DeleteRelease) -> None:
        self._write()
        if isinstance(action, DeleteRelease):
            del self.releases[action.target.id]
            return
        for number, release in self.releases.items():
            rest = tuple(a for a in release.assets if a.id != action.target.id)
            if rest != release.assets:
                self.releases[number] = replace(release, assets=rest)
                return
        raise AssertionError("an asset that is not there cannot be deleted")

    def _finish(self, number: int, action: PublishRelease | UpdateRelease) -> None:
        fields: dict[str, Any] = dict(action.fields)
        release = self.releases[number]
        latest = fields.pop("make_latest", None)
        tag = fields.pop("tag_name")
        if any(r.tag == tag and r.id != number and not r.draft for r in self.releases.values()):
            raise Refused(f"{tag} already_exists")
        self._write()
        assert latest is None or self.make_latest, "this server knows no make_latest"
        changed = replace(release, tag=tag, **fields)
        assert tag in self.tags, "a release is published at a tag that is there"
        if isinstance(action, PublishRelease):
            assert all(asset.uploaded for asset in release.assets), "half a release is published"
            changed = replace(changed, published_at=NOW)
        self.releases[number] = changed
        if latest == "true":
            assert not changed.prerelease, "Latest release cannot be draft or prerelease"
            self.latest = number


def _obstacle(action: Action, source: Release, error: str) -> Failure:
    asset = getattr(action, "asset", None)
    return Failure(
        "name-taken",
        error,
        action=action.name,
        release_id=source.id,
        asset_id=asset.id if asset else 0,
        release=source.tag,
        asset=asset.name if asset else None,
        final=not isinstance(action, RenameAsset),  # whoever has the name may give it back
        facts=asset_fingerprint(asset) if asset else fingerprint([source]),
    )


@dataclass
class World:
    """A source, a target, and the mirror between them; and the dice that made them."""

    source: Snapshot
    target: Target
    ledger: Ledger
    policy: Policy
    about: PlanContext
    dice: Random

    def seen(self) -> Snapshot | None:
        """The target as a session would read it."""
        return self.target.snapshot(self.source, self.ledger, self.policy, self.about.source_url)

    def plan(self) -> Plan:
        return plan(self.source, self.seen(), self.ledger, self.policy, self.about)

    def sync(self) -> Plan:
        """One session."""
        work = self.plan()
        self.target.apply(work, self.ledger)
        return work

    def sync_cut(self, writes: int, *, recorded: bool) -> bool:
        """A session that dies after so many writes; tell whether it did."""
        self.target.budget = writes
        try:
            self.sync()
        except Cut:
            if not recorded and self.target.saved:
                self.ledger = self.target.saved
            return True
        else:
            return False
        finally:
            self.target.budget = None

    def copy(self) -> World:
        return copies.deepcopy(self)
