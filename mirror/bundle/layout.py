"""The documents of a bundle, an OCI image layout: their names, media types, annotations and JSON.

::

    DIR/oci-layout             what kind of directory this is
    DIR/index.json             one descriptor per release and per repository
    DIR/blobs/sha256/DIGEST    manifests, their configs, and the bytes of assets
    DIR/signatures/DIGEST.sig  the signature of the index with this SHA-256
    DIR/staging/               what is not in the index yet; nobody else reads it
    DIR/pruned.json            assets whose bytes this copy of the bundle can do without

Everything but ``index.json`` is immutable, and named by its SHA-256. This module holds no I/O:
``docs/reference/bundle.md`` is its specification, for other implementations.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md, ``manifest.md``,
``image-index.md`` and ``annotations.md`` beside it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from mirror.core.domain.release import UPLOADED, Asset, Release, RepoRef, Repository
from mirror.core.json_types import Count, RepositoryName, WholeNumber, mismatch
from mirror.core.text.timestamps import iso
from mirror.errors import BundleError, BundleTooNew

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T", bound=Struct)

VERSION = 1
"""Version of the format that this program writes; it reads this one and earlier ones."""

MARKER_FILE = "oci-layout"
INDEX_FILE = "index.json"
BLOBS = "blobs/sha256"
SIGNATURES = "signatures"
STAGING = "staging"
LOCK_FILE = "staging/lock"
IDENTITY_FILE = "staging/identity"
PRUNED_FILE = "pruned.json"

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of ``oci-layout``."""

LARGEST_INDEX = 256 * 2**20
LARGEST_DOCUMENT = 32 * 2**20
"""Bytes of the largest manifest or config that is read; 1000 assets and a text need far less."""

LARGEST_SIGNATURE = 64 * 2**10
LARGEST_MARKER = 4 * 2**10

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
RELEASE_TYPE = "application/vnd.release-mirror.release.v1"
REPOSITORY_TYPE = "application/vnd.release-mirror.repository.v1"
RELEASE_CONFIG_TYPE = f"{RELEASE_TYPE}+json"
REPOSITORY_CONFIG_TYPE = f"{REPOSITORY_TYPE}+json"
GIT_BUNDLE_TYPE = "application/vnd.release-mirror.git-bundle.v1"
BYTES_TYPE = "application/octet-stream"

EMPTY = b"{}"
"""The one layer of a manifest that has nothing to hold: an OCI manifest has at least one."""

REF_NAME = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"
FORMAT = "vnd.release-mirror.bundle.format"
IDENTITY = "vnd.release-mirror.bundle.id"
SEQUENCE = "vnd.release-mirror.bundle.sequence"
PREDECESSOR = "vnd.release-mirror.bundle.predecessor"
REPOSITORY = "vnd.release-mirror.repository"
REPOSITORY_ID = "vnd.release-mirror.repository.id"
REPOSITORY_FORK = "vnd.release-mirror.repository.fork"
REPOSITORY_ARCHIVED = "vnd.release-mirror.repository.archived"
RELEASE_ID = "vnd.release-mirror.release.id"
RELEASE_COPY = "vnd.release-mirror.release.copy"
RELEASE_MARKER = "vnd.release-mirror.release.marker"
ASSET_ID = "vnd.release-mirror.asset.id"
ASSET_COPY = "vnd.release-mirror.asset.copy"

FIRST_ARCHIVE = 2**52
"""Source archives have no id at their source; here they have one above all others."""

Sha256 = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
MediaType = Annotated[str, Meta(min_length=3, max_length=255)]
Commit = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")]

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII)
_REF_COMPONENT = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*")
_NOT_IN_REF = re.compile(r"[^A-Za-z0-9]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_NUMBER = 2**63
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def digest_of(content: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# --- OCI documents --------------------------------------------------------------------------------


class Marker(Struct, frozen=True, rename="camel"):
    """``oci-layout``."""

    image_layout_version: Literal["1.0.0"]


class Descriptor(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Refers to a blob: what it is, its digest, its size in bytes."""

    media_type: MediaType
    digest: Sha256
    size: Count
    artifact_type: str | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: bytes, media_type: str, **facts: dict[str, str] | str) -> Descriptor:
        """Describe a blob by its content."""
        return cls(media_type, digest_of(content), len(content), **facts)  # type: ignore[arg-type]

    @property
    def sha256(self) -> str:
        """The digest in hexadecimal, which is the name of its file."""
        return self.digest.partition(":")[2]

    @property
    def repository(self) -> RepoRef | None:
        """The repository that it belongs to; ``None`` for a descriptor that is not ours."""
        text = self.annotations.get(REPOSITORY, "")
        return RepoRef.parse(text) if RepoRef.possible(text) else None

    def number(self, annotation: str) -> int:
        """A whole number in an annotation; 0 where there is none."""
        return number_of(self.annotations, annotation)


class Manifest(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A release or a repository, as an OCI artifact."""

    schema_version: Literal[2]
    media_type: Literal["application/vnd.oci.image.manifest.v1+json"]
    artifact_type: str
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        artifact_type: str,
        config: Descriptor,
        layers: Iterable[Descriptor] = (),
        annotations: Mapping[str, str] | None = None,
    ) -> Manifest:
        """A manifest; without layers it gets the empty one."""
        found = list(layers) or [Descriptor.of(EMPTY, EMPTY_TYPE)]
        notes = dict(annotations or {})
        return cls(2, MANIFEST_TYPE, artifact_type, config, found, notes)  # type: ignore[arg-type]

    @property
    def contents(self) -> list[Descriptor]:
        """The layers that stand for something."""
        return [layer for layer in self.layers if layer.media_type != EMPTY_TYPE]


class _OciIndex(Struct, frozen=True, rename="camel"):
    schema_version: Literal[2]
    media_type: Literal["application/vnd.oci.image.index.v1+json"]
    manifests: list[Descriptor]
    annotations: dict[str, str]


class _Annotated(Struct, frozen=True):
    annotations: dict[str, str]


class Index(Struct, frozen=True):
    """A bundle's table of contents.

    Attributes:
        identity: The bundle's UUID, which stays for its whole life.
        sequence: 1 for the first index, and one more for each that replaces it; 0 for none yet.
        created_at: When it was written (UTC).
        predecessor: The digest of the index before; empty for the first.
        manifests: One of each release and each repository, and what others put there.
    """

    identity: str
    sequence: int = 0
    created_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    predecessor: str = ""
    manifests: tuple[Descriptor, ...] = ()

    def encode(self) -> bytes:
        """``index.json``; :func:`decode_index` gives an equal value."""
        annotations = {
            FORMAT: str(VERSION),
            IDENTITY: self.identity,
            SEQUENCE: str(self.sequence),
            CREATED: iso(self.created_at),
        }
        if self.predecessor:
            annotations[PREDECESSOR] = self.predecessor
        document = _OciIndex(2, INDEX_TYPE, list(self.manifests), annotations)  # type: ignore[arg-type]
        return msgspec.json.encode(document, order="deterministic")


def decode_index(content: bytes) -> Index:
    """Read ``index.json``.

    Raises:
        BundleTooNew: A later version of this program wrote it.
        BundleError: It is not the index of a bundle.
    """
    notes = decode(content, _Annotated, INDEX_FILE).annotations
    version = _number(notes.get(FORMAT, ""))
    if version > VERSION:
        raise BundleTooNew(
            f"the bundle was written by a later release-mirror (format {version}, this one knows"
            f" {VERSION}): upgrade release-mirror"
        )
    document = decode(content, _OciIndex, INDEX_FILE)
    sequence, identity = _number(notes.get(SEQUENCE, "")), notes.get(IDENTITY, "")
    predecessor, created_at = notes.get(PREDECESSOR, ""), _moment(notes.get(CREATED, ""))
    good = version and sequence and _UUID.fullmatch(identity) and created_at
    if not good or not re.fullmatch(r"(sha256:[0-9a-f]{64})?", predecessor) or created_at is None:
        raise BundleError(f"{INDEX_FILE} is an OCI index, but not that of a bundle")
    return Index(identity, sequence, created_at, predecessor, tuple(document.manifests))


# --- releases -------------------------------------------------------------------------------------


class _Author(Struct, frozen=True):
    login: str


class AssetDocument(Struct, frozen=True, omit_defaults=True):
    """An asset in the JSON of GitHub's REST API."""

    id: WholeNumber
    name: str
    size: Count
    state: str = UPLOADED
    content_type: str = BYTES_TYPE
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
    number, name = layer.number(ASSET_ID), layer.annotations.get(TITLE, "")
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
    kind = asset.content_type if _MEDIA_TYPE.fullmatch(asset.content_type) else BYTES_TYPE
    notes = {TITLE: asset.name, ASSET_ID: str(asset.id)}
    if copy not in {None, asset.id}:
        notes[ASSET_COPY] = str(copy)
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
    other = descriptor.artifact_type != RELEASE_TYPE or layer.media_type == EMPTY_TYPE
    if repo is None or other:
        return NO_ASSET
    numbers = descriptor.number(RELEASE_ID), layer.number(ASSET_ID)
    return asset_key_of(repo, *numbers, layer.sha256)


def asset_key_of(repo: RepoRef, release: int, asset: int, sha256: str) -> str:
    """The same, by the source's ids and the SHA-256 (hexadecimal)."""
    return f"{repo.key}/{release}/{asset}/{sha256}"


def release_descriptor(repo: RepoRef, release: ReleaseDocument, manifest: bytes) -> Descriptor:
    """What the index says of a release."""
    notes = {
        REF_NAME: reference(f"{repo}:{release.tag_name}", release.id, exact=not release.draft),
        REPOSITORY: str(repo),
        RELEASE_ID: str(release.id),
    }
    return Descriptor.of(manifest, MANIFEST_TYPE, artifact_type=RELEASE_TYPE, annotations=notes)


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


# --- repositories ---------------------------------------------------------------------------------


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
        REF_NAME: reference(str(repo), document.id),
        REPOSITORY: str(repo),
        REPOSITORY_ID: str(document.id),
        REPOSITORY_FORK: _text(document.fork),
        REPOSITORY_ARCHIVED: _text(document.archived),
    }
    return Descriptor.of(manifest, MANIFEST_TYPE, artifact_type=REPOSITORY_TYPE, annotations=notes)


def listed_repository(descriptor: Descriptor) -> Repository | None:
    """What the index alone says of a repository; ``None`` for a descriptor of anything else."""
    if descriptor.artifact_type != REPOSITORY_TYPE or descriptor.repository is None:
        return None
    return Repository(
        ref=descriptor.repository,
        id=descriptor.number(REPOSITORY_ID),
        fork=descriptor.annotations.get(REPOSITORY_FORK) == "true",
        archived=descriptor.annotations.get(REPOSITORY_ARCHIVED) == "true",
    )


# --------------------------------------------------------------------------------------------------


def encode(document: Struct) -> bytes:
    """Write a document; equal documents have equal bytes."""
    return msgspec.json.encode(document, order="deterministic")


def decode(content: bytes, shape: type[T], what: str) -> T:
    """Read a document; unknown fields are ignored.

    Args:
        content: Its bytes.
        shape: Its declaration.
        what: Its name, for the error.

    Raises:
        BundleError: It is not JSON, or does not match; the path in the document is named.
    """
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        raise BundleError(f"{what} of the bundle: {mismatch(error)}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} of the bundle is not JSON: {error}") from error


def number_of(annotations: Mapping[str, str], name: str) -> int:
    """A whole number in an annotation; 0 where there is none."""
    return _number(annotations.get(name, ""))


def _number(text: str) -> int:
    plain = text.isascii() and text.isdigit() and len(text) < 20
    number = int(text) if plain else 0
    return number if number < _LARGEST_NUMBER else 0


def _text(value: bool) -> str:
    return "true" if value else "false"


def _moment(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, datetime).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _utc(moment: datetime | None) -> datetime | None:
    """A date in UTC; one without a zone is in UTC already. Counting from it cannot overflow."""
    if moment is None:
        return None
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        moment = moment.replace(tzinfo=UTC)
    return min(moment, _LATEST)
