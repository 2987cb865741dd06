"""Commits and tags that Python code sets up."""

from __future__ import annotations

from typing import Any

REPO = "/repos/octo/tool"


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
