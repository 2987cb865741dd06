"""Users, organizations, and lists of their repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.documents import account_json as documents
from mirror.emulator.documents.repository_json import repository
from mirror.emulator.http.answer import Answer, forbidden, not_found
from mirror.emulator.http.permissions import require_user
from mirror.emulator.http.routing import Routes

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import Account

routes = Routes()


def named(call: Call) -> Account:
    """The account that the path names by its login; `org` must be an organization."""
    org = call.params.get("org")
    found = call.state.accounts.get((org or call.params["user"]).lower())
    if found is None or (org and found.type != "Organization"):
        raise not_found()
    return found


@routes.route("GET", "/user", "get-user")
async def get_user(call: Call) -> Answer:
    """The owner of the token."""
    token = require_user(call.token)
    return Answer.json(documents.private_user(call.state, token.account))


@routes.route("GET", "/users/{user}", "get-account")
async def get_account(call: Call) -> Answer:
    """A user, or an organization."""
    return Answer.json(documents.user(call.state, named(call)))


@routes.route("GET", "/orgs/{org}", "get-organization")
async def get_organization(call: Call) -> Answer:
    """An organization."""
    return Answer.json(documents.organization(call.state, named(call)))


@routes.route("GET", "/user/memberships/orgs/{org}", "get-membership")
async def get_membership(call: Call) -> Answer:
    """The caller as a member of an organization; 404 for somebody who is none."""
    token, organization = require_user(call.token), named(call)
    if token.scopes is not None and not token.scopes_include("read:org", "admin:org", "user"):
        raise forbidden(
            "You need at least read:org scope or user scope to get an organization membership."
        )
    level = token.owners.get(organization.login.lower(), token.permission)
    if not token.admin and level == "none":
        raise not_found()
    may_create = token.admin or level == "admin"
    return Answer.json(documents.membership(call.state, organization, token, may_create))


@routes.route("GET", "/orgs/{org}/repos", "list-org-repositories")
@routes.route("GET", "/organizations/{number}/repos", "list-org-repositories")
@routes.route("GET", "/users/{user}/repos", "list-user-repositories")
@routes.route("GET", "/user/{number}/repos", "list-user-repositories")
@routes.route("GET", "/user/repos", "list-own-repositories")
async def list_repositories(call: Call) -> Answer:
    """The repositories of an owner that the caller may see; `Link` addresses use its number."""
    state, token = call.state, call.token
    if "number" in call.params:
        number = call.number("number")
        owner = next((a for a in state.accounts.values() if a.id == number), None)
        if owner is None:
            raise not_found()
    else:
        owner = named(call) if call.params else require_user(token).account
    base = "organizations" if call.route == "list-org-repositories" else "user"
    path = f"/{base}/{owner.id}/repos" if call.params else "/user/repos"
    owned = (r for r in state.repositories.values() if r.owner is owner)
    found = [r for r in owned if state.permission(r, token) != "none"]
    found.sort(key=lambda r: r.name.lower())
    return call.page_of(found, path, lambda r: repository(state, r, token, full=False))
