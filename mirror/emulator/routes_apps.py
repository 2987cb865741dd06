"""GitHub Apps: who they are, where they are installed, and their tokens."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator import apps
from mirror.emulator.errors import not_found
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.apps import App, Installation


@route("GET", "/app", "get-app")
async def get_app(call: Call) -> Answer:
    """The App that calls."""
    app = apps.app_of(call.state, call.token)
    slug = app.account.login.removesuffix("[bot]")
    return Answer.json({"id": app.id, "client_id": app.client_id, "slug": slug, "name": slug})


@route("GET", "/app/installations", "list-app-installations")
async def list_app_installations(call: Call) -> Answer:
    """Where it is installed."""
    app = apps.app_of(call.state, call.token)
    found = call.cut(list(app.installations.values()))
    links = call.links("/app/installations", len(app.installations))
    shown = [apps.shown(call.state, app, installation) for installation in found]
    return Answer.json(shown, HTTPStatus.OK, **links)


@route("GET", "/app/installations/{installation_id}", "get-app-installation")
async def get_installation(call: Call) -> Answer:
    """One of its installations."""
    app = apps.app_of(call.state, call.token)
    return Answer.json(apps.shown(call.state, app, _numbered(call, app)))


def _numbered(call: Call, app: App) -> Installation:
    number = call.number("installation_id")
    found = next((one for one in app.installations.values() if one.id == number), None)
    if found is None:
        raise not_found()
    return found


def _installed(call: Call, app: App, login: str) -> Answer:
    found = app.installations.get(login.lower())
    if found is None:
        raise not_found()
    return Answer.json(apps.shown(call.state, app, found))


@route("GET", "/orgs/{org}/installation", "get-app-installation")
async def get_org_installation(call: Call) -> Answer:
    """Its installation in an organization."""
    return _installed(call, apps.app_of(call.state, call.token), call.params["org"])


@route("GET", "/users/{user}/installation", "get-app-installation")
async def get_user_installation(call: Call) -> Answer:
    """Its installation for a user."""
    return _installed(call, apps.app_of(call.state, call.token), call.params["user"])


@route("GET", "/repos/{owner}/{repo}/installation", "get-app-installation")
async def get_repository_installation(call: Call) -> Answer:
    """Its installation in a repository."""
    app = apps.app_of(call.state, call.token)
    if f"{call.params['owner']}/{call.params['repo']}".lower() not in call.state.names:
        raise not_found()
    return _installed(call, app, call.params["owner"])


@route("POST", "/app/installations/{installation_id}/access_tokens", "create-installation-token")
async def create_installation_token(call: Call) -> Answer:
    """A token of an installation, for an hour."""
    await call.document()  # may narrow the token down; none of ours does
    app = apps.app_of(call.state, call.token)
    token = apps.issue(call.state, app, _numbered(call, app))
    return Answer.json(apps.grant(token), HTTPStatus.CREATED)
