"""Writes releases to a bundle, as to any other host; readers see a release when it is complete."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from mirror.bundle import layout
from mirror.bundle.directory import discard, on_disk, sha256_of
from mirror.bundle.documents import HistoryDocument
from mirror.bundle.reader import BlobReader, BundleReader
from mirror.bundle.staging import Staging, as_copy, stored_id
from mirror.core.domain.release import Repository
from mirror.core.host import Listing
from mirror.errors import BundleError, MirrorError, NotFound, ShortRead
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.directory import Contents
    from mirror.bundle.layout import Descriptor
    from mirror.bundle.signature import SigningKey
    from mirror.bundle.staging import StagedRelease
    from mirror.bundle.writable_directory import WritableDirectory
    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, Release, RepoRef
    from mirror.core.host import Received, RepositoryWriter
    from mirror.core.ledger.index import PageProof

log = structlog.get_logger()

WRITTEN_AT_ONCE = 1024**2
"""Bytes that are gathered before they are written: the hop to a thread costs as much as 64 KiB."""

SAVE_EVERY = 1.0
"""Minimum seconds between two saves of one release that is being put together."""


class BundleWriter(BundleReader):
    """A :class:`~mirror.core.host.ReleaseWriter`: a bundle as a target.

    It shows a pass what it wrote, in the index or not; only the source's ids are in the bundle.

    Args:
        name: The bundle's configured name.
        directory: The bundle.
        clock: The time.
    """

    def __init__(self, name: str, directory: WritableDirectory, clock: Clock) -> None:
        super().__init__(name, directory, clock)
        self.client.api_url = f"bundle:{directory.identity}"
        self.directory: WritableDirectory = directory
        self._clock = clock
        self._stagings: dict[str, Staging] = {}
        self._saved_at: dict[tuple[str, int], float] = {}
        self._good: dict[str, tuple[int, int, int]] = {}  # git bundles as they were when read
        self._changing = threading.Lock()  # assets arrive in other threads, too

    # --- reading: the staged state, which includes what is not in the index yet -------------------

    async def list_releases(self, repo: RepoRef, proofs: Sequence[PageProof] = ()) -> Listing:
        """List all releases, those that are not in the index yet included."""
        del proofs
        staging = await self._load(repo)
        return Listing(tuple(map(staging.shown, staging.releases.values())), ())

    async def release(self, repo: RepoRef, number: int) -> Release:
        """Read a release.

        Raises:
            NotFound: It is not there.
        """
        staging, release = await self._release(repo, number)
        return staging.shown(release)

    async def latest(self, repo: RepoRef) -> int | None:
        """Nothing here makes a release the latest: :meth:`receive` stores what the source says."""
        del repo
        return None

    async def asset(self, repo: RepoRef, number: int) -> Asset | None:
        """Read an asset; ``None`` if it does not exist."""
        staging = await self._staging(repo)
        releases = map(staging.shown, staging.releases.values())
        assets = (asset for release in releases for asset in release.assets)
        return next((asset for asset in assets if asset.id == number), None)

    async def repository(self, repo: RepoRef) -> Repository:
        """The repository; one that is not there yet is made by the first release."""
        about = (await self._load(repo)).about
        return Repository(repo, about.id if about else 0)

    async def tags(self, repo: RepoRef, names: Collection[str]) -> dict[str, str]:
        """Releases need no tags here."""
        del repo, names
        return {}

    def read_asset(
        self, repo: RepoRef, asset: Asset, *, etag: str = "", repeated: bool = False
    ) -> StoredBlob:
        """The bytes of an asset."""
        del etag, repeated  # bytes never change
        blobs = self.directory.path / layout.BLOBS
        return StoredBlob(self.client, blobs, asset, partial(self.asset, repo, asset.id))

    async def _known(self) -> Contents | None:
        return await self.directory.contents()

    async def _load(self, repo: RepoRef) -> Staging:
        """The releases as they are on disk; once this process writes them, as it has them."""
        if not (self.directory.is_writing(repo.key) and repo.key in self._stagings):
            contents = await self._known()
            descriptors = contents.repositories.get(repo.key, ()) if contents else ()
            loaded = await asyncio.to_thread(Staging.load, repo, self.directory, descriptors)
            self._stagings[repo.key] = loaded
        return self._stagings[repo.key]

    async def _staging(self, repo: RepoRef) -> Staging:
        return self._stagings.get(repo.key) or await self._load(repo)

    async def _release(self, repo: RepoRef, number: int) -> tuple[Staging, StagedRelease]:
        staging = await self._staging(repo)
        if number not in staging.releases:
            raise NotFound(f"{self.client.name}: {repo} has no release {number}")
        return staging, staging.releases[number]

    @property
    def key(self) -> SigningKey | None:
        """What signs the index; ``None`` for no signature."""
        return self.directory.key

    # --- writing -----------------------------------------------------------------------------------

    @property
    def repositories(self) -> RepositoryWriter:
        """Never asked for: the releases of a bundle need neither repositories nor tags."""
        raise AssertionError

    async def create_release(
        self, repo: RepoRef, fields: Mapping[str, object], marker: str
    ) -> Release:
        """Begin a release, which nobody sees yet."""
        await self.begin(repo)
        staging = await self._staging(repo)
        with self._changing:
            release = staging.create(fields, marker)
        await self._save(staging, release)
        return staging.shown(release)

    async def update_release(
        self, repo: RepoRef, number: int, fields: Mapping[str, object]
    ) -> Release:
        """Change a release."""
        await self.begin(repo)
        staging, release = await self._release(repo, number)
        with self._changing:
            staging.change(release, fields)
        await self._save(staging, release)
        return staging.shown(release)

    async def delete_release(self, repo: RepoRef, number: int) -> None:
        """Delete a release.

        Raises:
            NotFound: It did not exist.
        """
        await self.begin(repo)
        staging, release = await self._release(repo, number)
        with self._changing:
            staging.remove(release)

    async def update_asset(
        self, repo: RepoRef, number: int, *, name: str | None = None, label: str | None = None
    ) -> Asset:
        """Rename an asset, or change its label.

        Raises:
            NotFound: It does not exist.
        """
        await self.begin(repo)
        staging = await self._staging(repo)
        with self._changing:
            release, asset = self._asset(staging, number)
            release.assets[number] = msgspec.structs.replace(
                asset,
                name=asset.name if name is None else name,
                label=asset.label if label is None else label,
            )
            staging.touch(release)
        await self._save(staging, release)
        return next(asset for asset in staging.shown(release).assets if asset.id == number)

    async def delete_asset(self, repo: RepoRef, number: int) -> None:
        """Delete an asset.

        Raises:
            NotFound: It did not exist.
        """
        await self.begin(repo)
        staging = await self._staging(repo)
        with self._changing:
            release, _ = self._asset(staging, number)
            del release.assets[number]
            staging.touch(release)
        await self._save(staging, release)

    def _asset(self, staging: Staging, number: int) -> tuple[StagedRelease, Any]:
        found = staging.asset(number)
        if found is None:
            raise NotFound(f"{self.client.name}: {staging.repo} has no asset {number}")
        return found

    def write_asset(
        self,
        repo: RepoRef,
        release: Release,
        asset: Asset,
        name: str,
        label: str,
        *,
        repeated: bool = False,
    ) -> BlobWriter:
        """A place for a new asset; its label is the source's: no host changed its name."""
        del label, repeated
        named = replace(asset, id=stored_id(asset.id), name=name)
        return BlobWriter(self, repo, release.id, named)

    async def receive(self, repo: RepoRef, received: Received) -> None:
        """Have the index say what is complete now; unless it says so already.

        Raises:
            BundleError: The index could not be written; the one before is in force.
        """
        await self.begin(repo)
        staging = await self._staging(repo)
        contents = await self._known()
        now = contents.repositories.get(repo.key, ()) if contents else ()
        if list(now) != list(staging.descriptors):
            text = f"another process changed {repo} in the bundle meanwhile"
            raise BundleError(text, kind="not-ready")
        failed = await self._pack(staging, received)
        descriptors = await unbroken(staging.settle, received)
        if descriptors is not None:
            await self.directory.commit(repo, descriptors)
        await unbroken(staging.forget, received)
        del self._stagings[repo.key]
        self.directory.end(repo.key)
        for key in [key for key in self._saved_at if key[0] == repo.key]:
            del self._saved_at[key]

        if failed:
            raise failed

    async def _pack(self, staging: Staging, received: Received) -> MirrorError | None:
        """Store the history that is wanted and not stored yet; why that failed.

        Git bundles build on each other: if one is lost or damaged, all of the history is stored again.
        """
        if received.pack is None:
            return None
        good = await asyncio.to_thread(self._is_whole, staging.git_bundles)
        known = {tag: at.object if good else "" for tag, at in staging.history.items()}
        descriptor, part = await unbroken(self.directory.create)
        os.close(descriptor)
        part.unlink()
        try:
            fresh = await received.pack(known, part)
            packed: list[Descriptor] = []
            if await asyncio.to_thread(part.exists):
                packed = [await unbroken(self.directory.keep_git_bundle, part)]
        except MirrorError as error:
            return error
        finally:
            discard(part)
        before = (staging.history, staging.git_bundles) if good else ({}, [])
        staging.history = before[0] | {tag: HistoryDocument(*at) for tag, at in fresh.items()}
        staging.git_bundles = [*before[1], *packed]
        return None

    def _is_whole(self, git_bundles: Sequence[Descriptor]) -> bool:
        """Whether all of the history is there. Each git bundle is read once, until it changes. It blocks."""
        for descriptor in git_bundles:
            path = self.directory.place(descriptor)
            try:
                facts = path.stat(follow_symlinks=False)
                seen = facts.st_ino, facts.st_size, facts.st_mtime_ns
                if self._good.get(descriptor.digest) == seen:
                    continue
                good = sha256_of(path) == descriptor.sha256
            except (OSError, BundleError):
                good = False
            if not good:
                log.warning("bundle.damaged", path=str(path), error="git history lost or damaged")
                return False
            self._good[descriptor.digest] = seen
        return True

    # --- also from other threads ---------------------------------------------------------------------

    async def begin(self, repo: RepoRef) -> WritableDirectory:
        """The directory, for this process alone until :meth:`receive` ends the repository's turn.

        Raises:
            BundleError: Another process writes to it, or it cannot be made.
        """
        await self.directory.begin(repo.key)
        return self.directory

    async def arrived(self, repo: RepoRef, release: int, asset: Asset) -> Asset:
        """Add an asset whose bytes are stored; as it is in the release now.

        Raises:
            NotFound: The release is gone.
        """
        staging = self._stagings[repo.key]
        with self._changing:
            if release not in staging.releases:
                raise NotFound(f"{self.client.name}: {repo} has no release {release}")
            staged = staging.releases[release]
            number = staging.add(staged, asset)
        await self._save(staging, staged, every=SAVE_EVERY)
        return as_copy(asset, number)

    async def _save(self, staging: Staging, release: StagedRelease, *, every: float = 0.0) -> None:
        """Keep a release for the next run, if the last time is so many seconds ago."""
        key, now = (staging.repo.key, release.copy), self._clock.monotonic()
        if now - self._saved_at.get(key, float("-inf")) < every:
            return
        self._saved_at[key] = now
        with self._changing:
            content = msgspec.json.encode(release)
        await unbroken(staging.save, release, content)


class StoredBlob(BlobReader):
    """The bytes of an asset that a bundle stores as a target: they come back from the source."""

    _mended_by = "lost-bytes"

    def _absent(self) -> MirrorError:
        text = f"the bundle has lost the bytes of {self._asset.name}"
        return BundleError(text, hint="lost-bytes")


class BlobWriter:
    """A place for one new asset, a :class:`~mirror.core.host.AssetWriter`.

    Args:
        writer: Of the bundle.
        repo: The repository.
        release: The writer's id of the release.
        asset: Under its name, with the id of the source's. Its SHA-256, where the source tells it,
            is believed: whoever sends the bytes compares them with it before the last ones come.
    """

    def __init__(self, writer: BundleWriter, repo: RepoRef, release: int, asset: Asset) -> None:
        self.client: Any = writer.client
        self._writer = writer
        self._repo = repo
        self._release = release
        self._asset = asset

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> Asset:
        """Store all chunks, ``size`` bytes in all; the asset as the bundle has it.

        Raises:
            BundleError: The disk cannot take it.
        """
        directory = await self._writer.begin(self._repo)
        descriptor, part = await unbroken(directory.create)
        try:
            sha256 = await self._write(descriptor, part, chunks, size)
            await unbroken(directory.keep, descriptor, part, sha256)
        finally:
            os.close(descriptor)
            discard(part)
        asset = replace(self._asset, size=size, sha256=sha256)
        return await self._writer.arrived(self._repo, self._release, asset)

    async def _write(
        self, descriptor: int, part: Path, chunks: AsyncIterator[bytes], size: int
    ) -> str:
        digest = None if self._asset.sha256 else hashlib.sha256()
        gathered: list[bytes] = []
        waiting = written = 0

        def flush() -> None:
            for chunk in gathered:
                if digest:
                    digest.update(chunk)
            with on_disk(part):
                content = memoryview(b"".join(gathered))
                while content:
                    content = content[os.write(descriptor, content) :]
            gathered.clear()

        async for chunk in chunks:
            gathered.append(chunk)
            waiting += len(chunk)
            if waiting >= WRITTEN_AT_ONCE:
                written += waiting
                waiting = 0
                await unbroken(flush)
        written += waiting
        await unbroken(flush)
        if written != size:
            raise ShortRead(f"{written} of {size} bytes of {self._asset.name} came")
        return digest.hexdigest() if digest else str(self._asset.sha256)
