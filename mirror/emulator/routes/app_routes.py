"""GitHub Apps: who they are, where they are installed, and their tokens."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator.documents.account_json import account
from mirror.emulator.documents.shared import Document, node_id
from mirror.emulator.http.answer import Answer, forbidden, not_found
from mirror.emulator.http.authentication import calling_app
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.accounts import Token
from mirror.emulator.model.iso_time import iso

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import App, Installation, Permission

LIFETIME = 3600
"""Seconds for which an installation token is valid."""

routes = Routes()


def _permissions(level: Permission) -> dict[str, str]:
    found = {"contents": "read" if level == "read" else "write", "metadata": "read"}
    return found | ({"administration": "write"} if level == "admin" else {})


def _installation(call: Call, app: App, of: Installation) -> Document:
    api, web = call.state.addresses.api, call.state.addresses.web
    return {
        "id": of.id,
        "app_id": app.id,
        "app_slug": app.slug,
        "client_id": app.client_id,
        "account": account(call.state, of.account),
        "target_id": of.account.id,
        "target_type": of.account.type,
        "access_tokens_url": f"{api}/app/installations/{of.id}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"{web}/organizations/{of.account.login}/settings/installations/{of.id}",
        "repository_selection": "all",
        "permissions": _permissions(of.permission),
        "events": [],
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "created_at": app.account.created_at,
        "updated_at": app.account.created_at,
        "suspended_by": None,
        "suspended_at": of.suspended_at,
    }


@routes.route("GET", "/app", "get-app")
async def get_app(call: Call) -> Answer:
    """The App that calls."""
    app = calling_app(call.state, call.token)
    shown = account(call.state, app.account)
    return Answer.json(
        {
            "id": app.id,
            "client_id": app.client_id,
            "slug": app.slug,
            "node_id": node_id("App", app.id),
            "owner": shown,
            "name": app.slug,
            "description": None,
            "external_url": shown["html_url"],
            "html_url": shown["html_url"],
            "created_at": app.account.created_at,
            "updated_at": app.account.created_at,
            "permissions": _permissions("admin"),
            "events": [],
            "installations_count": len(app.installations),
        }
    )


@routes.route("GET", "/app/installations", "list-app-installations")
async def list_app_installations(call: Call) -> Answer:
    """Its installations."""
    app = calling_app(call.state, call.token)
    installations = list(app.installations.values())
    return call.page_of(
        installations,
        "/app/installations",
        lambda installation: _installation(call, app, installation),
    )


def _installed(call: Call, app: App) -> Installation:
    """The installation of the path: by its number, or on the owner that the path names."""
    if "installation_id" in call.params:
        number = call.number("installation_id")
        found = next((one for one in app.installations.values() if one.id == number), None)
    else:
        login, repo = call.params["login"], call.params.get("repo")
        known = repo is None or call.state.find(login, repo) is not None
        found = app.installations.get(login.lower()) if known else None
    if found is None:
        raise not_found()
    return found


@routes.route("GET", "/app/installations/{installation_id}", "get-app-installation")
@routes.route("GET", "/orgs/{login}/installation", "get-app-installation")
@routes.route("GET", "/users/{login}/installation", "get-app-installation")
@routes.route("GET", "/repos/{login}/{repo}/installation", "get-app-installation")
async def get_installation(call: Call) -> Answer:
    """An installation: by its number, or that on an organization, a user or a repository's owner."""
    app = calling_app(call.state, call.token)
    return Answer.json(_installation(call, app, _installed(call, app)))


@routes.route(
    "POST", "/app/installations/{installation_id}/access_tokens", "create-installation-token"
)
async def create_installation_token(call: Call) -> Answer:
    """A new token of an installation."""
    await json_object(call)  # may restrict the token, which is not emulated
    app = calling_app(call.state, call.token)
    installation = _installed(call, app)
    if installation.suspended_at is not None:
        raise forbidden("This installation has been suspended")
    expires_at = call.state.clock() + LIFETIME
    token = Token(
        f"ghs_{secrets.token_hex(18)}",
        app.account,
        owners={installation.account.login.lower(): installation.permission},
        scopes=None,
        expires_at=expires_at,
    )
    call.state.tokens[token.value] = token
    call.state.touched()
    made = {
        "token": token.value,
        "expires_at": iso(expires_at),
        "permissions": _permissions(installation.permission),
        "repository_selection": "all",
    }
    return Answer.json(made, HTTPStatus.CREATED)
