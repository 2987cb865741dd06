"""Unpacks volumes into a bundle: any of them, in any order, again after a kill or with repaired ones.

A blob is there once all of it is stored and its digest is that of the signed index. Pieces of a blob
are kept in ``staging/pieces`` until all have come. One bad volume does not stop the others.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.bundle import layout
from mirror.bundle.directory import BundleDirectory, read_file, sha256_of
from mirror.bundle.layout import Manifest
from mirror.bundle.mirrored import pruned_assets
from mirror.bundle.new_blobs import NewBlobs
from mirror.bundle.pieces import Pieces
from mirror.bundle.references import References, absent, blob_name, own, size_of
from mirror.bundle.volumes import CHUNK, PIECES, SUMS_FILE, open_volume, read_head, read_head_of
from mirror.errors import BundleError, MirrorError, VolumeError, truncate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.directory import Contents
    from mirror.bundle.signature import AllowedSigners
    from mirror.bundle.tar import Entry, TarReader
    from mirror.bundle.volumes import Head
    from mirror.bundle.writable_directory import WritableDirectory
    from mirror.storage.files import Files

_BLOB = re.compile(rf"{layout.BLOBS}/([0-9a-f]{{64}})")
_PIECE = re.compile(rf"{PIECES}/([0-9a-f]{{64}})/(\d{{1,19}})", re.ASCII)


@dataclass(slots=True)
class Unpacked:
    """What came of some volumes.

    Attributes:
        identity, sequence: Of the bundle, as it is now; 0 where there is none.
        problems: What is wrong with a volume; one can have several.
        notes: What is worth saying and no failure.
        absent: Names of assets whose bytes are not there, by release.
        volumes: Numbers of the volumes that may hold them.
        count: Number of volumes of the newest index; 0 if none of its volumes was given.
        stored: Blobs that were stored.
    """

    identity: str = ""
    sequence: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    volumes: Sequence[int] = ()
    count: int = 0
    stored: int = 0

    @property
    def complete(self) -> bool:
        """Nothing was wrong, and nothing is missing."""
        return not (self.problems or self.absent)


class Unpacker:
    """Unpacks volumes into a bundle.

    Args:
        directory: The bundle.
        signers: Who may sign its index; ``None`` to believe it.
        files: The operations on the disk.
        moved: Called with the number of bytes, whenever some of a volume were read.
    """

    def __init__(
        self,
        directory: WritableDirectory,
        signers: AllowedSigners | None,
        files: Files,
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._signers = signers
        self._files = files
        self._moved = moved
        self._result = Unpacked()
        self._new = NewBlobs(directory)
        self._pieces = Pieces(directory, files)

    async def unpack(self, paths: Sequence[Path]) -> Unpacked:
        """Unpack volumes. Only problems of the bundle itself are errors.

        Raises:
            BundleError: Another process writes to the bundle, or the disk cannot take it.
        """
        heads = await self._heads(paths)
        if not heads:
            await self._tell_what_is_there()
            return self._result
        if not await self._is_known():
            self._directory.identity = heads[0].index.identity
        await self._directory.begin(self)
        try:
            current = await self._current()
            for head in heads:
                current = await self._take(head, current)
            self._finish(heads, current)
        finally:
            self._directory.end(self)
        return self._result

    async def _tell_what_is_there(self) -> None:
        with suppress(BundleError):
            if there := await BundleDirectory(self._directory.path, self._signers).contents():
                self._result.identity = there.index.identity
                self._result.sequence = there.index.sequence

    async def _is_known(self) -> bool:
        """Whether the directory says which bundle it is, and may be believed."""
        path = self._directory.path
        with suppress(BundleError):
            if await BundleDirectory(path, self._signers).contents():
                return True
        return self._files.exists(path / layout.IDENTITY_FILE)

    async def _heads(self, paths: Sequence[Path]) -> list[Head]:
        """The beginnings of the volumes whose index may be believed, older indexes first."""
        heads: list[Head] = []
        verified: set[str] = set()
        for path in dict.fromkeys(paths):
            try:
                head = read_head(path)
                if self._signers and head.about.index not in verified:
                    await self._verify(head, self._signers)
                verified.add(head.about.index)
                heads.append(head)
            except BundleError as error:
                self._problem(path, error)
        return sorted(heads, key=lambda h: (h.index.sequence, h.about.index, h.about.number))

    async def _verify(self, head: Head, signers: AllowedSigners) -> None:
        try:
            await signers.verify_content(head.content, head.signature)
        except BundleError as error:
            text = f"{head.path}: {error}"
            raise VolumeError(text, kind=error.kind, hint=error.hint) from None

    async def _current(self) -> Contents | None:
        """The index that is there; a damaged one counts as none, so that it is replaced."""
        path = self._directory.path
        try:
            return await BundleDirectory(path, self._signers).contents()
        except BundleError as error:
            if error.kind == "policy":  # a later format, or ssh-keygen is not installed
                raise
            self._result.notes.append(f"the index of {path} was of no use ({error})")
            return None

    async def _take(self, head: Head, current: Contents | None) -> Contents | None:
        """Unpack a volume; the index that is in force then."""
        if refusal := self._refusal(head, current):
            self._problem(head.path, refusal)
            return current
        if current and head.index.sequence < current.index.sequence:
            self._result.notes.append(
                f"{head.path} changes nothing: it has sequence {head.index.sequence}, and"
                f" {self._directory.path} has {current.index.sequence}"
            )
            return current
        try:
            with open_volume(head.path) as reader:
                read_head_of(reader, head.path)
                with self._new:
                    references = self._documents(reader, head)
                complete = self._have_documents(head, references)
                if complete and (current is None or head.about.index != current.digest):
                    digest = current.digest if current else ""
                    await self._directory.adopt(head.content, head.signature, digest)
                    current = await BundleDirectory(self._directory.path).contents()
                self._blobs(reader, head, references)
        except BundleError as error:
            if error.kind == "disk":
                raise
            self._problem(head.path, error)
        return current

    def _refusal(self, head: Head, current: Contents | None) -> VolumeError | None:
        """Why a volume does not belong to the bundle, if so."""
        there = current.index.identity if current else self._directory.identity
        if head.index.identity != there:
            return VolumeError(
                f"{head.path} is of another bundle ({head.index.identity}), not of the one in"
                f" {self._directory.path}"
            )
        same = current and head.index.sequence == current.index.sequence
        if same and current and head.about.index != current.digest:
            return VolumeError(
                f"{head.path} is refused: it has sequence {head.index.sequence}, as"
                f" {self._directory.path} has, but another index"
            )
        return None

    def _problem(self, path: Path, error: MirrorError) -> None:
        named = isinstance(error, VolumeError)
        self._result.problems.append(str(error) if named else f"{path}: {error}")

    # --- documents --------------------------------------------------------------------------------

    def _documents(self, reader: TarReader, head: Head) -> References:
        """Store the documents of a volume; what the index refers to, as far as they and those here say."""
        wanted = References({d.sha256: d.size for d in own(head.index)})
        wanted.configs[layout.digest_of(layout.EMPTY).partition(":")[2]] = len(layout.EMPTY)
        for descriptor in own(head.index):
            with suppress(BundleError):
                wanted.follow(self._directory.manifest(descriptor))
        known = set(wanted.manifests)
        for _ in range(head.about.documents):
            sha256, size = self._expected(reader.next(), head, wanted.documents)
            if size > layout.LARGEST_DOCUMENT:
                raise VolumeError(f"{head.path}: a document is too large ({size} bytes)")
            content = reader.read(size)
            self._moved(size)
            if reader.digests[blob_name(sha256)] != sha256:
                self._result.problems.append(f"{head.path}: the document {sha256} is damaged")
                continue
            self._new.add_document(content)
            if sha256 in known:
                with suppress(BundleError):
                    wanted.follow(layout.decode(content, Manifest, "a manifest"))
        return wanted

    def _expected(
        self, entry: Entry | None, head: Head, wanted: Mapping[str, int]
    ) -> tuple[str, int]:
        found = _BLOB.fullmatch(entry.name) if entry else None
        if entry is None or found is None or wanted.get(found[1]) != entry.size:
            what = f"{entry.name!r} of {entry.size} bytes" if entry else "the end"
            raise VolumeError(f"{head.path} holds {what} where the index expects a document")
        return found[1], entry.size

    def _have_documents(self, head: Head, wanted: References) -> bool:
        lost = 0
        for sha256, size in wanted.documents.items():
            try:
                content = read_file(self._directory.path / blob_name(sha256), size)
                lost += hashlib.sha256(content).hexdigest() != sha256
            except BundleError:
                lost += 1
        empty = layout.digest_of(layout.EMPTY).partition(":")[2]
        if lost and not self._files.exists(self._directory.path / blob_name(empty)):
            with self._new:
                self._new.add_document(layout.EMPTY)
            lost -= 1
        if lost:
            self._result.problems.append(
                f"{head.path}: {lost} documents of index {head.index.sequence} are neither in it nor in"
                f" {self._directory.path}; unpack the volumes it builds on first, or pack without --since"
            )
        return not lost

    # --- bytes ------------------------------------------------------------------------------------

    def _blobs(self, reader: TarReader, head: Head, references: References) -> None:
        """Store the bytes of a volume, and keep its pieces."""
        with self._new:
            pieces = self._new_pieces(reader, head, references.blobs)
        for sha256, offset, size in pieces:
            self._pieces.record(sha256, offset, size)
        for sha256, good in self._pieces.join(references.blobs):
            self._result.stored += good
            if not good:
                self._result.problems.append(
                    f"{head.path}: the pieces of {sha256} do not make it; unpack all its volumes again"
                )

    def _new_pieces(
        self, reader: TarReader, head: Head, wanted: Mapping[str, int]
    ) -> list[tuple[str, int, int]]:
        """Store the blobs of a volume; the pieces that are new: SHA-256, offset, size."""
        sums: dict[str, str] | None = None
        pieces: list[tuple[str, str, int, int]] = []
        skipped: set[str] = set()
        while entry := reader.next():
            if sums is not None or entry.name == SUMS_FILE:
                sums = self._sums(reader, head, entry)
                continue
            piece = _PIECE.fullmatch(entry.name)
            blob = _BLOB.fullmatch(entry.name)
            offset = int(piece[2]) if piece else 0
            sha256 = piece[1] if piece else blob[1] if blob else ""
            size = wanted.get(sha256, -1)
            if offset + entry.size > size or (blob and entry.size != size):
                raise VolumeError(
                    f"{head.path} holds {truncate(entry.name, 200)!r} of {entry.size} bytes, which"
                    " its index does not refer to"
                )
            if self._is_good(sha256, size) or self._pieces.has(sha256, offset, entry.size):
                skipped.add(entry.name)
                self._moved(entry.size)
            elif blob:
                self._store(reader, head, sha256)
            else:
                self._pieces.write(sha256, offset, self._chunks(reader))
                pieces.append((entry.name, sha256, offset, entry.size))
        if sums is None:
            raise VolumeError(f"{head.path} has no {SUMS_FILE}")
        wrong = {name for name, digest in reader.digests.items() if sums.get(name) != digest}
        wrong |= sums.keys() - reader.digests.keys() - skipped
        for name in sorted(wrong - {SUMS_FILE}):
            self._result.problems.append(
                f"{head.path}: {truncate(name, 200)} and {SUMS_FILE} contradict each other"
            )
        return [(sha256, at, size) for name, sha256, at, size in pieces if name not in wrong]

    def _sums(self, reader: TarReader, head: Head, entry: Entry) -> dict[str, str]:
        """What ``SHA256SUMS`` says, which is the last file of a volume."""
        if entry.name != SUMS_FILE or SUMS_FILE in reader.digests:
            raise VolumeError(f"{head.path} does not end with {SUMS_FILE}")
        if entry.size > layout.LARGEST_INDEX:
            raise VolumeError(f"{head.path}: {SUMS_FILE} is too large ({entry.size} bytes)")
        lines = reader.read(entry.size).decode("ascii", "replace").splitlines()
        parts = (line.partition("  ") for line in lines)
        return {name: digest for digest, _, name in parts}

    def _is_good(self, sha256: str, size: int) -> bool:
        path = self._directory.path / blob_name(sha256)
        if size_of(path) != size:
            return False
        with suppress(BundleError, FileNotFoundError):
            return sha256_of(path) == sha256
        return False

    def _store(self, reader: TarReader, head: Head, sha256: str) -> None:
        descriptor, part = self._new.write(self._chunks(reader))
        if reader.digests[blob_name(sha256)] == sha256:
            self._new.add(descriptor, part, sha256)
            self._result.stored += 1
        else:
            self._new.drop(descriptor, part)
            self._result.problems.append(f"{head.path}: {blob_name(sha256)} is damaged")

    def _chunks(self, reader: TarReader) -> Iterator[bytes]:
        """The bytes of the current file."""
        while chunk := reader.read(CHUNK):
            yield chunk
            self._moved(len(chunk))

    # ---------------------------------------------------------------------------------------------

    def _finish(self, heads: Sequence[Head], current: Contents | None) -> None:
        """See what is missing, and drop the pieces that nobody waits for."""
        self._files.sync_directory(self._directory.path / layout.BLOBS)
        result = self._result
        if current is None:
            return
        index = current.index
        result.identity, result.sequence = index.identity, index.sequence
        missing = absent(self._directory, index)
        lost = {sha256 for found in missing.values() for _, sha256 in found}
        waiting = absent(self._directory, index, pruned_assets(self._directory.path))
        result.absent = {release: [name for name, _ in found] for release, found in waiting.items()}
        wanted = {sha256 for found in waiting.values() for _, sha256 in found}
        self._pieces.drop(lost)
        newest = [head for head in heads if head.about.index == current.digest]
        if newest:
            result.count = newest[0].about.count
            sizes = References.of(index, self._directory.manifest).blobs
            gaps = {sha256: self._pieces.gaps(sha256, sizes[sha256]) for sha256 in wanted}
            result.volumes = holders(list(sizes), newest[0].about.starts, gaps)


def holders(
    order: Sequence[str],
    starts: Sequence[tuple[str, int]],
    gaps: Mapping[str, Sequence[tuple[int, int]]],
) -> Sequence[int]:
    """The numbers of the volumes that may hold what is missing.

    Args:
        order: SHA-256 of all blobs, in the order of volumes.
        starts: The blob that each volume starts with, and the offset in it.
        gaps: The missing parts, from and to, by blob.
    """
    places = {sha256: place for place, sha256 in enumerate(order)}
    first = [(places.get(sha256, len(order)), offset) for sha256, offset in starts]
    end = [*first[1:], (len(order) + 1, 0)]
    return [
        number
        for number, (since, until) in enumerate(zip(first, end, strict=True), 1)
        if any(
            (places[sha256], start) < until and (places[sha256], stop - 1) >= since
            for sha256, found in gaps.items()
            for start, stop in found
        )
    ]
