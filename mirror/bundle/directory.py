"""A bundle's directory: reads its index and blobs, and replaces the index crash-safely."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import stat
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mirror.bundle import layout
from mirror.bundle.layout import Descriptor, Index, Manifest
from mirror.errors import BundleError
from mirror.storage.threads import unbroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.signature import AllowedSigners, SigningKey
    from mirror.core.clock import Clock
    from mirror.core.domain.release import RepoRef
    from mirror.storage.files import Files

T = TypeVar("T", bound=msgspec.Struct)

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Contents:
    """An index as it was read.

    Attributes:
        index: What it says.
        digest: Of its bytes; empty where the bundle has none yet.
        signer: Who signed it; empty where that was not checked.
        repositories: Its descriptors by the keys of their repositories.
        others: Those that other programs put there.
    """

    index: Index
    digest: str = ""
    signer: str = ""
    repositories: Mapping[str, Sequence[Descriptor]] = field(default_factory=dict)
    others: Sequence[Descriptor] = ()

    @classmethod
    def of(cls, index: Index, digest: str, signer: str) -> Contents:
        """Sort an index by repository."""
        found: dict[str, list[Descriptor]] = {}
        others: list[Descriptor] = []
        for descriptor in index.manifests:
            repo = descriptor.repository
            place = others if repo is None else found.setdefault(repo.key, [])
            place.append(descriptor)
        return cls(index, digest, signer, found, others)


class BundleDirectory:
    """A bundle on a disk; nothing is created before something is written.

    Args:
        path: The directory.
        allowed_signers: Verifies the index before anything else is read; ``None`` to believe it.
    """

    def __init__(self, path: Path, allowed_signers: AllowedSigners | None = None) -> None:
        self.path = path
        self._allowed_signers = allowed_signers
        self._contents: Contents | None = None
        self._seen: tuple[int, int, int] | None = None
        self._reading = asyncio.Lock()

    def place(self, descriptor: Descriptor) -> Path:
        """Where a blob is, if it is there."""
        return self.path / layout.BLOBS / descriptor.sha256

    def size_of(self, sha256: str | None) -> int | None:
        """The bytes of a blob; ``None`` if it is not there, or is not a file. It blocks."""
        with suppress(OSError):
            facts = (self.path / layout.BLOBS / str(sha256)).stat(follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                return facts.st_size
        return None

    def is_marked(self) -> bool:
        """Whether other programs can see that it is an OCI image layout. It blocks."""
        with suppress(BundleError):
            content = read_file(self.path / layout.MARKER_FILE, layout.LARGEST_MARKER)
            layout.decode(content, layout.Marker, layout.MARKER_FILE)
            return True
        return False

    async def contents(self) -> Contents | None:
        """The index as it is now, read again only if its file changed; ``None`` if there is none.

        Raises:
            BundleError: It cannot be read, is not that of a bundle, or is not signed as it has to be.
        """
        async with self._reading:
            try:
                now = self._facts()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise _unusable(self.path, error) from error
            if self._contents is None or now != self._seen:
                self._contents, self._seen = None, None
                self._contents = await self._read()
                self._seen = now
            return self._contents

    def _facts(self) -> tuple[int, int, int]:
        """What differs once the index was replaced."""
        facts = (self.path / layout.INDEX_FILE).stat(follow_symlinks=False)
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    async def _read(self) -> Contents:
        path = self.path / layout.INDEX_FILE
        content = await asyncio.to_thread(read_file, path, layout.LARGEST_INDEX)
        digest = layout.digest_of(content)
        signer = ""
        if self._allowed_signers:
            signer = await self._allowed_signers.verify(content, self.signature(digest))
        return Contents.of(await asyncio.to_thread(layout.decode_index, content), digest, signer)

    def signature(self, digest: str) -> Path:
        """Where the signature of the index with this digest is."""
        return self.path / layout.SIGNATURES / f"{digest.partition(':')[2]}.sig"

    def manifest(self, descriptor: Descriptor) -> Manifest:
        """Read a manifest. It blocks.

        Raises:
            BundleError: It is missing, damaged, or no manifest.
        """
        return self.document(descriptor, Manifest, "a manifest")

    def document(self, descriptor: Descriptor, shape: type[T], what: str) -> T:
        """Read a blob that is a document. It blocks.

        Args:
            descriptor: Which.
            shape: Its declaration.
            what: What it is, for the error.

        Raises:
            BundleError: It is missing or damaged, or does not match its declaration.
        """
        path = self.place(descriptor)
        if descriptor.size > layout.LARGEST_DOCUMENT:
            raise BundleError(
                f"{what} of the bundle is too large ({descriptor.size} bytes): {path}"
            )
        content = read_file(path, descriptor.size)
        if layout.digest_of(content) != descriptor.digest:
            raise BundleError(f"{what} of the bundle is damaged: {path}")
        return layout.decode(content, shape, what)


class WritableDirectory(BundleDirectory):
    """A bundle that one process at a time writes to.

    Args:
        path: The directory.
        files: The operations on the disk.
        clock: The time, for the index.
        key: Signs the index; ``None`` for no signature.

    Attributes:
        key: The same; it may be replaced.
        identity: The bundle's UUID, also where it has no index yet.
    """

    def __init__(
        self, path: Path, files: Files, clock: Clock, key: SigningKey | None = None
    ) -> None:
        super().__init__(path)
        self.key = key
        self.identity = self._read_identity()
        self._files = files
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
                if not self._files.exists(self.path / layout.INDEX_FILE):
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
            self._files.sync(descriptor)
            self._files.rename(part, self.path / layout.BLOBS / sha256)

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

    def store(self, content: bytes) -> None:
        """Store a document as a blob, unless it is there. It blocks."""
        digest = layout.digest_of(content).partition(":")[2]
        with suppress(BundleError):
            if read_file(self.path / layout.BLOBS / digest, len(content)) == content:
                return
        descriptor, part = self.create()
        try:
            with on_disk(part):
                self._files.write(descriptor, content)
            self.keep(descriptor, part, digest)
        finally:
            self._files.close(descriptor)

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
            self._files.sync_directory(self.path / layout.BLOBS)
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
                self._files.write(descriptor, content)
                self._files.sync(descriptor)
            finally:
                self._files.close(descriptor)
            self._files.rename(part, path)
            self._files.sync_directory(path.parent)


def _order(descriptor: Descriptor) -> tuple[int, int]:
    return descriptor.number(layout.RELEASE_ID), descriptor.number(layout.REPOSITORY_ID)


def open_file(path: Path) -> int:
    """Open a file of a bundle, which others may have filled with anything; links are not followed.

    Raises:
        FileNotFoundError: It is not there.
        BundleError: It is not a file, or cannot be read.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise BundleError(f"{path} cannot be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a file")
    return descriptor


def read_file(path: Path, most: int) -> bytes:
    """All bytes of a small file of a bundle.

    Raises:
        BundleError: It is missing, larger than ``most`` bytes, not a file, or cannot be read.
    """
    try:
        descriptor = open_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is missing") from None
    with os.fdopen(descriptor, "rb") as file, on_disk(path):
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{path} has more than {most} bytes")
    return content


def sha256_of(path: Path, moved: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a blob's bytes, hexadecimal. It blocks.

    Raises:
        FileNotFoundError: It is not there.
        BundleError: It is not a file, or cannot be read.
    """
    digest = hashlib.sha256()
    with os.fdopen(open_file(path), "rb", buffering=0) as file, on_disk(path):
        while chunk := file.read(1024**2):
            digest.update(chunk)
            moved(len(chunk))
    return digest.hexdigest()


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one of the bundle."""
    try:
        yield
    except OSError as error:
        raise _unusable(path, error) from error


def discard(part: Path) -> None:
    """Remove a temporary file, if it is there; a disk that cannot do that has failed before."""
    with suppress(OSError):
        part.unlink()


def _unusable(path: Path, error: OSError) -> BundleError:
    place, reason = error.filename or path, error.strerror or error
    if error.errno == errno.EFBIG:
        reason = "the file system cannot hold a file of this size (FAT: less than 4 GiB)"
    return BundleError(f"{place}: {reason}", kind="disk")
