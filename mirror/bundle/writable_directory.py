"""A bundle's directory that one process at a time writes to: blobs first, then the index, each crash-safely."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import uuid
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING

from mirror.bundle import layout
from mirror.bundle.directory import (
    BundleDirectory,
    Contents,
    on_disk,
    read_file,
    sha256_of,
)
from mirror.bundle.layout import Descriptor, Index
from mirror.errors import BundleError
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.signature import SigningKey
    from mirror.core.clock import Clock
    from mirror.core.domain.release import RepoRef
    from mirror.storage.files import Files

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class WritableDirectory(BundleDirectory):
    """A bundle that one process at a time writes to.

    Args:
        path: The directory.
        files: The operations on the disk.
        clock: The time, for the index.
        key: Signs the index; ``None`` for no signature.

    Attributes:
        files: The same.
        key: The same; it may be replaced.
        identity: The bundle's UUID, also where it has no index yet.
    """

    def __init__(
        self, path: Path, files: Files, clock: Clock, key: SigningKey | None = None
    ) -> None:
        super().__init__(path)
        self.key = key
        self.identity = self._read_identity()
        self.files = files
        self._clock = clock
        self._lock: int | None = None
        self._writing: set[object] = set()
        self._users = 0
        self._taking = threading.Lock()  # assets are stored in other threads, too
        self._committing = asyncio.Lock()
        self._pending: dict[str, tuple[Descriptor, ...]] = {}

    def _read_identity(self) -> str:
        """The bundle's UUID; a new one where there is no bundle yet, and none can be read. It blocks."""
        with suppress(BundleError):
            content = read_file(self.path / layout.INDEX_FILE, layout.LARGEST_INDEX)
            return layout.decode_index(content).identity
        with suppress(BundleError):
            content = read_file(self.path / layout.IDENTITY_FILE, 100)
            return str(uuid.UUID(content.decode(errors="replace")))
        return str(uuid.uuid4())

    @property
    def staging(self) -> Path:
        """Where work is kept that is not in the index yet."""
        return self.path / layout.STAGING

    async def begin(self, work: object) -> None:
        """Make the directory, and keep other processes from writing until all work has ended.

        Args:
            work: Passed to :meth:`end` afterwards.

        Raises:
            BundleError: Another process writes to it, or it cannot be made.
        """
        if self._lock is None:
            await unbroken(self._take)
        self._writing.add(work)

    def is_writing(self, work: object) -> bool:
        """Whether some work has begun and not ended."""
        return work in self._writing

    def end(self, work: object) -> None:
        """Some work is over; after the last one others may write."""
        self._writing.discard(work)
        if not self._writing:
            self._let_go()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Used by an app, perhaps beside the one that it takes over from; after the last one others may write."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._writing.clear()
                self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        with self._taking, on_disk(self.path):
            if self._lock is not None:
                return
            for part in (layout.BLOBS, layout.SIGNATURES, layout.STAGING):
                (self.path / part).mkdir(parents=True, exist_ok=True)
            lock = os.open(
                self.path / layout.LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
            )
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(lock, 20).decode(errors="replace").strip()
                os.close(lock)
                who = f" (process {holder})" if holder.isdigit() else ""
                raise BundleError(
                    f"another process writes to the bundle {self.path}{who}", kind="unavailable"
                ) from None
            try:
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
                for leftover in self.staging.glob("*.part"):  # of a run that was killed
                    leftover.unlink()
                if not self.is_marked():
                    self.save(layout.MARKER_FILE, layout.MARKER)
                if not self.files.exists(self.path / layout.INDEX_FILE):
                    self.save(layout.IDENTITY_FILE, self.identity.encode())
            except BaseException:
                os.close(lock)
                raise
            self._lock = lock

    def create(self) -> tuple[int, Path]:
        """Open a new file for bytes that become a blob. It blocks."""
        path = self.staging / f"{uuid.uuid4().hex}.part"
        with on_disk(path):
            return os.open(path, _NEW, 0o666), path

    def keep(self, descriptor: int, part: Path, sha256: str) -> None:
        """Make a blob of what was written to a file of :meth:`create`. It blocks.

        One that is there already is replaced: it may be damaged.
        """
        with on_disk(part):
            self.files.sync(descriptor)
            self.files.rename(part, self.path / layout.BLOBS / sha256)

    def keep_git_bundle(self, part: Path) -> Descriptor:
        """Make a blob of a file in the staging area; what describes it. It blocks."""
        sha256 = sha256_of(part)
        with on_disk(part):
            descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                self.keep(descriptor, part, sha256)
            finally:
                os.close(descriptor)
        return Descriptor(layout.GIT_BUNDLE_TYPE, f"sha256:{sha256}", size)

    async def commit(self, repo: RepoRef, descriptors: Sequence[Descriptor]) -> None:
        """Have the index say this of a repository; what others commit meanwhile goes along.

        Args:
            repo: The repository.
            descriptors: All of it: of the repository and of its releases.

        Raises:
            BundleError: The index could not be signed or written; the one before is in force.
        """
        self._pending[repo.key] = tuple(descriptors)
        async with self._committing:
            if repo.key not in self._pending:
                return  # somebody who waited before took it along
            batch, self._pending = self._pending, {}
            try:
                await self._replace(batch)
            except BaseException:
                others = {key: found for key, found in batch.items() if key != repo.key}
                self._pending = others | self._pending
                raise

    async def _replace(self, batch: Mapping[str, Sequence[Descriptor]]) -> None:
        now = await self.contents()
        fresh: dict[str, Sequence[Descriptor]] = {
            key: sorted(found, key=_order) for key, found in batch.items()
        }
        known = dict(now.repositories) if now else {}
        repositories = dict(sorted((known | fresh).items()))
        others = now.others if now else ()
        new = Index(
            now.index.identity if now else self.identity,
            now.index.sequence + 1 if now else 1,
            self._clock.now().replace(microsecond=0),
            now.digest if now else "",
            (*others, *chain.from_iterable(repositories.values())),
        )
        content = new.encode()
        digest = layout.digest_of(content)
        signature = await self.key.sign(content) if self.key else None
        async with self._reading:  # to read a large index again after each commit takes long
            await unbroken(self._install, content, digest, signature, new.predecessor)
            contents = Contents(new, digest, repositories=repositories, others=others)
            self._contents, self._seen = contents, self._facts()

    def _install(
        self, content: bytes, digest: str, signature: bytes | None, predecessor: str
    ) -> None:
        with on_disk(self.path):
            self.files.sync_directory(self.path / layout.BLOBS)
            if signature is not None:
                self.save(str(self.signature(digest).relative_to(self.path)), signature)
            self.save(layout.INDEX_FILE, content)
            (self.path / layout.IDENTITY_FILE).unlink(missing_ok=True)
            needed = {self.signature(digest), self.signature(predecessor or digest)}
            for old in (self.path / layout.SIGNATURES).glob("*.sig"):
                if old not in needed:  # somebody may be reading the predecessor
                    old.unlink()

    async def adopt(self, content: bytes, signature: bytes | None, predecessor: str) -> None:
        """Put an index in force that was written elsewhere; what it refers to is stored.

        Args:
            content: The index.
            signature: Its signature.
            predecessor: The digest of the index that is in force; empty where there is none.

        Raises:
            BundleError: It could not be written; the one before is in force.
        """
        digest = layout.digest_of(content)
        await unbroken(self._install, content, digest, signature, predecessor)

    def save(self, name: str, content: bytes) -> None:
        """Replace a file in one step; when this returns, it survives a power loss."""
        path, part = self.path / name, self.staging / f"{uuid.uuid4().hex}.part"
        with on_disk(path):
            descriptor = os.open(part, _NEW, 0o666)
            try:
                self.files.write(descriptor, content)
                self.files.sync(descriptor)
            finally:
                self.files.close(descriptor)
            self.files.rename(part, path)
            self.files.sync_directory(path.parent)


def _order(descriptor: Descriptor) -> tuple[int, int]:
    return descriptor.number(layout.RELEASE_ID), descriptor.number(layout.REPOSITORY_ID)
