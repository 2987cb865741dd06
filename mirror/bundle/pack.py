"""Packs a bundle into volumes, each of which has its documents and a share of its bytes."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mirror.bundle import layout, tar
from mirror.bundle.directory import discard, on_disk, open_file, read_file
from mirror.bundle.references import References, absent, blob_name
from mirror.bundle.volumes import CHUNK, PIECES, SUMS_FILE, VOLUME_FILE, VolumeDocument, read_head
from mirror.core.text.wording import size as size_text
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.directory import BundleDirectory, Contents
    from mirror.storage.files import Files

LONGEST_LINE = 170
"""Bytes of the longest line of ``SHA256SUMS``."""

LARGEST_START = 100
"""Bytes that one more volume adds to ``volume.json``."""

SMALLEST_PIECE = 64 * 2**10
"""Bytes below which the rest of a volume is left empty rather than filled with a piece."""


class Piece(NamedTuple):
    """A blob, or a part of one, that goes into a volume."""

    sha256: str
    offset: int
    size: int
    whole: bool

    @property
    def name(self) -> str:
        """Its name in the volume."""
        return blob_name(self.sha256) if self.whole else f"{PIECES}/{self.sha256}/{self.offset}"


def plan(blobs: Mapping[str, int], fixed: int, largest: int) -> list[list[Piece]]:
    """What each volume holds besides its documents; there is at least one volume.

    Args:
        blobs: Sizes by SHA-256.
        fixed: Bytes that everything else takes in each volume, for one volume.
        largest: A volume has fewer bytes than this.

    Raises:
        BundleError: Not even the documents fit into a volume.
    """
    count = 1
    while True:
        room = (largest - 1) // tar.BLOCK * tar.BLOCK - fixed - count * LARGEST_START
        if blobs and room < 4 * tar.BLOCK:
            raise BundleError(
                f"--volume-size is too small: the documents alone take {fixed} bytes in each volume",
                kind="policy",
            )
        volumes = _divide(blobs, room)
        if len(volumes) <= count:
            return volumes
        count = len(volumes)


def _divide(blobs: Mapping[str, int], room: int) -> list[list[Piece]]:
    volumes: list[list[Piece]] = [[]]
    left = room
    for sha256, size in blobs.items():
        if _cost(size) <= room:
            if _cost(size) > left:
                volumes.append([])
                left = room
            volumes[-1].append(Piece(sha256, 0, size, whole=True))
            left -= _cost(size)
            continue
        offset = 0
        while offset < size:
            most = (
                (left - _cost(0) - 2 * tar.BLOCK) // tar.BLOCK * tar.BLOCK
            )  # a pax header, perhaps
            if most < min(SMALLEST_PIECE, size - offset, room // 4):
                volumes.append([])
                left = room
                continue
            part = min(most, size - offset)
            volumes[-1].append(Piece(sha256, offset, part, whole=False))
            left -= _cost(part)
            offset += part
    return volumes


def _cost(size: int) -> int:
    return tar.space(size) + LONGEST_LINE


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed.

    Attributes:
        volumes: Their files.
        size: Bytes of all of them.
        absent: Names of assets whose bytes the bundle does not hold, by release.
    """

    volumes: Sequence[Path]
    size: int
    absent: Mapping[str, Sequence[str]]


class Packer:
    """Packs a bundle; each volume appears under its name when all of them are complete.

    Args:
        directory: The bundle.
        contents: Its index.
        files: The operations on the disk.
        moved: Called with the number of bytes, whenever some were written.
    """

    def __init__(
        self,
        directory: BundleDirectory,
        contents: Contents,
        files: Files,
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._contents = contents
        self._files = files
        self.moved = moved
        self._modified = int(contents.index.created_at.timestamp())
        self._index = read_file(directory.path / layout.INDEX_FILE, layout.LARGEST_INDEX)
        if layout.digest_of(self._index) != contents.digest:
            raise BundleError(
                f"{directory.path} has just been changed; pack it again", kind="not-ready"
            )
        self._signature: bytes | None = None
        path = directory.signature(contents.digest)
        if files.exists(path):
            self._signature = read_file(path, layout.LARGEST_SIGNATURE)

    def prepare(self, known: Collection[str] = ()) -> tuple[References, dict[str, Sequence[str]]]:
        """What has to be packed, and the names of assets whose bytes are not there. It blocks.

        Args:
            known: SHA-256 of blobs that are left out.

        Raises:
            BundleError: A document of the bundle is missing or damaged.
        """
        index, known = self._contents.index, frozenset(known)
        references = References.of(index, self._directory.manifest)
        missing = absent(self._directory, index)
        lost = {sha256 for assets in missing.values() for _, sha256 in assets} - known
        wanted = References(
            {d: n for d, n in references.manifests.items() if d not in known},
            {d: n for d, n in references.configs.items() if d not in known},
            {d: n for d, n in references.blobs.items() if d not in known and d not in lost},
        )
        names = {
            release: [name for name, sha256 in assets if sha256 in lost]
            for release, assets in missing.items()
        }
        return wanted, {release: found for release, found in names.items() if found}

    def pack(
        self, output: Path, wanted: References, names: Mapping[str, Sequence[str]], largest: int
    ) -> Packed:
        """Write the volumes. It blocks.

        Args:
            output: ``output.001`` is the first volume.
            wanted: What to pack.
            names: What is not there.
            largest: A volume has fewer bytes than this.

        Raises:
            BundleError: A blob is damaged, or the disk cannot take them.
        """
        if not output.parent.is_dir():
            raise BundleError(f"{output.parent} is not a directory", kind="disk")
        volumes = plan(wanted.blobs, self._fixed(wanted), largest)
        needed, free = sum(wanted.blobs.values()), self._files.free(output.parent)
        if needed > free:
            text = f"the volumes need {size_text(needed)} in {output.parent}, and {size_text(free)} are free"
            raise BundleError(text, kind="disk")
        paths = [output.with_name(f"{output.name}.{n:03}") for n in range(1, len(volumes) + 1)]
        parts = [path.with_name(f".{path.name}.part") for path in paths]
        starts = [(v[0].sha256, v[0].offset) if v else ("", 0) for v in volumes]
        whole: dict[str, hashlib._Hash] = {}
        try:
            with on_disk(output.parent):
                for leftover in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
                    leftover.unlink()  # of a run that was killed
                for number, (pieces, part) in enumerate(zip(volumes, parts, strict=True), 1):
                    about = self._about(number, len(volumes), wanted, starts)
                    self._write(part, about, wanted, pieces, whole)
                size = sum(part.stat().st_size for part in parts)
                for part, path in zip(parts, paths, strict=True):
                    self._files.rename(part, path)
                self._remove_former(output, set(paths))
                self._files.sync_directory(output.parent)
        finally:
            for part in parts:
                discard(part)
        return Packed(paths, size, names)

    def _fixed(self, wanted: References) -> int:
        about = layout.encode(self._about(1, 1, wanted, [("0" * 64, 0)]))
        sizes = [len(about) + 100, len(layout.MARKER), len(self._index), *wanted.documents.values()]
        if self._signature is not None:
            sizes.append(len(self._signature))
        lines = (len(sizes) + 1) * LONGEST_LINE
        return sum(map(tar.space, [*sizes, lines])) + tar.BLOCK + tar.END

    def _about(
        self, number: int, count: int, wanted: References, starts: list[tuple[str, int]]
    ) -> VolumeDocument:
        index = self._contents.index
        return VolumeDocument(
            layout.VERSION,
            index.identity,
            index.sequence,
            self._contents.digest,
            number,
            count,
            self._signature is not None,
            len(wanted.documents),
            starts,
        )

    def _write(
        self,
        part: Path,
        about: VolumeDocument,
        wanted: References,
        pieces: Iterable[Piece],
        whole: dict[str, hashlib._Hash],
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o666)  # somebody else may unpack it
        try:
            sums: list[str] = []
            self._add(descriptor, VOLUME_FILE, layout.encode(about), sums)
            self._add(descriptor, layout.MARKER_FILE, layout.MARKER, sums)
            self._add(descriptor, layout.INDEX_FILE, self._index, sums)
            if self._signature is not None:
                name = f"{layout.SIGNATURES}/{self._contents.digest.partition(':')[2]}.sig"
                self._add(descriptor, name, self._signature, sums)
            for sha256, size in wanted.documents.items():
                content = read_file(self._directory.path / blob_name(sha256), size)
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise self._damaged(sha256)
                self._add(descriptor, blob_name(sha256), content, sums)
            for piece in pieces:
                self._copy(descriptor, piece, sums, whole)
            self._add(descriptor, SUMS_FILE, "".join(sums).encode(), [])
            self._files.write(descriptor, bytes(tar.END))
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)

    def _add(self, descriptor: int, name: str, content: bytes, sums: list[str]) -> None:
        head = tar.header(name, len(content), self._modified)
        self._files.write(descriptor, head + content + bytes(tar.padding(len(content))))
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")

    def _copy(
        self, descriptor: int, piece: Piece, sums: list[str], whole: dict[str, hashlib._Hash]
    ) -> None:
        path = self._directory.path / blob_name(piece.sha256)
        self._files.write(descriptor, tar.header(piece.name, piece.size, self._modified))
        digest, left = hashlib.sha256(), piece.size
        total = digest if piece.whole else whole.setdefault(piece.sha256, hashlib.sha256())
        with os.fdopen(open_file(path), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(piece.offset)
            while left:
                if not (chunk := file.read(min(CHUNK, left))):
                    raise self._damaged(piece.sha256)
                digest.update(chunk)
                if total is not digest:
                    total.update(chunk)
                self._files.write(descriptor, chunk)
                self.moved(len(chunk))
                left -= len(chunk)
        if piece.offset + piece.size == size and total.hexdigest() != piece.sha256:
            raise self._damaged(piece.sha256)
        self._files.write(descriptor, bytes(tar.padding(piece.size)))
        sums.append(f"{digest.hexdigest()}  {piece.name}\n")

    def _damaged(self, sha256: str) -> BundleError:
        path = self._directory.path / blob_name(sha256)
        return BundleError(
            f"nothing was packed: {path} is damaged; verify --full --repair mends it"
        )

    def _remove_former(self, output: Path, written: Collection[Path]) -> None:
        """Remove volumes of this bundle that an earlier pack of the same name left beyond the last."""
        shape = re.compile(re.escape(output.name) + r"\.\d{3,}")
        for path in output.parent.iterdir():
            if path not in written and shape.fullmatch(path.name):
                with suppress(BundleError, OSError):
                    if read_head(path).about.identity == self._contents.index.identity:
                        self._files.remove(path)
