"""What a bundle says of releases and repositories: their configs, the layers of assets, descriptors in the index."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from mirror.bundle import layout
from mirror.bundle.layout import Descriptor
from mirror.core.domain.release import UPLOADED, Asset, Release, RepoRef, Repository
from mirror.core.json_types import Count, RepositoryName, WholeNumber
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIRST_ARCHIVE = 2**52
"""Source archives have no id at their source; here they have one above all others."""

Commit = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")]

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII)
_REF_COMPONENT = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*")
_NOT_IN_REF = re.compile(r"[^A-Za-z0-9]+")
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class _Author(Struct, frozen=True):
    login: str


class AssetDocument(Struct, frozen=True, omit_defaults=True):
    """An asset in the JSON of GitHub's REST API."""

    id: WholeNumber
    name: str
    size: Count
    state: str = UPLOADED
    content_type: str = layout.BYTES_TYPE
    label: str = ""
    digest: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, asset: Asset) -> AssetDocument:
        """The JSON of an asset, as its source describes it."""
        return cls(
            id=asset.id,
            name=asset.name,
            size=asset.size,
            state=asset.state,
            content_type=asset.content_type,
            label=asset.label,
            digest=f"sha256:{asset.sha256}" if asset.sha256 else None,
            created_at=asset.created_at,
            updated_at=asset.updated_at,
        )


class ReleaseDocument(Struct, frozen=True):
    """A release in the JSON of GitHub's REST API, as the source described it."""

    id: Count
    tag_name: str
    draft: bool
    prerelease: bool
    assets: list[AssetDocument]
    name: str = ""
    body: str = ""
    target_commitish: str = ""
    immutable: bool = False
    html_url: str = ""
    author: _Author | None = None
    created_at: datetime | None = None
    published_at: datetime | None = None

    @classmethod
    def of(cls, release: Release) -> ReleaseDocument:
        """The JSON of a release, as its source describes it."""
        return cls(
            id=release.id,
            tag_name=release.tag,
            draft=release.draft,
            prerelease=release.prerelease,
            assets=[AssetDocument.of(asset) for asset in release.assets],
            name=release.name,
            body=release.body,
            target_commitish=release.target_commitish,
            immutable=release.immutable,
            html_url=release.html_url,
            author=_Author(release.author) if release.author else None,
            created_at=release.created_at,
            published_at=release.published_at,
        )

    def release(self, layers: Iterable[Descriptor]) -> Release:
        """The release with the assets that the bundle holds: those of the source that have a layer.

        Raises:
            BundleError: A layer is no asset's.
        """
        told = {asset.id: asset for asset in self.assets}
        return Release(
            id=self.id,
            tag=self.tag_name,
            name=self.name,
            body=self.body,
            draft=self.draft,
            prerelease=self.prerelease,
            target_commitish=self.target_commitish,
            created_at=_utc(self.created_at),
            published_at=_utc(self.published_at),
            author=self.author.login if self.author else "",
            html_url=self.html_url,
            immutable=self.immutable,
            assets=tuple(_asset(layer, told) for layer in layers),
        )


def _asset(layer: Descriptor, told: Mapping[int, AssetDocument]) -> Asset:
    """The asset of a layer, with what the source said of it; source archives have only the layer."""
    number, name = layer.number(layout.ASSET_ID), layer.annotations.get(layout.TITLE, "")
    if not (number and name):
        raise BundleError(f"a layer of a release has no name or no id: {layer.digest}")
    about = told.get(number)
    return Asset(
        id=number,
        name=name,
        size=layer.size,
        content_type=about.content_type if about else layer.media_type,
        label=about.label if about else "",
        sha256=layer.sha256,
        created_at=_utc(about.created_at) if about else None,
        updated_at=_utc(about.updated_at) if about else None,
    )


def asset_layer(asset: Asset, copy: int | None = None) -> Descriptor:
    """The layer of an asset, whose SHA-256 is known.

    Args:
        asset: With the id of the source's.
        copy: The id that the writer knows it by; by default that of the source.
    """
    kind = asset.content_type if _MEDIA_TYPE.fullmatch(asset.content_type) else layout.BYTES_TYPE
    notes = {layout.TITLE: asset.name, layout.ASSET_ID: str(asset.id)}
    if copy not in {None, asset.id}:
        notes[layout.ASSET_COPY] = str(copy)
    return Descriptor(kind, f"sha256:{asset.sha256}", asset.size, annotations=notes)


NO_ASSET = ""
"""The key of what is no asset."""


def asset_key(descriptor: Descriptor, layer: Descriptor) -> str:
    """What ``pruned.json`` calls an asset.

    Args:
        descriptor: Of its release.
        layer: The asset; for one that stands for something else the key is ``NO_ASSET``.
    """
    repo = descriptor.repository
    other = descriptor.artifact_type != layout.RELEASE_TYPE or layer.media_type == layout.EMPTY_TYPE
    if repo is None or other:
        return NO_ASSET
    numbers = descriptor.number(layout.RELEASE_ID), layer.number(layout.ASSET_ID)
    return asset_key_of(repo, *numbers, layer.sha256)


def asset_key_of(repo: RepoRef, release: int, asset: int, sha256: str) -> str:
    """The same, by the source's ids and the SHA-256 (hexadecimal)."""
    return f"{repo.key}/{release}/{asset}/{sha256}"


def release_descriptor(repo: RepoRef, release: ReleaseDocument, manifest: bytes) -> Descriptor:
    """What the index says of a release."""
    notes = {
        layout.REF_NAME: reference(
            f"{repo}:{release.tag_name}", release.id, exact=not release.draft
        ),
        layout.REPOSITORY: str(repo),
        layout.RELEASE_ID: str(release.id),
    }
    return Descriptor.of(
        manifest, layout.MANIFEST_TYPE, artifact_type=layout.RELEASE_TYPE, annotations=notes
    )


def reference(name: str, number: int, *, exact: bool = True) -> str:
    """A name in the grammar of ``org.opencontainers.image.ref.name``, different for each number.

    Args:
        name: ``OWNER/REPO:TAG`` or ``OWNER/REPO``.
        number: The id of what is named: it is appended where the name alone would not do.
        exact: Nothing else has this name.
    """
    parts = name.split("/")
    if exact and "@" not in name and all(_REF_COMPONENT.fullmatch(part) for part in parts):
        return name
    plain = (_NOT_IN_REF.sub("-", part).strip("-") for part in parts)
    return f"{'/'.join(part for part in plain if part)}@{number}"


class TagDocument(Struct, frozen=True):
    """A tag of the source.

    Attributes:
        commit: Peeled.
        date: Of the commit.
    """

    commit: Commit
    date: datetime | None = None


class HistoryDocument(Struct, frozen=True):
    """What a tag of git points to: a commit, or a tag object and the commit behind it."""

    object: Commit
    commit: Commit


class RepositoryDocument(Struct, frozen=True):
    """What a mirror must know of a repository besides its releases.

    The fields that GitHub's REST API has too have its names.

    Attributes:
        full_name: What its source called it when this was written.
        source: The source's web address.
        latest: The id of the source's latest release, whether or not it is in the bundle.
        complete: The source's listing was read to its end, and all selected releases are here.
        tags: Those of the releases, as far as they are known.
        history: What each tag points to whose history is in the git bundles, the layers.
    """

    id: Count
    full_name: RepositoryName
    source: str
    html_url: str = ""
    description: str = ""
    default_branch: str = ""
    private: bool = False
    fork: bool = False
    archived: bool = False
    latest: Count | None = None
    complete: bool = False
    tags: dict[str, TagDocument] = field(default_factory=dict)
    history: dict[str, HistoryDocument] = field(default_factory=dict)

    def repository(self, ref: RepoRef) -> Repository:
        """The repository under its name in the bundle."""
        return Repository(
            ref=ref,
            id=self.id,
            private=self.private,
            archived=self.archived,
            fork=self.fork,
            default_branch=self.default_branch,
            html_url=self.html_url,
            description=self.description,
        )


def repository_descriptor(
    repo: RepoRef, document: RepositoryDocument, manifest: bytes
) -> Descriptor:
    """What the index says of a repository."""
    notes = {
        layout.REF_NAME: reference(str(repo), document.id),
        layout.REPOSITORY: str(repo),
        layout.REPOSITORY_ID: str(document.id),
        layout.REPOSITORY_FORK: _text(document.fork),
        layout.REPOSITORY_ARCHIVED: _text(document.archived),
    }
    return Descriptor.of(
        manifest, layout.MANIFEST_TYPE, artifact_type=layout.REPOSITORY_TYPE, annotations=notes
    )


def listed_repository(descriptor: Descriptor) -> Repository | None:
    """What the index alone says of a repository; ``None`` for a descriptor of anything else."""
    if descriptor.artifact_type != layout.REPOSITORY_TYPE or descriptor.repository is None:
        return None
    return Repository(
        ref=descriptor.repository,
        id=descriptor.number(layout.REPOSITORY_ID),
        fork=descriptor.annotations.get(layout.REPOSITORY_FORK) == "true",
        archived=descriptor.annotations.get(layout.REPOSITORY_ARCHIVED) == "true",
    )


def _text(value: bool) -> str:
    return "true" if value else "false"


def _utc(moment: datetime | None) -> datetime | None:
    """A date in UTC; one without a zone is in UTC already. Counting from it cannot overflow."""
    if moment is None:
        return None
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        moment = moment.replace(tzinfo=UTC)
    return min(moment, _LATEST)
