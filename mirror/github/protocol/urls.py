"""Addresses: the API's, where uploads may go, and what of an address people may see."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from mirror.errors import BadAnswer

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_TEXT = 500


class RefusedAddress(BadAnswer):
    """A host gave an address that is not followed; asking again would not help."""

    retryable = False


class RefusedRedirect(RefusedAddress):
    """A redirect that is not followed; what redirects may be in between, and gone in a moment."""

    retryable = True


def api_url(url: str) -> str:
    """The REST API's address that belongs to a host's web address, without a slash at its end.

    Raises:
        ValueError: It is no http(s) address.

    Source: https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api
    and the same page of GitHub Enterprise Server (``http(s)://HOSTNAME/api/v3``).
    """
    origin(url)
    parts = urlsplit(url.rstrip("/"))
    host = parts.hostname or ""
    if host in {"github.com", "www.github.com", "api.github.com"}:
        return "https://api.github.com"
    if host.endswith(".ghe.com"):
        return f"{parts.scheme}://{host if host.startswith('api.') else f'api.{host}'}"
    return f"{parts.scheme}://{parts.netloc}{parts.path}/api/v3"


def is_github_dot_com(url: str) -> bool:
    """Whether an address belongs to github.com or GHE.com, and not to a server of one's own."""
    host = urlsplit(url).hostname or ""
    return host == "github.com" or host.endswith((".github.com", ".ghe.com"))


_PLAIN_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?=[/?#]|\Z)")
"""How nearly all addresses begin: with nothing that has to be understood before it is cut off."""


def origin(url: str) -> str:
    """Scheme, host and port of an address, in one spelling: ``https://ghe.example.com:8443``.

    Raises:
        ValueError: It is no http(s) address.
    """
    plain = _PLAIN_ORIGIN.match(url)
    return _origin(plain[0] if plain else url)


@lru_cache(maxsize=64)  # all requests of a pass go to a few places
def _origin(url: str) -> str:
    parts = urlsplit(url)
    scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    if scheme not in _DEFAULT_PORTS or not host:
        raise ValueError(f"not an http(s) address: {public(url)!r}")
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" + ("" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}")


def accepted_upload_origins(url: str, api: str, extra: str | None = None) -> frozenset[str]:
    """The origins that ``upload_url`` may name, and that the host's token may therefore go to.

    A host sends its uploads to itself (GitHub Enterprise Server), to ``uploads.HOST`` (the same
    with subdomain isolation; github.com; GHE.com), and to nowhere else unless an operator says so.

    Args:
        url: The host's web address.
        api: Its API address.
        extra: One more, from the settings; empty or ``None`` for none.

    Source: https://docs.github.com/enterprise-server/admin/configuring-settings/hardening-security-for-your-enterprise/enabling-subdomain-isolation
    """
    accepted = {origin(url), origin(api), _with_host(url, "uploads.")}
    for address in (url, api):
        if is_github_dot_com(address):
            name = (urlsplit(address).hostname or "").removeprefix("api.").removeprefix("uploads.")
            accepted |= {f"https://api.{name}", f"https://uploads.{name}"}
    if extra:
        accepted.add(origin(extra))
    return frozenset(accepted)


def _with_host(url: str, prefix: str) -> str:
    scheme, _, rest = origin(url).partition("://")
    return f"{scheme}://{prefix}{rest}"


def is_loopback(url: str) -> bool:
    """Whether an address can only mean this machine, so that plain http shows nothing to others."""
    plain = _PLAIN_ORIGIN.match(url)
    return _is_loopback(plain[0] if plain else url)


@lru_cache(maxsize=64)
def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_OWNED = re.compile(r"/(?:repos|orgs|users)/([^/?#]+)")


def owner_of(address: str) -> str:
    """The account that an address of the API belongs to; empty where it names none.

    Addresses by number (``/repositories/1``, ``/organizations/1``), as pages and redirects have
    them, name none: who follows them knows where they came from.
    """
    found = _OWNED.search(address.partition("?")[0])
    return unquote(found[1]) if found else ""


def public(url: str) -> str:
    """An address as people may see it: no user, no password, no query (it may hold a signature)."""
    text = re.sub(r"[?#].*", "", str(url), flags=re.DOTALL)
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@", r"\1", text)[:_LONGEST_TEXT]


def without_secrets(text: str) -> str:
    """A host's text for people: one line, of bounded length, no query of an address in it."""
    text = re.sub(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]*", r"\1", text[: 4 * _LONGEST_TEXT])
    text = re.sub(r"(https?://)[^\s/@\"'<>]*@", r"\1", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_TEXT]
