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

from mirror.core.domain.release import RepoRef
from mirror.core.json_types import Count, mismatch
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

Sha256 = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
MediaType = Annotated[str, Meta(min_length=3, max_length=255)]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_NUMBER = 2**63


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


def _moment(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, datetime).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
