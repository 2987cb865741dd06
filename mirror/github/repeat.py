"""The one retry policy of JSON requests: what is sent again, when, and when that has an end.

It is entered only after a first failure. A write whose answer was lost may have been carried out:
what is not harmless to send twice is looked for at the host before it is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
import tenacity

from mirror.errors import (
    GitHubError,
    NotFound,
    RateLimited,
    ServerError,
    Unreachable,
    ValidationFailed,
)
from mirror.github.throttle import LONGEST_WAIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mirror.core.clock import Clock
    from mirror.core.retry import Backoff

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """A good answer.

    Attributes:
        status: 2xx, or 304 for what an ETag proved unchanged.
        headers: A mapping that ignores case.
        data: The JSON; ``None`` for none.
        url: Where it came from, after redirects.
        asked: The address that was asked for.
        etag: As it came, to be sent back verbatim; empty for none.
        next: The next page's address.
    """

    status: int
    headers: Mapping[str, str]
    data: Any
    url: str
    asked: str
    etag: str = ""
    next: str | None = None

    @property
    def not_modified(self) -> bool:
        """Whether nothing changed since the ETag that was sent."""
        return self.status == 304


@dataclass(slots=True)
class Call:
    """One thing that is asked for, over all of its tries.

    Attributes:
        body: JSON, encoded.
        check: Reads the answer's JSON; a :class:`~mirror.errors.BadAnswer` that it raises counts
            as the host's.
        settle: Looks whether an earlier try was carried out; the JSON of what it made, or ``None``.
        repeatable: Sending it twice does no harm.
        easier: An address that costs the host less, asked for in the second half of the tries.
        about: What the credential is chosen by, where that is not ``url``: the first page's address.
        doubt: An earlier try may have been carried out.
        unsettled: Looking failed too, so that it must not be sent again.
    """

    method: str
    url: str
    body: bytes | None = None
    etag: str | None = None
    check: Callable[[Any], object] | None = None
    settle: Callable[[], Awaitable[Any | None]] | None = None
    repeatable: bool = True
    easier: str | None = None
    about: str = ""
    doubt: bool = False
    unsettled: bool = False


class Repeater:
    """Sends a call until it succeeds, as often as the policy allows.

    Args:
        host: The host's configured name, for logs.
        once: Sends a call once.
        again: Told before a call is sent again.
        stopped: Whether the host was given up.
        backoff: How often, and how long to wait.
        clock: For every wait.
        jitter: A random number from 0 to 1.
    """

    def __init__(
        self,
        host: str,
        once: Callable[[Call], Awaitable[Answer]],
        again: Callable[[], None],
        stopped: Callable[[], bool],
        *,
        backoff: Backoff,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._host = host
        self._once = once
        self._again = again
        self._stopped = stopped
        self._backoff = backoff
        self._clock = clock
        self._jitter = jitter

    async def send(self, call: Call) -> Answer:
        """Send a call, and again after failures that may pass.

        Raises:
            GitHubError: Of the last try; ``attempts`` tells how many there were.
        """
        try:
            return await self._try(call)
        except GitHubError as error:
            if not self._may_repeat(call, error):
                raise
            first = error
        return await self._repeat(call, first)

    async def _repeat(self, call: Call, first: GitHubError) -> Answer:
        """Enter the policy with a failure that happened already, as its first try."""
        tries = 0

        async def attempt() -> Answer:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise first
            if call.easier and tries > self._backoff.attempts // 2 + 1:
                call.url, call.easier = call.easier, None
            self._again()
            return await self._try(call)

        def again(error: BaseException) -> bool:
            return isinstance(error, GitHubError) and self._may_repeat(call, error)

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._backoff.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(again),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except GitHubError as error:
            error.attempts = tries
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next try. A limit is waited for at the throttle, by everyone."""
        error = state.outcome.exception() if state.outcome else None
        log.debug(
            "github.retrying", host=self._host, attempt=state.attempt_number, error=str(error)
        )
        if isinstance(error, RateLimited):
            return 0.0
        delay = self._backoff.delay(state.attempt_number, self._jitter())
        if isinstance(error, ServerError) and error.retry_at:
            delay = max(delay, (error.retry_at - self._clock.now()).total_seconds())
        return min(delay, LONGEST_WAIT)

    def _may_repeat(self, call: Call, error: GitHubError) -> bool:
        if not error.retryable or call.unsettled:
            return False
        if isinstance(error, Unreachable) and error.permanent:
            return False
        if isinstance(error, RateLimited):
            return (error.retry_at - self._clock.now()).total_seconds() <= LONGEST_WAIT
        if not error.ambiguous:
            return True
        return call.repeatable or call.settle is not None

    async def _try(self, call: Call) -> Answer:
        try:
            return await self._once(call)
        except GitHubError as error:
            failure = error
        if isinstance(failure, NotFound) and call.method == "DELETE" and call.doubt:
            return Answer(204, {}, None, call.url, call.url)
        if failure.ambiguous or (call.doubt and isinstance(failure, ValidationFailed)):
            call.doubt = True
            found = await self._settled(call, failure)
            if found is not None:
                return Answer(200, {}, found, call.url, call.url)
        raise failure

    async def _settled(self, call: Call, failure: GitHubError) -> Any | None:
        """Look whether a write was carried out whose answer was lost."""
        if call.settle is None:
            return None
        try:
            found = await call.settle()
            if found is not None and call.check is not None:
                call.check(found)
        except GitHubError:
            call.unsettled = True
            if self._stopped():
                raise  # it tells why nobody can ask any more
            raise failure from None
        return found
