"""The web host: addresses of releases and assets for people, where an API token has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.http.answer import Answer
from mirror.emulator.http.error_responses import not_found
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.release_records import UPLOADED
from mirror.emulator.routes.downloads import count_download, storage_address

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call

RELEASES = "/{owner}/{repo}/releases"
routes = Routes("web")


@routes.route("GET", f"{RELEASES}/download/{{tag}}/{{name}}", "web-download")
async def web_download(call: Call) -> Answer:
    """Redirect to the bytes of an asset."""
    state = call.state
    repository = state.find(call.params["owner"], call.params["repo"])
    if repository is None or state.permission(repository, None) == "none":
        return Answer.page("Sign in to continue")
    release = repository.published(call.params["tag"])
    asset = release.asset(call.params["name"]) if release else None
    if release is None or asset is None or asset.state != UPLOADED:
        raise not_found()
    count_download(state, release, asset)
    return Answer.redirect(storage_address(state, repository, asset))


@routes.route("GET", f"{RELEASES}/latest", "web-latest")
async def web_latest(call: Call) -> Answer:
    """Redirect to the latest release."""
    state = call.state
    repository = state.find(call.params["owner"], call.params["repo"])
    latest = repository.latest() if repository is not None and not repository.private else None
    if repository is None or latest is None:
        raise not_found()
    url = f"{state.addresses.web}/{repository.full_name}/releases/tag/{quote(latest.tag)}"
    return Answer.redirect(url)
