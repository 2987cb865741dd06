"""Uploads of assets."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator.documents.release_json import asset_document
from mirror.emulator.http.answer import (
    Answer,
    ApiError,
    bad_request,
    invalid,
    item,
    not_found,
    unprocessable,
)
from mirror.emulator.http.permissions import require_user
from mirror.emulator.http.request_body import drain, receive
from mirror.emulator.http.routing import OCTETS, Routes
from mirror.emulator.model.asset_renaming import normalise
from mirror.emulator.model.release_records import STARTER, UPLOADED
from mirror.emulator.model.state import AssetSpec
from mirror.emulator.routes.release_routes import RELEASES, numbered_release

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.content import Content
    from mirror.emulator.model.release_records import Release

LONGEST_DRAIN = 1 << 23
"""A refused upload of at most so many bytes is read before it is answered."""

routes = Routes("uploads")


def refuse_taken_name(release: Release, name: str) -> None:
    """Refuse a name that another asset has, or one whose upload is in progress.

    Raises:
        ApiError: 422.
    """
    if release.asset(name) or name in release.arriving:
        raise invalid(item("ReleaseAsset", "already_exists", "name"))


def _wrong_size(limit: str) -> ApiError:
    return invalid(item("ReleaseAsset", "custom", "size", f"size must be {limit}"))


def _checked(call: Call, release: Release) -> tuple[str, int]:
    """Name and length of an upload that is accepted.

    Raises:
        ApiError: 400 or 422, with GitHub's message.
    """
    state, length, name = call.state, call.request.content_length, call.request.query.get("name")
    if release.immutable:
        raise unprocessable("Cannot upload assets to an immutable release.")
    if length is None:
        raise bad_request("Bad Content-Length: ", documented=False)
    if not name:
        raise invalid(item("ReleaseAsset", "missing_field", "name"))
    if length < 1:
        raise _wrong_size("greater than or equal to 1")
    if length > state.max_asset_size:
        raise _wrong_size(f"less than or equal to {state.max_asset_size}")
    if state.max_assets and len(release.assets) + len(release.arriving) >= state.max_assets:
        message = f"file_count limited to {state.max_assets} assets per release"
        raise invalid(item("ReleaseAsset", "custom", "file_count", message))
    refuse_taken_name(release, normalise(name))
    return normalise(name), length


@routes.route("POST", f"{RELEASES}/{{release_id}}/assets", "upload-asset")
async def upload_asset(call: Call) -> Answer:
    """Add an asset.

    Until its last byte arrives, the asset is in no list; an interrupted upload leaves a `starter`.
    """
    state, repository = call.state, call.repository("write")
    release = numbered_release(call, repository)
    try:
        name, length = _checked(call, release)
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
            spec = AssetSpec(
                b"" if content is None else content,
                call.request.headers.get("Content-Type", OCTETS),
                call.request.query.get("label"),
                STARTER if content is None else UPLOADED,
            )
            uploader = require_user(call.token).account
            asset = state.attach(repository, release, name, spec, uploader)
            asset.late = late
            state.changed(repository, release)
    if release.id not in repository.releases:
        raise not_found()
    return Answer.json(asset_document(state, repository, release, asset), HTTPStatus.CREATED)
