"""Repositories: create, read, change, delete, and their Actions permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirror.emulator.documents.repository_json import repository as document_of
from mirror.emulator.http.answer import Answer, invalid, item, not_found
from mirror.emulator.http.permissions import require_creation, require_user
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.routes.account_routes import named

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import Account

REPOSITORY = "/repos/{owner}/{repo}"
IMMUTABLE = f"{REPOSITORY}/immutable-releases"
routes = Routes()


@routes.route("POST", "/orgs/{org}/repos", "create-repository")
@routes.route("POST", "/user/repos", "create-repository")
async def create_repository(call: Call) -> Answer:
    """Create a repository, for an organization or for the token's owner."""
    owner = named(call) if "org" in call.params else require_user(call.token).account
    require_creation(call.token, owner)
    asked = await json_object(call)
    name = asked.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(item("Repository", "missing_field", "name"))
    full_name = f"{owner.login}/{name}"
    if full_name.lower() in call.state.names:
        taken = item("Repository", "custom", "name", "name already exists on this account")
        raise invalid(taken, message="Repository creation failed.")
    made = call.state.add_repository(
        full_name,
        visibility=_visibility(call, owner, asked),
        description=asked.get("description"),
        empty=not asked.get("auto_init", False),
    )
    return Answer.created(document_of(call.state, made, call.token))


def _visibility(call: Call, owner: Account, asked: dict[str, Any]) -> str:
    visibility = asked.get("visibility") or ("private" if asked.get("private") else "public")
    internal = call.state.kind == "ghes" and owner.type == "Organization"
    if visibility not in ("public", "private", *(["internal"] if internal else [])):
        message = f"Visibility can't be {visibility} for this owner"
        raise invalid(item("Repository", "custom", "visibility", message))
    return str(visibility)


@routes.route("GET", REPOSITORY, "get-repository")
async def get_repository(call: Call) -> Answer:
    """A repository."""
    return Answer.json(document_of(call.state, call.repository(), call.token))


@routes.route("PATCH", REPOSITORY, "update-repository")
async def update_repository(call: Call) -> Answer:
    """Change description, default branch, visibility or name; archive or unarchive."""
    state, found = call.state, call.repository()
    asked = await json_object(call)
    if asked.get("archived") is False and state.permission(found, call.token) == "admin":
        found.archived = False
    found = call.repository("admin")
    found.description = asked.get("description", found.description)
    found.default_branch = asked.get("default_branch", found.default_branch)
    found.visibility = asked.get("visibility", found.visibility)
    found.archived = bool(asked.get("archived", found.archived))
    if asked.get("name") and asked["name"] != found.name:
        state.rename_repository(found.full_name, f"{found.owner.login}/{asked['name']}")
    state.changed(found)
    return Answer.json(document_of(state, found, call.token))


@routes.route("DELETE", REPOSITORY, "delete-repository")
async def delete_repository(call: Call) -> Answer:
    """Delete a repository."""
    call.state.delete_repository(call.repository("admin").full_name)
    return Answer.nothing()


@routes.route("GET", IMMUTABLE, "get-immutable-releases")
@routes.route("PUT", IMMUTABLE, "set-immutable-releases")
@routes.route("DELETE", IMMUTABLE, "set-immutable-releases")
async def immutable_releases(call: Call) -> Answer:
    """Whether releases are immutable once published (404: they are not), or turn that on or off.

    Source: https://docs.github.com/en/rest/repos/repos#check-if-immutable-releases-are-enabled-for-a-repository
    """
    found, method = call.repository("admin"), call.request.method
    if not call.state.has_immutable or (method == "GET" and not found.immutable_releases):
        raise not_found()
    if method == "GET":
        return Answer.json({"enabled": True, "enforced_by_owner": False})
    found.immutable_releases = method == "PUT"
    call.state.changed(found)
    return Answer.nothing()


@routes.route("GET", f"{REPOSITORY}/actions/permissions", "get-actions-permissions")
async def get_actions_permissions(call: Call) -> Answer:
    """Whether GitHub Actions is enabled."""
    enabled = call.repository("admin").actions_enabled
    return Answer.json({"enabled": enabled} | ({"allowed_actions": "all"} if enabled else {}))


@routes.route("PUT", f"{REPOSITORY}/actions/permissions", "set-actions-permissions")
async def set_actions_permissions(call: Call) -> Answer:
    """Turn GitHub Actions on or off."""
    found = call.repository("admin")
    asked = await json_object(call)
    if not isinstance(asked.get("enabled"), bool):
        raise invalid(item("Repository", "missing_field", "enabled"))
    found.actions_enabled = asked["enabled"]
    call.state.changed(found)
    return Answer.nothing()
