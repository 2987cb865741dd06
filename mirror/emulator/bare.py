"""Bare repositories on disk that show what an emulated host holds to the `git` program."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.git import Objects
    from mirror.emulator.model import Repository

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tlogallrefupdates = false
[gc]
\tauto = 0
[receive]
\tunpackLimit = 1000000000
\tautogc = false
\tfsckObjects = true
[uploadpack]
\tallowAnySHA1InWant = true
"""
_LEVEL = 1


@dataclass(slots=True)
class _Copy:
    """One repository on disk.

    Attributes:
        known: Objects that are there.
    """

    directory: Path
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: set[str] = field(default_factory=set)
    head: str = ""
    refs: dict[str, str] | None = None


class BareCopies:
    """Makes a bare repository when one is asked for, and keeps it equal to what the host holds."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._copies: dict[int, _Copy] = {}

    @property
    def root(self) -> Path:
        """The directory of all of them, made when first asked for; it goes with this object."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="release-mirror-emulator-git-"))
            weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        return self._root

    def lock(self, repository: Repository) -> asyncio.Lock:
        """Held while `git` works in the copy."""
        return self._copy(repository).lock

    def _copy(self, repository: Repository) -> _Copy:
        found = self._copies.get(repository.id)
        if found is None:
            found = self._copies[repository.id] = _Copy(self.root / f"{repository.id}.git")
        return found

    def update(self, repository: Repository) -> Path:
        """Write what is missing; returns the directory."""
        copy = self._copy(repository)
        if not copy.directory.exists():
            for part in ("objects", "refs"):
                (copy.directory / part).mkdir(parents=True)
            (copy.directory / "config").write_text(_CONFIG)
        for sha in repository.objects.by_sha.keys() - copy.known:
            _write(copy.directory, repository.objects, sha)
            copy.known.add(sha)
        head = f"ref: refs/heads/{repository.default_branch}\n"
        if copy.head != head:
            (copy.directory / "HEAD").write_text(head)
            copy.head = head
        if copy.refs != repository.refs:
            _write_refs(copy.directory, repository.refs)
            copy.refs = dict(repository.refs)
        return copy.directory

    def pushed_refs(self, repository: Repository) -> dict[str, str]:
        """The refs as a push left them."""
        copy = self._copy(repository)
        found = dict(_packed(copy.directory))
        for path in (copy.directory / "refs").rglob("*"):
            if path.is_file():
                found[path.relative_to(copy.directory).as_posix()] = path.read_text().strip()
        return found

    def pushed_objects(self, repository: Repository) -> Iterator[tuple[str, bytes]]:
        """Kind and bytes of every object that came with a push."""
        copy = self._copy(repository)
        for path in (copy.directory / "objects").glob("??/*"):
            sha = path.parent.name + path.name
            if path.name.startswith("tmp_") or sha in copy.known:
                continue
            head, _, data = zlib.decompress(path.read_bytes()).partition(b"\0")
            yield head.split()[0].decode(), data
            copy.known.add(sha)

    def changed(self, repository: Repository) -> None:
        """A push may have changed the refs on disk: they are written anew next time."""
        self._copy(repository).refs = None


def _write(directory: Path, objects: Objects, sha: str) -> None:
    """A loose object, as git reads it."""
    kind, data = objects.by_sha[sha]
    path = directory / "objects" / sha[:2] / sha[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        partial = path.with_name(f"tmp_{path.name}")
        partial.write_bytes(zlib.compress(f"{kind} {len(data)}\0".encode() + data, _LEVEL))
        partial.replace(path)


def _write_refs(directory: Path, refs: dict[str, str]) -> None:
    lines = [f"{sha} {name}\n" for name, sha in sorted(refs.items())]
    partial = directory / "packed-refs.new"
    partial.write_text("".join(lines))
    partial.replace(directory / "packed-refs")
    shutil.rmtree(directory / "refs", ignore_errors=True)
    (directory / "refs").mkdir()


def _packed(directory: Path) -> Iterator[tuple[str, str]]:
    path = directory / "packed-refs"
    for line in path.read_text().splitlines() if path.exists() else ():
        sha, _, name = line.partition(" ")
        if name.startswith("refs/"):
            yield name, sha
