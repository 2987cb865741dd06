"""Creating repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
