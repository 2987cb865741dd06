"""What all clients of a host share, each of which may run in its own thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import structlog

from mirror.core.circuit_breaker import CircuitBreaker, Lane
from mirror.core.ledger.index import HostRecord
from mirror.core.reporting.report import RequestCount
from mirror.core.reporting.request_tally import tally
from mirror.core.sliding_window import coarse
from mirror.errors import AuthError, Hint
from mirror.github.protocol.headers import TOKEN_EXPIRY, token_expiry
from mirror.github.protocol.rate_limit import RateLimit
from mirror.github.rate_limiter import RateLimiter
from mirror.github.semaphore import ThreadSafeSemaphore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from mirror.core.clock import Clock
    from mirror.core.shared_limits import Refusal
    from mirror.errors import MirrorError
    from mirror.github.allowance import Allowance
    from mirror.github.settings import Limits

_LANES: tuple[Lane, ...] = get_args(Lane)
_HINTS: tuple[Hint, ...] = get_args(Hint)

DISTRUST = 60.0
"""Seconds for which no connection is kept after one broke.

A proxy or firewall may drop idle connections silently. A request on such a connection is sent
again, and would otherwise meet the next one, which was kept while its result was checked.
"""

SENT, NOT_MODIFIED, RETRIED = RequestCount(1), RequestCount(0, 1), RequestCount(0, 0, 1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """What the host said about itself so far.

    Attributes:
        version: Of GitHub Enterprise Server, as it says so.
        known: It named its version, or that it has none.
        github: It is github.com or GHE.com, or behaves like them.
    """

    version: str | None = None
    known: bool = False
    github: bool = False


class SharedState:
    """Limits, circuit breakers, counters, and what the host's responses say about it.

    Thread-safe: methods hold the lock only for assignments, and attributes are replaced as a whole.

    Args:
        name: The host's configured name.
        clock: For every wait.
        limits: How much is sent to the host, by all clients together.
        github: Whether the host is github.com or GHE.com.
        allowance: Shared with other hosts of the same credential; replaces the rates in ``limits``.
        on_paced: Told, from any thread, the limit and the seconds of each wait for it.

    Attributes:
        lock: Held while the API's circuit breaker changes.
        breakers: By lane.
        rate_limiter: Every request passes it.
        probing: Held by the one request that finds out whether the host is down.
        proving: Held by the one request that proves the credential.
        asking: Held by the one caller of a pass that asks for nothing but that proof.
        accepted_at: When the host last answered a request well, monotonic.
        server: What the host is.
        date: Of the last response, as it came.
        tls: What is trusted, once a client was open: loading certificates takes time, and their file
            may be gone when another thread begins.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        limits: Limits,
        *,
        github: bool,
        allowance: Allowance | None = None,
        on_paced: Callable[[str, float], None] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.breakers = {lane: CircuitBreaker(name, lane, _log_change) for lane in _LANES}
        self.breaker = self.breakers["api"]
        self.breaker.half_open()
        self.rate_limiter = RateLimiter(
            clock,
            name=name,
            breaker=self.breaker,
            limits=limits,
            allowance=allowance,
            on_paced=on_paced,
            on_refusal=self._heed_refusal,
        )
        self._share = self.rate_limiter.allowance.share
        self.probing = ThreadSafeSemaphore(1)
        self.proving = ThreadSafeSemaphore(1)
        self.asking = ThreadSafeSemaphore(1)
        self.accepted_at = float("-inf")
        self.server = Server(github=github)
        self.date = ""
        self._name = name
        self.tls: ssl.SSLContext | Literal[True] | None = None
        self._clock = clock
        self._counts = RequestCount()
        self._rate_limit: Mapping[str, str] | None = None
        self._token_expiry = ""
        self._broke_at: float | None = None

    @property
    def counts(self) -> RequestCount:
        """Requests since :meth:`reset`; those to storage hosts are not counted."""
        return self._counts

    @property
    def rate_limit(self) -> RateLimit | None:
        """The primary rate limit according to the last response."""
        headers = self._rate_limit
        return RateLimit.parse(headers) if headers is not None else None

    def record(self, credential: str, before: HostRecord | None) -> HostRecord:
        """What the index keeps of the host.

        Args:
            credential: A fingerprint of it.
            before: What it kept so far.
        """
        allowance, paced = self.rate_limiter.allowance, self.rate_limiter.paced
        told, now = token_expiry(self._token_expiry), self._clock.now().timestamp()
        expires_at = max(0.0, told.timestamp()) if told else 0.0
        if not expires_at and before and before.credential == credential:
            expires_at = before.token_expires_at  # nothing was asked yet
        return HostRecord(
            credential=credential,
            token_expires_at=expires_at,
            points=_sums(allowance.points.sent(), 1.0),
            writes=_sums(allowance.writes.sent(), 60.0),
            paced_by=paced.limit if paced else "",
            paced_until=round(now + paced.seconds, 3) if paced else 0.0,
        )

    def credential_changed(self) -> None:
        """Forget what the host told of the former credential."""
        self._token_expiry = ""

    @property
    def keeps_connections(self) -> bool:
        """Whether a connection may serve more than one request: not soon after one broke."""
        broke_at = self._broke_at
        return broke_at is None or self._clock.monotonic() - broke_at >= DISTRUST

    def count(self, more: RequestCount) -> None:
        """Add to the counters."""
        with self.lock:
            self._counts = self._counts.plus(more)
            tally(self._name, more)

    def reset(self) -> None:
        """Count from 0."""
        self.rate_limiter.tell_again()
        with self.lock:
            self._counts = RequestCount()

    def learn(self, headers: Mapping[str, str], *, limits: bool) -> None:
        """Note what every response says besides its content.

        Args:
            headers: The response's.
            limits: Whether its rate limit is that of the credential.
        """
        self.date = headers.get("Date", "")
        version = headers.get("X-GitHub-Enterprise-Version")
        if version and version != self.server.version:
            self.server = Server(version=version, known=True)
        if limits and (expiry := headers.get(TOKEN_EXPIRY)) is not None:
            self._token_expiry = expiry
        if limits and (remaining := headers.get("X-RateLimit-Remaining")) is not None:
            self._rate_limit = headers
            if not self.rate_limiter.has_plenty(remaining):
                self.rate_limiter.learn(RateLimit.parse(headers))

    def connection_broke(self) -> None:
        """Keep no connection for a while."""
        self._broke_at = self._clock.monotonic()

    def trip(self, error: MirrorError, *, first: bool = False) -> None:
        """Open the API's circuit.

        Args:
            error: Why.
            first: Raise if it is open already.

        Raises:
            HostStopped: It is open: one failure is enough for all.
        """
        with self.lock:
            if first:
                self.rate_limiter.check()
            self.breaker.trip(self._clock.monotonic(), error)
        if self._share and isinstance(error, AuthError) and error.status == 401:
            self._share.refuse(error)
            self.rate_limiter.heed_news()

    def _heed_refusal(self, refusal: Refusal | None) -> None:
        """Another process heard that the host refuses the credential, or accepts it again."""
        with self.lock:
            if refusal:
                hint = next((hint for hint in _HINTS if hint == refusal.hint), None)
                error = AuthError(refusal.detail, host=self._name, status=401, hint=hint)
                self.breaker.trip(self._clock.monotonic(), error)
            elif self.breaker.is_open and isinstance(self.breaker.reason, AuthError):
                self.breaker.half_open()

    def proven(self) -> None:
        """Close the API's circuit, unless another request found out otherwise."""
        with self.lock:
            if self.breaker.state == "half-open":
                self.breaker.succeeded()
        if self._share:
            self._share.accept()
            self.rate_limiter.heed_news()

    def revive(self) -> None:
        """Let the next request find out whether the host is there, whatever has failed before.

        A pause that is awaited anyway stays: to ask a host before its limit is over prolongs that.
        News of other processes are heeded first, so that they do not stop that request.
        """
        self.rate_limiter.heed_news()
        self.rate_limiter.end_long_pause()
        with self.lock:
            for breaker in self.breakers.values():
                if breaker is self.breaker or not breaker.is_closed:
                    breaker.half_open(afresh=True)

    def revive_if_due(self) -> bool:
        """As :meth:`revive` for the API, once its cool-down is over; whether it was."""
        self.rate_limiter.heed_news()
        with self.lock:
            due = self.breaker.is_open and not self.breaker.retry_in(self._clock.monotonic())
            if due:
                self.breaker.half_open()
            return due


def _sums(sent: list[tuple[float, float]], step: float) -> tuple[tuple[float, int], ...]:
    """What was sent, summed up by so many seconds."""
    return tuple((max(0.0, round(moment, 3)), round(cost)) for moment, cost in coarse(sent, step))


def _log_change(breaker: CircuitBreaker) -> None:
    facts = {"host": breaker.host, "lane": breaker.lane}
    if breaker.is_open:
        log.error("circuit.opened", **facts, reason=str(breaker.reason))
    else:
        log.info("circuit.closed", **facts)
