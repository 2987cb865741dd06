"""Pages of a listing: the ``Link`` header, and pages that are numbered."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from mirror.github.protocol.urls import RefusedAddress, origin, public

_LINK = re.compile(r'<([^<>]*)>((?:[^",<]|"(?:[^"\\]|\\.)*")*)')
_PARAMETER = re.compile(r';\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')

_PLACES = frozenset({"first", "prev", "next", "last"})
_CURSORS = frozenset({"after", "before", "cursor", "since"})
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def next_link(header: str | None, base: str) -> str | None:
    """The address of the next page, or ``None`` on the last one.

    Args:
        header: The ``Link`` header (several of them joined by commas), or ``None``.
        base: The address that was answered; the next page must be of the same origin.

    Raises:
        RefusedAddress: The next page is said to be at another origin, which gets no token of ours.

    Source: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api and
    RFC 8288.
    """
    for target, parameters in _LINK.findall(header or ""):
        if "next" in _relations(parameters):
            return _same_origin(target, base)
    return None


def tells_pages(header: str | None) -> bool:
    """Whether a ``Link`` header tells a page's place in a listing: the last one names those before it."""
    return any(
        not _PLACES.isdisjoint(_relations(parameters))
        for _, parameters in _LINK.findall(header or "")
    )


def following(url: str) -> str | None:
    """The address of the page after this one, where pages are numbered; ``None`` where they are not.

    A page that was asked for without a number is the first.

    Source: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    number = query.get("page", "1")
    if _CURSORS & query.keys() or not _PAGE_NUMBER.fullmatch(number):
        return None
    query["page"] = str(int(number) + 1)
    return urlunsplit(parts._replace(query=urlencode(query)))


def page_size(url: str) -> int:
    """How many items a page's address asks for; hosts give 30 where it does not say."""
    return _size_in(urlsplit(url).query if "#" in url else url.partition("?")[2])


@lru_cache(maxsize=64)  # the queries of all listings of a kind are the same
def _size_in(query: str) -> int:
    asked = dict(parse_qsl(query)).get("per_page", "")
    return int(asked) if _PAGE_NUMBER.fullmatch(asked) else 30


def _relations(parameters: str) -> list[str]:
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "rel":  # later ones are to be ignored, says RFC 8288
            relations: str = quoted or plain
            return relations.lower().split()
    return []


def _same_origin(target: str, base: str) -> str:
    try:
        address = urljoin(base, target.strip())
        good = origin(address) == origin(base)
    except ValueError:
        address, good = target, False
    if not good:
        raise RefusedAddress(
            f"the next page of a listing is said to be at {public(address)!r}, which is not where"
            f" {public(base)!r} is: not followed, since it would get the token"
        )
    return address
