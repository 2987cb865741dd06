"""The way of every request: recorded, broken if scripted, authenticated, counted, answered."""

from __future__ import annotations

import asyncio
import json
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mirror.emulator.access import authenticate
from mirror.emulator.documents import dumps
from mirror.emulator.errors import ApiError, bad_request, forbidden, not_found
from mirror.emulator.faults import AFTER, INSTEAD, Fault, wrong_types
from mirror.emulator.flow import drain, hang, reset, send
from mirror.emulator.requestlog import HEADERS, RequestRecord
from mirror.emulator.routes import by_accept
from mirror.emulator.routes_repositories import API_VERSIONS
from mirror.emulator.routing import JSON, READING, ROUTERS, UNKNOWN, Answer, Call, Route, digest_of

if TYPE_CHECKING:
    from mirror.emulator.state import GitHubState

Prefixes = tuple[tuple[str, str], ...]
"""Path prefixes of a socket with the origin behind each, the longest first."""

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_CREATING = frozenset({"create-release", "create-repository", "upload-asset", "put-contents"})
_NUMBERED = 2
_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>"


async def _unknown(_call: Call) -> Answer:
    raise not_found()


_UNKNOWN = Route("*", "*", UNKNOWN, "api", _unknown)


class Gate:
    """Answers the requests of one socket.

    Args:
        state: The host.
        prefixes: What is behind which path.
    """

    def __init__(self, state: GitHubState, prefixes: Prefixes) -> None:
        self._state = state
        self._prefixes = prefixes

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target = request.raw_path
        path, _, query = target.partition("?")
        origin, below = next(
            (
                (name, path[len(prefix) :])
                for prefix, name in self._prefixes
                if _under(path, prefix)
            ),
            ("web", path),
        )
        segments = below.lstrip("/").split("/")
        found, params = self._find(request, origin, segments)
        record = RequestRecord(
            0,
            self._state.clock(),
            request.method,
            path,
            query,
            found.name,
            origin,
            request.headers.get("Authorization"),
            {name: request.headers[name] for name in HEADERS if name in request.headers},
        )
        call = Call(self._state, request, found, params, segments, origin, target, record)
        if origin == "control":
            return await self._control(call)
        self._state.log.begin(record)
        call.faults = self._state.faults.take(found.name, target)
        try:
            return await self._answer(call)
        except ConnectionError:
            # Broken by a script or by the client: there is nobody left to hear what is returned.
            self._unanswered(record)
            return web.Response()
        except asyncio.CancelledError:
            self._unanswered(record)
            raise

    def _unanswered(self, record: RequestRecord) -> None:
        if not record.status:
            self._state.log.end(record, 0)

    def _find(
        self, request: web.BaseRequest, origin: str, segments: list[str]
    ) -> tuple[Route, dict[str, str]]:
        """The route; `/repositories/{id}` stands for `/repos/{owner}/{repo}`."""
        if segments[0] == "repositories" and len(segments) >= _NUMBERED:
            number = segments[1]
            repository = self._state.repositories.get(
                int(number) if number.isascii() and number.isdigit() else 0
            )
            if repository is None:
                return _UNKNOWN, {}
            segments[:2] = ["repos", *repository.full_name.split("/")]
        method = "GET" if request.method == "HEAD" else request.method
        found = ROUTERS[origin].find(method, segments)
        if found is None:
            return _UNKNOWN, {}
        return by_accept(found[0], request.headers.get("Accept", "")), found[1]

    async def _control(self, call: Call) -> web.StreamResponse:
        """The control API: for this machine only, not recorded."""
        try:
            if call.request.remote not in _LOOPBACK:
                raise forbidden("Only for this machine")
            answer = await call.route.handler(call)
        except ApiError as error:
            answer = self._refused(call, error)
        return web.Response(
            status=answer.status, body=answer.body or None, content_type="application/json"
        )

    async def _answer(self, call: Call) -> web.StreamResponse:
        for fault in call.faults:
            if fault.kind == "delay":
                await hang(fault.seconds)
        instead = next((f for f in call.faults if f.kind in INSTEAD), None)
        if instead is not None:
            return await self._instead(call, instead)
        answer = await self._executed(call)
        after = next((f for f in call.faults if f.kind in AFTER), None)
        if after is not None:
            if after.kind == "lost-reply":
                raise reset(call.request)
            answer = _scripted(after)
        for fault in call.faults if answer.content_type == JSON and answer.body else ():
            if fault.kind == "broken-json":
                answer.body = answer.body[: len(answer.body) // 2]
            elif fault.kind == "wrong-types":
                answer.body = dumps(wrong_types(json.loads(answer.body))).encode()
        if self._state.tamper is not None:
            self._state.tamper(call.record, answer)
        return await send(call, answer)

    async def _instead(self, call: Call, fault: Fault) -> web.StreamResponse:
        """Answer without doing anything."""
        if fault.kind == "reset":
            raise reset(call.request)
        if fault.kind == "early-answer":
            response = await send(call, _scripted(fault))
            await response.prepare(call.request)
            await response.write_eof()
            await hang(fault.seconds or 0)
            return response
        await drain(call)
        if fault.kind == "html":
            return await send(call, Answer.page(fault.body or _PAGE))
        if fault.kind == "redirect":
            status = fault.status if fault.status // 100 == 3 else HTTPStatus.FOUND
            headers = {"Location": fault.location, **fault.headers}
            return await send(call, Answer(status, headers=headers))
        return await send(call, _scripted(fault))

    async def _executed(self, call: Call) -> Answer:
        """Do what is asked, and dress the answer as the origin does."""
        if call.origin in ("storage", "web"):
            try:
                answer = await call.route.handler(call)
            except ApiError as error:
                answer = Answer.page(f"<!DOCTYPE html><title>{error.message}</title>", error.status)
            answer.headers["X-GitHub-Request-Id"] = _request_id()
            return answer
        try:
            answer = await self._admitted(call)
        except ApiError as error:
            answer = self._refused(call, error)
        if answer.status == HTTPStatus.OK and call.request.method in READING and not answer.content:
            self._condition(call, answer)
        self._dress(call, answer)
        return answer

    async def _admitted(self, call: Call) -> Answer:
        """Check what comes before any route."""
        state, request = self._state, call.request
        if not call.target.isascii():
            return Answer.page("<html><body>Malformed request</body></html>", 400)
        if "User-Agent" not in request.headers:
            raise forbidden(
                "Request forbidden by administrative rules. "
                "Please make sure your request has a User-Agent header."
            )
        call.token = authenticate(state, call.record.authorization)
        if call.origin == "api" and state.limits.exhausted(call.credential):
            login = call.token.account.login if call.token else request.remote
            raise forbidden(f"API rate limit exceeded for {login}.")
        wait = state.limits.creating(call.credential) if call.route.name in _CREATING else 0
        if wait:
            error = forbidden(
                "You have exceeded a secondary rate limit. Please wait a few minutes before you "
                "try again."
            )
            error.headers["Retry-After"] = str(wait)
            raise error
        self._check_version(request.headers.get("X-GitHub-Api-Version"))
        return await call.route.handler(call)

    def _check_version(self, asked: str | None) -> None:
        if asked is None or not self._state.has_api_versions:
            return
        known = API_VERSIONS if self._state.kind == "github" else API_VERSIONS[1:]
        if asked not in known:
            listed = ", ".join(f'"{version}"' for version in known)
            raise bad_request(
                f'The version you specified in the "X-GitHub-API-Version" request header, '
                f'"{asked}", is not a supported version. The following versions are currently '
                f"supported: {listed}."
            )

    def _refused(self, call: Call, error: ApiError) -> Answer:
        """An error as GitHub writes it; the uploads host names the request instead of the status."""
        body: dict[str, Any] = {"message": error.message}
        if call.origin == "uploads":
            body["request_id"] = _request_id()
        if error.errors is not None:
            body["errors"] = error.errors
        if error.documented:
            body["documentation_url"] = self._documentation()
        if call.origin == "api" and "url" not in error.extra:
            body["status"] = str(int(error.status))
        body |= error.extra
        return Answer(error.status, dumps(body).encode(), dict(error.headers))

    def _documentation(self) -> str:
        version = (
            "" if self._state.kind == "github" else f"/enterprise-server@{self._state.version}"
        )
        return f"https://docs.github.com{version}/rest"

    def _condition(self, call: Call, answer: Answer) -> None:
        """A weak ETag that belongs to body and credential; 304 without a body when it is known.

        Such an answer does not tell the other pages of a list, nor is its ETag made of them.

        Source: https://github.community/t/how-to-correctly-use-etag-with-the-paginated-responses-in-rest-api/209783
        and https://github.com/app-sre/github-mirror/pull/113
        """
        of = f"{answer.digest or digest_of(answer.body)} {call.credential}"
        etag = f'W/"{digest_of(of.encode())}"'
        answer.headers["ETag"] = etag
        asked = call.request.headers.get("If-None-Match", "")
        if etag in asked or etag.removeprefix("W/") in asked.split(", "):
            answer.status, answer.body, answer.content_type = 304, b"", None
            answer.headers.pop("Link", None)

    def _dress(self, call: Call, answer: Answer) -> None:
        """Add the headers that every answer has."""
        state, headers, token = self._state, answer.headers, call.token
        headers["X-GitHub-Request-Id"] = _request_id()
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
        if answer.status != HTTPStatus.NOT_MODIFIED and call.route.name != "get-rate-limit":
            state.limits.spend(call.credential)
        for name, value in state.limits.status(call.credential).items():
            headers[f"X-RateLimit-{name.capitalize()}"] = str(value)
        headers["X-RateLimit-Resource"] = "core"


def _under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (
        len(path) == len(prefix) or path[len(prefix)] == "/" or not prefix
    )


def _scripted(fault: Fault) -> Answer:
    body = fault.body if fault.body is not None else dumps({"message": "Server Error"})
    return Answer(fault.status, body.encode(), dict(fault.headers), content_type=fault.content_type)


def _request_id() -> str:
    return secrets.token_hex(10).upper()
