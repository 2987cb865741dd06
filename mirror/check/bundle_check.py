"""Look at a bundle: can it be read, who signed it, is anything missing; can it be written and signed."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

from mirror.bundle import documents, layout, mirrored
from mirror.bundle.reader import BundleReader
from mirror.bundle.writer import BundleWriter
from mirror.check.check_results import CheckResult, failure
from mirror.core.domain.release import ABSENT
from mirror.core.text.wording import count, size
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mirror.bundle.directory import Contents
    from mirror.check.check_results import State
    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import Asset, Release
    from mirror.sync.context import Endpoint


def is_bundle(side: Endpoint) -> bool:
    """Whether a host is a bundle, which is not asked what a server is asked."""
    return isinstance(side.store, BundleReader)


class BundleCheck:
    """Looks at a bundle; nothing is written to it.

    Args:
        side: The bundle.
    """

    def __init__(self, side: Endpoint) -> None:
        assert isinstance(side.store, BundleReader)  # noqa: S101 - see is_bundle
        self._name = side.name
        self._store = side.store

    async def run(self) -> list[CheckResult]:
        """Everything that the index says; of the target also whether it can be written."""
        try:
            if isinstance(self._store, BundleWriter):
                contents = await self._store.directory.contents()
            else:
                contents = await self._store.contents()
        except MirrorError as error:
            return [failure(self._name, "index", error)]
        results = [self._index(contents)]
        if isinstance(self._store, BundleWriter):
            return [*results, await self._writable(), await self._key(self._store)]
        return [*results, self._signature(contents.signer if contents else "")]

    def _result(self, what: str, status: State, detail: str) -> CheckResult:
        return CheckResult(self._name, what, status, detail)

    def _index(self, contents: Contents | None) -> CheckResult:
        path = self._store.directory.path
        if contents is None:
            return self._result("index", "ok", f"{path} has none yet; the first sync creates it")
        index = contents.index
        releases = sum(d.artifact_type == layout.RELEASE_TYPE for d in index.manifests)
        repositories = count(len(contents.repositories), "repository", "repositories")
        return self._result(
            "index",
            "ok",
            f"number {index.sequence} of {index.created_at:%Y-%m-%d %H:%M} UTC:"
            f" {count(releases, 'release')} of {repositories}",
        )

    def _signature(self, signer: str) -> CheckResult:
        if signer:
            return self._result("signature", "ok", f"signed by {signer}")
        return self._result("signature", "warning", "not checked; set allowed_signers")

    async def _writable(self) -> CheckResult:
        path = self._store.directory.path
        place = await asyncio.to_thread(_nearest, path)
        if not os.access(place, os.W_OK | os.X_OK):
            return self._result("directory", "failed", f"{place} cannot be written")
        free = size(shutil.disk_usage(place).free)
        return self._result("directory", "ok", f"{path}; {free} free")

    async def _key(self, store: BundleWriter) -> CheckResult:
        if store.key is None:
            text = "none: those who read the bundle cannot tell who wrote it; set sign_with"
            return self._result("signing key", "warning", text)
        try:
            await store.key.sign(b"release-mirror check")
        except MirrorError as error:
            return failure(self._name, "signing key", error)
        return self._result("signing key", "ok", "signs")

    async def sources(self, mirrors: Sequence[Mirror]) -> list[CheckResult]:
        """Whether the bundle has what the mirrors want, as far as it was brought.

        Args:
            mirrors: Those whose source it is.
        """
        results, good, absent = [], 0, 0
        pruned: frozenset[str] = frozenset()
        try:
            pruned = await asyncio.to_thread(mirrored.pruned_assets, self._store.directory.path)
        except MirrorError as error:
            results.append(failure(self._name, "assets", error))
        for mirror in mirrors:
            try:
                listing = await self._store.list_releases(mirror.source)
            except MirrorError as error:
                results.append(failure(self._name, str(mirror.source), error))
                continue
            good += 1
            absent += sum(
                asset.state == ABSENT and _key(mirror, release, asset) not in pruned
                for release in listing.releases
                for asset in release.assets
            )
        if good:
            detail = f"readable in {count(good, 'repository', 'repositories')}"
            results.append(self._result("releases", "ok", detail))
        if absent:
            detail = f"the bytes of {count(absent, 'asset')} are not there: not unpacked yet"
            results.append(self._result("assets", "warning", detail))
        return results


def _key(mirror: Mirror, release: Release, asset: Asset) -> str:
    return documents.asset_key_of(mirror.source, release.id, asset.id, str(asset.sha256))


def _nearest(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())
