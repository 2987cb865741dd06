"""Git over the API: the names of objects are those that git gives them."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING, Any

from mirror.emulator.model.git_objects import Identity, Objects, TreeEntry

if TYPE_CHECKING:
    from pathlib import Path

REPO = "/repos/octo/tool"


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


async def test_a_dated_commit_and_its_tag(host: Any) -> None:
    """Tree, commit, ref: the way to a tag at a commit of one's own; the release takes its date."""
    head = (await host.get(f"{REPO}/commits/main")).json
    entry = {"path": "a/NOTE", "mode": "100644", "type": "blob", "content": "x"}
    body = {"base_tree": head["commit"]["tree"]["sha"], "tree": [entry]}
    tree = await host.send("POST", f"{REPO}/git/trees", json=body)
    assert [e["path"] for e in tree.json["tree"]] == ["README.md", "VERSION", "a"]
    who = {"name": "M", "email": "m@x", "date": "2020-01-01T01:00:00+01:00"}
    body = {"message": "m", "tree": tree.json["sha"], "parents": [head["sha"]], "author": who}
    commit = await host.send("POST", f"{REPO}/git/commits", json=body)
    assert commit.json["committer"]["date"] == "2020-01-01T00:00:00Z"
    sha = commit.json["sha"]
    ref = {"ref": "refs/tags/v2", "sha": sha}
    assert (await host.send("POST", f"{REPO}/git/refs", json=ref)).status == 201
    again = await host.send("POST", f"{REPO}/git/refs", json=ref)
    assert (again.status, again.json["message"]) == (422, "Reference already exists")
    release = await host.send("POST", f"{REPO}/releases", json={"tag_name": "v2"})
    assert release.json["created_at"] == "2020-01-01T00:00:00Z"
    wrong = {"ref": "refs/tags/v3", "sha": "0" * 40}
    assert (await host.send("POST", f"{REPO}/git/refs", json=wrong)).status == 422


async def test_annotated_tags_are_peeled_in_the_list(host: Any) -> None:
    """The ref names the tag object, the list the commit."""
    sha = host.state.move_tag("octo/tool", "v2", annotated=True)
    ref = (await host.get(f"{REPO}/git/ref/tags/v2")).json
    assert ref["object"]["type"] == "tag"
    tag = (await host.get(f"{REPO}/git/tags/{ref['object']['sha']}")).json
    assert tag["object"] == {
        "sha": sha,
        "type": "commit",
        "url": f"{host.emulator.api_url}{REPO}/git/commits/{sha}",
    }
    listed = {t["name"]: t["commit"]["sha"] for t in (await host.get(f"{REPO}/tags")).json}
    assert listed["v2"] == sha
    assert (await host.get(f"{REPO}/commits/v2")).json["sha"] == sha


async def test_refs_are_exact(host: Any) -> None:
    """`git/ref` matches exactly; the old `git/refs` and `matching-refs` match beginnings."""
    host.state.move_tag("octo/tool", "v1.0.0-rc/1")
    assert (await host.get(f"{REPO}/git/ref/tags/v1")).status == 404
    assert (await host.get(f"{REPO}/git/ref/tags%2Fv1.0.0-rc%2F1")).status == 200
    matching = (await host.get(f"{REPO}/git/matching-refs/tags/v1")).json
    assert [r["ref"] for r in matching] == ["refs/tags/v1.0.0", "refs/tags/v1.0.0-rc/1"]
    assert len((await host.get(f"{REPO}/git/refs/tags/v1")).json) == 2
    host.state.add_release("octo/tool", "v1.0.0-rc/1")
    assert (await host.get(f"{REPO}/releases/tags/v1.0.0-rc%2F1")).status == 200


async def test_refs_move_forward(host: Any) -> None:
    """Sideways only with force."""
    old = host.state.repository("octo/tool").head()
    new = host.state.add_commit("octo/tool", {"a": "b"}, "next")
    path = f"{REPO}/git/refs/tags/v1.0.0"
    assert (await host.send("PATCH", path, json={"sha": new})).status == 200
    back = await host.send("PATCH", path, json={"sha": old})
    assert (back.status, back.json["message"]) == (422, "Update is not a fast forward")
    assert (await host.send("PATCH", path, json={"sha": old, "force": True})).status == 200
    gone = f"{REPO}/git/refs/tags/gone"
    assert (await host.send("DELETE", gone)).json["message"] == "Reference does not exist"


async def test_the_first_file_of_an_empty_repository(host: Any) -> None:
    """PUT contents makes the commit and the branch; then a file is replaced only by its SHA."""
    host.state.add_repository("octo/new", empty=True)
    path = "/repos/octo/new/contents/docs/README.md"
    who = {"name": "M", "email": "m@x", "date": "2019-01-01T00:00:00Z"}
    body = {"message": "first", "content": base64.b64encode(b"hi").decode(), "committer": who}
    for write in ("blobs", "trees", "commits", "refs"):
        assert (await host.send("POST", f"/repos/octo/new/git/{write}", json={})).status == 409
    made = await host.send("PUT", path, json=body)
    assert made.status == 201
    assert made.json["commit"]["author"]["date"] == "2019-01-01T00:00:00Z"
    assert (await host.get("/repos/octo/new")).json["default_branch"] == "main"
    file = (await host.get(path)).json
    assert base64.b64decode(file["content"]) == b"hi"
    assert [e["name"] for e in (await host.get("/repos/octo/new/contents")).json] == ["docs"]
    assert (await host.send("PUT", path, json=body)).status == 422
    assert (await host.send("PUT", path, json={**body, "sha": "0" * 40})).status == 409
    assert (await host.send("PUT", path, json={**body, "sha": file["sha"]})).status == 200


async def test_blobs_and_trees(host: Any) -> None:
    """Bytes come back as they went in."""
    content = base64.b64encode(bytes(range(256))).decode()
    body = {"content": content, "encoding": "base64"}
    made = (await host.send("POST", f"{REPO}/git/blobs", json=body)).json
    blob = (await host.get(f"{REPO}/git/blobs/{made['sha']}")).json
    assert base64.b64decode(blob["content"]) == bytes(range(256))
    entry = {"path": "x/y", "mode": "100755", "type": "blob", "sha": made["sha"]}
    tree = (await host.send("POST", f"{REPO}/git/trees", json={"tree": [entry]})).json
    whole = (await host.get(f"{REPO}/git/trees/{tree['sha']}?recursive=1")).json
    assert [(e["path"], e["mode"]) for e in whole["tree"]] == [("x", "040000"), ("x/y", "100755")]
