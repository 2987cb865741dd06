"""Volumes: tar files that carry a bundle, each of which explains itself.

::

    volume.json               which volume of which index this is
    oci-layout, index.json, signatures/HEX.sig
    blobs/sha256/HEX          all manifests and configs, then bytes of assets
    pieces/sha256/HEX/OFFSET  a part of a blob that is larger than a volume
    SHA256SUMS                of everything above, as sha256sum reads it

``docs/reference/bundle.md`` specifies them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from mirror.bundle import layout, tar
from mirror.bundle.directory import open_file
from mirror.bundle.layout import Sha256
from mirror.core.json_types import Count, WholeNumber
from mirror.errors import BundleTooNew, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.bundle.layout import Index

VOLUME_FILE = "volume.json"
SUMS_FILE = "SHA256SUMS"
PIECES = "pieces/sha256"

CHUNK = 2**20
"""Bytes that are copied at a time."""


class VolumeDocument(Struct, frozen=True):
    """``volume.json``.

    Attributes:
        format: Version of the bundle's format.
        identity: The bundle's UUID.
        sequence: Of its index.
        index: The index's digest.
        number, count: This is volume ``number`` of ``count``.
        signed: Whether the index's signature follows it.
        documents: Number of blobs that are manifests or configs.
        starts: The blob (hexadecimal) that each volume starts with, and the offset in it; the
            order of blobs is that in which the index refers to them.
    """

    format: WholeNumber
    identity: str
    sequence: WholeNumber
    index: Sha256
    number: WholeNumber
    count: WholeNumber
    signed: bool
    documents: Count
    starts: list[tuple[str, Count]]


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a volume: what it says of itself, its index, and the signature of that."""

    path: Path
    about: VolumeDocument
    content: bytes
    index: Index
    signature: bytes | None


def read_head(path: Path) -> Head:
    """Read the beginning of a volume. It blocks.

    Raises:
        BundleError: It is damaged, or no volume.
    """
    with open_volume(path) as reader:
        return read_head_of(reader, path)


@contextmanager
def open_volume(path: Path) -> Iterator[tar.TarReader]:
    """Open a volume, which may be a link, but has to be a file. It blocks."""
    try:
        descriptor = open_file(path.resolve())
    except FileNotFoundError:
        raise VolumeError(f"{path} does not exist", kind="not-ready") from None
    with os.fdopen(descriptor, "rb") as file:
        yield tar.TarReader(file, path)


def read_head_of(reader: tar.TarReader, path: Path) -> Head:
    """Read the beginning of a volume from its reader, which is then before the documents.

    Raises:
        BundleError: It is damaged, or no volume.
    """
    try:
        first = _member(reader, path, VOLUME_FILE)
    except VolumeError as error:
        raise VolumeError(f"{error}; {path} is no volume, or its beginning is damaged") from None
    about = layout.decode(first, VolumeDocument, f"{VOLUME_FILE} in {path}")
    if about.format > layout.VERSION:
        raise BundleTooNew(
            f"{path} was written by a later release-mirror (format {about.format}, this one knows"
            f" {layout.VERSION}): upgrade release-mirror"
        )
    if not 1 <= about.number <= about.count == len(about.starts):
        raise VolumeError(f"{path}: {VOLUME_FILE} contradicts itself")
    _member(reader, path, layout.MARKER_FILE)
    content = _member(reader, path, layout.INDEX_FILE)
    if layout.digest_of(content) != about.index:
        raise VolumeError(f"{path}: its index is damaged")
    index = layout.decode_index(content)
    if (index.identity, index.sequence) != (about.identity, about.sequence):
        raise VolumeError(f"{path}: {VOLUME_FILE} contradicts the index")
    signature = None
    if about.signed:
        name = f"{layout.SIGNATURES}/{about.index.partition(':')[2]}.sig"
        signature = _member(reader, path, name, layout.LARGEST_SIGNATURE)
    return Head(path, about, content, index, signature)


def _member(
    reader: tar.TarReader, path: Path, name: str, largest: int = layout.LARGEST_INDEX
) -> bytes:
    entry = reader.next()
    if entry is None or entry.name != name:
        raise VolumeError(f"{path} is not a volume of a bundle")
    if entry.size > largest:
        raise VolumeError(f"{path}: {name} is too large ({entry.size} bytes)")
    return reader.read(entry.size)
