"""Reads releases from a bundle, as from any other host."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from mirror.bundle import documents, layout
from mirror.bundle.bundle_client import BundleClient
from mirror.bundle.directory import on_disk, open_file, sha256_of
from mirror.bundle.documents import ReleaseDocument, RepositoryDocument
from mirror.core.domain.release import ABSENT
from mirror.core.host import Listing, OwnerListing
from mirror.core.ledger.index import PageProof
from mirror.errors import BundleError, HostStopped, NotFound, Unmirrorable, Waiting
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from mirror.bundle.directory import BundleDirectory, Contents
    from mirror.bundle.layout import Descriptor
    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, Release, RepoRef, Repository
    from mirror.core.domain.source_archives import SourceArchive
    from mirror.errors import Hint, MirrorError

CHUNK = 1024**2
"""Bytes that are read from a blob at a time."""

KEPT = 16
"""Repositories whose releases are kept in memory: a session asks for the parts of one again."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a bundle holds of one repository.

    Attributes:
        proof: Of its descriptors: the same proof, the same contents.
        releases: With the assets that the bundle has, by their ids.
        git_bundles: The history of its tags, in the order in which they are needed.
    """

    proof: PageProof
    about: RepositoryDocument
    releases: Mapping[int, Release]
    git_bundles: Sequence[Descriptor] = ()


class BundleReader:
    """A :class:`~mirror.core.host.ReleaseReader`.

    Args:
        name: The bundle's configured name.
        directory: The bundle.
        clock: The time.

    Attributes:
        directory: The same.
    """

    def __init__(self, name: str, directory: BundleDirectory, clock: Clock) -> None:
        self.client = BundleClient(name, f"bundle:{directory.path}", clock, self.contents)
        self.directory = directory
        self._held: dict[str, Held] = {}
        self._verified: set[str] = set()  # digests of git bundles
        self._looking = asyncio.Lock()  # each problem is logged once

    async def list_releases(self, repo: RepoRef, proofs: Sequence[PageProof] = ()) -> Listing:
        """List all releases; an unchanged repository costs one read of the index."""
        descriptors = await self._descriptors(repo)
        proof = _proof(repo.key, descriptors)
        if tuple(proofs) == (proof,):
            return Listing((), (proof,), unchanged=True)
        held = await self._read(repo)
        return Listing(tuple(held.releases.values()), (proof,), complete=held.about.complete)

    async def release(self, repo: RepoRef, number: int) -> Release:
        """Read a release.

        Raises:
            NotFound: It is not there.
        """
        found = (await self._read(repo)).releases.get(number)
        if found is None:
            raise NotFound(f"{self.client.name}: {repo} has no release {number}")
        return found

    async def latest(self, repo: RepoRef) -> int | None:
        """The id of the source's latest release, whether or not the bundle has it."""
        return (await self._read(repo)).about.latest

    async def assets(self, repo: RepoRef, release: int) -> tuple[Asset, ...]:
        """The assets of a release that the bundle has."""
        return (await self.release(repo, release)).assets

    async def asset(self, repo: RepoRef, number: int) -> Asset | None:
        """Read an asset; ``None`` if it does not exist."""
        releases = (await self._read(repo)).releases.values()
        return next((a for release in releases for a in release.assets if a.id == number), None)

    async def repository(self, repo: RepoRef) -> Repository:
        """The repository as its source described it, under its name in the bundle.

        Raises:
            NotFound: It is not in the bundle.
        """
        return (await self._read(repo)).about.repository(repo)

    async def owner_repositories(
        self, owner: str, proofs: Sequence[PageProof] = ()
    ) -> OwnerListing:
        """The repositories of an owner that are in the bundle.

        Raises:
            NotFound: None is.
        """
        prefix = f"{owner.casefold()}/"
        repositories = (await self.contents()).repositories
        found = [d for key, ds in repositories.items() if key.startswith(prefix) for d in ds]
        found = [d for d in found if d.artifact_type == layout.REPOSITORY_TYPE]
        if not found:
            text = f"{self.client.name}: the bundle has no repository of {owner}"
            raise NotFound(text, host=self.client.name, kind="not-ready", hint="bundle-name")
        proof = _proof(prefix, found)
        if tuple(proofs) == (proof,):
            return OwnerListing((), (proof,), unchanged=True)
        listed = (documents.listed_repository(descriptor) for descriptor in found)
        return OwnerListing(tuple(item for item in listed if item), (proof,))

    async def tags(self, repo: RepoRef, names: Collection[str]) -> dict[str, str]:
        """The commits of tags at the source."""
        tags = (await self._read(repo)).about.tags
        return {name: tags[name].commit for name in names if name in tags}

    async def history(self, repo: RepoRef) -> tuple[Mapping[str, tuple[str, str]], Sequence[Path]]:
        """What tags point to whose history is here, with the commit behind; and the git bundles.

        Raises:
            Waiting: The bytes of one are not there yet.
            BundleError: One is damaged.
        """
        held = await self._read(repo)
        for descriptor in held.git_bundles:
            if descriptor.digest in self._verified:
                continue
            try:
                found = await asyncio.to_thread(sha256_of, self.directory.place(descriptor))
            except FileNotFoundError:
                text = f"the bundle does not hold the git history of {repo} yet"
                raise Waiting("not-ready", text, hint="absent-bytes") from None
            if found != descriptor.sha256:
                text = f"the git history of {repo} in the bundle is damaged"
                raise BundleError(text, hint="damaged-bytes")
            self._verified.add(descriptor.digest)
        tags = {tag: (at.object, at.commit) for tag, at in held.about.history.items()}
        return tags, [self.directory.place(descriptor) for descriptor in held.git_bundles]

    def read_asset(
        self, repo: RepoRef, asset: Asset, *, etag: str = "", repeated: bool = False
    ) -> BlobReader:
        """The bytes of an asset."""
        del etag, repeated  # bytes never change
        blobs = self.directory.path / layout.BLOBS
        return BlobReader(self.client, blobs, asset, partial(self.asset, repo, asset.id))

    def read_archive(
        self, repo: RepoRef, archive: SourceArchive, *, repeated: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A bundle makes no archives.

        Raises:
            Unmirrorable: Always.
        """
        del repeated
        raise Unmirrorable(
            "policy",
            f"the bundle has no {archive.form} of {repo} {archive.tag}: set assets.source_archives"
            " where the bundle is written, not where it is read",
        )

    # ---------------------------------------------------------------------------------------------

    async def contents(self) -> Contents:
        """The index.

        Raises:
            BundleError: It is missing or refused.
            HostStopped: That was said before in this pass.
        """
        async with self._looking:
            if stopped := self.client.stopped:
                text = f"{self.client.name} is not read: {stopped}"
                raise HostStopped(text, host=self.client.name, kind=stopped.kind)
            try:
                return await self.directory.contents() or self._missing()
            except BundleError as error:
                self.client.stopped = error
                raise

    def _missing(self) -> NoReturn:
        text = f"there is no bundle in {self.directory.path}"
        raise BundleError(text, kind="not-ready", hint="bundle-path")

    async def _descriptors(self, repo: RepoRef) -> Sequence[Descriptor]:
        found = (await self.contents()).repositories.get(repo.key)
        if not found:
            text = f"{self.client.name}: {repo} is not in the bundle"
            raise NotFound(text, host=self.client.name, kind="not-ready", hint="bundle-name")
        return found

    async def _read(self, repo: RepoRef) -> Held:
        descriptors = await self._descriptors(repo)
        proof = _proof(repo.key, descriptors)
        held = self._held.pop(repo.key, None)
        if held is None or held.proof != proof:
            held = await asyncio.to_thread(read_repository, self.directory, descriptors, proof)
        self._held[repo.key] = held
        if len(self._held) > KEPT:
            self._held.pop(next(iter(self._held)))
        return held


def read_repository(
    directory: BundleDirectory, descriptors: Sequence[Descriptor], proof: PageProof
) -> Held:
    """Read the documents of a repository. It blocks.

    Raises:
        BundleError: One of them is missing or damaged.
    """
    about: RepositoryDocument | None = None
    releases: dict[int, Release] = {}
    git_bundles: list[Descriptor] = []
    for descriptor in descriptors:
        if descriptor.artifact_type == layout.REPOSITORY_TYPE:
            manifest = directory.manifest(descriptor)
            about = directory.document(
                manifest.config, RepositoryDocument, "a repository's document"
            )
            git_bundles = manifest.contents
        elif descriptor.artifact_type == layout.RELEASE_TYPE:
            manifest = directory.manifest(descriptor)
            told = directory.document(manifest.config, ReleaseDocument, "a release's document")
            release = told.release(manifest.contents)
            assets = tuple(_at_hand(directory, asset) for asset in release.assets)
            releases[told.id] = replace(release, assets=assets)
    if about is None:
        raise BundleError(f"the bundle does not describe the repository {proof.url}")
    return Held(proof, about, releases, git_bundles)


def _at_hand(directory: BundleDirectory, asset: Asset) -> Asset:
    """The asset; ``absent`` if its bytes are not there (all of them)."""
    whole = directory.size_of(asset.sha256) == asset.size
    return asset if whole else replace(asset, state=ABSENT)


def _proof(name: str, descriptors: Sequence[Descriptor]) -> PageProof:
    text = "\n".join(sorted(descriptor.digest for descriptor in descriptors))
    return PageProof(name, f'"{hashlib.sha256(text.encode()).hexdigest()}"', "", len(descriptors))


class BlobReader:
    """The bytes of an asset, a :class:`~mirror.core.host.AssetReader`; they are verified by others.

    It is a :class:`~mirror.core.stream.LocalSource`, too.

    Args:
        client: Of the bundle.
        blobs: Where the blobs are.
        asset: Whose bytes they are.
        look_up: Reads the asset again, where its SHA-256 is not known.
    """

    etag = ""
    _mended_by: Hint = "damaged-bytes"

    def __init__(
        self,
        client: BundleClient,
        blobs: Path,
        asset: Asset,
        look_up: Callable[[], Awaitable[Asset | None]],
    ) -> None:
        self.client: Any = client
        self._blobs = blobs
        self._asset = asset
        self._look_up = look_up

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._asset.size

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from ``offset`` to the end.

        Raises (on entry and while iterating):
            Waiting: The blob is not there: not unpacked yet, or pruned.
            BundleError: It has another size, is no file, or cannot be read.
        """
        return self._open(offset)

    async def locate(self) -> bool:
        """Nothing has to be found out."""
        return False

    def damaged(self, found: str) -> MirrorError:
        """What is wrong where the bytes have this SHA-256."""
        return self._wrong(f"SHA-256 {found}", self._blobs / str(self._asset.sha256))

    def _wrong(self, how: str, path: Path) -> BundleError:
        text = f"the bytes of {self._asset.name} in the bundle are damaged: {path} has {how}"
        return BundleError(text, hint=self._mended_by)

    def _absent(self) -> MirrorError:
        text = f"the bundle does not hold the bytes of {self._asset.name} yet"
        return Waiting("not-ready", text, hint="absent-bytes")

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncGenerator[AsyncIterator[bytes], None]:
        found = self._asset if self._asset.sha256 else await self._look_up()
        path = self._blobs / str(found.sha256 if found else None)
        try:
            descriptor = await asyncio.to_thread(open_file, path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._absent() from None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            if size != self.size:
                raise self._wrong(f"{size} instead of {self.size} bytes", path)
            file.seek(offset)

            async def chunks() -> AsyncIterator[bytes]:
                with on_disk(path):
                    while chunk := await unbroken(file.read, CHUNK):
                        yield chunk

            yield chunks()
