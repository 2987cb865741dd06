"""Addresses in the configuration file: URLs, origins, proxies, host names, listening addresses.

No message repeats an address, because it may contain a password by mistake.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from mirror.config.messages import quote, text_of
from mirror.core.domain.hostnames import host_name

_HIGHEST_PORT = 65535
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_URL_WORDS = 'a URL such as "https://ghe.example.com"'


class Address(NamedTuple):
    """A host and a port to listen on; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CredentialsInUrl(ValueError):
    """A URL contains a user name or password."""


def _host_of(host: str | None) -> str:
    """A valid host, with brackets if it is an IPv6 address."""
    if not host:
        raise ValueError(f"has no host; use {_URL_WORDS}")
    if ":" in host:
        return f"[{host}]"
    if not _HOST.fullmatch(host):
        raise ValueError("has an invalid host name; allowed: letters, digits, hyphens and dots")
    return host


def parse_url(value: object) -> str:
    """Parse an http or https URL; the result has no trailing slash and no default port.

    A path is kept. User names, passwords, queries and fragments are rejected.
    """
    text = text_of(value, _URL_WORDS)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"contains invalid characters; use {_URL_WORDS}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a valid URL; check host and port, and use {_URL_WORDS}") from None
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"}:
        raise ValueError(f"must start with https:// or http://; use {_URL_WORDS}")
    if "@" in parts.netloc:
        raise CredentialsInUrl("must not contain a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("must not contain a query (?) or a fragment (#)")
    host = _host_of(parts.hostname)
    if port is not None and not 1 <= port <= _HIGHEST_PORT:
        raise ValueError(f"must have a port from 1 to {_HIGHEST_PORT}")
    shown = "" if port in {None, {"http": 80, "https": 443}[scheme]} else f":{port}"
    return f"{scheme}://{host}{shown}{parts.path.rstrip('/')}"


def parse_web_url(value: object) -> str:
    """Parse the web address of a GitHub host; an API address is rejected."""
    url = parse_url(value)
    host = urlsplit(url).hostname or ""
    if host in {"api.github.com", "www.github.com", "uploads.github.com"}:
        raise ValueError('must be the web address: "https://github.com"')
    if url.endswith(("/api/v3", "/api", "/api/uploads")) or (
        host.startswith(("api.", "uploads.")) and host.endswith(".ghe.com")
    ):
        raise ValueError(
            'must be the web address, such as "https://ghe.example.com"; the API address is derived from it'
            " (api_url overrides it)"
        )
    return url


def parse_origin(value: object) -> str:
    """Parse an origin: scheme, host and port, no path."""
    url = parse_url(value)
    if urlsplit(url).path:
        raise ValueError('must be an origin without a path, such as "https://uploads.example.com"')
    return url


def parse_proxy(value: object) -> str:
    """Parse the address of a proxy; empty means no proxy."""
    if value == "":
        return ""
    try:
        return parse_origin(value)
    except CredentialsInUrl:
        raise ValueError(
            "must not contain a user name or password: remove proxy, and set HTTPS_PROXY in the"
            " environment"
        ) from None


def is_loopback(url: str) -> bool:
    """Whether a URL points to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_listen(value: object) -> Address | None:
    """Parse ``host:port`` or ``[::1]:port``; empty is ``None``."""
    words = 'an address and a port such as "127.0.0.1:8321", or "" for none'
    text = text_of(value, words)
    if not text:
        return None
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > _HIGHEST_PORT:
        raise ValueError(
            f'must be {words}, not {quote(text)}; "0.0.0.0:8321" listens on all interfaces'
        )
    return Address(match[1] or match[2], int(match[3]))


def parse_host(value: object) -> str:
    """Parse a host name or IP address into the form used for comparison."""
    words = 'a host name such as "mirror.example.com"'
    text = text_of(value, words)
    name = host_name(text)
    if name is None:
        raise ValueError(
            f"must be {words}, without scheme, port, path or wildcards, not {quote(text)}"
        )
    return name
