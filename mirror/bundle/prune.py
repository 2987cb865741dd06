"""Removes the blobs of a bundle that nothing refers to, and on request those that are mirrored."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mirror.bundle import layout, mirrored
from mirror.bundle.directory import on_disk, read_file
from mirror.bundle.references import blob_name
from mirror.errors import BundleError
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from mirror.bundle.directory import BundleDirectory
    from mirror.bundle.layout import Index
    from mirror.bundle.writable_directory import WritableDirectory

_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")
_HEX = re.compile(r"[0-9a-f]{64}")


class Pruned(NamedTuple):
    """What was removed: the number of blobs, and their bytes."""

    blobs: int
    size: int


async def prune(
    directory: WritableDirectory, reader: BundleDirectory, proven: AbstractSet[str] | None = None
) -> Pruned:
    """Remove what neither the index refers to, nor work that is not in it yet.

    Args:
        directory: The bundle, to lock.
        reader: The same, which verifies the index.
        proven: Assets that need no bytes any more (:func:`mirror.bundle.mirrored.proven`): bytes that
            nothing else has are removed, and that is recorded. ``None`` to leave the record as it is.

    Raises:
        BundleError: There is no bundle, another process writes to it, or a manifest is missing or
            damaged; then nothing was removed.
    """
    contents = await reader.contents()
    if contents is None:
        raise BundleError(f"there is no bundle in {reader.path}", kind="not-ready")
    await directory.begin("prune")
    try:
        contents = await reader.contents() or contents  # nobody changes it now
        return await unbroken(_prune, directory, contents.index, proven)
    finally:
        directory.end("prune")


def _prune(directory: WritableDirectory, index: Index, proven: AbstractSet[str] | None) -> Pruned:
    users = mirrored.users_of(directory, index)
    others = _of_others(directory, index) | _staged(directory)
    kept = users.keys() | others
    if proven is not None:
        kept = {sha256 for sha256, names in users.items() if not names <= proven} | others
        _record(directory, users, proven)
    count = size = 0
    blobs = directory.path / layout.BLOBS
    with on_disk(blobs):
        for path in blobs.iterdir():
            if _HEX.fullmatch(path.name) and path.name not in kept:
                size += path.lstat().st_size
                path.unlink()
                count += 1
    return Pruned(count, size)


def _record(
    directory: WritableDirectory, users: Mapping[str, set[str]], proven: AbstractSet[str]
) -> None:
    """Record what needs no bytes, before they are removed: a kill in between loses nothing."""
    assets = {name for names in users.values() for name in names if name in proven}
    assets |= mirrored.still_pruned(directory, users)
    if assets != mirrored.pruned_assets(directory.path):
        directory.save(layout.PRUNED_FILE, mirrored.encode(assets))


def _of_others(directory: BundleDirectory, index: Index) -> set[str]:
    """Whatever the descriptors that other tools put into the index may refer to."""
    kept: set[str] = set()
    found = [d.sha256 for d in index.manifests if d.repository is None]
    while found:
        sha256 = found.pop()
        if sha256 not in kept:
            kept.add(sha256)
            with suppress(BundleError):
                path = directory.path / blob_name(sha256)
                content = read_file(path, layout.LARGEST_DOCUMENT)
                if content.startswith(b"{"):
                    found += _digests(content)
    return kept


def _staged(directory: WritableDirectory) -> set[str]:
    """The assets of releases that are not in the index yet."""
    kept: set[str] = set()
    for path in (directory.staging / "releases").rglob("*.json"):
        kept.update(_digests(read_file(path, layout.LARGEST_DOCUMENT)))
    return kept


def _digests(content: bytes) -> Iterable[str]:
    return (found.decode() for found in _DIGEST.findall(content))
