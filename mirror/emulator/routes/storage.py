"""The storage host: bytes behind signed addresses."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator.http.routing import Routes
from mirror.emulator.model.release_records import UPLOADED
from mirror.emulator.routes.downloads import bytes_of, is_signed, storage_error

if TYPE_CHECKING:
    from mirror.emulator.http.answer import Answer
    from mirror.emulator.http.call import Call

routes = Routes("storage")


@routes.route("GET", "/{repository_id}/{asset_id}", "storage-download")
async def storage_download(call: Call) -> Answer:
    """The bytes of an asset; a request with an `Authorization` header is refused."""
    if call.record.authorization is not None:
        message = "Only one auth mechanism allowed"
        return storage_error(HTTPStatus.BAD_REQUEST, "InvalidArgument", message)
    if not is_signed(call.state, call.target):
        message = "Signature did not match."
        return storage_error(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    if call.state.clock() >= float(call.request.query["exp"]):
        message = "Signed expiry time must be after signed start time: request has expired"
        return storage_error(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    found = call.state.assets.get(call.number("asset_id"))
    if found is None or found[2].state != UPLOADED:
        message = "The specified blob does not exist."
        return storage_error(HTTPStatus.NOT_FOUND, "BlobNotFound", message)
    return bytes_of(call, found[2])
