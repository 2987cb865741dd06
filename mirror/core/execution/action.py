"""Actions and plans, as data.

A plan can be shown, counted and tested without anything being done. The executor carries out its
actions as they are and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeGuard

from mirror.errors import truncate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mirror.core.domain.policy import Visibility
    from mirror.core.domain.release import Asset, Release
    from mirror.core.failure import Failure
    from mirror.core.ledger.document import AssetEntry, ReleaseEntry


@dataclass(frozen=True, slots=True)
class CreateRepository:
    """Make the target repository, with GitHub Actions disabled.

    Attributes:
        readme: The file of its one first commit; empty for none, where history is pushed.
        without_actions: It is no use where GitHub Actions cannot be disabled.
        begun: A run that was killed made it, and left it empty.
    """

    name: ClassVar[str] = "create-repository"
    visibility: Visibility
    description: str
    readme: str
    without_actions: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class CreateTag:
    """Make a tag.

    Attributes:
        commit: Where: a commit that the target has; ``None`` for a placeholder commit.
        message: Of the placeholder commit.
        date: Of the placeholder commit: that of the source's commit, so order by date is right.
    """

    name: ClassVar[str] = "create-tag"
    tag: str
    commit: str | None
    message: str
    date: datetime


@dataclass(frozen=True, slots=True)
class PushTag:
    """Bring a tag with its true history, by git.

    Attributes:
        commit: Where it is at the source; annotated tags are peeled.
    """

    name: ClassVar[str] = "create-tag"
    tag: str
    commit: str


@dataclass(frozen=True, slots=True)
class CreateRelease:
    """Make a draft.

    Attributes:
        fields: Of the request, ``draft`` and the marker in ``body`` included.
        mark: The marker, by which a draft whose creation was not answered is found again.
    """

    name: ClassVar[str] = "create-release"
    fields: Mapping[str, Any]
    mark: str


@dataclass(frozen=True, slots=True)
class UploadAsset:
    """Copy an asset.

    Attributes:
        collides: Another asset of this release may get the same name from the server; this one
            waits until that one is there.
        temporary_name: The name to begin with, until the asset is verified; empty for its own.
        after: Copies of the target, by id, that have to give the name up first.
    """

    name: ClassVar[str] = "upload-asset"
    asset: Asset
    collides: bool = False
    temporary_name: str = ""
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplaceAsset:
    """Exchange an asset for what the source has now, without its name being missed.

    Attributes:
        old: The target's asset with the old bytes.
        target_name: The name to end with.
        temporary_name: The name to begin with; empty where the release has no room for both: the
            old asset is deleted first.
        temporary: The copy with the right bytes, where it is at the target already.
    """

    name: ClassVar[str] = "replace-asset"
    asset: Asset
    old: Asset
    target_name: str
    temporary_name: str
    temporary: Asset | None = None


@dataclass(frozen=True, slots=True)
class RenameAsset:
    """Give a copy another name; no bytes move.

    Attributes:
        label: To go with the name; ``None`` to leave it.
        after: As for an upload.
    """

    name: ClassVar[str] = "rename-asset"
    asset: Asset
    target: Asset
    target_name: str
    label: str | None = None
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateAsset:
    """Give the copy the label that the source's asset has now; no bytes move."""

    name: ClassVar[str] = "update-asset"
    asset: Asset
    target: Asset
    label: str


@dataclass(frozen=True, slots=True)
class DeleteAsset:
    """Remove an asset of the target: the rest of an upload that broke, or one no longer wanted."""

    name: ClassVar[str] = "delete-asset"
    target: Asset


@dataclass(frozen=True, slots=True)
class PublishRelease:
    """Publish a draft with its final text; all of its assets are there and verified."""

    name: ClassVar[str] = "publish-release"
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateRelease:
    """Change what differs; ``fields`` always holds ``tag_name``."""

    name: ClassVar[str] = "update-release"
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteRelease:
    """Remove a release of the target: a second draft of ours, or one no longer wanted."""

    name: ClassVar[str] = "delete-release"
    target: Release


AssetAction: TypeAlias = UploadAsset | ReplaceAsset | RenameAsset | UpdateAsset | DeleteAsset
Action: TypeAlias = (
    CreateRepository
    | CreateTag
    | PushTag
    | CreateRelease
    | AssetAction
    | PublishRelease
    | UpdateRelease
    | DeleteRelease
)


def moves_bytes(action: Action) -> TypeGuard[UploadAsset | ReplaceAsset]:
    """Whether an action uploads an asset."""
    fresh = isinstance(action, ReplaceAsset) and action.temporary is None
    return fresh or isinstance(action, UploadAsset)


@dataclass(frozen=True, slots=True)
class ReleaseWork:
    """All work on one release, in the order in which it is done.

    Attributes:
        rank: Its place, from 0, the newest first.
        target: What is there now; ``None`` where it has to be created.
        assets: Uploads and replacements, the largest first, then renames in their order.
        finish: Publishes or updates it, once all assets are there; ``None`` for no change, or
            for a release that is held back.
        publish_incomplete: Finish although assets are missing that the target can never take.
        present: Copies that are there already and belong to the release, to be verified with it.
        refused: The target refused a request for it in an earlier pass: it comes after the others, by
            this number; 0 if it did not.
    """

    rank: int
    source: Release
    target: Release | None
    tag: CreateTag | PushTag | None = None
    create: CreateRelease | None = None
    leftovers: tuple[DeleteAsset | DeleteRelease, ...] = ()
    assets: tuple[AssetAction, ...] = ()
    finish: PublishRelease | UpdateRelease | None = None
    publish_incomplete: bool = True
    present: tuple[AssetEntry, ...] = ()
    refused: int = 0

    def actions(self) -> tuple[Action, ...]:
        """All of them, in order."""
        some: tuple[Action | None, ...] = (
            self.tag,
            *self.leftovers,
            self.create,
            *self.assets,
            self.finish,
        )
        return tuple(action for action in some if action is not None)


@dataclass(frozen=True, slots=True)
class Examined:
    """A release that a plan looked into, whether or not there is work on it.

    Attributes:
        source: The source's release.
        copy: The target's; ``None`` where there is none.
        assets: Those of the source that the target is to have, and can.
        present: Copies that are right as far as both hosts tell, by the id of the source's asset.
        changes: What the others need, what cannot be done left out.
    """

    source: Release
    copy: Release | None
    assets: tuple[Asset, ...]
    present: Mapping[int, AssetEntry]
    changes: tuple[AssetAction, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would bring a target up to its source.

    Attributes:
        repository: Makes the target repository first.
        releases: The newest first.
        learned: Copies that were found at the target and need no work: for the ledger.
        examined: What was compared to come to this.
        obstacles: What cannot be done.
        warnings: What an operator should know for as long as it is so: every report repeats it.
        news: What an operator should know of this plan's work: told once.
        notes: What is normal, but good to know of this plan's work.
        wake_at: When there will be more to do although nothing changes.
    """

    repository: CreateRepository | None = None
    releases: tuple[ReleaseWork, ...] = ()
    learned: tuple[ReleaseEntry, ...] = ()
    examined: tuple[Examined, ...] = field(default=(), compare=False, repr=False)
    obstacles: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    news: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wake_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "warnings", tuple(map(truncate, self.warnings)))
        object.__setattr__(self, "news", tuple(map(truncate, self.news)))
        object.__setattr__(self, "notes", tuple(map(truncate, self.notes)))

    def actions(self) -> list[tuple[Release | None, Action]]:
        """All actions, each with the release that it belongs to."""
        first: list[tuple[Release | None, Action]] = []
        if self.repository:
            first.append((None, self.repository))
        return first + [(work.source, a) for work in self.releases for a in work.actions()]
