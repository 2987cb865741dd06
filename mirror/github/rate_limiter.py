"""Limits the requests to one host: connections, pauses that it announced, points, and writes."""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from mirror.core.circuit_breaker import CircuitBreaker
from mirror.core.dispatch import request_waits, write_is_sent
from mirror.core.retry import LONGEST_WAIT
from mirror.core.share import NO_NEWS
from mirror.errors import GitHubError, HostStopped, RateLimited
from mirror.github.allowance import Allowance, Paced
from mirror.github.protocol.rate_limit import points_of
from mirror.github.semaphore import ThreadSafeSemaphore
from mirror.github.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.core.shared_limits import Refusal
    from mirror.github.protocol.rate_limit import RateLimit

_SLICE = 30.0
_MARGIN = timedelta(seconds=1)
_NEWS = timedelta(seconds=5)
_TOLD_AGAIN = 3600.0
"""Seconds after which a wait for the same limit is logged again, unless a pass begins before."""

log = structlog.get_logger(__name__)


class RateLimiter:
    """Admits requests: a limited number at once, none during a pause, and what the limits allow.

    Requests are refused while the circuit breaker is open. It may be used from any thread; a task
    waits in its own event loop.

    Args:
        clock: For every wait.
        name: The host's name, for logs and errors.
        breaker: Of the API; one that stays closed by default.
        limits: How much is sent.
        allowance: Shared with other limiters of the same credential; replaces the rates in ``limits``.
        longest_wait: Seconds; a pause that lasts longer is raised instead of awaited.
        on_paced: Told, from any thread, the limit and the seconds of each wait for it.
        on_refusal: Told when another process hears that the credential is refused, or accepted again.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    """

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "",
        breaker: CircuitBreaker | None = None,
        limits: Limits = Limits(),
        allowance: Allowance | None = None,
        longest_wait: float = LONGEST_WAIT,
        on_paced: Callable[[str, float], None] | None = None,
        on_refusal: Callable[[Refusal | None], None] | None = None,
    ) -> None:
        self.max_connections = limits.max_connections
        self.breaker = breaker or CircuitBreaker(name, "api")
        self.allowance = allowance or Allowance(clock, limits)
        self._clock = clock
        self._name = name
        self._connections = ThreadSafeSemaphore(limits.max_connections)
        self._lock = threading.Lock()  # of the pause
        self._reserve = limits.rate_limit_reserve
        self._on_paced = on_paced
        self._on_refusal = on_refusal
        self._share = self.allowance.share
        self._news = NO_NEWS
        self._told: dict[str, float] = {}  # when the wait for a limit was last logged
        self._last_paced: tuple[str, float] | None = None
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
        self.heed_news()
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
        self.heed_news()
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
        """Admit no request before a moment; of several pauses the latest end counts.

        Other processes that share the credential hear of it.
        """
        seconds = (until - self._clock.now()).total_seconds()
        if self._pause_until(until, seconds) and self._share:
            self._share.pause(seconds)

    def heed_news(self) -> None:
        """Pause, and refuse requests, as another process that shares the credential was told to."""
        if self._share is None or (news := self._share.news()) is self._news:
            return
        before, self._news = self._news, news
        seconds = news.paused_until - self._clock.monotonic()
        if news.paused_until != before.paused_until and seconds > 0:
            self._pause_until(self._clock.now() + timedelta(seconds=seconds), seconds)
        if news.refusal != before.refusal and self._on_refusal:
            self._on_refusal(news.refusal)

    def _pause_until(self, until: datetime, seconds: float) -> bool:
        """Pause; whether that is later than before."""
        with self._lock:
            before = self._pause
            if self._seconds_left(before) >= seconds:
                return False
            self._pause = until, self._clock.monotonic() + seconds
        if before is None or until - before[0] > _NEWS:
            log.warning("github.throttled", host=self._name, seconds=round(seconds, 1))
        return True

    def end_long_pause(self) -> None:
        """End a pause that is too long to be awaited: the next request asks the host again."""
        pause = self._pause
        if pause and self._seconds_left(pause) > self._longest_wait:
            self._end(pause)

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
        """Hold one connection while the block runs, once the pause and the limit of writes allow it.

        Points are taken by each request inside, see :meth:`points`.

        Args:
            write: The block creates content, once.

        Raises (on entry):
            HostStopped: The circuit breaker is open.
            RateLimited: The pause lasts longer than the longest wait.
        """
        return _Slot(self, write=write)

    async def take(self, *, write: bool) -> None:
        """Acquire a connection; see :meth:`slot`."""
        if not write and self._open() and self._connections.acquire_at_once():
            return
        writes = self.allowance.writes
        with request_waits():
            # Before a connection is held: an hour may pass, and reads go on meanwhile.
            if write := write and writes.limited:
                await writes.admit(1, self._pass, self._paced)
            try:
                while True:
                    await self._pass()
                    await self._connections.acquire()
                    if self._open():
                        return
                    self._connections.release()
            except BaseException:
                if write:
                    writes.withdraw(1)
                raise

    def give_back(self, *, write: bool) -> None:
        """Release a connection."""
        self._connections.release()
        if write and self.allowance.writes.limited:
            self.allowance.writes.answered(1)

    def is_free(self, method: str) -> bool:
        """Whether a request of this method needs no :meth:`points`."""
        return method in {"GET", "HEAD"} and not self.allowance.points.limited

    def points(self, method: str) -> AbstractAsyncContextManager[None]:
        """Wait until one request of this method fits, and count it until its response's head is here.

        Every request to the host needs it, so those that wait may hold a connection.

        Raises (on entry):
            HostStopped: The circuit breaker opened meanwhile.
            RateLimited: A pause began meanwhile, and lasts longer than the longest wait.
        """
        return _Points(self, method)

    async def pay(self, points: int) -> None:
        """Wait until a request fits; see :meth:`points`."""
        with request_waits():
            await self.allowance.points.admit(points, self._pass, self._paced)

    def paced_for(self) -> float:
        """Seconds until the limits admit a write; 0 if they do."""
        allowance = self.allowance
        if not (allowance.writes.limited or allowance.points.limited):
            return 0.0
        return max(allowance.writes.wait()[0], allowance.points.wait(points_of("POST"))[0])

    @property
    def paced(self) -> Paced | None:
        """The last wait for points or writes; ``None`` once it is over."""
        if self._last_paced is None:
            return None
        limit, until = self._last_paced
        seconds = until - self._clock.monotonic()
        return Paced(limit, seconds) if seconds > 0 else None

    def tell_again(self) -> None:
        """Log the next wait for each limit."""
        self._told.clear()

    def _paced(self, limit: str, seconds: float) -> None:
        now = self._clock.monotonic()
        if now - self._told.get(limit, -math.inf) >= _TOLD_AGAIN:  # however many requests wait
            self._told[limit] = now
            log.info("github.paced", host=self._name, limit=limit, seconds=round(seconds, 1))
        self._last_paced = limit, now + seconds
        if self._on_paced:
            self._on_paced(limit, seconds)

    def _open(self) -> bool:
        """Whether requests are admitted: it may have changed while a connection was awaited."""
        self.heed_news()
        return not self.breaker.is_open and self._pause is None

    async def _pass(self) -> None:
        """Wait for the end of a pause, in slices, to notice when the breaker opens."""
        while not self._open():
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


class _Slot:
    """One connection, held. A class instead of a generator, for speed: every request needs one."""

    __slots__ = ("_rate_limiter", "_write")

    def __init__(self, rate_limiter: RateLimiter, *, write: bool) -> None:
        self._rate_limiter = rate_limiter
        self._write = write

    async def __aenter__(self) -> None:
        await self._rate_limiter.take(write=self._write)

    async def __aexit__(self, *_: object) -> None:
        self._rate_limiter.give_back(write=self._write)


class _Points:
    """One request, admitted: a class for speed, as :class:`_Slot`."""

    __slots__ = ("_cost", "_rate_limiter", "_reads")

    def __init__(self, rate_limiter: RateLimiter, method: str) -> None:
        self._rate_limiter = rate_limiter
        self._cost = points_of(method)
        self._reads = method in {"GET", "HEAD"}

    async def __aenter__(self) -> None:
        if self._rate_limiter.allowance.points.limited:
            await self._rate_limiter.pay(self._cost)
        if not self._reads:
            try:
                write_is_sent()
            except BaseException:
                await self.__aexit__()
                raise

    async def __aexit__(self, *_: object) -> None:
        if self._rate_limiter.allowance.points.limited:
            self._rate_limiter.allowance.points.answered(self._cost)
