"""Releases: list, read, create, change, delete."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator import documents, releases
from mirror.emulator.access import allows, permission_in, require_user
from mirror.emulator.errors import not_found, unprocessable
from mirror.emulator.routing import Answer, Call, digest_of, route

if TYPE_CHECKING:
    from mirror.emulator.model import Release, Repository

RELEASES = "/repos/{owner}/{repo}/releases"
FURTHEST = 10_000
"""Results a list shows at most."""


def may_push(call: Call, repository: Repository) -> bool:
    """Whether the caller sees drafts."""
    return allows(permission_in(call.state, repository, call.token), "write")


def visible(call: Call, repository: Repository) -> Release:
    """The release of the path, when the caller may see it."""
    return call.release(repository, drafts=may_push(call, repository))


def _one(call: Call, repository: Repository, release: Release, status: int = 200) -> Answer:
    body = documents.release_json(call.state, repository, release)
    return Answer(status, body.encode())


@route("GET", RELEASES, "list-releases")
async def list_releases(call: Call) -> Answer:
    """Newest first by the date of the tag's commit; drafts only with push access."""
    repository = call.repository()
    drafts = may_push(call, repository)
    page, size = call.paging()
    if page * size > FURTHEST:
        raise unprocessable(f"Only the first {FURTHEST} results are available.")
    hidden = call.hidden([(r.id, r.created) for r in repository.releases.values()])
    key = ("releases", drafts, page, size)
    cached = None if hidden else repository.pages.get(key)
    if cached is None:
        found = repository.releases.values()
        shown = [r for r in found if (drafts or not r.draft) and r.id not in hidden]
        shown.sort(key=lambda r: r.order, reverse=True)
        rendered = (documents.release_json(call.state, repository, r) for r in call.cut(shown))
        body = f"[{','.join(rendered)}]".encode()
        cached = (body, digest_of(body))
        if not hidden:
            repository.pages[key] = cached
    return Answer(
        body=cached[0],
        digest=cached[1],
        headers=_links(call, repository, drafts=drafts, hidden=hidden),
    )


def _links(call: Call, repository: Repository, *, drafts: bool, hidden: set[int]) -> dict[str, str]:
    count = sum(
        (drafts or not r.draft) and r.id not in hidden for r in repository.releases.values()
    )
    return call.links(f"/repositories/{repository.id}/releases", count)


@route("POST", RELEASES, "create-release")
async def create_release(call: Call) -> Answer:
    """A draft, or a published release with its tag."""
    repository = call.repository("write")
    document = await call.document()
    author = require_user(call.token).account
    made = releases.create(call.state, repository, author, document)
    answer = _one(call, repository, made, HTTPStatus.CREATED)
    url = documents.repository_url(call.state, repository)
    answer.headers["Location"] = f"{url}/releases/{made.id}"
    return answer


@route("GET", f"{RELEASES}/latest", "latest-release")
async def latest_release(call: Call) -> Answer:
    """The chosen one, else the newest; never a draft or prerelease."""
    repository = call.repository()
    found = repository.latest()
    if found is None:
        raise not_found()
    return _one(call, repository, found)


@route("GET", f"{RELEASES}/tags/{{tag*}}", "release-by-tag")
async def release_by_tag(call: Call) -> Answer:
    """The published release of a tag; a draft is never found by its tag."""
    repository = call.repository()
    found = repository.published(call.params["tag"])
    if found is None or call.hidden([(found.id, found.created)]):
        raise not_found()
    return _one(call, repository, found)


@route("GET", f"{RELEASES}/{{release_id}}", "get-release")
async def get_release(call: Call) -> Answer:
    """One release by its number."""
    repository = call.repository()
    found = visible(call, repository)
    hidden = call.hidden([(asset.id, asset.created) for asset in found.assets])
    if not hidden:
        return _one(call, repository, found)
    kept = (
        documents.asset_json(call.state, repository, found, asset)
        for asset in found.assets
        if asset.id not in hidden
    )
    body = documents.release_with(call.state, repository, found, ",".join(kept))
    return Answer(body=body.encode())


@route("PATCH", f"{RELEASES}/{{release_id}}", "update-release")
async def update_release(call: Call) -> Answer:
    """Change what is named; publish."""
    repository = call.repository("write")
    document = await call.document()
    release = call.release(repository, drafts=True)
    return _one(call, repository, releases.update(call.state, repository, release, document))


@route("DELETE", f"{RELEASES}/{{release_id}}", "delete-release")
async def delete_release(call: Call) -> Answer:
    """Remove a release; its tag stays."""
    repository = call.repository("write")
    releases.delete(call.state, repository, call.release(repository, drafts=True))
    return Answer.nothing()


@route("POST", f"{RELEASES}/generate-notes", "generate-notes")
async def generate_notes(call: Call) -> Answer:
    """Generated notes are not emulated."""
    call.repository("write")
    raise not_found()
