"""The web host: addresses of releases and assets for people, where an API token has no effect.

A host in private mode, and a repository that not everybody may see, lead to the login page.

Source: https://docs.github.com/en/repositories/releasing-projects-on-github/linking-to-releases and
https://github.com/zokugun/vscode-vsix-manager/issues/28
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from mirror.emulator.documents.shared import web_url
from mirror.emulator.http.answer import Answer, ApiError, not_found
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.release_records import UPLOADED
from mirror.emulator.routes.downloads import count_download, storage_address

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.release_records import Release
    from mirror.emulator.model.repository import Repository

WEB_REPOSITORY = "/{owner}/{repo}"
RELEASES = f"{WEB_REPOSITORY}/releases"
_FEED_LENGTH = 10
routes = Routes("web")


def public_repository(call: Call) -> Repository:
    """The repository of the path, if everybody may see it.

    Raises:
        ApiError: 302 to the login page.
    """
    state = call.state
    found = state.find(call.params["owner"], call.params["repo"])
    if found is None or state.private_mode or state.permission(found, None) == "none":
        back = quote(f"{state.addresses.web}{call.target}", safe="")
        login = f"{state.addresses.web}/login?return_to={back}"
        raise ApiError(HTTPStatus.FOUND, "Sign in to continue", headers={"Location": login})
    return found


def _latest(repository: Repository) -> Release:
    found = repository.latest()
    if found is None:
        raise not_found()
    return found


def _address(call: Call, repository: Repository, what: str) -> str:
    return f"{web_url(call.state, repository)}/releases/{quote(what)}"


@routes.route("GET", "/login", "web-login")
async def web_login(_call: Call) -> Answer:
    """The login page, where nobody can log in."""
    return Answer.page("Sign in to continue")


@routes.route("GET", f"{RELEASES}/download/{{tag*}}/{{name}}", "web-download")
async def web_download(call: Call) -> Answer:
    """Redirect to the bytes of an asset; a `/` in the tag may be encoded or not."""
    state, repository = call.state, public_repository(call)
    release = repository.published(call.params["tag"])
    asset = release.asset(call.params["name"]) if release else None
    if release is None or asset is None or asset.state != UPLOADED:
        raise not_found()
    count_download(state, release, asset)
    return Answer.redirect(storage_address(state, repository, asset))


@routes.route("GET", f"{RELEASES}/latest/download/{{name}}", "web-latest-download")
async def web_latest_download(call: Call) -> Answer:
    """Redirect to the asset of that name in the latest release."""
    repository = public_repository(call)
    what = f"download/{_latest(repository).tag}/{call.params['name']}"
    return Answer.redirect(_address(call, repository, what))


@routes.route("GET", f"{RELEASES}/latest", "web-latest")
async def web_latest(call: Call) -> Answer:
    """Redirect to the latest release."""
    repository = public_repository(call)
    return Answer.redirect(_address(call, repository, f"tag/{_latest(repository).tag}"))


@routes.route("GET", f"{RELEASES}/tag/{{tag*}}", "web-release")
async def web_release(call: Call) -> Answer:
    """The page of a release, with nothing but its title."""
    repository = public_repository(call)
    found = repository.published(call.params["tag"])
    if found is None:
        raise not_found()
    return Answer.page(f"Release {found.name or found.tag} · {repository.full_name}")


@routes.route("GET", f"{WEB_REPOSITORY}/releases.atom", "web-feed")
async def web_feed(call: Call) -> Answer:
    """The newest releases as an Atom feed."""
    repository = public_repository(call)
    found = [r for r in call.state.releases(repository.full_name) if not r.draft][:_FEED_LENGTH]
    here = web_url(call.state, repository)
    entries = "".join(
        f"<entry><id>tag:github.com,2008:Repository/{repository.id}/{escape(release.tag)}</id>"
        f"<updated>{release.updated_at}</updated>"
        '<link rel="alternate" type="text/html"'
        f" href={quoteattr(_address(call, repository, f'tag/{release.tag}'))}/>"
        f"<title>{escape(release.name or release.tag)}</title>"
        f'<content type="html">{escape(release.body or "")}</content>'
        f"<author><name>{escape(release.author.login)}</name></author></entry>"
        for release in found
    )
    feed = (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">'
        f"<id>tag:github.com,2008:{here}/releases</id><title>Release notes from"
        f" {repository.name}</title><updated>{repository.pushed_at}</updated>{entries}</feed>"
    )
    return Answer(body=feed.encode(), content_type="application/atom+xml; charset=utf-8")
