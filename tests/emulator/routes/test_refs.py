"""Refs and tags over the API."""

from __future__ import annotations

from typing import Any

REPO = "/repos/octo/tool"


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
