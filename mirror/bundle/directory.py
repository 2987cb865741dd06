"""A bundle's directory: reads its index and its blobs."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mirror.bundle import layout
from mirror.bundle.layout import Descriptor, Index, Manifest
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.signature import AllowedSigners

T = TypeVar("T", bound=msgspec.Struct)

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


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
