"""Names of hosts in one form, so that they can be compared."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_HEADER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")
_LONGEST = 255


def host_name(text: str) -> str | None:
    """A name or an IP address as it is compared; ``None`` for anything else.

    Names are in lower case and without the dot that may end them, addresses in their shortest form
    and without brackets; an address of IPv4 that is written as one of IPv6 is one of IPv4.
    """
    if len(text) > _LONGEST:
        return None
    bracketed = text.startswith("[") and text.endswith("]")
    name = text[1:-1] if bracketed else text.lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name if not bracketed and _NAME.fullmatch(name) else None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else str(address.ipv4_mapped or address)
    return None if bracketed else str(address)


def host_of_header(value: str) -> str | None:
    """The host that a ``Host`` header names, without its port; ``None`` where it names none.

    Source: https://www.rfc-editor.org/rfc/rfc9110#name-host-and-authority
    """
    match = _HEADER.fullmatch(value)
    return host_name(match[1]) if match else None


def is_loopback_name(name: str) -> bool:
    """Whether a name of :func:`host_name` is this machine's own, wherever it is looked up."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
