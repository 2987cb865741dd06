"""Bare repositories on disk, through which the `git` program sees what a host holds."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import weakref
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.model.repository import Repository

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
_FASTEST = 1
PRIVATE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
"""Environment in which git reads nobody's configuration."""


@dataclass(slots=True)
class GitDirectory:
    """One repository on disk.

    Attributes:
        path: The directory.
        lock: Held while `git` works in it.
        known: Objects that are there.
        refs: Refs that were written; `None` when a push may have changed them.
    """

    path: Path
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: set[str] = field(default_factory=set)
    head: str = ""
    refs: dict[str, str] | None = None

    def update(self, repository: Repository) -> None:
        """Write what is missing."""
        if not self.path.exists():
            for part in ("objects", "refs"):
                (self.path / part).mkdir(parents=True)
            (self.path / "config").write_text(_CONFIG)
        for sha in repository.objects.by_sha.keys() - self.known:
            self._write_loose_object(sha, *repository.objects.by_sha[sha])
        if self.head != repository.default_branch:
            self.head = repository.default_branch
            (self.path / "HEAD").write_text(f"ref: refs/heads/{self.head}\n")
        if self.refs != repository.refs:
            self.refs = dict(repository.refs)
            lines = [f"{sha} {name}\n" for name, sha in sorted(self.refs.items())]
            _replace(self.path / "packed-refs", "".join(lines).encode())
            shutil.rmtree(self.path / "refs", ignore_errors=True)
            (self.path / "refs").mkdir()

    def _write_loose_object(self, sha: str, kind: str, data: bytes) -> None:
        path = self.path / "objects" / sha[:2] / sha[2:]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            _replace(path, zlib.compress(f"{kind} {len(data)}\0".encode() + data, _FASTEST))
        self.known.add(sha)

    def archive(self, commit: str, form: str, root: str) -> bytes:
        """The files of a commit below the directory `root`; `form` is `tar.gz` or `zip`."""
        command = ["git", "archive", f"--format={form}", f"--prefix={root}/", commit]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", **PRIVATE}
        done = subprocess.run(  # noqa: S603 - our own words alone
            command, cwd=self.path, env=environment, stdout=subprocess.PIPE, check=True
        )
        return done.stdout

    def pushed_refs(self) -> dict[str, str]:
        """The refs as a push left them, which are written anew the next time."""
        self.refs = None
        found = {}
        for line in (self.path / "packed-refs").read_text().splitlines():
            sha, _, name = line.partition(" ")
            if name.startswith("refs/"):
                found[name] = sha
        for path in (self.path / "refs").rglob("*"):
            if path.is_file():
                found[path.relative_to(self.path).as_posix()] = path.read_text().strip()
        return found

    def pushed_objects(self) -> Iterator[tuple[str, bytes]]:
        """Kind and bytes of every object that a push added."""
        for path in (self.path / "objects").glob("??/*"):
            sha = path.parent.name + path.name
            if not path.name.startswith("tmp_") and sha not in self.known:
                head, _, data = zlib.decompress(path.read_bytes()).partition(b"\0")
                yield head.split()[0].decode(), data
                self.known.add(sha)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"tmp_{path.name}")
    partial.write_bytes(data)
    partial.replace(path)


class GitDirectories:
    """The directories of a host's repositories, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[int, GitDirectory] = {}

    @cached_property
    def _root(self) -> Path:
        root = Path(tempfile.mkdtemp(prefix="release-mirror-emulator-git-"))
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        return root

    def of(self, repository: Repository) -> GitDirectory:
        """The directory of a repository; it is deleted together with this object."""
        path = self._root / f"{repository.id}.git"
        return self._made.setdefault(repository.id, GitDirectory(path))
