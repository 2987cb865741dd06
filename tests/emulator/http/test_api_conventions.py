"""What GitHub's API does with every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


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
    for options in ({"kind": "github"}, {"version": "3.21"}, {"version": "3.22"}):
        assert (await (await start(**options)).get(REPO, **asked)).status == 200


async def test_a_user_agent_is_required(host: Any) -> None:
    """403 without one."""
    skip = host.session.skip_auto_headers
    assert skip == frozenset()
    url = f"{host.emulator.api_url}/meta"
    async with host.session.get(url, skip_auto_headers=["User-Agent"]) as reply:
        assert reply.status == 403
