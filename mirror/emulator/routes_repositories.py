"""Repositories, their owners, and what the host says about itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator import documents
from mirror.emulator.access import permission_in, require_creation, require_user
from mirror.emulator.errors import ApiError, invalid, item, not_found
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.model import Account, Repository

API_VERSIONS = ("2026-03-10", "2022-11-28")
REPOSITORY = "/repos/{owner}/{repo}"


@route("GET", "/", "get-root")
async def get_root(call: Call) -> Answer:
    """The addresses of the API."""
    api = call.state.addresses.api
    return Answer.json(
        {
            "current_user_url": f"{api}/user",
            "repository_url": f"{api}/repos/{{owner}}/{{repo}}",
            "organization_url": f"{api}/orgs/{{org}}",
            "rate_limit_url": f"{api}/rate_limit",
        }
    )


@route("GET", "/meta", "get-meta")
async def get_meta(call: Call) -> Answer:
    """On GHES with `installed_version`; github.com has none."""
    made: dict[str, Any] = {"verifiable_password_authentication": True}
    if call.state.kind == "ghes":
        made["installed_version"] = call.state.version
    return Answer.json(made)


@route("GET", "/versions", "list-api-versions")
async def list_api_versions(call: Call) -> Answer:
    """API versions; a GHES does not have this address."""
    if call.state.kind == "ghes":
        raise not_found()
    return Answer.json(list(API_VERSIONS))


@route("GET", "/rate_limit", "get-rate-limit")
async def get_rate_limit(call: Call) -> Answer:
    """What is left; 404 where limits are off, as on GHES unless an administrator turns them on."""
    limits = call.state.limits
    if not limits.enabled:
        raise ApiError(HTTPStatus.NOT_FOUND, "Rate limiting is not enabled.")
    core = limits.status(call.credential)
    resources = dict.fromkeys(("core", "search", "graphql"), core)
    return Answer.json({"resources": resources, "rate": core})


@route("GET", "/user", "get-user")
async def get_user(call: Call) -> Answer:
    """Whose token it is."""
    token = require_user(call.token)
    return Answer.json(documents.private_user(call.state, token.account))


def _account(call: Call, parameter: str, kind: str | None = None) -> Account:
    found = call.state.accounts.get(call.params[parameter].lower())
    if found is None or kind not in (None, found.type):
        raise not_found()
    return found


@route("GET", "/users/{user}", "get-account")
async def get_account(call: Call) -> Answer:
    """A user, or an organization."""
    return Answer.json(documents.user(call.state, _account(call, "user")))


@route("GET", "/orgs/{org}", "get-organization")
async def get_organization(call: Call) -> Answer:
    """An organization."""
    found = _account(call, "org", "Organization")
    return Answer.json(documents.organization(call.state, found))


def _listed(call: Call, owner: Account, path: str) -> Answer:
    state = call.state
    found = [
        repository
        for repository in state.repositories.values()
        if repository.owner is owner and permission_in(state, repository, call.token) != "none"
    ]
    found.sort(key=lambda repository: repository.name.lower())
    shown = [
        documents.repository(state, repository, call.token, full=False)
        for repository in call.cut(found)
    ]
    return Answer.json(shown, HTTPStatus.OK, **call.links(path, len(found)))


@route("GET", "/orgs/{org}/repos", "list-org-repositories")
async def list_org_repositories(call: Call) -> Answer:
    """What the caller may see of an organization's repositories."""
    owner = _account(call, "org", "Organization")
    return _listed(call, owner, f"/organizations/{owner.id}/repos")


@route("GET", "/organizations/{org_id}/repos", "list-org-repositories")
async def list_numbered_org_repositories(call: Call) -> Answer:
    """The same by number, as `Link` headers have it."""
    return _listed_by_number(call, call.number("org_id"), "organizations")


@route("GET", "/users/{user}/repos", "list-user-repositories")
async def list_user_repositories(call: Call) -> Answer:
    """What the caller may see of a user's repositories."""
    owner = _account(call, "user")
    return _listed(call, owner, f"/user/{owner.id}/repos")


@route("GET", "/user/{user_id}/repos", "list-user-repositories")
async def list_numbered_user_repositories(call: Call) -> Answer:
    """The same by number, as `Link` headers have it."""
    return _listed_by_number(call, call.number("user_id"), "user")


def _listed_by_number(call: Call, number: int, path: str) -> Answer:
    owner = next((a for a in call.state.accounts.values() if a.id == number), None)
    if owner is None:
        raise not_found()
    return _listed(call, owner, f"/{path}/{number}/repos")


@route("GET", "/user/repos", "list-own-repositories")
async def list_own_repositories(call: Call) -> Answer:
    """The repositories of the token's account."""
    return _listed(call, require_user(call.token).account, "/user/repos")


async def _create(call: Call, owner: Account) -> Answer:
    require_creation(call.token, owner)
    document = await call.document()
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(item("Repository", "missing_field", "name"))
    full_name = f"{owner.login}/{name}"
    if full_name.lower() in call.state.names:
        error = invalid(item("Repository", "custom", "name", "name already exists on this account"))
        error.message = "Repository creation failed."
        raise error
    made = call.state.add_repository(
        full_name,
        visibility=_visibility(call, owner, document),
        description=document.get("description"),
        empty=not document.get("auto_init", False),
    )
    shown = documents.repository(call.state, made, call.token)
    url = documents.repository_url(call.state, made)
    return Answer.json(shown, HTTPStatus.CREATED, Location=url)


def _visibility(call: Call, owner: Account, document: dict[str, Any]) -> str:
    private = bool(document.get("private", False))
    asked = document.get("visibility") or ("private" if private else "public")
    internal = call.state.kind == "ghes" and owner.type == "Organization"
    if asked not in ("public", "private", *(["internal"] if internal else [])):
        message = f"Visibility can't be {asked} for this owner"
        raise invalid(item("Repository", "custom", "visibility", message))
    return str(asked)


@route("POST", "/orgs/{org}/repos", "create-repository")
async def create_org_repository(call: Call) -> Answer:
    """Make a repository for an organization."""
    return await _create(call, _account(call, "org", "Organization"))


@route("POST", "/user/repos", "create-repository")
async def create_user_repository(call: Call) -> Answer:
    """Make a repository for the token's account."""
    return await _create(call, require_user(call.token).account)


def _shown(call: Call, repository: Repository) -> Answer:
    return Answer.json(documents.repository(call.state, repository, call.token))


@route("GET", REPOSITORY, "get-repository")
async def get_repository(call: Call) -> Answer:
    """A repository with what the caller may do in it."""
    return _shown(call, call.repository())


@route("PATCH", REPOSITORY, "update-repository")
async def update_repository(call: Call) -> Answer:
    """Change description, default branch, visibility or name; archive."""
    state = call.state
    found = call.repository("read" if call.params else "admin")
    document = await call.document()
    if found.archived and document.get("archived") is False:
        found.archived = False
    found = call.repository("admin")
    found.description = document.get("description", found.description)
    found.default_branch = document.get("default_branch", found.default_branch)
    found.visibility = document.get("visibility", found.visibility)
    found.archived = bool(document.get("archived", found.archived))
    if document.get("name") and document["name"] != found.name:
        state.rename_repository(found.full_name, f"{found.owner.login}/{document['name']}")
    state.changed(found)
    return _shown(call, found)


@route("DELETE", REPOSITORY, "delete-repository")
async def delete_repository(call: Call) -> Answer:
    """Remove a repository."""
    call.state.delete_repository(call.repository("admin").full_name)
    return Answer.nothing()


@route("GET", f"{REPOSITORY}/actions/permissions", "get-actions-permissions")
async def get_actions_permissions(call: Call) -> Answer:
    """Whether GitHub Actions may run."""
    found = call.repository("admin")
    made: dict[str, Any] = {"enabled": found.actions_enabled}
    if found.actions_enabled:
        made["allowed_actions"] = "all"
    return Answer.json(made)


@route("PUT", f"{REPOSITORY}/actions/permissions", "set-actions-permissions")
async def set_actions_permissions(call: Call) -> Answer:
    """Turn GitHub Actions on or off."""
    found = call.repository("admin")
    document = await call.document()
    if not isinstance(document.get("enabled"), bool):
        raise invalid(item("Repository", "missing_field", "enabled"))
    found.actions_enabled = document["enabled"]
    call.state.changed(found)
    return Answer.nothing()
