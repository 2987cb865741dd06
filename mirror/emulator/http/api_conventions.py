"""What GitHub's API does with every request: checks before the route, headers and ETags after it."""

from __future__ import annotations

import hashlib
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator.documents.shared import dumps
from mirror.emulator.http.answer import Answer, ApiError, bad_request, forbidden
from mirror.emulator.http.authentication import authenticate
from mirror.emulator.http.call import READING

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call

_CREATING = frozenset({"POST", "PUT", "PATCH"})
_NO_CONTENT = frozenset({"create-installation-token", "graphql"})


def request_id() -> str:
    """A new `X-GitHub-Request-Id`."""
    return secrets.token_hex(10).upper()


async def checked_answer(call: Call) -> Answer:
    """Check a request, let its route answer, and complete the answer."""
    try:
        answer = await _checked(call)
    except ApiError as error:
        answer = refusal(call, error)
    if answer.status == HTTPStatus.OK and call.request.method in READING and not answer.content:
        _add_etag(call, answer)
    _add_headers(call, answer)
    return answer


async def _checked(call: Call) -> Answer:
    state, request = call.state, call.request
    if not call.target.isascii():
        return Answer.page("Malformed request", 400)
    if "User-Agent" not in request.headers:
        raise forbidden(
            "Request forbidden by administrative rules. "
            "Please make sure your request has a User-Agent header."
        )
    call.token = authenticate(state, call.record.authorization)
    if call.origin == "api" and state.limits.exhausted(call.credential):
        login = call.token.account.login if call.token else request.remote
        raise forbidden(f"API rate limit exceeded for {login}.")
    _check_secondary_limits(call)
    version, known = request.headers.get("X-GitHub-Api-Version"), state.api_versions
    if version is not None and known and version not in known:
        listed = ", ".join(f'"{one}"' for one in known)
        raise bad_request(
            f'The version you specified in the "X-GitHub-API-Version" request header, '
            f'"{version}", is not a supported version. The following versions are currently '
            f"supported: {listed}."
        )
    return await call.handler(call)


def _check_secondary_limits(call: Call) -> None:
    """Refuse what is too much for a minute or an hour: 429 for points, 403 for created content.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api: "a 403 or 429
    response", with `Retry-After`
    """
    limits, method = call.state.limits, call.request.method
    status = HTTPStatus.TOO_MANY_REQUESTS
    wait = limits.over_points(call.credential, 1 if method in READING else 5)
    if not wait and method in _CREATING and call.route not in _NO_CONTENT:
        status = HTTPStatus.FORBIDDEN
        wait = limits.over_creations(call.credential)
    if wait:
        raise ApiError(
            status,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you "
            "try again.",
            headers={"Retry-After": str(wait)},
        )


def refusal(call: Call, error: ApiError) -> Answer:
    """An error as GitHub writes it; the uploads host names the request instead of the status."""
    body: dict[str, Any] = {"message": error.message}
    if call.origin == "uploads":
        body["request_id"] = request_id()
    if error.errors is not None:
        body["errors"] = error.errors
    if error.documented:
        state = call.state
        version = "" if state.kind == "github" else f"/enterprise-server@{state.version}"
        body["documentation_url"] = f"https://docs.github.com{version}/rest"
    if call.origin == "api" and "url" not in error.extra:
        body["status"] = str(int(error.status))
    return Answer(error.status, dumps(body | error.extra).encode(), dict(error.headers))


def _add_etag(call: Call, answer: Answer) -> None:
    """Add a weak ETag of body and credential; answer 304 if the client has it.

    A 304 has no `Link`, and the ETag does not cover it.

    Source: https://github.community/t/how-to-correctly-use-etag-with-the-paginated-responses-in-rest-api/209783
    and https://github.com/app-sre/github-mirror/pull/113
    """
    digest = hashlib.blake2b(answer.body, digest_size=16)
    digest.update(f" {call.credential}".encode())
    etag = f'W/"{digest.hexdigest()}"'
    answer.headers["ETag"] = etag
    asked = call.request.headers.get("If-None-Match", "")
    if etag in asked or etag.removeprefix("W/") in asked.split(", "):
        answer.status, answer.body, answer.content_type = 304, b"", None
        answer.headers.pop("Link", None)


def _add_headers(call: Call, answer: Answer) -> None:
    """Add the headers that every answer has, and count the request against its limit."""
    state, headers, token = call.state, answer.headers, call.token
    headers["X-GitHub-Request-Id"] = request_id()
    headers["X-GitHub-Media-Type"] = "github.v3; format=json"
    headers["Server"] = "GitHub.com"
    headers["Vary"] = "Accept, Authorization, Cookie, X-GitHub-OTP"
    if state.kind == "ghes":
        headers["X-GitHub-Enterprise-Version"] = state.version
    if token is not None and token.scopes is not None:
        headers["X-OAuth-Scopes"] = token.scopes
        headers["X-Accepted-OAuth-Scopes"] = "repo"
    if token is not None and token.expires is not None:
        headers["github-authentication-token-expiration"] = token.expires
    if call.origin != "api" or not state.limits.enabled:
        return
    if answer.status != HTTPStatus.NOT_MODIFIED and call.route != "get-rate-limit":
        state.limits.spend(call.credential)
    for name, value in state.limits.status(call.credential).items():
        headers[f"X-RateLimit-{name.capitalize()}"] = str(value)
    headers["X-RateLimit-Resource"] = "core"
