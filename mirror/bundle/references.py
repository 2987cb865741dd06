"""What an index refers to, and what of it is not there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.bundle import documents, layout
from mirror.bundle.directory import open_file
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from mirror.bundle.directory import BundleDirectory
    from mirror.bundle.layout import Descriptor, Index, Manifest


@dataclass(frozen=True, slots=True)
class References:
    """What an index refers to, by SHA-256, with the number of bytes.

    Attributes:
        manifests: Those of release-mirror.
        configs: Theirs, and the empty layer.
        blobs: Bytes of assets and git bundles, in the order in which they are referred to.
    """

    manifests: dict[str, int] = field(default_factory=dict)
    configs: dict[str, int] = field(default_factory=dict)
    blobs: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, index: Index, read: Callable[[Descriptor], Manifest]) -> References:
        """Follow an index.

        Args:
            index: Which.
            read: Reads a manifest.
        """
        found = cls({d.sha256: d.size for d in own(index)})
        for descriptor in own(index):
            found.follow(read(descriptor))
        return found

    def follow(self, manifest: Manifest) -> None:
        """Add what a manifest refers to."""
        self.configs[manifest.config.sha256] = manifest.config.size
        for layer in manifest.layers:
            place = self.configs if layer.media_type == layout.EMPTY_TYPE else self.blobs
            place.setdefault(layer.sha256, layer.size)

    @property
    def documents(self) -> dict[str, int]:
        """Manifests, then configs."""
        return self.manifests | self.configs


def own(index: Index) -> Iterator[Descriptor]:
    """The descriptors of an index that are release-mirror's; other tools may have added theirs."""
    return (descriptor for descriptor in index.manifests if descriptor.repository)


def blob_name(sha256: str) -> str:
    """Where a blob is, in a bundle and in a volume."""
    return f"{layout.BLOBS}/{sha256}"


def absent(
    directory: BundleDirectory, index: Index, pruned: Collection[str] = ()
) -> dict[str, list[tuple[str, str]]]:
    """The assets whose bytes a bundle does not hold (all of), with their SHA-256, by release. It blocks.

    Args:
        directory: The bundle.
        index: Its index.
        pruned: Keys of assets that need no bytes.

    Raises:
        BundleError: A manifest is missing or damaged.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for descriptor in own(index):
        for layer in directory.manifest(descriptor).contents:
            if documents.asset_key(descriptor, layer) in pruned:
                continue
            if size_of(directory.place(layer)) != layer.size:
                release = descriptor.annotations.get(layout.REF_NAME, str(descriptor.repository))
                title = layer.annotations.get(layout.TITLE, "git history")
                found.setdefault(release, []).append((title, layer.sha256))
    return found


def size_of(path: Path) -> int:
    """Bytes of a blob; -1 where there is none. It blocks."""
    try:
        with os.fdopen(open_file(path), "rb") as file:
            return os.fstat(file.fileno()).st_size
    except (OSError, BundleError):
        return -1
