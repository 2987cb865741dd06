"""What GitHub's REST API says over HTTP, as functions of bytes and headers: no socket, no clock.

Addresses, ``Link`` headers, rate limits, and what a status means. Everything here takes what a host
(or something that pretends to be one) sent, and raises nothing but a
:class:`~mirror.errors.GitHubError` whatever that was.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from mirror.errors import (
    MOST_TOLD,
    AuthError,
    BadAnswer,
    GitHubError,
    NotFound,
    RateLimited,
    ServerError,
    Unreachable,
    ValidationFailed,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDARY_WAIT = 60.0
"""Seconds to wait after a secondary limit that names no time.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""


class RefusedAddress(BadAnswer):
    """A host gave an address that is not followed; asking again would not help."""

    retryable = False


class RefusedRedirect(RefusedAddress):
    """A redirect that is not followed; what redirects may be in between, and gone in a moment."""

    retryable = True


_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_TEXT = 500
_LONGEST_ADDRESS = 160
_LONGEST_HEADER = 80
"""Characters of an address, and of a header, in a sentence of at most 500."""

_LONGEST_ERROR = 256 * 1024
"""Bytes of an error's body that are read: what comes after them decides nothing."""

_MOST_ITEMS = 100
"""Items of ``errors`` that decisions look at."""

_MOST_DETAILS = 20
"""Items of ``errors`` that are told."""

_SHORTEST = 8
"""Characters of a credential: what is shorter is a part of ordinary words."""

_LAST_MOMENT = 200_000_000_000  # in the year 8307
_LONGEST_LIMIT = timedelta(days=31)
"""Hosts count by the hour or the minute; what says years is a mistake, and must not last."""


# --- addresses ----------------------------------------------------------------------------------


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


def etag_of(headers: Mapping[str, str]) -> str:
    """An answer's validator, as it came; empty for none, and for one that could not be sent back."""
    etag = headers.get("ETag", "")
    return etag if etag.isascii() and etag.isprintable() and len(etag) <= _LONGEST_TEXT else ""


# --- Link ---------------------------------------------------------------------------------------

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
    asked = dict(parse_qsl(urlsplit(url).query)).get("per_page", "")
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


# --- rate limits --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer says of the limits; each ``None`` where it says nothing.

    A GitHub Enterprise Server has no limits unless its administrator wants some, and upload hosts
    say nothing at all: absent is not 0.

    Attributes:
        limit: Requests in a window.
        remaining: Requests left in this window.
        reset: When the next window begins, in seconds since the epoch of the *host's* clock.
        date: The host's clock (``Date``) when it answered.
        retry_after: ``Retry-After`` as it came: seconds, or a date.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    date: str | None = None
    retry_after: str | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> RateLimit:
        """Read the headers of an answer (a mapping that ignores case)."""
        return cls(
            limit=_number(headers.get("X-RateLimit-Limit")),
            remaining=_number(headers.get("X-RateLimit-Remaining")),
            reset=_moment(headers.get("X-RateLimit-Reset")),
            date=headers.get("Date"),
            retry_after=headers.get("Retry-After"),
        )

    def resets_at(self, now: datetime) -> datetime | None:
        """When the next window begins by *our* clock, which may differ from the host's."""
        if self.reset is None:
            return None
        try:
            reset = datetime.fromtimestamp(self.reset, UTC)
            return now + _bounded(reset - (moment_of(self.date) or now))
        except (OverflowError, ValueError, OSError):
            return None

    def retries_at(self, now: datetime) -> datetime | None:
        """When ``Retry-After`` ends by our clock; ``None`` without one."""
        if self.retry_after is None:
            return None
        try:
            seconds = _number(self.retry_after.strip())
            if seconds is not None:
                return now + _bounded(timedelta(seconds=seconds))
            moment = moment_of(self.retry_after)
            return now + _bounded(moment - (moment_of(self.date) or now)) if moment else None
        except (OverflowError, ValueError):
            return None


def _bounded(wait: timedelta) -> timedelta:
    return min(max(wait, timedelta(0)), _LONGEST_LIMIT)


def _moment(text: str | None) -> int | None:
    """Seconds since the epoch that a calendar has."""
    number = _number(text)
    return number if number is not None and number < _LAST_MOMENT else None


def _number(text: str | None) -> int | None:
    return int(text) if text and len(text) < 16 and text.isascii() and text.isdigit() else None


def moment_of(text: str | None) -> datetime | None:
    """The moment of a ``Date`` header, or of one in its form; ``None`` where it is none."""
    try:
        moment = parsedate_to_datetime(text) if text else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# --- webhooks -----------------------------------------------------------------------------------

_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


def is_signature(header: str | None) -> bool:
    """Whether an ``X-Hub-Signature-256`` has the form of one, so that its body is worth reading."""
    return header is not None and _SIGNATURE.fullmatch(header) is not None


def is_signed(body: bytes, header: str | None, secret: str) -> bool:
    """Whether a webhook's body was signed with a secret; the comparison takes the same time always.

    Args:
        body: As it came, byte for byte.
        header: ``X-Hub-Signature-256``; the older ``X-Hub-Signature`` (SHA-1) is not asked for.
        secret: What the sender and we share; nothing is signed with an empty one.

    Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if not secret or header is None or not is_signature(header):
        return False
    mac = hmac.new(secret.encode("utf-8", "surrogateescape"), body, hashlib.sha256)
    return hmac.compare_digest(f"sha256={mac.hexdigest()}", header)


# --- answers ------------------------------------------------------------------------------------


class Context(NamedTuple):
    """Which request an answer belongs to: what an error's sentence begins with.

    Attributes:
        host: The host's configured name.
        method: The request's method.
        url: Its address.
        now: Our clock.
        sent: The credentials in its headers: a host, or a proxy before it, may say them back.
    """

    host: str
    method: str
    url: str
    now: datetime
    sent: tuple[str, ...] = ()

    @property
    def request(self) -> str:
        """Method and address, as people may see it."""
        return f"{self.method} {told(public(self.url), _LONGEST_ADDRESS)}"


def decode_response(
    status: int, headers: Mapping[str, str], body: bytes, context: Context
) -> dict[str, Any] | list[Any] | None:
    """The JSON of a good answer (``None`` where there is none: 204, 304), or the right error.

    Args:
        status: The HTTP status.
        headers: A mapping that ignores case.
        body: All of it.
        context: What was asked.

    Raises:
        AuthError: 401; 403 for a permission.
        NotFound: 404, 410, 451.
        RateLimited: 429; 403 and 422 for a limit.
        ValidationFailed: Other 4xx: the host understood and will not take this.
        ServerError: 5xx.
        BadAnswer: Anything that is no answer of the API.
    """
    if status in {204, 205, 304}:
        return None
    if 200 <= status < 300:
        return _content(status, headers, body, context)
    raise error_of(status, headers, body, context)


def _content(
    status: int, headers: Mapping[str, str], body: bytes, context: Context
) -> dict[str, Any] | list[Any] | None:
    if not body.strip():
        return None
    try:
        data = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, (dict, list)):
        return data
    body = _without_credential(body, context)
    raise BadAnswer(
        f"{context.host}: {context.request} answered {status} with {_kind(headers, body)} instead"
        " of JSON; is this the API's address, and is no login page or proxy in between?",
        host=context.host,
        status=status,
        request_id=_header(headers, "X-GitHub-Request-Id") or None,
        ambiguous=True,
    )


def _without_credential(body: bytes, context: Context) -> bytes:
    """What is told of a body holds nothing of what was sent to get it."""
    for header in context.sent:
        credential = header.rpartition(" ")[2].encode("utf-8", "surrogateescape")
        if len(credential) >= _SHORTEST:
            body = body.replace(credential, b"[hidden]")
    return body


def _kind(headers: Mapping[str, str], body: bytes) -> str:
    """What a body is, in words."""
    if _is_page(body):
        title = re.search(rb"<title[^>]*>([^<]{1,300})", body[:20_000], re.IGNORECASE)
        name = without_secrets(title.group(1).decode("utf-8", "replace")) if title else ""
        return f"a web page ({name!r})" if name else "a web page"
    if not body.strip():
        return "nothing"
    content_type = _header(headers, "Content-Type")
    return f"broken content ({len(body)} bytes of {content_type or 'unknown type'})"


def _is_page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


class _Refusal(NamedTuple):
    """An answer that is no success, read as far as it can be."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    context: Context
    message: str
    errors: tuple[Any, ...]

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "host": self.context.host,
            "status": self.status,
            "errors": self.errors,
            "request_id": self.request_id or None,
        }

    @property
    def request_id(self) -> str:
        """What the host's own logs know the request by; empty for nothing."""
        return _header(self.headers, "X-GitHub-Request-Id")

    def sentence(self, hint: str = "") -> str:
        """What was asked, what came, and what to do; where it is too long, what came is cut."""
        asked = f"{self.context.host}: {self.context.request} answered {self.status}: "
        details = "; ".join(filter(None, map(_detail, self.errors[:_MOST_DETAILS])))
        details += "; …" if len(self.errors) > _MOST_DETAILS else ""
        came = self.message or (
            _kind(self.headers, self.body) if _is_page(self.body) else "without a reason"
        )
        came += f" ({details})" if details else ""
        advice = f"; {hint}" if hint else ""
        advice += f" [request {self.request_id}]" if self.request_id else ""
        return asked + told(came, max(MOST_TOLD - len(asked) - len(advice), 1)) + advice


def error_of(status: int, headers: Mapping[str, str], body: bytes, context: Context) -> GitHubError:
    """The error that a status outside of 2xx means; never raises."""
    body = _without_credential(body[:_LONGEST_ERROR], context)
    message, errors = _explanation(body)
    refusal = _Refusal(status, headers, body, context, message, errors)
    sort = _BY_STATUS.get(status)
    if sort is None:
        sort = _server_error if status >= 500 else _not_taken if status >= 400 else _no_answer
    return sort(refusal)


def _explanation(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """``message`` and ``errors`` of an error's body.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    ("Validation failed"); the items may be objects or plain texts, and the list may be missing.
    """
    for text in (body, *_closed(body)):
        try:
            data = json.loads(text)
            break
        except (ValueError, RecursionError):
            continue
    else:
        return "", ()
    if not isinstance(data, dict):
        return "", ()
    message, errors = data.get("message"), data.get("errors")
    if isinstance(errors, (str, dict)):
        errors = [errors]
    return (
        without_secrets(message) if isinstance(message, str) else "",
        tuple(errors[:_MOST_ITEMS]) if isinstance(errors, list) else (),
    )


def _closed(body: bytes) -> list[bytes]:
    """A body that was cut, as JSON: without the item that was cut, or with a text that ends there."""
    if len(body) < _LONGEST_ERROR:
        return []
    whole = body[: body.rfind(b"}") + 1] + b"]}"
    return [whole, *(body + end for end in (b'"}', b'"]}', b'"}]}'))]


def _detail(item: object) -> str:
    if isinstance(item, str):
        return without_secrets(item)
    if not isinstance(item, dict):
        return ""
    words = [item.get(key) for key in ("resource", "field", "code", "message")]
    return without_secrets(" ".join(word for word in words if isinstance(word, str)))


def _header(headers: Mapping[str, str], name: str) -> str:
    """A header's text for people; empty where there is none."""
    return told(without_secrets(headers.get(name) or ""), _LONGEST_HEADER)


def _unauthorized(refusal: _Refusal) -> GitHubError:
    return AuthError(
        refusal.sentence("is the token right, and has it not expired?"), **refusal.facts
    )


_LIMIT = re.compile(r"rate limit|abuse detection|submitted too quickly|spammed", re.IGNORECASE)
_FINAL = re.compile(r"archived|repository access blocked", re.IGNORECASE)


def _forbidden(refusal: _Refusal) -> GitHubError:
    """A 403: a limit, a repository that takes no writes, or a permission.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    """
    limit = RateLimit.parse(refusal.headers)
    if limit.remaining == 0 or limit.retry_after or _LIMIT.search(refusal.message):
        return _limited(refusal)
    if _FINAL.search(refusal.message):
        return ValidationFailed(refusal.sentence(), **refusal.facts)
    return AuthError(refusal.sentence(_permission_hint(refusal.headers)), **refusal.facts)


def _permission_hint(headers: Mapping[str, str]) -> str:
    sso = headers.get("X-GitHub-SSO", "")
    if sso.startswith("required"):
        return "authorize the token for single sign-on of the organization"
    if needed := _header(headers, "X-Accepted-GitHub-Permissions"):
        return f"the token needs one of these permissions: {needed}"
    needed = _header(headers, "X-Accepted-OAuth-Scopes")
    if needed and "X-OAuth-Scopes" in headers:
        held = _header(headers, "X-OAuth-Scopes")
        return f"the token needs one of the scopes {needed!r} and has {held!r}"
    return "the token lacks a permission"


def _limited(refusal: _Refusal) -> GitHubError:
    """A primary or secondary limit, and when it ends.

    ``Retry-After`` first, else the end of the window where it is used up, else a minute.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    ("Handle rate limit errors appropriately")
    """
    now, limit = refusal.context.now, RateLimit.parse(refusal.headers)
    retry_at = limit.retries_at(now)
    if retry_at is None and limit.remaining == 0:
        retry_at = limit.resets_at(now)
    if retry_at is None:
        retry_at = now + timedelta(seconds=SECONDARY_WAIT)
    hint = f"requests are taken again at {retry_at:%Y-%m-%dT%H:%M:%SZ}"
    return RateLimited(refusal.sentence(hint), retry_at=retry_at, **refusal.facts)


def _absent(refusal: _Refusal) -> GitHubError:
    if _is_page(refusal.body):
        return BadAnswer(
            refusal.sentence("this is no answer of the API: is its address right?"), **refusal.facts
        )
    return NotFound(refusal.sentence(), **refusal.facts)


def _unprocessable(refusal: _Refusal) -> GitHubError:
    return (_limited if _LIMIT.search(refusal.message) else _not_taken)(refusal)


def _not_taken(refusal: _Refusal) -> GitHubError:
    return ValidationFailed(refusal.sentence(), **refusal.facts)


def _proxy_refuses(refusal: _Refusal) -> GitHubError:
    return Unreachable(
        refusal.sentence("the proxy wants a user and a password"), permanent=True, **refusal.facts
    )


def _server_error(refusal: _Refusal) -> GitHubError:
    retry_at = RateLimit.parse(refusal.headers).retries_at(refusal.context.now)
    return ServerError(refusal.sentence(), retry_at=retry_at, ambiguous=True, **refusal.facts)


def _no_answer(refusal: _Refusal) -> GitHubError:
    return BadAnswer(refusal.sentence("this is no answer of the API"), **refusal.facts)


_BY_STATUS: dict[int, Callable[[_Refusal], GitHubError]] = {
    401: _unauthorized,
    403: _forbidden,
    404: _absent,
    407: _proxy_refuses,
    408: _server_error,
    410: _absent,
    422: _unprocessable,
    429: _limited,
    451: _absent,
}
