"""Where bytes come from: the storage host behind signed addresses, and the web host for people."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from mirror.emulator.access import permission_in
from mirror.emulator.git import iso
from mirror.emulator.model import UPLOADED
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.model import Asset, Repository
    from mirror.emulator.state import GitHubState

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def _signature(state: GitHubState, target: str) -> str:
    """The signature of an address without one."""
    target = target if state.exact_signatures else unquote(target)
    made = hmac.new(state.key, target.encode(), hashlib.sha256).digest()
    return quote(base64.b64encode(made), safe="")


def storage_address(state: GitHubState, repository: Repository, asset: Asset) -> str:
    """A signed address that expires.

    The signature covers the address byte for byte, with `%2F` and `%27` in it: a client that
    quotes anew what it was given is refused.
    """
    expiry = state.clock() + state.storage_lifetime
    shown = quote(f"attachment; filename='{asset.name}'", safe="")
    path = f"/{repository.id}/{asset.id}"
    query = f"sp=r&sv=2018-11-09&sr=b&se={quote(iso(expiry), safe='')}&exp={expiry:.3f}"
    kind = quote(asset.content_type, safe="")
    target = f"{path}?{query}&rscd={shown}&rsct={kind}"
    return f"{state.addresses.storage}{target}&sig={_signature(state, target)}"


def _refusal(status: int, code: str, message: str) -> Answer:
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
        f"<Message>{message}</Message></Error>"
    )
    return Answer(status, body.encode(), content_type="application/xml")


@route("GET", "/{repository_id}/{asset_id}", "storage-download", origin="storage")
async def storage_download(call: Call) -> Answer:
    """The bytes behind a signed address; an `Authorization` header is refused."""
    if call.record.authorization is not None:
        message = "Only one auth mechanism allowed"
        return _refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument", message)
    target, _, signature = call.target.rpartition("&sig=")
    right = _signature(call.state, target)
    if not call.state.exact_signatures:
        signature, right = unquote(signature), unquote(right)
    if not hmac.compare_digest(signature, right):
        message = "Signature did not match."
        return _refusal(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    if call.state.clock() >= float(call.request.query["exp"]):
        message = "Signed expiry time must be after signed start time: request has expired"
        return _refusal(HTTPStatus.FORBIDDEN, "AuthenticationFailed", message)
    found = call.state.assets.get(call.number("asset_id"))
    if found is None or found[2].state != UPLOADED:
        message = "The specified blob does not exist."
        return _refusal(HTTPStatus.NOT_FOUND, "BlobNotFound", message)
    return ranged(call, found[2])


def ranged(call: Call, asset: Asset) -> Answer:
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
        refused = _refusal(
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


@route("GET", "/{owner}/{repo}/releases/download/{tag}/{name}", "web-download", origin="web")
async def web_download(call: Call) -> Answer:
    """The address of an asset for people; an API token does not open this door."""
    state = call.state
    number = state.names.get(f"{call.params['owner']}/{call.params['repo']}".lower())
    repository = state.repositories.get(number or 0)
    if repository is None or permission_in(state, repository, None) == "none":
        return Answer.page("<!DOCTYPE html><title>Sign in</title><h1>Sign in to continue</h1>")
    release = repository.published(call.params["tag"])
    asset = release.asset(call.params["name"]) if release else None
    if release is None or asset is None or asset.state != UPLOADED:
        return Answer.page("<!DOCTYPE html><title>Not Found</title>", HTTPStatus.NOT_FOUND)
    asset.download_count += 1
    asset.json = release.json = None
    repository.pages.clear()
    url = storage_address(state, repository, asset)
    return Answer(HTTPStatus.FOUND, headers={"Location": url}, content_type="text/html")


@route("GET", "/{owner}/{repo}/releases/latest", "web-latest", origin="web")
async def web_latest(call: Call) -> Answer:
    """Where the latest release is, for people."""
    state = call.state
    number = state.names.get(f"{call.params['owner']}/{call.params['repo']}".lower())
    repository = state.repositories.get(number or 0)
    latest = repository.latest() if repository is not None and not repository.private else None
    if repository is None or latest is None:
        return Answer.page("<!DOCTYPE html><title>Not Found</title>", HTTPStatus.NOT_FOUND)
    url = f"{state.addresses.web}/{repository.full_name}/releases/tag/{quote(latest.tag)}"
    return Answer(HTTPStatus.FOUND, headers={"Location": url}, content_type="text/html")
