"""What a webhook delivery requests: headers and bytes in, a decision out; no socket, no clock.

All that a delivery is trusted for is that the releases of a repository changed; the sync that
follows finds out how. So deliveries may be lost, repeated, late and out of order, and no request is
ever sent to an address from a payload.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from mirror.core.json_types import RepositoryName, mismatch
from mirror.github.protocol.webhook import is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASE_ACTIONS = frozenset(
    {"created", "published", "prereleased", "released", "edited", "unpublished", "deleted"}
)
"""All events of a release; the sync finds out what the target needs.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads#release
"""

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::[0-9]{1,5})?")
_MOST_FIELDS = 16


class Refused(NamedTuple):
    """The delivery is refused.

    Attributes:
        status: The HTTP status of the response.
        reason: For the sender; empty if the sender must learn nothing.
    """

    status: int
    reason: str = ""


class Ping(NamedTuple):
    """GitHub tests the address."""


class Ignored(NamedTuple):
    """The delivery is accepted, and there is nothing to do."""

    reason: str


class ReleaseChanged(NamedTuple):
    """The releases of a repository changed.

    Attributes:
        host: Of the source, in lower case; ``None`` for github.com, which sends no name.
        repository: ``OWNER/REPO``.
        action: What happened, as the sender calls it.
    """

    host: str | None
    repository: str
    action: str


Decision = Refused | Ping | Ignored | ReleaseChanged


class _Repository(Struct):
    full_name: RepositoryName


class _ReleaseEvent(Struct):
    action: str
    repository: _Repository


class _Malformed(Exception):
    """A signed delivery that GitHub would not send."""


def decide(headers: Mapping[str, str], body: bytes, secret: str) -> Decision:
    """Decide what to do with a delivery.

    Args:
        headers: A mapping that ignores case.
        body: The bytes as received.
        secret: The webhook's secret.

    Source: https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
    """
    if not is_signed(body, headers.get("X-Hub-Signature-256"), secret):
        return Refused(401)
    event = headers.get("X-GitHub-Event", "")
    if event == "ping":
        return Ping()
    if not event:
        return Refused(400, "X-GitHub-Event is missing")
    if event != "release":
        return Ignored(f"event {_quoted(event)} is ignored")
    try:
        return _release(headers, _event(headers.get("Content-Type", ""), body))
    except _Malformed as error:
        return Refused(400, str(error))


def _event(content_type: str, body: bytes) -> _ReleaseEvent:
    """The event of a delivery: its JSON is the body, or the field ``payload`` of a form."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        body = _field(body)
    elif kind != "application/json":
        raise _Malformed(
            "the content type must be application/json or application/x-www-form-urlencoded"
        )
    try:
        return msgspec.json.decode(body, type=_ReleaseEvent)
    except msgspec.ValidationError as error:
        raise _Malformed(f"unexpected JSON in the payload: {mismatch(error)}") from None
    except (ValueError, RecursionError):
        raise _Malformed("the payload is not JSON") from None


def _field(body: bytes) -> bytes:
    try:
        found = parse_qs(body, max_num_fields=_MOST_FIELDS).get(b"payload", [])
    except ValueError:
        found = []
    if len(found) != 1:
        raise _Malformed('the form must have exactly one field "payload"')
    return found[0]


def _release(headers: Mapping[str, str], event: _ReleaseEvent) -> Decision:
    if event.action not in RELEASE_ACTIONS:
        return Ignored(f"action {_quoted(event.action)} is ignored")
    host = _host(headers.get("X-GitHub-Enterprise-Host"))
    return ReleaseChanged(host, event.repository.full_name, event.action)


def _host(header: str | None) -> str | None:
    """The sending host. Its name is not signed: it only chooses among the configured sources."""
    if header is None:
        return None
    if not _HOST.fullmatch(header.strip()):
        raise _Malformed("X-GitHub-Enterprise-Host is not a host name")
    return header.strip().lower()


def _quoted(word: str) -> str:
    """A word of the sender for the response: short, and of plain letters only."""
    return "".join(c for c in word[:40] if c.isascii() and (c.isalnum() or c in "_-."))
