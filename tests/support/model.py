"""A target in memory that plans are applied to, and what a source may go through."""

from __future__ import annotations

import copy as copies
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mirror.core.action import (
    Action,
    CreateRelease,
    DeleteAsset,
    DeleteRelease,
    Obstacle,
    Outcome,
    Plan,
    PublishRelease,
    ReleaseWork,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.matching import asset_facts, guessed_name
from mirror.core.planner import Circumstances, plan, tags_needed
from mirror.core.record import learn, quarantine, record
from mirror.core.release import Asset, Release, Repository, Snapshot, fingerprint
from support.values import NOW, TARGET, digest_of

if TYPE_CHECKING:
    from random import Random

    from mirror.core.ledger import Ledger
    from mirror.core.policy import Policy

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

    def apply(self, work: Plan, ledger: Ledger) -> list[Obstacle]:
        """Carry a plan out as the executor does; what was learnt goes into the ledger.

        Raises:
            Cut: The budget of writes is used up.
        """
        learnt: list[Obstacle] = []
        learn(ledger, work.learned)
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
        return obstacles

    def _write(self) -> None:
        if self.budget is not None:
            if self.budget == 0:
                raise Cut
            self.budget -= 1

    def _release(self, work: ReleaseWork, ledger: Ledger, learnt: list[Obstacle]) -> None:
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
        first = [a for a in work.assets if not (isinstance(a, UploadAsset) and a.collides)]
        last = [a for a in work.assets if a not in first]
        outcomes = []
        refused = False
        for action in [*first, *last]:
            try:
                asset = self._asset(number, action)
            except Refused as error:
                refused |= isinstance(action, UploadAsset | ReplaceAsset)
                learnt.append(_obstacle(action, work.source, str(error)))
                continue
            digest = self.contents[asset.id] if asset else None
            outcomes.append(
                Outcome(action, "done", work.source, self.releases[number], asset, digest)
            )
        for outcome in outcomes:
            record(ledger, outcome, NOW)
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

    def _asset(self, number: int, action: Action) -> Asset | None:
        match action:
            case UploadAsset(asset=asset):
                return self._upload(number, asset, asset.name)
            case ReplaceAsset(asset=asset):
                return self._exchange(number, action)
            case RenameAsset(asset=asset, target=copy, target_name=name):
                return self._rename(number, copy.id, name, asset)
            case UpdateAsset(target=copy, label=label):
                self._write()
                return self._put(number, replace(self._one(number, copy.id), label=label))
            case DeleteAsset():
                self._delete(action)
                return None
            case _:
                raise AssertionError(action)

    def _upload(self, number: int, asset: Asset, name: str) -> Asset:
        made = self.rename(name)
        assert asset.size, "no host takes 0 bytes"
        if any(copy.name == made for copy in self.releases[number].assets):
            raise Refused(f"{made} already_exists")
        copy = Asset(
            self.new_id(),
            made,
            asset.size,
            label=asset.label or ("" if made == name else asset.name),
            sha256=content_of(asset) if self.digests else None,
        )
        self.contents[copy.id] = content_of(asset)
        try:
            self._write()
        except Cut:
            if self.broken_upload:
                self._put(number, replace(copy, state="starter", sha256=None, size=0))
            raise
        return self._put(number, copy)

    def _exchange(self, number: int, action: ReplaceAsset) -> Asset:
        temporary = action.temporary or self._upload(number, action.asset, action.temporary_name)
        if action.old:
            self._delete(DeleteAsset(action.old))
        return self._rename(number, temporary.id, action.target_name, action.asset)

    def _rename(self, number: int, asset_id: int, name: str, asset: Asset) -> Asset:
        made = self.rename(name)
        if any(c.name == made and c.id != asset_id for c in self.releases[number].assets):
            raise Refused(f"{made} already_exists")
        self._write()
        label = asset.label or ("" if made == asset.name else asset.name)
        return self._put(number, replace(self._one(number, asset_id), name=made, label=label))

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


def _obstacle(action: Action, source: Release, error: str) -> Obstacle:
    asset = getattr(action, "asset", None)
    return Obstacle(
        error,
        action=action.name,
        release_id=source.id,
        asset_id=asset.id if asset else 0,
        release=source.tag,
        asset=asset.name if asset else None,
        final=not isinstance(action, RenameAsset),  # whoever has the name may give it back
        facts=asset_facts(asset) if asset else fingerprint([source]),
    )


@dataclass
class World:
    """A source, a target, and the mirror between them; and the dice that made them."""

    source: Snapshot
    target: Target
    ledger: Ledger
    policy: Policy
    about: Circumstances
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
        before = copies.deepcopy(self.ledger)
        self.target.budget = writes
        try:
            self.sync()
        except Cut:
            if not recorded:
                self.ledger = before
            return True
        else:
            return False
        finally:
            self.target.budget = None

    def copy(self) -> World:
        return copies.deepcopy(self)
