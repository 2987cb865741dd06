"""The circuit breaker: its transitions, its cool-downs and what is let through while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.circuit_breaker import REFUSED, SUSPECT, THRESHOLD, UNAVAILABLE, CircuitBreaker
from mirror.errors import AuthError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.core.circuit_breaker import State
    from mirror.errors import MirrorError

DOWN = ServerError("github: 503 maintenance", status=503)
BAD_CREDENTIALS = AuthError("github: 401 Bad credentials", status=401)


def a_breaker(state: State = "closed", *, failures: int = 0) -> CircuitBreaker:
    breaker = CircuitBreaker("github", "upload")
    for number in range(failures):
        breaker.failed(0, number, DOWN)
    if state != "closed":
        breaker.trip(0, DOWN)
    if state == "half-open":
        breaker.half_open()
    assert breaker.state == state
    return breaker


def trip(breaker: CircuitBreaker) -> None:
    breaker.trip(1, DOWN)


def fail(breaker: CircuitBreaker) -> None:
    breaker.failed(1, "one more", DOWN)


def fail_again(breaker: CircuitBreaker) -> None:
    breaker.failed(1, 0, DOWN)


def succeed(breaker: CircuitBreaker) -> None:
    breaker.succeeded()


def half_open(breaker: CircuitBreaker) -> None:
    breaker.half_open()


def wait(breaker: CircuitBreaker) -> None:
    """Time alone changes nothing: somebody has to ask."""


def ask_later(breaker: CircuitBreaker) -> None:
    assert breaker.allows(UNAVAILABLE.first)


def ask_thrice(breaker: CircuitBreaker) -> None:
    closed = breaker.is_closed
    assert [breaker.allows(1) for _ in range(3)] == [True, True, closed]


@pytest.mark.parametrize(
    ("state", "failures", "event", "then"),
    [
        ("closed", 0, fail, "closed"),
        ("closed", THRESHOLD - 2, fail, "closed"),
        ("closed", THRESHOLD - 1, fail, "open"),
        ("closed", THRESHOLD - 1, fail_again, "closed"),
        ("closed", 0, trip, "open"),
        ("closed", THRESHOLD - 1, succeed, "closed"),
        ("closed", 0, half_open, "half-open"),
        ("closed", 0, ask_later, "closed"),
        ("closed", 0, ask_thrice, "closed"),
        ("open", 0, wait, "open"),
        ("open", 0, fail, "open"),
        ("open", 0, trip, "open"),
        ("open", 0, succeed, "closed"),
        ("open", 0, half_open, "half-open"),
        ("open", 0, ask_later, "half-open"),
        ("open", 0, ask_thrice, "half-open"),
        ("half-open", 0, fail, "open"),
        ("half-open", 0, trip, "open"),
        ("half-open", 0, succeed, "closed"),
        ("half-open", 0, half_open, "half-open"),
        ("half-open", 0, ask_later, "half-open"),
        ("half-open", 0, ask_thrice, "half-open"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_transitions(
    state: State, failures: int, event: Callable[[CircuitBreaker], None], then: State
) -> None:
    """Every event in every state."""
    breaker = a_breaker(state, failures=failures)
    event(breaker)
    assert str(breaker.state) == then
    opened = then == "open" or state != "closed"
    assert (breaker.reason is not None) == (opened and then != "closed")


def cool_downs(reason: MirrorError, count: int) -> list[float]:
    """The waits before each of so many probes of a host that stays bad."""
    breaker, now, waits = CircuitBreaker("github", "api"), 0.0, []
    for _ in range(count):
        breaker.trip(now, reason)
        waits.append(breaker.retry_in(now))
        now += waits[-1] - 0.5
        assert breaker.retry_in(now) == 0.5
        now += 0.5
        assert breaker.retry_in(now) == 0
        assert breaker.allows(now)
    return waits


def test_a_host_that_stays_bad_is_probed_less_and_less() -> None:
    """After 30 s, doubling up to a quarter of an hour."""
    assert cool_downs(DOWN, 7) == [30, 60, 120, 240, 480, 900, 900]


def test_a_credential_that_is_refused_is_tried_rarely() -> None:
    """A 401 every hour, besides each pass: more would lock good ones out."""
    assert cool_downs(BAD_CREDENTIALS, 3) == [3600, 3600, 3600]


@pytest.mark.parametrize("end", ["success", "by hand"])
def test_cool_downs_start_from_the_beginning(end: str) -> None:
    """After a success, and where somebody says that the host is back."""
    breaker = a_breaker("half-open")
    breaker.trip(0, DOWN)
    assert breaker.retry_in(0) == 2 * UNAVAILABLE.first
    if end == "success":
        breaker.succeeded()
    else:
        breaker.half_open(afresh=True)
    assert breaker.retry_in(0) == 0
    breaker.trip(0, DOWN)
    assert breaker.retry_in(0) == UNAVAILABLE.first


def test_the_first_reason_is_kept() -> None:
    """Until a probe fails for another one."""
    breaker = a_breaker("open")
    breaker.trip(1, BAD_CREDENTIALS)
    assert str(breaker.reason) == str(DOWN)
    breaker.half_open()
    breaker.trip(1, BAD_CREDENTIALS)
    assert str(breaker.reason) == str(BAD_CREDENTIALS)
    assert breaker.retry_in(1) == REFUSED.first


def test_only_what_changes_is_told() -> None:
    """Once when it opens and once when it closes again, not for the probes in between."""
    told: list[State] = []
    breaker = CircuitBreaker("github", "api", lambda changed: told.append(changed.state))
    breaker.half_open()
    breaker.succeeded()
    for now in range(5):
        breaker.trip(now, DOWN)
        breaker.trip(now, DOWN)
        breaker.half_open()
    breaker.succeeded()
    breaker.succeeded()
    assert told == ["open", "closed"]


def test_in_trouble_nothing_is_worth_a_retry() -> None:
    """After some different subjects in a row; the same one again counts once, a success ends it."""
    breaker = CircuitBreaker("target", "upload")
    for _ in range(9):
        breaker.failed(0, 1, DOWN)
    assert not breaker.suspect
    for number in range(SUSPECT):
        breaker.failed(0, number, DOWN)
    assert breaker.suspect
    assert all(breaker.allows(0) for _ in range(100))
    breaker.succeeded()
    assert not breaker.suspect


def test_an_open_circuit_lets_through_less_and_less() -> None:
    """Of a thousand requests ten are probes; after the cool-down the next one is; then all are sent."""
    breaker = a_breaker("open")
    assert sum(breaker.allows(1) for _ in range(1000)) == 10
    assert not breaker.allows(1)
    assert breaker.allows(UNAVAILABLE.first)
    assert sum(breaker.allows(UNAVAILABLE.first) for _ in range(100)) == 7
    breaker.succeeded()
    assert sum(breaker.allows(1) for _ in range(100)) == 100


@pytest.mark.parametrize("refused", range(9))
def test_a_pass_begins_with_a_probe(refused: int) -> None:
    """However many requests the last pass was refused, the first one of the next is sent."""
    breaker = a_breaker("open")
    for number in range(refused):
        if breaker.allows(1):
            breaker.failed(1, number, DOWN)
    breaker.half_open(afresh=True)
    assert breaker.allows(2)
    assert not breaker.is_closed


def test_probes_that_fail_before_the_cool_down_do_not_prolong_it() -> None:
    """Of a thousand requests ten are probes also where each of them fails at once."""
    breaker = a_breaker("open")
    sent = 0
    for number in range(1000):
        if breaker.allows(1):
            sent += 1
            breaker.failed(1, number, ServerError(f"another reason {number}"))
    assert sent == 10
    assert breaker.retry_in(1) == UNAVAILABLE.first - 1
    assert str(breaker.reason) == str(DOWN)  # one sentence for all that is not sent


@given(st.lists(st.sampled_from([trip, fail, succeed, half_open, wait]), max_size=60))
def test_a_circuit_is_never_stuck(events: list[Callable[[CircuitBreaker], None]]) -> None:
    """Whatever has happened: within the longest cool-down a probe may be sent, and one success closes."""
    breaker = CircuitBreaker("github", "download")
    for event in events:
        event(breaker)
    assert 0 <= breaker.retry_in(1) <= UNAVAILABLE.longest
    assert breaker.allows(1 + UNAVAILABLE.longest)
    breaker.succeeded()
    assert breaker.is_closed
    assert all(breaker.allows(1) for _ in range(9))
