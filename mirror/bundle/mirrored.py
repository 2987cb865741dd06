"""Which bytes of a bundle nobody needs any more: the ledger proved that they are at the target.

``pruned.json`` in the bundle lists those assets. It is no part of what is signed or carried: it says
what this copy of the bundle can do without. It lists assets rather than blobs, so that a new asset
with the bytes of a pruned one is carried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mirror.bundle import documents, layout
from mirror.bundle.directory import read_file
from mirror.bundle.references import own, size_of
from mirror.core.domain.release import RepoRef
from mirror.core.json_types import WholeNumber
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from mirror.bundle.directory import BundleDirectory
    from mirror.bundle.layout import Index
    from mirror.core.ledger.document import Ledger


class _PrunedDocument(Struct, frozen=True):
    """``pruned.json``.

    Attributes:
        format: Version of the bundle's format.
        assets: ``OWNER/REPO/RELEASE/ASSET/SHA256`` of each, with the source's ids, sorted.
    """

    format: WholeNumber
    assets: list[str]


def proven(ledgers: Iterable[Ledger | None]) -> frozenset[str]:
    """The assets of one repository whose bytes every one of its mirrors has at the target.

    Args:
        ledgers: A document for each mirror of the repository; ``None`` where there is none.
    """
    found = [_proven(ledger) if ledger else frozenset() for ledger in ledgers]
    return frozenset.intersection(*found) if found else frozenset()


def _proven(ledger: Ledger) -> frozenset[str]:
    repo = RepoRef.parse(ledger.source.partition(":")[2])
    return frozenset(
        documents.asset_key_of(repo, release.source_id, asset.source_id, asset.sha256)
        for release in ledger.releases.values()
        if release.published
        for asset in release.assets.values()
        if asset.proof == "bytes" and asset.sha256
    )


def pruned_assets(path: Path) -> frozenset[str]:
    """The assets of a bundle whose bytes may be gone, as they were recorded. It blocks.

    Args:
        path: The bundle's directory.

    Raises:
        BundleError: The record cannot be read.
    """
    file = path / layout.PRUNED_FILE
    if not file.is_symlink() and not file.exists():
        return frozenset()
    content = read_file(file, layout.LARGEST_INDEX)
    return frozenset(layout.decode(content, _PrunedDocument, layout.PRUNED_FILE).assets)


def encode(assets: Collection[str]) -> bytes:
    """``pruned.json`` that lists these assets."""
    return layout.encode(_PrunedDocument(layout.VERSION, sorted(assets))) + b"\n"


def unneeded(directory: BundleDirectory, index: Index) -> frozenset[str]:
    """The SHA-256 of the blobs that need not be there: every asset with these bytes is recorded. It blocks.

    Raises:
        BundleError: The record cannot be read.
    """
    assets = pruned_assets(directory.path)
    if not assets:
        return frozenset()
    users = users_of(directory, index, damaged=True)
    return frozenset(sha256 for sha256, names in users.items() if names <= assets)


def still_pruned(directory: BundleDirectory, users: Mapping[str, Collection[str]]) -> set[str]:
    """The assets that were recorded before, if they are in the index and their bytes are gone. It blocks.

    Args:
        directory: The bundle.
        users: Of each blob.

    Raises:
        BundleError: The record cannot be read.
    """
    before = pruned_assets(directory.path)
    gone = (s for s in users if size_of(directory.path / layout.BLOBS / s) < 0)
    return {name for sha256 in gone for name in users[sha256] if name in before}


def users_of(
    directory: BundleDirectory, index: Index, *, damaged: bool = False
) -> dict[str, set[str]]:
    """The assets that have the bytes of each blob; whatever else needs it has no name. It blocks.

    Args:
        directory: The bundle.
        index: Its index.
        damaged: Leave out what a missing or damaged manifest refers to.

    Raises:
        BundleError: A manifest is missing or damaged.
    """
    users: dict[str, set[str]] = {}
    for descriptor in own(index):
        users.setdefault(descriptor.sha256, set()).add(documents.NO_ASSET)
        try:
            manifest = directory.manifest(descriptor)
        except BundleError:
            if damaged:
                continue
            raise
        users.setdefault(manifest.config.sha256, set()).add(documents.NO_ASSET)
        for layer in manifest.layers:
            users.setdefault(layer.sha256, set()).add(documents.asset_key(descriptor, layer))
    return users
