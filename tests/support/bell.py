"""A real HTTP server that receives notifications and heartbeats."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Ring:
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The payload of Apprise's `json://`."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Bell:
    """Listens on a free port and records requests.

    Attributes:
        answers: Responses by path prefix; 200 by default.
        rung: Set by every request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.rings: list[Ring] = []
        self.answers: dict[str, Answer] = {}
        self.rung = asyncio.Event()
        self.released = asyncio.Event()
        self._tls = tls

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._ring)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *about: object) -> None:
        self.released.set()
        await self._runner.cleanup()

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    def status(self, path: str, *statuses: int) -> None:
        """Answer a path with these statuses in turn, then always with the last."""
        left = list(statuses)

        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

        self.answers[path] = answer

    def redirect(self, path: str, location: str) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": location})

        self.answers[path] = answer

    def hang(self, path: str) -> None:
        """Answer a path only at the end of the test."""

        async def answer(_request: web.Request) -> web.Response:
            await self.released.wait()
            return web.Response()

        self.answers[path] = answer

    def of(self, path: str) -> list[Ring]:
        return [ring for ring in self.rings if ring.path.startswith(f"/{path}")]

    async def _ring(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        ring = Ring(request.method, request.path_qs, dict(request.headers), body)
        self.rings.append(ring)
        self.rung.set()
        for path, answer in self.answers.items():
            if request.path.startswith(f"/{path}"):
                return await answer(request)
        return web.Response(text="OK")
