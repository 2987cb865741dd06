"""Assets: list, read, download, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.documents.release_json import asset_document
from mirror.emulator.http.answer import Answer, not_found, unprocessable
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.asset_renaming import normalise
from mirror.emulator.model.invariants import Change
from mirror.emulator.model.release_records import UPLOADED, Asset, Release
from mirror.emulator.routes.downloads import bytes_of, count_download, storage_address
from mirror.emulator.routes.release_routes import RELEASES, numbered_release
from mirror.emulator.routes.uploads import refuse_taken_name

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import Permission
    from mirror.emulator.model.repository import Repository

ASSET = f"{RELEASES}/assets/{{asset_id}}"
routes = Routes()


def _find(call: Call, need: Permission = "read") -> tuple[Repository, Release, Asset]:
    state, repository = call.state, call.repository(need)
    found = state.assets.get(call.number("asset_id"))
    if found is None or found[0] is not repository:
        raise not_found()
    if found[1].draft and not state.may_push(repository, call.token):
        raise not_found()
    if call.lagging([found[2].made]):
        raise not_found()
    return found


@routes.route("GET", f"{RELEASES}/{{release_id}}/assets", "list-assets")
async def list_assets(call: Call) -> Answer:
    """The assets of a release, in pages."""
    state, repository = call.state, call.repository()
    release = numbered_release(call, repository)
    lagging = call.lagging(asset.made for asset in release.assets)
    return call.page_of(
        [asset for asset in release.assets if asset.id not in lagging],
        f"/repositories/{repository.id}/releases/{release.id}/assets",
        lambda asset: asset_document(state, repository, release, asset),
    )


@routes.route("GET", ASSET, "get-asset", octets="download-asset")
async def get_asset(call: Call) -> Answer:
    """An asset's document, or its bytes with `Accept: application/octet-stream`."""
    state, found = call.state, _find(call)
    if call.route == "get-asset":
        return Answer.json(asset_document(state, *found))
    repository, release, asset = found
    if asset.state != UPLOADED and state.direct_download:
        raise not_found()
    if call.request.method == "GET":
        count_download(state, release, asset)
    if state.direct_download:
        return bytes_of(call, asset)
    return Answer.redirect(storage_address(state, repository, asset))


@routes.route("PATCH", ASSET, "update-asset")
async def update_asset(call: Call) -> Answer:
    """Change name (which is normalised), label or state."""
    call.repository("write")
    asked = await json_object(call)
    found = repository, release, asset = _find(call, "write")
    if release.immutable:
        raise unprocessable("Cannot update asset of an immutable release.")
    if not isinstance(asked.get("label"), str | None):
        raise unprocessable("Invalid request.\n\nFor 'properties/label', it is not a string.")
    before, name = asset.name, asset.name
    if asked.get("name"):
        name = normalise(str(asked["name"]))
    if name != before and call.state.renames_on_patch:
        name = f"renamed.{name}"
    if name != before:
        refuse_taken_name(release, name)
    asset.name = name
    if "label" in asked:
        asset.label = asked["label"]
    if asked.get("state") in (UPLOADED, "open"):
        asset.state = asked["state"]
    asset.updated_at = call.state.now()
    change = Change("asset-renamed", name, before) if name != before else Change()
    call.state.changed(repository, release, change)
    return Answer.json(asset_document(call.state, *found))


@routes.route("DELETE", ASSET, "delete-asset")
async def delete_asset(call: Call) -> Answer:
    """Delete an asset."""
    repository, release, asset = _find(call, "write")
    if release.immutable:
        raise unprocessable("Cannot delete asset from an immutable release")
    call.state.detach(release, asset)
    call.state.changed(repository, release, Change("asset-deleted", asset.name))
    return Answer.nothing()
