"""Handles every request of a socket: finds its route, records it, injects faults, answers."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from mirror.emulator.documents.shared import dumps
from mirror.emulator.faults.fault import AFTER, INSTEAD, wrong_types
from mirror.emulator.http.answer import (
    HTML,
    JSON,
    Answer,
    ApiError,
    bad_request,
    forbidden,
    not_found,
)
from mirror.emulator.http.api_conventions import checked_answer, refusal, request_id
from mirror.emulator.http.call import Call
from mirror.emulator.http.connection import hang, reset
from mirror.emulator.http.request_body import drain
from mirror.emulator.http.response import send
from mirror.emulator.http.routing import UNKNOWN, Route
from mirror.emulator.model.request_log import HEADERS, RequestRecord

if TYPE_CHECKING:
    from mirror.emulator.faults.fault import Fault
    from mirror.emulator.http.routing import RouteTable
    from mirror.emulator.model.state import GitHubState

Prefixes = tuple[tuple[str, str], ...]
"""Path prefixes of a socket with the origin behind each, the longest first."""

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_SIGN_IN = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>"


async def _unknown(_call: Call) -> Answer:
    raise not_found()


_UNKNOWN = Route("web", "*", "*", UNKNOWN, _unknown)


class RequestHandler:
    """Answers the requests of one socket.

    Args:
        state: The host.
        routes: Its routes.
        prefixes: Which origin is behind which path.
    """

    def __init__(self, state: GitHubState, routes: RouteTable, prefixes: Prefixes) -> None:
        self._state = state
        self._routes = routes
        self._prefixes = prefixes

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target = request.raw_path
        path, _, query = target.partition("?")
        prefix, origin = next(
            (entry for entry in self._prefixes if _under(path, entry[0])), ("", "web")
        )
        below = self._by_name("/" + path.removeprefix(prefix).lstrip("/"))
        accept = request.headers.get("Accept", "")
        found, params = self._routes.find(origin, request.method, below, accept) or (_UNKNOWN, {})
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
        call = Call(
            self._state, request, found.name, found.handler, params, below, origin, target, record
        )
        if origin == "control":
            return await self._control(call)
        self._state.log.begin(record)
        call.faults = self._state.faults.take(found.name, target)
        try:
            return await self._answer(call)
        except ConnectionError:
            # Interrupted by a fault or by the client: nobody receives what is returned.
            return web.Response()
        finally:
            if not record.status:
                self._state.log.end(record, 0)

    def _by_name(self, path: str) -> str:
        """Rewrite `/repositories/{id}`, which stands for `/repos/{owner}/{repo}`."""
        parts = path.split("/")
        if parts[1] != "repositories" or len(parts) < 3 or not parts[2].isascii():
            return path
        number = int(parts[2]) if parts[2].isdigit() else 0
        repository = self._state.repositories.get(number)
        if repository is None:
            return path
        return "/".join(["", "repos", repository.full_name, *parts[3:]])

    async def _control(self, call: Call) -> web.StreamResponse:
        """The control API: from this machine only, and not recorded."""
        try:
            if call.request.remote not in _LOOPBACK:
                raise forbidden("Only for this machine")
            answer = await call.handler(call)
        except ApiError as error:
            answer = refusal(call, error)
        except KeyError as error:
            answer = refusal(call, bad_request(f"missing or unknown: {error}", documented=False))
        except (TypeError, ValueError) as error:
            answer = refusal(call, bad_request(str(error), documented=False))
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
        """Answer without executing the request."""
        if fault.kind == "reset":
            raise reset(call.request)
        if fault.kind == "early-answer":
            response = await send(call, _scripted(fault))
            await response.prepare(call.request)
            await response.write_eof()
            await hang(fault.seconds or 0)
            return response
        await drain(call)
        answer = _scripted(fault)
        if fault.kind == "html":
            answer = Answer(body=(fault.body or _SIGN_IN).encode(), content_type=HTML)
        elif fault.kind == "redirect":
            status = fault.status if fault.status // 100 == 3 else HTTPStatus.FOUND
            answer = Answer(status, headers={"Location": fault.location, **fault.headers})
        return await send(call, answer)

    async def _executed(self, call: Call) -> Answer:
        """Execute the request, and complete the answer as its origin does."""
        if call.origin not in ("storage", "web"):
            return await checked_answer(call)
        try:
            answer = await call.handler(call)
        except ApiError as error:
            answer = Answer.page(error.message, error.status)
            answer.headers |= error.headers
        answer.headers["X-GitHub-Request-Id"] = request_id()
        return answer


def _under(path: str, prefix: str) -> bool:
    return not prefix or path == prefix or path.startswith(f"{prefix}/")


def _scripted(fault: Fault) -> Answer:
    body = fault.body if fault.body is not None else dumps({"message": "Server Error"})
    return Answer(fault.status, body.encode(), dict(fault.headers), content_type=fault.content_type)
