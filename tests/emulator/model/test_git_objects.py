"""Git objects have the names that git gives them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from mirror.emulator.model.git_objects import Identity, Objects, TreeEntry

if TYPE_CHECKING:
    from pathlib import Path


def test_objects_are_named_as_git_names_them(tmp_path: Path) -> None:
    """A tree with a directory and a dated commit have the SHA that git computes."""

    def git(*words: str, stdin: bytes = b"") -> str:
        made = subprocess.run(
            ["git", "-C", str(tmp_path), *words],
            input=stdin,
            capture_output=True,
            check=True,
            env={
                "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A",
                "GIT_COMMITTER_EMAIL": "a@x", "GIT_AUTHOR_DATE": "1767225600 +0000",
                "GIT_COMMITTER_DATE": "1767225600 +0000", "PATH": "/usr/bin:/bin:/usr/local/bin",
            },
        )  # fmt: skip
        return made.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("hi\n")
    (tmp_path / "a.txt").write_text("ho\n")
    git("add", ".")
    tree = git("write-tree")
    commit = git("commit-tree", tree, "-m", "message")
    objects = Objects()
    root = objects.put(None, "a/b.txt", "100644", objects.blob(b"hi\n"))
    root = objects.put(root, "a.txt", "100644", objects.blob(b"ho\n"))
    assert root == tree
    author = Identity("A", "a@x", "2026-01-01T00:00:00Z")
    assert objects.commit(root, (), author, "message\n") == commit
    assert objects.read_commit(commit).author == author
    assert objects.find(root, "a/b.txt") == TreeEntry("100644", "b.txt", objects.blob(b"hi\n"))
