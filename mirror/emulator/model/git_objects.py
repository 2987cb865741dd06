"""Git objects with their true SHA-1 names, held in memory."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from mirror.emulator.model.iso_time import iso, seconds

BLOB_MODE = "100644"
TREE_MODE = "40000"
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|\.lock(/|$)|(^|/)\.|^@$|^-")


def valid_ref(name: str) -> bool:
    """Whether git accepts it as the last part of a ref's name."""
    return bool(name) and not _BAD_REF.search(name)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and when, as commits and annotated tags hold it."""

    name: str
    email: str
    date: str

    def line(self) -> str:
        """The form inside a git object."""
        return f"{self.name} <{self.email}> {seconds(self.date)} +0000"

    @classmethod
    def parse(cls, line: str) -> Identity:
        """From the form inside a git object."""
        name, _, rest = line.partition(" <")
        email, _, when = rest.partition("> ")
        return cls(name, email, iso(int(when.split(" ")[0])))


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name in a tree."""

    mode: str
    name: str
    sha: str

    @property
    def kind(self) -> str:
        """`tree`, `commit` (a submodule) or `blob`."""
        return {TREE_MODE: "tree", "160000": "commit"}.get(self.mode, "blob")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, parsed."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: str


@dataclass(frozen=True, slots=True)
class AnnotatedTag:
    """A tag object, parsed."""

    sha: str
    name: str
    target: str
    target_kind: str
    tagger: Identity
    message: str


@dataclass(slots=True)
class Objects:
    """The object store of one repository: name → (kind, bytes)."""

    by_sha: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def add(self, kind: str, data: bytes) -> str:
        """Store an object; its name is the SHA-1 that git gives it."""
        header = f"{kind} {len(data)}\0".encode()
        sha = hashlib.sha1(header + data, usedforsecurity=False).hexdigest()
        self.by_sha[sha] = (kind, data)
        return sha

    def kind(self, sha: str) -> str | None:
        """`blob`, `tree`, `commit`, `tag`, or `None` if it is not here."""
        found = self.by_sha.get(sha)
        return found[0] if found else None

    def blob(self, data: bytes) -> str:
        """Store a file's bytes."""
        return self.add("blob", data)

    def tree(self, entries: list[TreeEntry]) -> str:
        """Store a directory, in git's order (a directory sorts as if it ended in `/`)."""
        ordered = sorted(entries, key=lambda e: (e.name + "/" * (e.kind == "tree")).encode())
        return self.add(
            "tree",
            b"".join(f"{e.mode} {e.name}\0".encode() + bytes.fromhex(e.sha) for e in ordered),
        )

    def commit(
        self,
        tree: str,
        parents: tuple[str, ...],
        author: Identity,
        message: str,
        committer: Identity | None = None,
    ) -> str:
        """Store a commit."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {author.line()}", f"committer {(committer or author).line()}"]
        return self.add("commit", ("\n".join(lines) + "\n\n" + message).encode())

    def tag(self, name: str, target: str, tagger: Identity, message: str) -> str:
        """Store an annotated tag."""
        lines = [f"object {target}", f"type {self.kind(target)}", f"tag {name}"]
        lines.append(f"tagger {tagger.line()}")
        return self.add("tag", ("\n".join(lines) + "\n\n" + message).encode())

    def _fields(self, sha: str) -> tuple[list[tuple[str, str]], str]:
        head, _, message = self.by_sha[sha][1].decode(errors="replace").partition("\n\n")
        pairs = [line.partition(" ") for line in head.split("\n")]
        return [(key, value) for key, _, value in pairs], message

    def read_commit(self, sha: str) -> Commit:
        """A commit by its name, which must be one."""
        fields, message = self._fields(sha)
        one = dict(fields)
        return Commit(
            sha,
            one["tree"],
            tuple(value for key, value in fields if key == "parent"),
            Identity.parse(one["author"]),
            Identity.parse(one["committer"]),
            message,
        )

    def read_tag(self, sha: str) -> AnnotatedTag:
        """An annotated tag by its name, which must be one."""
        fields, message = self._fields(sha)
        one = dict(fields)
        tagger = Identity.parse(one.get("tagger", "nobody <nobody> 0 +0000"))
        return AnnotatedTag(sha, one["tag"], one["object"], one["type"], tagger, message)

    def read_tree(self, sha: str) -> list[TreeEntry]:
        """The entries of a tree by its name, which must be one."""
        data, at, entries = self.by_sha[sha][1], 0, []
        while at < len(data):
            zero = data.index(0, at)
            mode, _, name = data[at:zero].decode(errors="replace").partition(" ")
            at = zero + 21
            entries.append(TreeEntry(mode, name, data[zero + 1 : at].hex()))
        return entries

    def walk(self, tree: str, prefix: str = "") -> list[tuple[str, TreeEntry]]:
        """Every path below a tree with its entry, directories before what is in them."""
        made: list[tuple[str, TreeEntry]] = []
        for entry in self.read_tree(tree):
            made.append((prefix + entry.name, entry))
            if entry.kind == "tree" and entry.sha in self.by_sha:
                made += self.walk(entry.sha, f"{prefix}{entry.name}/")
        return made

    def peel(self, sha: str) -> str | None:
        """The commit behind a ref's object: annotated tags are followed."""
        while (kind := self.kind(sha)) == "tag":
            sha = self.read_tag(sha).target
        return sha if kind == "commit" else None

    def descends(self, sha: str, ancestor: str) -> bool:
        """Whether a commit is another one or has it among its ancestors; tags are followed."""
        wanted, seen, todo = self.peel(ancestor), set[str](), [self.peel(sha)]
        while todo:
            current = todo.pop()
            if current is None or current in seen or self.kind(current) != "commit":
                continue
            if current == wanted:
                return True
            seen.add(current)
            todo += self.read_commit(current).parents
        return False

    def find(self, tree: str, path: str) -> TreeEntry | None:
        """The entry at a path."""
        entry = TreeEntry(TREE_MODE, "", tree)
        for part in path.split("/"):
            if entry.kind != "tree":
                return None
            found = [e for e in self.read_tree(entry.sha) if e.name == part]
            if not found:
                return None
            entry = found[0]
        return entry

    def put(self, tree: str | None, path: str, entry_mode: str, sha: str | None) -> str:
        """A tree with one path set, or removed when `sha` is `None`; directories are made."""
        first, _, rest = path.partition("/")
        entries = {e.name: e for e in (self.read_tree(tree) if tree else [])}
        if rest:
            below = entries.get(first)
            inner = below.sha if below is not None and below.kind == "tree" else None
            made = self.put(inner, rest, entry_mode, sha)
            entries[first] = TreeEntry(TREE_MODE, first, made)
        elif sha is None:
            entries.pop(first, None)
        else:
            entries[first] = TreeEntry(entry_mode, first, sha)
        return self.tree(list(entries.values()))
