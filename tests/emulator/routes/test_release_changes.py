"""Creating, changing and publishing releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"


def first_error(reply: Any) -> dict[str, Any]:
    assert reply.status == 422, reply.body
    assert reply.json["message"] == "Validation Failed"
    error: dict[str, Any] = reply.json["errors"][0]
    return error


async def test_drafts_share_a_tag(host: Any) -> None:
    """Several drafts may have one tag; a second published release of it is refused."""
    first, second = await host.draft("v2"), await host.draft("v2")
    body = {"tag_name": "v2", "draft": False}
    assert (await host.send("PATCH", f"{R}/{first['id']}", json=body)).status == 200
    error = first_error(await host.send("PATCH", f"{R}/{second['id']}", json=body))
    assert error == {"resource": "Release", "code": "already_exists", "field": "tag_name"}
    assert (
        first_error(await host.send("POST", R, json={"tag_name": "v2"}))["code"] == "already_exists"
    )


async def test_a_draft_changed_without_its_tag_loses_it(host: Any) -> None:
    """A change that leaves it a draft and does not name its tag makes it `untagged-…`."""
    made = await host.draft("v2")
    changed = await host.send("PATCH", f"{R}/{made['id']}", json={"body": "x"})
    assert changed.json["tag_name"].startswith("untagged-")


async def test_publishing_keeps_the_tag(host: Any) -> None:
    """A draft that is published without naming its tag is published under it, as `gh` does."""
    made = await host.draft("v2")
    shown = (await host.send("PATCH", f"{R}/{made['id']}", json={"draft": False})).json
    assert (shown["tag_name"], shown["draft"]) == ("v2", False)
    assert (await host.get(f"{R}/tags/v2")).status == 200


async def test_publishing_makes_a_lightweight_tag(host: Any) -> None:
    """An absent tag is made at the default branch's head; the date is that commit's."""
    sha = host.state.add_commit("octo/tool", {"x": "y"}, "old", date="2020-02-02T00:00:00Z")
    reply = await host.send("POST", R, json={"tag_name": "v2"})
    ref = (await host.get("/repos/octo/tool/git/ref/tags/v2")).json
    assert ref["object"]["sha"] == sha
    assert ref["object"]["type"] == "commit"
    assert reply.json["created_at"] == "2020-02-02T00:00:00Z"
    assert reply.json["published_at"] > "2025"
    assert reply.headers["Location"] == reply.json["url"]


@pytest.mark.parametrize("commitish", ["nowhere", "HEAD", "refs/tags/v1.0.0", "v1.0.0", "abc1234"])
async def test_target_commitish_is_a_branch_or_full_sha(host: Any, commitish: str) -> None:
    """Anything else is refused with three errors, the last without a field."""
    reply = await host.send("POST", R, json={"tag_name": "v2", "target_commitish": commitish})
    assert first_error(reply)["field"] == "target_commitish"
    assert reply.json["errors"][2] == {
        "resource": "Release",
        "code": "custom",
        "message": "Published releases must have a valid tag",
    }


async def test_an_existing_tag_needs_no_commit(host: Any) -> None:
    """With the tag there, the commit is echoed and not looked at."""
    host.state.move_tag("octo/tool", "v2")
    reply = await host.send("POST", R, json={"tag_name": "v2", "target_commitish": "gone"})
    assert (reply.status, reply.json["target_commitish"]) == (201, "gone")


async def test_an_empty_repository_takes_no_release(host: Any) -> None:
    """`Repository is empty.`, and 409 from its git database."""
    host.state.add_repository("octo/empty", empty=True)
    reply = await host.send("POST", "/repos/octo/empty/releases", json={"tag_name": "v1"})
    assert first_error(reply)["message"] == "Repository is empty."
    git = await host.get("/repos/octo/empty/git/ref/tags/v1")
    assert (git.status, git.json["message"]) == (409, "Git Repository is empty.")


async def test_a_body_has_an_end(host: Any) -> None:
    """125,000 characters are taken, one more is not."""
    made = await host.draft("v2", body="ä" * 125_000)
    reply = await host.send(
        "PATCH", f"{R}/{made['id']}", json={"tag_name": "v2", "body": "x" * 125_001}
    )
    assert first_error(reply)["message"] == "body is too long (maximum is 125000 characters)"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"tag_name": 1}', 422),
        (b'{"tag_name": "a b"}', 422),
        (b"{}", 422),
    ],
)
async def test_nonsense_is_refused(host: Any, body: bytes, status: int) -> None:
    """Broken JSON and arrays are 400, wrong types, tags git refuses and no tag 422."""
    assert (await host.send("POST", R, data=body)).status == status


async def test_latest_follows_make_latest(host: Any) -> None:
    """A published release is the latest unless it says "false"; a draft cannot be."""
    old = await host.send("POST", R, json={"tag_name": "v0", "make_latest": "false"})
    host.state.add_release("octo/tool", "v0.9", date="2020-01-01T00:00:00Z")
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v1.0.0"
    await host.send("POST", R, json={"tag_name": "v3", "prerelease": True})
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v1.0.0"
    newest = await host.send("POST", R, json={"tag_name": "v2"})
    assert (await host.get(f"{R}/latest")).json["id"] == newest.json["id"]
    await host.send(
        "PATCH", f"{R}/{old.json['id']}", json={"tag_name": "v0", "make_latest": "true"}
    )
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v0"
    draft = await host.draft("v4", make_latest="true")
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v0"
    path = f"{R}/{draft['id']}"
    for change in ({"draft": True}, {"draft": False, "prerelease": True}):
        document = {"tag_name": "v4", "make_latest": "true", **change}
        error = first_error(await host.send("PATCH", path, json=document))
        assert error["message"] == "Latest release cannot be draft or prerelease"


async def test_a_draft_published_as_not_the_latest_leaves_the_former(host: Any) -> None:
    """With "false", the former latest stays the latest, though the new release is newer."""
    draft = await host.draft("v2")
    document = {"tag_name": "v2", "draft": False, "make_latest": "false"}
    published = await host.send("PATCH", f"{R}/{draft['id']}", json=document)
    assert published.json["draft"] is False
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v1.0.0"


async def test_make_latest_is_unknown_to_old_servers(start: Callable[..., Any]) -> None:
    """Before 3.8 the date of the commit alone decides."""
    host = await start(version="3.7")
    host.state.move_tag("octo/tool", "v0", date="2019-01-01T00:00:00Z")
    reply = await host.send("POST", R, json={"tag_name": "v0", "make_latest": "true"})
    assert reply.status == 201
    assert (await host.get(f"{R}/latest")).json["tag_name"] == "v1.0.0"


async def test_an_immutable_release_is_frozen(start: Callable[..., Any]) -> None:
    """Text may change; assets and tag may not; the tag's name is never used again."""
    host = await start(kind="github")
    host.state.repository("octo/tool").immutable_releases = True
    made = await host.draft("v2")
    asset = await host.upload(made["id"], "a")
    path = f"{R}/{made['id']}"
    published = await host.send("PATCH", path, json={"tag_name": "v2", "draft": False})
    assert published.json["immutable"] is True
    refused = await host.upload(made["id"], "b")
    assert refused.status == 422
    assert refused.json["message"] == "Cannot upload assets to an immutable release."
    assert "errors" not in refused.json
    deleted = await host.send("DELETE", f"{R}/assets/{asset.json['id']}")
    assert deleted.json["message"] == "Cannot delete asset from an immutable release"
    assert (await host.send("PATCH", path, json={"name": "New"})).status == 200
    assert (await host.send("PATCH", path, json={"tag_name": "v3"})).status == 422
    assert (await host.send("DELETE", path)).status == 204
    again = await host.send("POST", R, json={"tag_name": "v2"})
    assert first_error(again)["message"] == "tag_name was used by an immutable release"
