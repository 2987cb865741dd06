"""Accounts, and the memberships of a token's owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_member_sees_its_own_membership(start: Callable[..., Any]) -> None:
    """With the scope for it; somebody else's organization is not found."""
    host = await start()
    host.state.add_organization("mirrors")
    scopes = "repo, read:org"
    host.state.add_token("owner", login="o", admin=True, scopes=scopes)
    host.state.add_token("member", login="m", permission="write", scopes=scopes)
    host.state.add_token("stranger", login="s", scopes=scopes)
    host.state.add_token("blind", login="b", admin=True)
    path = "/user/memberships/orgs/mirrors"
    for token, role, may_create in (("owner", "admin", True), ("member", "member", False)):
        membership = (await host.get(path, token=token)).json
        assert (membership["state"], membership["role"]) == ("active", role)
        assert membership["permissions"] == {"can_create_repository": may_create}
    assert (await host.get(path, token="stranger")).status == 404
    assert (await host.get(path, token="blind")).status == 403
    assert (await host.get("/user/memberships/orgs/gone", token="owner")).status == 404
