"""The one retry loop: what it repeats, how long it waits, and when it stops."""

from __future__ import annotations

from datetime import timedelta

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.retry import LAG, LONGEST_WAIT, RetryPolicy, is_transient, polling, retrying
from mirror.errors import MirrorError, NotFound, RateLimited, ServerError, Unreachable
from support.clock import START, VirtualClock

POLICY = RetryPolicy(attempts=4, first=1.0, longest=60.0)


class Operation:
    """Fails in the ways that it is given, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def down() -> ServerError:
    return ServerError("503", status=503)


def anything(_: MirrorError) -> bool:
    return True


async def test_a_success_creates_no_retry_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle pass is made of requests that succeed: the loop is entered after a failure only."""
    monkeypatch.setattr(tenacity, "AsyncRetrying", None)
    clock, operation = VirtualClock(), Operation()
    assert await retrying(operation, POLICY, clock, anything) == "done"
    assert operation.calls == 1
    assert clock.slept == []


async def test_it_waits_longer_each_time_up_to_the_last_attempt() -> None:
    """The last failure is raised, with the number of attempts that were made."""
    clock, operation = VirtualClock(), Operation(*(down() for _ in range(9)))
    told: list[int] = []
    with pytest.raises(ServerError) as caught:
        await retrying(
            operation,
            POLICY,
            clock,
            anything,
            on_retry=lambda error: told.append(error.attempts),
            jitter=lambda: 1.0,
        )
    assert operation.calls == caught.value.attempts == POLICY.attempts
    assert clock.slept == [1, 2, 4]
    assert told == [1, 2, 3]


@pytest.mark.parametrize("failure", [NotFound("404"), ValueError("a bug")], ids=["final", "bug"])
async def test_what_may_not_be_retried_is_raised_as_it_is(failure: Exception) -> None:
    """At once, and after another failure too."""
    for before in ((), (down(),)):
        clock, operation = VirtualClock(), Operation(*before, failure)
        with pytest.raises(type(failure)) as caught:
            await retrying(operation, POLICY, clock, lambda error: error.retryable)
        assert caught.value is failure
        assert operation.calls == len(clock.slept) + 1 == len(before) + 1


async def test_a_first_failure_may_be_handed_in() -> None:
    """With the attempts that were made so far."""
    operation = Operation(*(down() for _ in range(9)))
    with pytest.raises(ServerError) as caught:
        await retrying(operation, POLICY, VirtualClock(), anything, failed=down(), made=3)
    assert operation.calls == 1
    assert caught.value.attempts == 4


async def test_what_was_repeated_to_the_end_inside_is_not_repeated_outside() -> None:
    """Loops within loops do not multiply their attempts."""
    outer, inner = Operation(), Operation(*(down() for _ in range(99)))

    async def attempt() -> str:
        await outer()
        return await retrying(inner, POLICY, VirtualClock(), anything)

    with pytest.raises(ServerError):
        await retrying(attempt, POLICY, VirtualClock(), anything)
    assert (outer.calls, inner.calls) == (1, POLICY.attempts)


@pytest.mark.parametrize(
    ("error", "waited"),
    [
        (ServerError("503", retry_at=START + timedelta(seconds=90)), 90),
        (ServerError("503", retry_at=START - timedelta(seconds=90)), 1),
        (ServerError("503", retry_at=START + timedelta(days=9)), LONGEST_WAIT),
        (ServerError("503"), 1),
        # The host's rate limiter lets nothing through before that time.
        (RateLimited("429", retry_at=START + timedelta(seconds=90)), 0),
    ],
    ids=["later", "past", "days", "none", "limit"],
)
async def test_retry_after_is_honoured(error: MirrorError, waited: float) -> None:
    """A host that names a time is not asked before, within the longest wait."""
    clock = VirtualClock()
    await retrying(Operation(error), POLICY, clock, anything, jitter=lambda: 1.0)
    assert clock.slept == [waited]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (down(), True),
        (NotFound("404"), False),
        (Unreachable("refused"), True),
        (Unreachable("certificate", permanent=True), False),
        (RateLimited("429", retry_at=START + timedelta(seconds=LONGEST_WAIT)), True),
        (RateLimited("429", retry_at=START + timedelta(seconds=LONGEST_WAIT + 1)), False),
    ],
)
def test_what_is_transient(error: MirrorError, *, transient: bool) -> None:
    """A limit that lasts longer than the longest wait is left to the next pass."""
    assert is_transient(error, START) is transient


async def test_polling_ends_when_it_has_what_it_looks_for() -> None:
    """And at the end of its attempts with what was seen last; lists lag for half a minute."""
    for found, slept in (([3], []), ([1, 3], [1]), ([0] * 5 + [2], [1, 2, 4, 8, 15])):
        clock = VirtualClock()
        look = iter(found)

        async def next_one() -> int:
            return next(look)  # noqa: B023 - used up before the next round

        assert await polling(next_one, lambda n: n == 3, LAG, clock) == found[-1]
        assert clock.slept == slept


async def test_a_look_that_fails_ends_the_polling() -> None:
    """Its own requests have been retried already."""
    clock = VirtualClock()
    with pytest.raises(ServerError):
        await polling(Operation(down()), lambda _: False, LAG, clock)
    assert clock.slept == []


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0.01, 10), st.floats(1, 600))
def test_a_wait_is_at_least_half_of_its_ceiling(
    failures: int, jitter: float, first: float, longest: float
) -> None:
    """Waits double up to the longest; half of each follows the jitter."""
    policy = RetryPolicy(first=first, longest=longest)
    ceiling = min(longest, first * 2 ** min(failures - 1, 31))
    assert ceiling / 2 <= policy.delay(failures, jitter) <= ceiling


def test_waits_double() -> None:
    """From the first to the longest."""
    policy = RetryPolicy(first=1, longest=10)
    assert [policy.delay(n, 1) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert policy.delay(1, 0) == 0.5
