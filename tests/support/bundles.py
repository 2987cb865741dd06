"""Bundles that are written without any host."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from mirror.bundle import documents, layout
from mirror.bundle.documents import AssetDocument, ReleaseDocument, RepositoryDocument
from mirror.bundle.layout import Descriptor, Manifest
from mirror.bundle.new_blobs import NewBlobs
from mirror.bundle.writable_directory import WritableDirectory
from mirror.core.domain.release import Asset, RepoRef
from mirror.storage.files import Files
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.bundle.signature import SigningKey

REPO = RepoRef.parse("mirrors/tool")


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same bytes every time


RELEASES: dict[str, dict[str, bytes]] = {
    "v1": {"a": noise(1, 100_000), "b": noise(2, 50_001), "empty": b""},
    "v2": {"large": noise(3, 700_003), "a again": noise(1, 100_000)},
    "v3": {"c": noise(4, 120_000)},
}


async def write(
    directory: Path, releases: Mapping[str, Mapping[str, bytes]], key: SigningKey | None = None
) -> WritableDirectory:
    """Write a bundle of one repository; its index is replaced if there is one."""
    bundle = WritableDirectory(directory, Files(), VirtualClock(), key)
    await bundle.begin("test")

    def store(content: bytes) -> None:
        with NewBlobs(bundle) as new:
            new.add_document(content)

    descriptors = []
    for number, (tag, files) in enumerate(releases.items(), 1):
        assets = []
        for place, (name, content) in enumerate(files.items()):
            store(content)
            digest = hashlib.sha256(content).hexdigest()
            assets.append(Asset(number * 100 + place, name, len(content), sha256=digest))
        document = ReleaseDocument(
            number, tag, draft=False, prerelease=False, assets=[AssetDocument.of(a) for a in assets]
        )
        config = layout.encode(document)
        store(config)
        described = Descriptor.of(config, layout.RELEASE_CONFIG_TYPE)
        manifest = Manifest.of(
            layout.RELEASE_TYPE, described, [documents.asset_layer(a) for a in assets]
        )
        store(layout.encode(manifest))
        descriptors.append(documents.release_descriptor(REPO, document, layout.encode(manifest)))
    about = RepositoryDocument(1, "octo/tool", "https://github.com", complete=True)
    store(layout.EMPTY)
    store(layout.encode(about))
    manifest = Manifest.of(
        layout.REPOSITORY_TYPE, Descriptor.of(layout.encode(about), layout.REPOSITORY_CONFIG_TYPE)
    )
    store(layout.encode(manifest))
    descriptors.append(documents.repository_descriptor(REPO, about, layout.encode(manifest)))
    await bundle.commit(REPO, descriptors)
    bundle.end("test")
    return bundle
