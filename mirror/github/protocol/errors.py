"""What an answer means: its JSON, or the error of the right class, kind and reason.

GitHub's answers are classified here and nowhere else: by their status, by ``code`` and ``field`` of
the items of ``errors``, and by a documented message only where GitHub sends nothing else. The input
is what a host (or something that pretends to be one) sent; whatever that was, nothing but a
:class:`~mirror.errors.GitHubError` is raised.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mirror.errors import (
    MAX_MESSAGE,
    AuthError,
    BadAnswer,
    GitHubError,
    NotFound,
    RateLimited,
    ServerError,
    Unreachable,
    ValidationFailed,
    truncate,
)
from mirror.github.protocol.rate_limit import RateLimit
from mirror.github.protocol.urls import public, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mirror.errors import Reason


SECONDARY_WAIT = 60.0
"""Seconds to wait after a secondary limit that names no time.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

SEE_OTHER = 303
"""Leads to what a write has made, or to a page that asks to log in: it may have been carried out.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-303-see-other
"""

_SHORTEST_WAIT = timedelta(seconds=1)
"""After a limit that is over already: not all attempts are made in the same moment."""

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
        return f"{self.method} {truncate(public(self.url), _LONGEST_ADDRESS)}"


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
        " of JSON",
        hint="api-address",
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


# Messages of GitHub for what neither a status, nor a code, nor a field tells; in lower case.

QUICK_MESSAGE = "submitted too quickly"
"""Of a 422 that is a secondary limit, or of one of its items, where a model's validations end up."""

LIMIT_MESSAGES = ("rate limit", "abuse detection", QUICK_MESSAGE, "spammed")
"""Of a 403 or a 422 that is a secondary limit. Source:
https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
and the description of 422 in GitHub's OpenAPI ("or the endpoint has been spammed")."""

BLOCKED_MESSAGE = "repository access blocked"
"""Of a 403. Source: GitHub's OpenAPI, schema ``basic-error`` with ``block.reason``."""

ARCHIVED_MESSAGE = "archived"
"""Of a 403 to a write: "Repository was archived so is read-only." Source:
https://docs.github.com/repositories/archiving-a-github-repository/archiving-repositories"""

SUSPENDED_MESSAGE = "suspended"
"""Of a 403: "This installation has been suspended", "Sorry. Your account was suspended." Source:
https://docs.github.com/apps/maintaining-github-apps/suspending-a-github-app-installation"""

CLAIM_MESSAGES = ("'issued at' claim", "'expiration time' claim")
"""Of a 401 to a GitHub App's own token with a date that the host does not accept. Source:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app"""

IMMUTABLE_MESSAGE = "immutable release"
"""Of a 422 without ``errors`` ("Cannot upload assets to an immutable release."), and of an item for
``tag_name``. Source: https://github.com/concourse/github-release-resource/issues/151"""

EMPTY_REPOSITORY_MESSAGE = "repository is empty"
"""Of an item without a field, and of a 409. Source:
https://github.com/jcabi/jcabi-github/issues/327 and https://docs.github.com/rest/git/refs"""

LISTING_MESSAGE = "only the first"
"""Of a 422: "Only the first 10000 results are available." Source:
https://github.com/Azure/azure-sdk-tools/issues/9395"""

REFERENCE_MESSAGE = "already exists"
"""Of a 422 without ``errors``: "Reference already exists". Source:
https://docs.github.com/rest/git/refs ("Create a reference")"""

TEXT_MESSAGE = "too long"
"""Of an item for ``body``: "body is too long (maximum is 125000 characters)". Source:
https://github.com/scikit-build/github-release/issues/65"""

LARGE_MESSAGE = "less than or equal to"
SMALL_MESSAGE = "greater than or equal to"
"""Of items for ``size``: "size must be less than or equal to 2147483648". Source:
https://github.com/cli/cli/issues/10182"""


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
            "request_id": self.request_id or None,
        }

    @property
    def request_id(self) -> str:
        """What the host's own logs know the request by; empty for nothing."""
        return _header(self.headers, "X-GitHub-Request-Id")

    def text(self, field: str | None = "") -> str:
        """The message, in lower case: of the answer, or of the first item for a field."""
        if field == "":
            return self.message.lower()
        items = (item for item in self.errors if isinstance(item, dict))
        found = next((item for item in items if item.get("field") == field), {})
        return str(found.get("message", "")).lower()

    def says(self, *texts: str) -> bool:
        """Whether the message holds one of these documented texts."""
        return any(text in self.text() for text in texts)

    def sentence(self, fact: str = "") -> str:
        """The request, the answer, and what else it tells; a long answer is cut."""
        asked = f"{self.context.host}: {self.context.request} answered {self.status}: "
        details = "; ".join(filter(None, map(_detail, self.errors[:_MOST_DETAILS])))
        details += "; …" if len(self.errors) > _MOST_DETAILS else ""
        came = self.message or (
            _kind(self.headers, self.body) if _is_page(self.body) else "without a reason"
        )
        came += f" ({details})" if details else ""
        rest = f"; {fact}" if fact else ""
        rest += f" [request {self.request_id}]" if self.request_id else ""
        return asked + truncate(came, max(MAX_MESSAGE - len(asked) - len(rest), 1)) + rest


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
    return truncate(without_secrets(headers.get(name) or ""), _LONGEST_HEADER)


def _unauthorized(refusal: _Refusal) -> GitHubError:
    reason: Reason | None = "token-time" if refusal.says(*CLAIM_MESSAGES) else None
    return AuthError(refusal.sentence(), reason=reason, **refusal.facts)


def _forbidden(refusal: _Refusal) -> GitHubError:
    """A 403: a limit, a repository that takes no writes, or a permission; a page is none of these.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    """
    limit = RateLimit.parse(refusal.headers)
    if limit.remaining == 0 or limit.retry_after or refusal.says(*LIMIT_MESSAGES):
        return _limited(refusal)
    if _is_page(refusal.body):  # a proxy's or a firewall's
        return BadAnswer(refusal.sentence(), hint="api-address", **refusal.facts)
    for text, reason in _FORBIDDEN.items():
        if refusal.says(text):
            return ValidationFailed(refusal.sentence(), reason=reason, **refusal.facts)
    sso = refusal.headers.get("X-GitHub-SSO", "").startswith("required")
    return AuthError(
        refusal.sentence("" if sso else _needed(refusal.headers)),
        reason="suspended" if refusal.says(SUSPENDED_MESSAGE) else None,
        hint="authorize-sso" if sso else None,
        **refusal.facts,
    )


_FORBIDDEN: dict[str, Reason] = {
    ARCHIVED_MESSAGE: "archived",
    BLOCKED_MESSAGE: "access-blocked",
}


def _needed(headers: Mapping[str, str]) -> str:
    """What the token lacks, as far as the host says so."""
    if needed := _header(headers, "X-Accepted-GitHub-Permissions"):
        return f"the token needs one of these permissions: {needed}"
    needed = _header(headers, "X-Accepted-OAuth-Scopes")
    if needed and "X-OAuth-Scopes" in headers:
        held = _header(headers, "X-OAuth-Scopes")
        if _scopes(needed).isdisjoint(_scopes(held)):
            return f"the token needs one of the scopes {needed!r} and has {held!r}"
    return ""


def _scopes(header: str) -> set[str]:
    return {scope.strip() for scope in header.split(",")}


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
    retry_at = max(retry_at, now + _SHORTEST_WAIT)
    fact = f"the host accepts requests again at {retry_at:%Y-%m-%dT%H:%M:%SZ}"
    return RateLimited(refusal.sentence(fact), retry_at=retry_at, **refusal.facts)


def _absent(refusal: _Refusal) -> GitHubError:
    if _is_page(refusal.body):
        return BadAnswer(refusal.sentence(), hint="api-address", **refusal.facts)
    return NotFound(refusal.sentence(), **refusal.facts)


def _unprocessable(refusal: _Refusal) -> GitHubError:
    quick = any(QUICK_MESSAGE in _detail(item).lower() for item in refusal.errors)
    return (_limited if quick or refusal.says(*LIMIT_MESSAGES) else _not_taken)(refusal)


def _not_taken(refusal: _Refusal) -> GitHubError:
    return ValidationFailed(refusal.sentence(), reason=_reason_of(refusal), **refusal.facts)


def _reason_of(refusal: _Refusal) -> Reason | None:
    """Why a host refuses a request that it understood; ``None`` where it does not say.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    ("Validation failed") for codes and fields; of messages, at their constants.
    """
    items = [item for item in refusal.errors if isinstance(item, dict)]
    if refusal.status == 413:
        return "too-large"
    if any(item.get("code") == "already_exists" for item in items):
        return "already-exists"
    for field, text, reason in _BY_MESSAGE:
        if text in refusal.text(field):
            return reason
    fields = {item["field"] for item in items if isinstance(item.get("field"), str)}
    for field, reason in _BY_FIELD.items():
        if field in fields:
            return reason
    if any(fields):
        return "invalid-field"
    return "reference-exists" if refusal.says(REFERENCE_MESSAGE) else None


_BY_MESSAGE: tuple[tuple[str | None, str, Reason], ...] = (
    ("", EMPTY_REPOSITORY_MESSAGE, "repository-empty"),
    (None, EMPTY_REPOSITORY_MESSAGE, "repository-empty"),
    ("", IMMUTABLE_MESSAGE, "immutable"),
    ("tag_name", IMMUTABLE_MESSAGE, "immutable"),
    ("", LISTING_MESSAGE, "listing-cut"),
    ("body", TEXT_MESSAGE, "text-too-long"),
    ("size", LARGE_MESSAGE, "too-large"),
    ("size", SMALL_MESSAGE, "empty"),
)
"""Of the answer itself where the field is empty, of an item without a field where it is ``None``."""

_BY_FIELD: dict[str, Reason] = {
    "file_count": "too-many-assets",
    "size": "too-large",
    "name": "invalid-name",
}


def _proxy_refuses(refusal: _Refusal) -> GitHubError:
    return Unreachable(
        refusal.sentence("the proxy requires a user and a password"),
        permanent=True,
        hint="proxy-login",
        **refusal.facts,
    )


def _server_error(refusal: _Refusal) -> GitHubError:
    retry_at = RateLimit.parse(refusal.headers).retries_at(refusal.context.now)
    return ServerError(refusal.sentence(), retry_at=retry_at, ambiguous=True, **refusal.facts)


def _no_answer(refusal: _Refusal) -> GitHubError:
    return BadAnswer(
        refusal.sentence("not an answer of the API"),
        ambiguous=refusal.context.method != "GET" and refusal.status == SEE_OTHER,
        **refusal.facts,
    )


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
