"""Releases: list, read, create, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.documents.release_json import release_document, release_json
from mirror.emulator.documents.shared import repository_url
from mirror.emulator.http.answer import Answer, not_found, unprocessable
from mirror.emulator.http.permissions import require_user
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.routes import release_changes

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.release_records import Release
    from mirror.emulator.model.repository import Repository

RELEASES = "/repos/{owner}/{repo}/releases"
FURTHEST = 10_000
"""Results a list shows at most."""

routes = Routes()


def numbered_release(call: Call, repository: Repository) -> Release:
    """The release of the path, if the caller may see it."""
    found = repository.releases.get(call.number("release_id"))
    if found is None or (found.draft and not call.state.may_push(repository, call.token)):
        raise not_found()
    return found


@routes.route("GET", RELEASES, "list-releases")
async def list_releases(call: Call) -> Answer:
    """Newest first by the date of the tag's commit; drafts only with push access."""
    state, repository = call.state, call.repository()
    drafts = state.may_push(repository, call.token)
    page, size = call.paging()
    if page * size > FURTHEST:
        raise unprocessable(f"Only the first {FURTHEST} results are available.")
    lagging = call.lagging(r.made for r in repository.releases.values())
    releases = repository.releases.values()
    shown = [r for r in releases if (drafts or not r.draft) and r.id not in lagging]
    shown.sort(key=lambda r: r.order, reverse=True)
    path = f"/repositories/{repository.id}/releases"
    return call.page_of(shown, path, lambda r: release_json(state, repository, r))


@routes.route("POST", RELEASES, "create-release")
async def create_release(call: Call) -> Answer:
    """A draft, or a published release with its tag."""
    state, repository = call.state, call.repository("write")
    asked = await json_object(call)
    author = require_user(call.token).account
    made = release_changes.create(state, repository, author, asked)
    url = f"{repository_url(state, repository)}/releases/{made.id}"
    return Answer.created(release_json(state, repository, made), url)


@routes.route("GET", f"{RELEASES}/latest", "latest-release")
async def latest_release(call: Call) -> Answer:
    """The chosen one, else the newest; never a draft or prerelease."""
    repository = call.repository()
    found = repository.latest()
    if found is None:
        raise not_found()
    return Answer.json(release_json(call.state, repository, found))


@routes.route("GET", f"{RELEASES}/tags/{{tag*}}", "release-by-tag")
async def release_by_tag(call: Call) -> Answer:
    """The published release of a tag; a draft is never found by its tag."""
    repository = call.repository()
    found = repository.published(call.params["tag"])
    if found is None or call.lagging([found.made]):
        raise not_found()
    return Answer.json(release_json(call.state, repository, found))


@routes.route("GET", f"{RELEASES}/{{release_id}}", "get-release")
async def get_release(call: Call) -> Answer:
    """A release by its number."""
    repository = call.repository()
    found = numbered_release(call, repository)
    lagging = call.lagging(asset.made for asset in found.assets)
    if not lagging:
        return Answer.json(release_json(call.state, repository, found))
    shown = [asset for asset in found.assets if asset.id not in lagging]
    return Answer.json(release_document(call.state, repository, found, shown))


@routes.route("PATCH", f"{RELEASES}/{{release_id}}", "update-release")
async def update_release(call: Call) -> Answer:
    """Change the keys that are given; publish."""
    repository = call.repository("write")
    asked = await json_object(call)
    release = numbered_release(call, repository)
    release_changes.update(call.state, repository, release, asked)
    return Answer.json(release_json(call.state, repository, release))


@routes.route("DELETE", f"{RELEASES}/{{release_id}}", "delete-release")
async def delete_release(call: Call) -> Answer:
    """Delete a release; its tag stays."""
    repository = call.repository("write")
    call.state.remove_release(repository, numbered_release(call, repository))
    return Answer.nothing()
