"""Limits the requests to one host: connections, pauses that it announced, the rate of writes."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from mirror.core.circuit_breaker import CircuitBreaker
from mirror.core.retry import LONGEST_WAIT
from mirror.errors import GitHubError, HostStopped, RateLimited
from mirror.github.semaphore import ThreadSafeSemaphore

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.github.protocol.rate_limit import RateLimit

_SLICE = 30.0
_MARGIN = timedelta(seconds=1)
_NEWS = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class RateLimiter:
    """Admits requests: a limited number at once, none during a pause, writes evenly spaced.

    Requests are refused while the circuit breaker is open. It may be used from any thread; a task
    waits in its own event loop.

    Args:
        clock: For every wait.
        name: The host's name, for logs and errors.
        breaker: Of the API; one that stays closed by default.
        max_connections: Requests at once.
        writes_per_minute: Rate of writes, which are evenly spaced; 0 for no limit.
        reserve: Requests of the primary rate limit to leave for others.
        longest_wait: Seconds; a pause that lasts longer is raised instead of awaited.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    """

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "",
        breaker: CircuitBreaker | None = None,
        max_connections: int = 16,
        writes_per_minute: float = 0,
        reserve: int = 0,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self.max_connections = max_connections
        self.breaker = breaker or CircuitBreaker(name, "api")
        self._clock = clock
        self._name = name
        self._connections = ThreadSafeSemaphore(max_connections)
        self._lock = threading.Lock()  # of the two below
        self._write_step = 60.0 / writes_per_minute if writes_per_minute > 0 else 0.0
        self._next_write = float("-inf")
        self._reserve = reserve
        self._longest_wait = longest_wait
        # The same moment by the time of day and by the monotonic clock.
        self._pause: tuple[datetime, float] | None = None

    @property
    def paused_until(self) -> datetime | None:
        """When the current pause ends; ``None`` outside of a pause."""
        pause = self._pause
        return pause[0] if pause and pause[0] > self._clock.now() else None

    def paused_for(self) -> float:
        """Seconds until the current pause ends; 0 outside of a pause.

        Wall clock and monotonic clock are both consulted, and the earlier end counts: the time of day
        may be changed.
        """
        return self._seconds_left(self._pause)

    def _seconds_left(self, pause: tuple[datetime, float] | None) -> float:
        if pause is None:
            return 0.0
        until, ends = pause
        seconds = (until - self._clock.now()).total_seconds()
        return max(0.0, min(seconds, ends - self._clock.monotonic()))

    def check(self) -> None:
        """Refuse a request while the circuit breaker is open.

        Raises:
            HostStopped: It is.
        """
        if self.breaker.is_open:
            reason = self.breaker.reason
            raise HostStopped(
                f"request not sent, {self._name} is disabled for now: {reason}",
                host=self._name,
                status=reason.status if isinstance(reason, GitHubError) else None,
                kind=reason.kind if reason else None,
                hint=reason.hint if reason else None,
            ) from None

    def pause(self, until: datetime) -> None:
        """Admit no request before a moment; of several pauses the latest end counts."""
        seconds = (until - self._clock.now()).total_seconds()
        with self._lock:
            before = self._pause
            if self._seconds_left(before) >= seconds:
                return
            self._pause = until, self._clock.monotonic() + seconds
        if before is None or until - before[0] > _NEWS:
            log.warning("github.throttled", host=self._name, seconds=round(seconds, 1))

    def has_plenty(self, remaining: str) -> bool:
        """Whether a header's remaining requests exceed the reserve, so that nothing has to be parsed."""
        return len(remaining) < 10 and remaining.isdecimal() and int(remaining) > self._reserve

    def learn(self, limit: RateLimit) -> None:
        """Pause until the primary rate limit resets if no more than the reserve is left."""
        if limit.remaining is None or limit.remaining > self._reserve:
            return
        resets_at = limit.resets_at(self._clock.now())
        if resets_at is not None:
            self.pause(resets_at + _MARGIN)

    def slot(self, *, write: bool = False) -> AbstractAsyncContextManager[None]:
        """Hold one connection while the block runs, once the limits allow it.

        Raises (on entry):
            HostStopped: The circuit breaker is open.
            RateLimited: The pause lasts longer than the longest wait.
        """
        return _Slot(self, write=write)

    async def take(self, *, write: bool) -> None:
        """Acquire a connection; see :meth:`slot`."""
        while True:
            if not self._open():
                await self._pass()
            if write and self._write_step:  # after a pause, so that no burst follows it
                await self._in_step()
            await self._connections.acquire()
            if self._open():
                return
            self._connections.release()

    def give_back(self) -> None:
        """Release a connection."""
        self._connections.release()

    def _open(self) -> bool:
        """Whether requests are admitted: it may have changed while a connection was awaited."""
        return not self.breaker.is_open and self._pause is None

    async def _pass(self) -> None:
        """Wait for the end of a pause, in slices, to notice when the breaker opens."""
        while True:
            self.check()
            pause = self._pause
            if pause is None:
                return
            seconds = self._seconds_left(pause)
            if seconds <= 0:
                self._end(pause)
                return
            if seconds > self._longest_wait:
                raise RateLimited(
                    f"{self._name}: the host accepts no requests before"
                    f" {pause[0]:%Y-%m-%dT%H:%M:%SZ}, which is too long to wait for",
                    retry_at=pause[0],
                    host=self._name,
                )
            await self._clock.sleep(min(seconds, _SLICE))

    def _end(self, pause: tuple[datetime, float]) -> None:
        """End a pause, unless another thread extended it meanwhile."""
        with self._lock:
            if self._pause is not pause:
                return
            self._pause = None
        log.info("github.throttle_ended", host=self._name)

    async def _in_step(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next_write)
            self._next_write = turn + self._write_step
        if turn > now:
            await self._clock.sleep(turn - now)


class _Slot:
    """One connection, held. A class instead of a generator, for speed: every request needs one."""

    __slots__ = ("_rate_limiter", "_write")

    def __init__(self, rate_limiter: RateLimiter, *, write: bool) -> None:
        self._rate_limiter = rate_limiter
        self._write = write

    async def __aenter__(self) -> None:
        await self._rate_limiter.take(write=self._write)

    async def __aexit__(self, *_: object) -> None:
        self._rate_limiter.give_back()
