"""Assets: list, read, download, upload, change, delete."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator import documents
from mirror.emulator.access import require, require_user
from mirror.emulator.content import EMPTY
from mirror.emulator.errors import ApiError, invalid, item, not_found, unprocessable
from mirror.emulator.flow import drain, receive
from mirror.emulator.invariants import Change
from mirror.emulator.model import STARTER, UPLOADED, Asset, Release, Repository
from mirror.emulator.naming import normalise
from mirror.emulator.routes_releases import RELEASES, visible
from mirror.emulator.routes_storage import ranged, storage_address
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.content import Content
    from mirror.emulator.state import GitHubState

OCTETS = "application/octet-stream"
LONGEST_DRAIN = 1 << 23
"""Bytes of a refused upload that are read before it is answered."""
_CONFLICT = item("ReleaseAsset", "already_exists", "name")


def _find(call: Call, need_push: bool = False) -> tuple[Repository, Release, Asset]:
    repository = call.repository("write" if need_push else "read")
    found = call.state.assets.get(call.number("asset_id"))
    if found is None or found[0] is not repository:
        raise not_found()
    if found[1].draft and not need_push:
        require(call.state, repository, call.token, "read")
        call.params["release_id"] = str(found[1].id)
        visible(call, repository)
    if call.hidden([(found[2].id, found[2].created)]):
        raise not_found()
    return found


def _one(call: Call, found: tuple[Repository, Release, Asset], status: int = 200) -> Answer:
    return Answer(status, documents.asset_json(call.state, *found).encode())


@route("GET", f"{RELEASES}/{{release_id}}/assets", "list-assets")
async def list_assets(call: Call) -> Answer:
    """The assets of a release, in pages."""
    repository = call.repository()
    release = visible(call, repository)
    hidden = call.hidden([(asset.id, asset.created) for asset in release.assets])
    shown = [asset for asset in release.assets if asset.id not in hidden]
    rendered = [
        documents.asset_json(call.state, repository, release, asset) for asset in call.cut(shown)
    ]
    links = call.links(f"/repositories/{repository.id}/releases/{release.id}/assets", len(shown))
    return Answer(body=f"[{','.join(rendered)}]".encode(), headers=links)


@route("GET", f"{RELEASES}/assets/{{asset_id}}", "get-asset")
async def get_asset(call: Call) -> Answer:
    """What is known about an asset; with `Accept: application/octet-stream`, its bytes."""
    found = _find(call)
    if call.route.name == "get-asset":
        return _one(call, found)
    repository, _, asset = found
    if asset.state != UPLOADED and call.state.direct_download:
        raise not_found()
    if call.request.method == "GET":
        count_download(call.state, *found)
    if call.state.direct_download:
        return ranged(call, asset)
    url = storage_address(call.state, repository, asset)
    return Answer(HTTPStatus.FOUND, headers={"Location": url}, content_type="text/html")


def count_download(
    state: GitHubState, repository: Repository, release: Release, asset: Asset
) -> None:
    """A download shows in listings, and so in their ETags."""
    asset.download_count += 1
    asset.json = release.json = None
    repository.pages.clear()
    state.touched()


@route("PATCH", f"{RELEASES}/assets/{{asset_id}}", "update-asset")
async def update_asset(call: Call) -> Answer:
    """Change name (which is normalised), label or state."""
    repository = call.repository("write")
    document = await call.document()
    found = _find(call, need_push=True)
    _, release, asset = found
    if release.immutable:
        raise unprocessable("Cannot update asset of an immutable release.")
    if not isinstance(document.get("label"), str | None):
        raise unprocessable("Invalid request.\n\nFor 'properties/label', it is not a string.")
    name = normalise(str(document["name"])) if document.get("name") else asset.name
    if call.state.renames_on_patch and name != asset.name:
        name = f"renamed.{name}"
    if name != asset.name and (release.asset(name) or name in release.arriving):
        raise invalid(_CONFLICT)
    renamed = name != asset.name
    before, asset.name = asset.name, name
    if "label" in document:
        asset.label = document["label"]
    if document.get("state") in (UPLOADED, "open"):
        asset.state = document["state"]
    asset.updated_at = call.state.now()
    asset.json = None
    change = Change("asset-renamed", name, before) if renamed else Change()
    call.state.changed(repository, release, change)
    return _one(call, found)


@route("DELETE", f"{RELEASES}/assets/{{asset_id}}", "delete-asset")
async def delete_asset(call: Call) -> Answer:
    """Remove an asset."""
    repository, release, asset = _find(call, need_push=True)
    if release.immutable:
        raise unprocessable("Cannot delete asset from an immutable release")
    call.state.detach(release, asset)
    call.state.changed(repository, release, Change("asset-deleted", asset.name))
    return Answer.nothing()


def _refuse_upload(call: Call, release: Release) -> tuple[str, int]:
    """Name and length of an upload that may come in.

    Raises:
        ApiError: 400 or 422, in GitHub's words.
    """
    state, length = call.state, call.request.content_length
    if release.immutable:
        error = unprocessable("Cannot upload assets to an immutable release.")
        raise error
    if length is None:
        raise ApiError(HTTPStatus.BAD_REQUEST, "Bad Content-Length: ", documented=False)
    if not call.request.query.get("name"):
        raise invalid(item("ReleaseAsset", "missing_field", "name"))
    name, wrong = normalise(call.request.query["name"]), ""
    if length < 1:
        wrong = "size must be greater than or equal to 1"
    elif length > state.max_asset_size:
        wrong = f"size must be less than or equal to {state.max_asset_size}"
    if wrong:
        raise invalid(item("ReleaseAsset", "custom", "size", wrong))
    if state.max_assets and len(release.assets) + len(release.arriving) >= state.max_assets:
        message = f"file_count limited to {state.max_assets} assets per release"
        raise invalid(item("ReleaseAsset", "custom", "file_count", message))
    if release.asset(name) or name in release.arriving:
        raise invalid(_CONFLICT)
    return name, length


@route("POST", f"{RELEASES}/{{release_id}}/assets", "upload-asset", origin="uploads")
async def upload_asset(call: Call) -> Answer:
    """Take the bytes of a new asset.

    While they come in, the asset is in no list; an upload that breaks leaves a `starter`.
    """
    repository = call.repository("write")
    release = call.release(repository, drafts=True)
    try:
        name, length = _refuse_upload(call, release)
    except ApiError:
        if (call.request.content_length or 0) <= LONGEST_DRAIN:
            await drain(call)
        raise
    late = not release.draft
    content: Content | None = None
    release.arriving.add(name)
    try:
        content = await receive(call, length)
    finally:
        release.arriving.discard(name)
        if release.id in repository.releases:
            asset = _attach(call, repository, release, name, content)
            asset.late = late
            call.state.changed(repository, release)
    if release.id not in repository.releases:
        raise not_found()
    return _one(call, (repository, release, asset), HTTPStatus.CREATED)


def _attach(
    call: Call, repository: Repository, release: Release, name: str, content: Content | None
) -> Asset:
    return call.state.attach(
        repository,
        release,
        name,
        content or EMPTY,
        call.request.headers.get("Content-Type", OCTETS),
        label=call.request.query.get("label"),
        state=UPLOADED if content is not None else STARTER,
        uploader=require_user(call.token).account,
    )
