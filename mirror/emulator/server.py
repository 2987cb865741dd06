"""The server: opens the sockets of a host and closes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aiohttp import web

from mirror.emulator.http.handler import Prefixes, RequestHandler
from mirror.emulator.model.emulated_host import Addresses
from mirror.emulator.model.saved_state import SavedState
from mirror.emulator.routes import ROUTE_TABLE

if TYPE_CHECKING:
    import ssl
    from pathlib import Path
    from types import TracebackType

    from mirror.emulator.model.state import GitHubState

LOOPBACK = "127.0.0.1"
STORAGE_NAME = "localhost"
"""Host name of the storage, another one than the API's as at GitHub.

Some clients send a token to another port of the same host name.
"""
_CONTROL = ("/_emulator", "control")
_READ_BUFFER = 1 << 20
_SHUTDOWN = 0.05
"""Seconds for answers in flight when the host stops."""


class Emulator:
    """Serves a host on loopback while its context is open.

    Args:
        state: The host.
        port: The port of the API; 0 takes any free one, as uploads and storage always do.
        web_port: The port of the web host; 0 takes any free one. A GHES has one port for both.
        state_directory: Where the state is loaded from, and saved to on each change.
        ssl_context: Serve over TLS.

    Raises:
        ValueError: A GHES got two different ports.

    Attributes:
        url: The address for people.
        api_url: The base of the REST API.
        upload_url: The base of uploads.
        storage_url: The origin that downloads are redirected to.
    """

    def __init__(
        self,
        state: GitHubState,
        *,
        port: int = 0,
        web_port: int = 0,
        state_directory: Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.state = state
        self._ports = port, web_port
        if state.kind == "ghes" and port and web_port and port != web_port:
            raise ValueError("a GHES serves web and API at one port")
        self._ssl = ssl_context
        self._runners: list[web.ServerRunner] = []
        self._saved = SavedState(state, state_directory) if state_directory else None
        if self._saved is not None:
            self._saved.load()
        state.faults.know_routes(ROUTE_TABLE.names)
        self.url = self.api_url = self.upload_url = self.storage_url = ""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        if self._saved is not None:
            self._saved.watch()
        return self

    async def _open(self) -> None:
        """Open every socket."""
        state, (port, web_port) = self.state, self._ports
        self.storage_url = await self._listen((("", "storage"),), name=STORAGE_NAME)
        if state.kind == "github":
            self.api_url = await self._listen(
                (_CONTROL, ("/graphql", "graphql"), ("", "api")), port
            )
            self.upload_url = await self._listen((("", "uploads"),))
            self.url = await self._listen((_CONTROL, ("", "web")), web_port)
        else:
            apis = ("/api/v3", "api"), ("/api/uploads", "uploads"), ("/api/graphql", "graphql")
            prefixes = (_CONTROL, *apis, ("", "web"))
            self.url = await self._listen(prefixes, port or web_port)
            self.api_url = f"{self.url}/api/v3"
            self.upload_url = f"{self.url}/api/uploads"
            if state.isolated_uploads:
                self.upload_url = await self._listen((("", "uploads"),))
        state.settle(Addresses(self.url, self.api_url, self.upload_url, self.storage_url))

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()
        if self._saved is not None:
            self._saved.close()

    async def _listen(self, prefixes: Prefixes, port: int = 0, *, name: str = LOOPBACK) -> str:
        """Open a socket; returns its address, under this host name."""
        server = web.Server(
            RequestHandler(self.state, ROUTE_TABLE, prefixes).handle,
            handler_cancellation=True,
            read_bufsize=_READ_BUFFER,
            auto_decompress=False,
            access_log=None,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        self._runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, port, ssl_context=self._ssl, backlog=1024)
        await site.start()
        number = runner.addresses[0][1]
        return f"{'https' if self._ssl else 'http'}://{name}:{number}"
