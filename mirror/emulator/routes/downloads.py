"""Downloads of assets: signed addresses of the storage host, `Range`, and the counter."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from mirror.emulator.http.answer import Answer
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.iso_time import iso
from mirror.emulator.model.release_records import UPLOADED

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.release_records import Asset, Release
    from mirror.emulator.model.repository import Repository

routes = Routes("storage")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def _signature(host: Host, target: str) -> str:
    signed = target if host.exact_signatures else unquote(target)
    made = hmac.new(host.key, signed.encode(), hashlib.sha256).digest()
    return quote(base64.b64encode(made), safe="")


def storage_address(host: Host, repository: Repository, asset: Asset) -> str:
    """A signed address that expires.

    The signature covers the address byte for byte, `%2F` and `%27` included, so that a client
    that quotes it anew is refused.
    """
    expiry = host.clock() + host.storage_lifetime
    shown = quote(f"attachment; filename='{asset.name}'", safe="")
    path = f"/{repository.id}/{asset.id}"
    query = f"?sp=r&sv=2018-11-09&sr=b&se={quote(iso(expiry), safe='')}&exp={expiry:.3f}"
    kind = quote(asset.content_type, safe="")
    target = f"{path}{query}&rscd={shown}&rsct={kind}"
    return f"{host.addresses.storage}{target}&sig={_signature(host, target)}"


def _is_signed(host: Host, target: str) -> bool:
    """Whether path and query of a storage address have the right signature."""
    signed, _, signature = target.rpartition("&sig=")
    right = _signature(host, signed)
    if not host.exact_signatures:
        signature, right = unquote(signature), unquote(right)
    return hmac.compare_digest(signature, right)


def _storage_error(status: int, code: str, message: str) -> Answer:
    """An error as the storage host writes it."""
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
        f"<Message>{message}</Message></Error>"
    )
    return Answer(status, body.encode(), content_type="application/xml")


def bytes_of(call: Call, asset: Asset) -> Answer:
    """The bytes of an asset, or the part that `Range` asks for."""
    etag = f'"0x{hashlib.blake2b(f"{asset.id}".encode(), digest_size=8).hexdigest().upper()}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename={quote(asset.name, safe='')}",
    }
    answer = Answer(
        headers=headers, content_type=asset.content_type, content=asset.content, stop=asset.size
    )
    asked = _RANGE.fullmatch(call.request.headers.get("Range", ""))
    condition = call.request.headers.get("If-Range")
    if asked is None or call.state.ignore_range or condition not in (None, etag):
        return answer
    first, last = asked.groups()
    if not first and not last:
        return answer
    start = int(first) if first else max(0, asset.size - int(last))
    stop = min(int(last) + 1, asset.size) if first and last else asset.size
    if start >= asset.size or start >= stop:
        refused = _storage_error(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The range specified is invalid for the current size of the resource.",
        )
        refused.headers["Content-Range"] = f"bytes */{asset.size}"
        return refused
    answer.status = HTTPStatus.PARTIAL_CONTENT
    answer.start, answer.stop = start, stop
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{asset.size}"
    return answer


def count_download(host: Host, release: Release, asset: Asset) -> None:
    """Count a download, which shows in listings and so in their ETags."""
    asset.download_count += 1
    release.json = None
    host.touched()


@routes.route("GET", "/{repository_id}/{asset_id}", "storage-download")
async def storage_download(call: Call) -> Answer:
    """The bytes of an asset; a request with an `Authorization` header is refused."""
    if call.record.authorization is not None:
        message = "Only one auth mechanism allowed"
        return _storage_error(HTTPStatus.BAD_REQUEST, "InvalidArgument", message)
    if not _is_signed(call.state, call.target):
        message = "Signature did not match."
        return _storage_error(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    if call.state.clock() >= float(call.request.query["exp"]):
        message = "Signed expiry time must be after signed start time: request has expired"
        return _storage_error(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    found = call.state.assets.get(call.number("asset_id"))
    if found is None or found[2].state != UPLOADED:
        message = "The specified blob does not exist."
        return _storage_error(HTTPStatus.NOT_FOUND, "BlobNotFound", message)
    return bytes_of(call, found[2])
