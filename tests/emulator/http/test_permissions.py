"""What callers may do, and how the rest is refused."""

from __future__ import annotations

from typing import Any

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


async def test_private_repositories_are_hidden(host: Any) -> None:
    """404 without a token and with one that has no permission."""
    host.state.add_repository("octo/secret", private=True)
    host.state.add_token("stranger", login="s")
    host.state.add_token("guest", login="g", repositories={"Octo/Secret": "read"})
    for token, status in ((None, 404), ("stranger", 404), ("guest", 200), ("t0ken", 200)):
        assert (await host.get("/repos/octo/secret", token=token)).status == status
    names = [r["name"] for r in (await host.get("/orgs/octo/repos", token=None)).json]
    assert names == ["tool"]


async def test_drafts_need_push_access(host: Any) -> None:
    """A reader's list leaves them out without a word."""
    host.state.add_token("reader", login="r", permission="read")
    draft = await host.draft("v2")
    assert [r["tag_name"] for r in (await host.get(R, token="reader")).json] == ["v1.0.0"]
    assert (await host.get(f"{R}/{draft['id']}", token="reader")).status == 404
    assert len((await host.get(R)).json) == 2


async def test_writing_needs_permission(host: Any) -> None:
    """401 for nobody, 404 for a classic token, 403 for a fine-grained one."""
    host.state.add_token("classic", login="r", permission="read")
    host.state.add_token("fine", login="r", permission="read", fine_grained=True)
    for token, status in ((None, 401), ("classic", 404), ("fine", 403)):
        reply = await host.send("POST", R, token=token, json={"tag_name": "v2"})
        assert reply.status == status
    assert reply.headers["X-Accepted-GitHub-Permissions"] == "contents=write"
    assert "X-OAuth-Scopes" not in reply.headers
    assert (await host.get(REPO, token="classic")).headers["X-OAuth-Scopes"] == "repo, workflow"
    assert (await host.get(REPO, token="classic")).json["permissions"]["push"] is False


async def test_an_archived_repository_is_read_only(host: Any) -> None:
    """Reads work, writes are 403 in these words."""
    host.state.repository("octo/tool").archived = True
    reply = await host.send("POST", R, json={"tag_name": "v2"})
    assert (reply.status, reply.json["message"]) == (
        403,
        "Repository was archived so is read-only.",
    )
    assert (await host.get(REPO)).json["archived"] is True
