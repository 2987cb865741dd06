"""The listening socket, and limits for its connections.

aiohttp limits lines and headers by itself. The limits that it lacks are here: how many clients may
be connected, how long one may be silent, and how long it may leave a response unread.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import structlog
from aiohttp import web

from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

log = structlog.get_logger(__name__)

HEADERS: Mapping[str, str] = {
    "Server": "release-mirror",  # and no version of anything
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response; only the page has a policy of its own."""

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 22\r\nConnection: close\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
    + b"\r\ntoo many are connected"
)
_BACKLOG = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits for clients.

    Attributes:
        connections: At the same time; others get 503.
        idle: Seconds without a complete request until a connection is closed. More than the 60 s
            of nginx, since the client should be the one to close a kept connection.
        unread: Seconds for the client to read a response; 60 is enough for a phone at 10 kB/s.
        linger: Seconds to read the rest of a request after an early response, so that it arrives.
        closing: Seconds for responses in flight when the service stops.
    """

    connections: int = 256
    idle: float = 75.0
    unread: float = 60.0
    linger: float = 2.0
    closing: float = 2.0


class Bound(NamedTuple):
    """The address that a socket is bound to."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As a URL, for logs and tests."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}"


class _Connection(web.RequestHandler):
    """One connection, with the limits that aiohttp lacks."""

    def __init__(
        self,
        manager: web.Server,
        limits: ConnectionLimits,
        *,
        loop: asyncio.AbstractEventLoop,
        **options: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self._server = manager
        self._limits = limits
        self._refused = False
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept it, or respond that there are too many."""
        if len(self._server.connections) >= self._limits.connections:
            self._refused = True
            self.force_close()  # aiohttp does not count it
            cast("asyncio.Transport", transport).write(_BUSY)  # uvloop's is none by its class
            transport.close()
            return
        super().connection_made(transport)
        if self.transport is not None:
            # Whatever the kernel does not accept at once counts as unread.
            self.transport.set_write_buffer_limits(high=0)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop its timer."""
        self._stop_watching()
        if not self._refused:
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Abort the connection unless the client reads on in time."""
        super().pause_writing()
        if self.transport is not None:
            self._unread = self._loop.call_later(self._limits.unread, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_watching()
        super().resume_writing()

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP; nothing of it is echoed, and it is not worth a warning."""
        del message
        log.debug("web.bad_request", error=repr(exc)[:200])
        if request.writer.output_size > 0:
            raise ConnectionError("a response was begun and cannot be completed")
        text = "bad request\n" if status < 500 else "internal error\n"
        response = web.Response(status=status, text=text, headers=HEADERS)
        response.force_close()
        return response


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, *, limits: ConnectionLimits | None = None
) -> AsyncIterator[Bound]:
    """Serve an application while the block runs.

    Args:
        app: The application.
        host: An address, or a name, all of whose addresses are listened on. ``::`` is every
            interface, those of IPv4 included.
        port: 0 for any free one.
        limits: Limits for clients.

    Raises:
        MirrorError: The address is not available; the text says what to do.
    """
    limits = limits or ConnectionLimits()
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=limits.closing)
    with ExitStack() as stack:
        sockets = await _bind(host, port, stack)
        await runner.setup()
        manager = runner.server
        assert manager is not None  # noqa: S101 - it was set up

        def connection() -> _Connection:
            return _Connection(
                manager,
                limits,
                loop=loop,
                access_log=None,
                keepalive_timeout=limits.idle,
                lingering_time=limits.linger,
                auto_decompress=False,  # a signature is over the bytes as they came
            )

        try:
            for one in sockets:
                server = await loop.create_server(connection, sock=one, backlog=_BACKLOG)
                stack.callback(server.close)
            address = sockets[0].getsockname()
            yield Bound(address[0], address[1])
        finally:
            stack.close()  # nobody new
            await runner.cleanup()


async def _bind(host: str, port: int, stack: ExitStack) -> list[socket.socket]:
    """One socket for each address of a host, all on one port."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        absent: OSError | None = None
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            if sockets and not port:
                port = sockets[0].getsockname()[1]
            try:
                one = _listen(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                absent = error  # `localhost` may have an address of IPv6 where there is no IPv6
            else:
                sockets.append(stack.enter_context(one))
        if not sockets:
            raise absent or OSError(errno.EADDRNOTAVAIL, "no address")
    except (OSError, UnicodeError) as error:
        raise MirrorError(_advice(host, port, error)) from error
    return sockets


def _listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.setblocking(False)
        one.bind(address)
        one.listen(_BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


_ADVICE = {
    errno.EADDRINUSE: "the address is in use; does another daemon run? Change [daemon] listen",
    errno.EACCES: "no permission; ports below 1024 need CAP_NET_BIND_SERVICE: take a higher one",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address",
    errno.EAFNOSUPPORT: "this machine has no addresses of that family",
}


def _advice(host: str, port: int, error: Exception) -> str:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        reason = "that name has no address here"
    else:
        number = error.errno if isinstance(error, OSError) else None
        reason = _ADVICE.get(number or 0) or getattr(error, "strerror", None) or str(error)
    return f"cannot listen on {place}: {reason}"
