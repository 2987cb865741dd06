"""The service over HTTP: the status page, its data, health checks, metrics, and the webhook.

Every endpoint only reads, except for the webhook, which requests a sync and can do no more. An
unexpected error becomes a plain 500.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from aiohttp import ETag, web

from mirror.daemon.allowed_hosts import AllowedHosts
from mirror.daemon.listener import HEADERS, Bound, ConnectionLimits, serve
from mirror.daemon.metrics import CONTENT_TYPE
from mirror.daemon.webhook import Ignored, Ping, Refused, ReleaseChanged, decide
from mirror.github.protocol.webhook import is_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.daemon.webhook import Decision
    from mirror.page import Document

__all__ = [
    "Bound",
    "ConnectionLimits",
    "DeliveryLimits",
    "Pages",
    "Receiver",
    "make_web_app",
    "serve",
]

log = structlog.get_logger(__name__)

_QUIET = 60.0
"""Seconds in which an event is logged once: strangers must not fill the log."""


class Pages(Protocol):
    """What can be read. Every call returns at once."""

    def alive(self) -> bool:
        """Whether the scheduler's loop has turned lately."""

    def not_ready(self) -> str:
        """Why the service is not ready; empty when it is."""

    def document(self, query: Mapping[str, str]) -> Document:
        """The page for its query."""

    def hostnames(self) -> Collection[str]:
        """The configured names under which the service is reached, besides its addresses."""

    def metrics(self) -> Callable[[], bytes]:
        """The metrics of this moment; a call of the result makes their text, in another thread."""


class Receiver(Protocol):
    """Receives webhook deliveries. Every call returns at once."""

    def webhook_secret(self) -> str | None:
        """The current secret; ``None`` if webhooks are off."""

    def release_changed(self, host: str | None, repository: str) -> Sequence[str]:
        """Sync a repository.

        Args:
            host: The source's host in lower case; ``None`` for github.com, or the only source.
            repository: ``OWNER/REPO``.

        Returns:
            The names that it is mirrored under (``github:cli/cli``); none if it is not.
        """

    def on_webhook(self, outcome: str) -> None:
        """Count a delivery; one of :data:`mirror.daemon.metrics.WEBHOOK_OUTCOMES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """How much of a delivery is read before its signature can be verified.

    GitHub's limit is 25 MB, but a release has at most 7 MB: a text of up to 125,000 characters
    (an ``edited`` event holds the previous one, too), each at most 16 bytes when escaped for JSON
    and then for a form, and up to 1000 assets of 3 kB each.

    Attributes:
        body: Bytes of one delivery.
        all_bodies: Bytes of all deliveries that are being read, to bound memory.
        seconds: To read one body. GitHub gives up after 10 s, older servers after 30 s.
    """

    body: int = 8 * 1024**2
    all_bodies: int = 32 * 1024**2
    seconds: float = 30.0


def make_web_app(
    pages: Pages,
    receiver: Receiver,
    clock: Clock,
    *,
    listen: str = "",
    limits: DeliveryLimits | None = None,
) -> web.Application:
    """The HTTP application.

    Args:
        pages: What can be read.
        receiver: Receives webhook deliveries.
        clock: Limits how often an event is logged.
        listen: The host to listen on, as configured: requests may name it.
        limits: How much of a delivery is read.
    """
    warnings = _ThrottledLog(clock)
    allowed = AllowedHosts(listen, pages.hostnames)

    @web.middleware
    async def catch_errors(request: web.Request, handler: Any) -> web.StreamResponse:
        """Log an unexpected error, and say nothing of it in the response."""
        try:
            response: web.StreamResponse = await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - no page may end the service
            warnings.warning("web.failed", path=request.path[:100], error=repr(error)[:500])
            return _text("internal error", 500)
        return response

    @web.middleware
    async def check_host(request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse requests that name another host."""
        refusal = allowed.refusal(request)
        if refusal is None:
            response: web.StreamResponse = await handler(request)
            return response
        warnings.warning(
            "web.misdirected",
            host=ascii(request.headers.get("Host", "")[:100])[1:-1],
            sender=request.remote,
            status=refusal.status,
        )
        return refusal

    app = web.Application(middlewares=[catch_errors, check_host])
    app.on_response_prepare.append(_guard)
    routes = _Routes(pages)
    app.router.add_get("/", routes.page)
    app.router.add_get("/api/status", routes.status)
    app.router.add_get("/healthz", routes.health)
    app.router.add_get("/readyz", routes.readiness)
    app.router.add_get("/metrics", routes.metrics)
    hook = _Webhook(receiver, warnings, limits or DeliveryLimits())
    app.router.add_route("*", "/webhooks/github", hook.take)
    return app


async def _guard(request: web.Request, response: web.StreamResponse) -> None:
    """Set the security headers of every response."""
    del request
    for name, value in HEADERS.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


class _ThrottledLog:
    """Logs warnings: one event at most once a minute, with a count of those left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def warning(self, event: str, **facts: object) -> None:
        now = self._clock.monotonic()
        since, unsaid = self._told.get(event, (now - _QUIET, 0))
        if now - since < _QUIET:
            self._told[event] = since, unsaid + 1
            return
        self._told[event] = now, 0
        log.warning(event, **facts, **({"more_before": unsaid} if unsaid else {}))


class _Routes:
    """The endpoints that read."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._scrape = asyncio.Lock()

    async def page(self, request: web.Request) -> web.Response:
        document = self._pages.document(dict(request.query))
        if _is_known(request, document.tag):
            return _tagged(web.Response(status=304), document.tag)
        html = document.html()
        response = web.Response(body=html.body, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = html.policy
        return _compressed(request, _tagged(response, document.tag))

    async def status(self, request: web.Request) -> web.Response:
        document = self._pages.document(dict(request.query))
        if _is_known(request, document.tag):
            return _tagged(web.Response(status=304), document.tag)
        response = web.Response(text=document.json(), content_type="application/json")
        return _compressed(request, _tagged(response, document.tag))

    async def health(self, request: web.Request) -> web.Response:
        del request
        if self._pages.alive():
            return _text("ok")
        return _text("the scheduler does not respond", 503)

    async def readiness(self, request: web.Request) -> web.Response:
        del request
        reason = self._pages.not_ready()
        return _text(reason, 503) if reason else _text("ready")

    async def metrics(self, request: web.Request) -> web.Response:
        """In a thread: with ten thousand mirrors it takes most of a second; one at a time."""
        del request
        async with self._scrape:
            body = await asyncio.to_thread(self._pages.metrics())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def _is_known(request: web.Request, tag: str) -> bool:
    """Whether the client has the page with this tag. Proxies make a tag weak, or add a suffix."""
    known = request.if_none_match or ()
    return any(one.value.startswith(tag) for one in known)


def _tagged(response: web.Response, tag: str) -> web.Response:
    response.etag = ETag(tag, is_weak=True)  # the same page, compressed or not
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _compressed(request: web.Request, response: web.Response) -> web.Response:
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


class _Webhook:
    """The endpoint that GitHub delivers to."""

    def __init__(self, receiver: Receiver, warnings: _ThrottledLog, limits: DeliveryLimits) -> None:
        self._receiver = receiver
        self._log = warnings
        self._limits = limits
        self._held = 0

    async def take(self, request: web.Request) -> web.Response:
        """Read a delivery, decide, queue, answer: nothing is waited for but its bytes."""
        secret = self._receiver.webhook_secret()
        if not secret:
            raise web.HTTPNotFound
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        body = await self._body(request)
        decision = body if isinstance(body, Refused) else decide(request.headers, body, secret)
        return self._answer(request, decision)

    async def _body(self, request: web.Request) -> bytes | Refused:
        """The delivery's bytes; those of a sender who cannot have signed them are not read."""
        if not is_signature(request.headers.get("X-Hub-Signature-256")):
            return Refused(401)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                refused = await self._read(request, body)
        except TimeoutError:
            return Refused(408, "the body did not arrive in time")
        except web.RequestPayloadError:
            return Refused(400, "the body is broken")
        finally:
            self._held -= len(body)
        return refused or bytes(body)

    async def _read(self, request: web.Request, body: bytearray) -> Refused | None:
        too_large = Refused(413, "the body is too large")
        if (request.content_length or 0) > self._limits.body:
            return too_large
        async for chunk in request.content.iter_any():
            if len(body) + len(chunk) > self._limits.body:
                return too_large
            if self._held + len(chunk) > self._limits.all_bodies:
                return Refused(503, "too many deliveries at once")
            self._held += len(chunk)
            body += chunk
        return None

    def _answer(self, request: web.Request, decision: Decision) -> web.Response:
        if isinstance(decision, Refused):
            self._receiver.on_webhook(_REFUSALS.get(decision.status, "malformed"))
            self._log.warning(
                "webhook.refused",
                status=decision.status,
                reason=decision.reason or "the signature is missing or wrong",
                sender=request.remote,
            )
            response = _text(decision.reason or "unauthorized", decision.status)
            if not request.content.is_eof():
                response.force_close()
            return response
        if isinstance(decision, Ping):
            self._receiver.on_webhook("ping")
            log.info("webhook.ping")
            return _text("pong")
        if isinstance(decision, Ignored):
            self._receiver.on_webhook("ignored")
            return _text(decision.reason)
        return self._changed(decision)

    def _changed(self, change: ReleaseChanged) -> web.Response:
        names = self._receiver.release_changed(change.host, change.repository)
        self._receiver.on_webhook("queued" if names else "unknown")
        for name in names:
            log.info("sync.requested", trigger="webhook", mirror=name, action=change.action)
        if names:
            return _text(f"{change.repository} will be synced", 202)
        log.info(
            "webhook.ignored",
            repository=change.repository,
            host=change.host or "github.com",
            reason="not mirrored",
        )
        return _text(f"{change.repository} is not mirrored")


_REFUSALS = {401: "unauthorized", 408: "timeout", 413: "too_large", 503: "busy"}
