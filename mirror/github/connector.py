"""The socket's side of a host: TLS, proxies, time-outs, and what it means when they fail."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

import aiohttp

from mirror import __version__
from mirror.errors import BadAnswer, ConfigError, ConnectionLost, Problem, Unreachable
from mirror.github.protocol.urls import origin, public, without_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.errors import GitHubError, Hint


def open_session(
    tls: ssl.SSLContext | Literal[True], *, keep: bool = True
) -> aiohttp.ClientSession:
    """A session that verifies every certificate, keeps no cookie and reads no ``.netrc``.

    It has no ``Authorization`` of its own, so that no redirect can carry one elsewhere, and no
    limit of connections: that is the rate limiter's.

    Args:
        tls: What is trusted: :func:`trust`.
        keep: Keep connections for the next request; else each request has one of its own.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0, force_close=not keep),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"release-mirror/{__version__}"},  # refused without one
        trust_env=False,  # it would also read ~/.netrc; the environment's proxies are looked up here
    )
    # Unasked, aiohttp sends a GET, PUT or DELETE again when a kept connection breaks. Its first try
    # may have been carried out, though: a DELETE would find nothing and seem to have failed.
    session._retry_connection = False  # noqa: SLF001 - there is no public way
    return session


def trust(ca_file: Path | None) -> ssl.SSLContext | Literal[True]:
    """Which certificates are trusted: the system's roots, and what a file adds to them.

    Raises:
        ConfigError: ``ca_file`` holds no certificates.
    """
    if ca_file is None:
        return True  # aiohttp's own context: the system's roots, verified; loaded once for all
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        problem = Problem("", f"ca_file: no certificates can be read from it: {error}")
        raise ConfigError(str(ca_file), [problem]) from error
    return context


class Proxies:
    """Which proxy an address is asked through.

    Args:
        proxy: For every address; empty for none; ``None`` for what ``HTTPS_PROXY``,
            ``HTTP_PROXY`` and ``NO_PROXY`` say.
    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy = proxy
        self._known: dict[str, tuple[str | None, dict[str, str]]] = {}

    def of(self, place: str) -> tuple[str | None, dict[str, str]]:
        """The proxy's address for an origin, if any, and the headers that it wants."""
        if place not in self._known:
            self._known[place] = _split_credentials(self.address(place))
        return self._known[place]

    def address(self, place: str) -> str | None:
        """The proxy's address for an origin as it was given, with its user and password."""
        if self._proxy is not None:
            return self._proxy or None
        proxies = getproxies_environment()
        parts = urlsplit(place)
        if proxy_bypass_environment(parts.netloc, proxies):
            return None
        return proxies.get(parts.scheme) or proxies.get("all")


def _split_credentials(proxy: str | None) -> tuple[str | None, dict[str, str]]:
    """Take user and password out of a proxy's address: they belong into a header."""
    if not proxy:
        return None, {}
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user, at, place = parts.netloc.rpartition("@")
    address = urlunsplit((parts.scheme, place, parts.path, "", ""))
    if not at:
        return address, {}
    login = base64.b64encode(unquote(user).encode()).decode()
    return address, {"Proxy-Authorization": f"Basic {login}"}


def network_error(error: Exception, host: str, url: str, proxy: str | None) -> GitHubError:
    """What a failure below HTTP means.

    Args:
        error: A :class:`aiohttp.ClientError`, :class:`OSError` or :class:`TimeoutError`.
        host: The host's configured name.
        url: What was asked.
        proxy: Through which proxy.
    """
    place = origin(url)
    through = f" (through the proxy {public(proxy)})" if proxy else ""
    who = f"{host}: {place}{through}"
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", error)
    reason = without_secrets(str(inner)) or type(inner).__name__
    for kind, sentence, hint in _UNREACHABLE:
        if isinstance(error, kind):
            text = sentence.format(who=who, reason=reason, proxy=public(proxy or ""))
            return Unreachable(text, host=host, permanent=hint == "trust-ca", hint=hint)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_error(error, host, who)
    if isinstance(error, aiohttp.ClientResponseError):
        text = f"{who} answered {public(url)} with something that is not HTTP: {error.message}"
        return BadAnswer(without_secrets(text), host=host, ambiguous=True)
    if isinstance(error, TimeoutError):
        text = f"{who} gave no answer in time to {public(url)} ({reason})"
        return ConnectionLost(text, host=host, ambiguous=True)
    text = f"{who}: the connection broke at {public(url)}: {reason}"
    return ConnectionLost(text, host=host, ambiguous=True)


_UNREACHABLE: tuple[tuple[type[Exception], str, Hint], ...] = (
    (
        aiohttp.ClientConnectorCertificateError,
        "{who} shows a certificate that is not trusted: {reason}",
        "trust-ca",
    ),
    (aiohttp.ClientConnectorSSLError, "{who}: TLS handshake failed: {reason}", "tls"),
    (
        aiohttp.ClientProxyConnectionError,
        "{who} cannot be reached: no connection to the proxy {proxy}: {reason}",
        "proxy-address",
    ),
    (
        aiohttp.ClientConnectorDNSError,
        "{who} cannot be reached: its name cannot be resolved ({reason})",
        "dns",
    ),
    (aiohttp.ClientConnectorError, "{who} cannot be reached: {reason}", "reachability"),
    (
        aiohttp.ConnectionTimeoutError,
        "{who} cannot be reached: no connection within connect_timeout",
        "reachability",
    ),
)


def _proxy_error(error: aiohttp.ClientHttpProxyError, host: str, who: str) -> GitHubError:
    refused = error.status == 407
    return Unreachable(
        f"{who} cannot be reached: the proxy answered {error.status}"
        f" {without_secrets(error.message)}",
        host=host,
        permanent=refused,
        hint="proxy-login" if refused else "proxy-allow",
    )
