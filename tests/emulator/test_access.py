"""Who may do what; limits; conditional requests; names that moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


async def test_a_bad_token_is_401(host: Any) -> None:
    """Even where nobody needs one."""
    reply = await host.get(REPO, token="wrong")
    assert (reply.status, reply.json["message"]) == (401, "Bad credentials")
    assert (await host.get(REPO, token=None)).status == 200


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


async def test_tokens_expire(start: Callable[..., Any]) -> None:
    """The header tells when; afterwards it is 401."""
    now = [100.0]
    host = await start(clock=lambda: now[0])
    when = "1970-01-01 00:03:20 UTC"
    host.state.add_token("t", login="x", expires=when, expires_at=200.0)
    reply = await host.get(REPO, token="t")
    assert reply.headers["github-authentication-token-expiration"] == when
    now[0] = 200.0
    assert (await host.get(REPO, token="t")).status == 401
    host.state.revoke_token("t0ken")
    assert (await host.get(REPO)).status == 401


async def test_private_mode_hides_everything(start: Callable[..., Any]) -> None:
    """GHES in private mode answers nobody."""
    host = await start(private_mode=True)
    assert (await host.get(REPO, token=None)).status == 401
    assert (await host.get(REPO)).status == 200


async def test_unchanged_is_304(start: Callable[..., Any]) -> None:
    """304 has no body and costs nothing; the ETag is weak and belongs to the token."""
    host = await start(kind="github")
    host.state.add_token("other", login="o", admin=True)
    first = await host.get(R)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    second = await host.get(R, If_None_Match=etag)
    assert (second.status, second.body) == (304, b"")
    left = "X-RateLimit-Remaining"
    assert second.headers[left] == first.headers[left]
    assert (await host.get(R, token="other", If_None_Match=etag)).status == 200
    host.state.edit_release("octo/tool", "v1.0.0", body="changed")
    assert (await host.get(R, If_None_Match=etag)).status == 200


async def test_a_limit_runs_out(start: Callable[..., Any]) -> None:
    """403 with nothing remaining, for that token alone, until the reset."""
    now = [1000.0]
    host = await start(kind="github", rate_limit=2, clock=lambda: now[0])
    for left in ("1", "0"):
        assert (await host.get(REPO)).headers["X-RateLimit-Remaining"] == left
    reply = await host.get(REPO)
    assert reply.status == 403
    assert "rate limit exceeded" in reply.json["message"]
    assert reply.headers["X-RateLimit-Remaining"] == "0"
    assert reply.headers["X-RateLimit-Reset"] == "4600"
    assert (await host.get(REPO, token=None)).headers["X-RateLimit-Limit"] == "60"
    now[0] = 4600.0
    assert (await host.get(REPO)).status == 200


async def test_a_secondary_limit(start: Callable[..., Any]) -> None:
    """Too much that creates content is 403 with Retry-After."""
    now = [1000.0]
    host = await start(secondary_limit=1, clock=lambda: now[0])
    await host.draft("a")
    reply = await host.send("POST", R, json={"tag_name": "b", "draft": True})
    assert (reply.status, reply.headers["Retry-After"]) == (403, "60")
    assert "secondary rate limit" in reply.json["message"]
    now[0] += 60
    await host.draft("b")


async def test_ghes_has_no_limits(host: Any) -> None:
    """No headers, and the address for it is 404 in these words."""
    reply = await host.get("/rate_limit")
    assert (reply.status, reply.json["message"]) == (404, "Rate limiting is not enabled.")
    assert "X-RateLimit-Limit" not in reply.headers


async def test_renamed_repositories_redirect(host: Any) -> None:
    """301 for a read, 307 for a write, to the number; the body says so."""
    repository = host.state.rename_repository("octo/tool", "octo/new")
    url = f"{host.emulator.api_url}/repositories/{repository.id}/releases?per_page=5"
    reply = await host.get(f"{R}?per_page=5")
    assert (reply.status, reply.headers["Location"]) == (301, url)
    assert (reply.json["message"], reply.json["url"]) == ("Moved Permanently", url)
    assert (await host.send("POST", R, json={"tag_name": "v2"})).status == 307
    assert (await host.get(url)).status == 200
    assert (await host.get("/repos/OCTO/New")).json["full_name"] == "octo/new"
    host.state.add_repository("octo/tool")
    assert (await host.get(REPO)).status == 200


@pytest.mark.parametrize("path", [f"{REPO}/", f"{R}/", "/nothing", f"{R}/abc", "/repositories/1/x"])
async def test_other_paths_are_404(host: Any, path: str) -> None:
    """A trailing slash too."""
    reply = await host.get(path)
    assert (reply.status, reply.json["message"]) == (404, "Not Found")


async def test_the_version_is_told(start: Callable[..., Any]) -> None:
    """By a header and by /meta on GHES; neither on github.com."""
    ghes, github = await start(version="3.14.2"), await start(kind="github")
    assert (await ghes.get("/meta")).json["installed_version"] == "3.14.2"
    assert (await ghes.get("/meta")).headers["X-GitHub-Enterprise-Version"] == "3.14.2"
    reply = await github.get("/meta")
    assert "installed_version" not in reply.json
    assert "X-GitHub-Enterprise-Version" not in reply.headers


async def test_api_versions(start: Callable[..., Any]) -> None:
    """An unknown version is 400, on servers that know of versions."""
    old, new = await start(version="3.8"), await start(version="3.9")
    asked = {"X_GitHub_Api_Version": "2026-03-10"}
    assert (await old.get(REPO, **asked)).status == 200
    refused = await new.get(REPO, **asked)
    assert refused.status == 400
    assert "is not a supported version" in refused.json["message"]
    assert (await (await start(kind="github")).get(REPO, **asked)).status == 200


async def test_a_user_agent_is_required(host: Any) -> None:
    """403 without one."""
    skip = host.session.skip_auto_headers
    assert skip == frozenset()
    url = f"{host.emulator.api_url}/meta"
    async with host.session.get(url, skip_auto_headers=["User-Agent"]) as reply:
        assert reply.status == 403


async def test_repositories_are_made(start: Callable[..., Any]) -> None:
    """For an organization that is there, once, by who may; internal ones on GHES only."""
    host = await start()
    host.state.add_organization("mirrors")
    host.state.add_token("nobody", login="n", permission="write")
    path = "/orgs/mirrors/repos"
    made = await host.send("POST", path, json={"name": "x", "visibility": "internal"})
    assert (made.status, made.json["visibility"], made.json["private"]) == (201, "internal", True)
    again = await host.send("POST", path, json={"name": "X"})
    assert again.json["message"] == "Repository creation failed."
    assert again.json["errors"][0]["message"] == "name already exists on this account"
    assert (await host.send("POST", path, token="nobody", json={"name": "y"})).status == 403
    assert (await host.send("POST", "/orgs/gone/repos", json={"name": "y"})).status == 404
    own = await host.send("POST", "/user/repos", json={"name": "z", "auto_init": True})
    assert own.json["full_name"] == "mirror-bot/z"
    assert host.state.repository("mirrors/x").empty
    assert not host.state.repository("mirror-bot/z").empty
    actions = "/repos/mirrors/x/actions/permissions"
    assert (await host.send("PUT", actions, json={"enabled": False})).status == 204
    assert (await host.get(actions)).json == {"enabled": False}
    github = await start(kind="github")
    body = {"name": "x", "visibility": "internal"}
    assert (await github.send("POST", "/orgs/octo/repos", json=body)).status == 422


async def test_requests_are_recorded(host: Any) -> None:
    """Each request with its route, its header and its bytes; hooks hear of it first."""
    heard: list[tuple[str, int]] = []
    host.state.on_request(lambda record: heard.append((record.route, record.status)))
    # Not a GET: a client may quietly send that once more.
    host.state.faults.add(Fault(kind="reset", route="create-release"))
    await host.get(f"{R}?per_page=1", If_None_Match='"x"')
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.send("POST", R, json={"tag_name": "v2"})
    first, second = host.state.requests
    assert (first.n, first.method, first.route, first.status) == (1, "GET", "list-releases", 200)
    assert (first.query, first.origin, first.authorization) == ("per_page=1", "api", "Bearer t0ken")
    assert first.headers["if-none-match"] == '"x"'
    assert first.bytes_out > 100
    assert second.status == 0
    assert heard == [("list-releases", 0), ("create-release", 0)]
    assert host.state.count() == 2
    assert host.state.count(route="list-releases", method="GET", status=200, origin="api") == 1
    host.state.reset_requests()
    assert host.state.count() == 0
