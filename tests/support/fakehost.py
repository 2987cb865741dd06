"""A loopback host with scripted responses, for behaviour no real server would show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeHost:
    """One server; ``seen`` are the requests, oldest first.

    Attributes:
        trusting: Accept every credential in requests that only test it (``GET /meta``);
            such requests are neither handled nor recorded.
    """

    def __init__(self, handler: Handler, *, trusting: bool = False) -> None:
        self.handler = handler
        self.trusting = trusting
        self.seen: list[web.BaseRequest] = []
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.trusting and request.path.endswith("/meta"):
            return web.json_response({})
        self.seen.append(request)
        assert isinstance(request, web.Request)
        return await self.handler(request)


@asynccontextmanager
async def fake_host(
    handler: Handler,
    *,
    tls: ssl.SSLContext | None = None,
    name: str = "127.0.0.1",
    trusting: bool = False,
) -> AsyncIterator[FakeHost]:
    """Serve on a free port for the duration of the block."""
    host = FakeHost(handler, trusting=trusting)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    host.url = f"{'https' if tls else 'http'}://{name}:{port}"
    try:
        yield host
    finally:
        await runner.cleanup()
