"""Retries: how often a failed operation is attempted again, and how long to wait in between."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import tenacity

from mirror.errors import MirrorError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from mirror.core.clock import Clock

T = TypeVar("T")

LONGEST_WAIT = 65 * 60.0
"""Seconds that an operation waits for a host at most: the window of a rate limit is an hour."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, up to a number of attempts.

    Attributes:
        attempts: Attempts in all, the first included.
        first: The longest wait before the second attempt, in seconds.
        longest: The longest wait before any attempt, in seconds.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after this many failures (from 1).

        Args:
            failures: Attempts that have failed so far.
            jitter: A random number from 0 to 1; half of the wait depends on it, so that clients
                that failed together do not come back together.
        """
        ceiling = min(self.longest, self.first * 2.0 ** (min(failures, 32) - 1))
        return ceiling * (0.5 + jitter / 2)

    def wait(self, error: MirrorError, failures: int, now: datetime, jitter: float) -> float:
        """Seconds to wait after a failure; ``Retry-After`` is honoured.

        A rate limit is not waited for here: the host's rate limiter holds back every request
        until it is over, and notices meanwhile when the host is given up.
        """
        if isinstance(error, RateLimited):
            return 0.0
        delay = self.delay(failures, jitter)
        if retry_at := getattr(error, "retry_at", None):
            delay = max(delay, (retry_at - now).total_seconds())
        return min(delay, LONGEST_WAIT)


LAG = RetryPolicy(attempts=6, first=1.0, longest=15.0)
"""For lists that lag behind a change, with :func:`polling`: six looks within 30 seconds."""


def is_transient(error: MirrorError, now: datetime) -> bool:
    """Whether another attempt may succeed, and its turn comes within :data:`LONGEST_WAIT`."""
    if isinstance(error, RateLimited):
        return (error.retry_at - now).total_seconds() <= LONGEST_WAIT
    return error.retryable


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    clock: Clock,
    should_retry: Callable[[MirrorError], bool],
    *,
    failed: MirrorError | None = None,
    made: int = 1,
    on_retry: Callable[[MirrorError], object] | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Make an attempt, and repeat it after failures while that may help.

    An operation that succeeds at once costs nothing here. What an attempt itself has repeated
    counts too: a failure whose ``attempts`` have reached the policy's limit is raised.

    Args:
        attempt: The operation.
        policy: How often, and how long to wait.
        clock: The time and every wait.
        should_retry: Whether a failure may pass; asked only while attempts are left.
        failed: How the first attempt failed, where the caller has made it already.
        made: Attempts made so far, once the first has failed.
        on_retry: Told of each failure that is going to be retried, before the wait.
        sleep: Waits; the clock's by default.
        jitter: A random number from 0 to 1.

    Raises:
        MirrorError: The last failure; its ``attempts`` is how many were made.
    """
    if failed is None:
        try:
            return await attempt()
        except MirrorError as error:
            failed = error

    def again(error: BaseException) -> bool:
        if not isinstance(error, MirrorError):
            return False
        error.attempts = max(error.attempts, made)
        return error.attempts < policy.attempts and should_retry(error)

    def wait(error: MirrorError) -> float:
        if on_retry is not None:
            on_retry(error)
        return policy.wait(error, made, clock.now(), jitter())

    async def next_attempt() -> T:
        nonlocal made
        made += 1
        return await attempt()

    if not again(failed):
        raise failed
    sleep = sleep or clock.sleep
    await sleep(wait(failed))
    loop = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(again),
        wait=lambda state: wait(_failure(state)),
        sleep=sleep,
        reraise=True,
    )
    return await loop(next_attempt)


def _failure(state: tenacity.RetryCallState) -> MirrorError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, MirrorError)  # noqa: S101 - nothing else is retried
    return error


class _NotYet(MirrorError):
    """What was looked at is not as it is going to be."""


async def polling(
    look: Callable[[], Awaitable[T]], done: Callable[[T], bool], policy: RetryPolicy, clock: Clock
) -> T:
    """Look until what is found is ``done``, or the policy allows no further look.

    Returns:
        What was found last.
    """
    found: T

    async def attempt() -> T:
        nonlocal found
        found = await look()
        if not done(found):
            raise _NotYet
        return found

    try:
        return await retrying(
            attempt, policy, clock, lambda e: isinstance(e, _NotYet), jitter=lambda: 1.0
        )
    except _NotYet:
        return found
