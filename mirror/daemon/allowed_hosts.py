"""Which requests are meant for this service, judged by the ``Host`` header.

A web site can make its own name resolve to 127.0.0.1 or to an internal address (DNS rebinding). A
browser inside the network then takes our responses for that site's, and lets its scripts read them.
The ``Host`` header, in which the browser sends the site's name, gives the attack away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpVersion11

from mirror.core.domain.hostnames import host_name, host_of_header, is_loopback_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MISDIRECTED = """\
This service does not answer to the host name in your request.
If the name is right (a proxy's, a DNS name of this machine), add it to hosts in [daemon] of the
configuration, without a port, and reload the service:
hosts = ["mirror.example.com"]
"""


class AllowedHosts:
    """Refuses requests that do not name this service.

    A request may name the address that it arrived on, the configured listening address, a loopback
    name or a configured host name. Ports are not compared: a forwarded port differs, and the name
    alone identifies a foreign site.

    Args:
        listen: The host to listen on, as configured.
        names: The configured names as they are now, in the form of
            :func:`~mirror.core.domain.hostnames.host_name`.
    """

    def __init__(self, listen: str, names: Callable[[], Collection[str]]) -> None:
        self._listen = host_name(listen)
        self._names = names

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The response to a request that names another host, or none clearly; else ``None``."""
        headers = request.headers.getall("Host", [])
        if not headers and request.version < HttpVersion11:
            return None  # a load balancer's probe: every browser sends the header
        if len(headers) != 1:
            return _refused(request, 400, "bad request: exactly one Host header is needed\n")
        named = [host_of_header(headers[0])]
        if not request.raw_path.startswith("/") and request.raw_path != "*":
            named.append(host_name(request.host))  # an absolute URL names a host, too
        if all(name is not None and self._is_ours(name, request) for name in named):
            return None
        return _refused(request, 421, MISDIRECTED)

    def _is_ours(self, name: str, request: web.BaseRequest) -> bool:
        return (
            is_loopback_name(name)
            or name == self._listen
            or name == _arrived_on(request)
            or name in self._names()
        )


def _arrived_on(request: web.BaseRequest) -> str | None:
    """Our address that the connection was made to: behind ``0.0.0.0`` there are many."""
    address = request.get_extra_info("sockname")
    return host_name(address[0].partition("%")[0]) if address else None


def _refused(request: web.BaseRequest, status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text)
    if not request.content.is_eof():
        response.force_close()  # its body is not read
    return response
