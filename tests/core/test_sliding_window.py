"""Laws of the sliding window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.sliding_window import SlidingWindow, coarse

TIMES = st.floats(0, 200, allow_nan=False).map(lambda t: round(t, 3))


@pytest.mark.parametrize(
    ("sent", "now", "cost", "wait"),
    [
        ([], 0, 5, 0),
        ([(0, 5)], 0, 5, 0),  # what fits is not delayed
        ([(0, 5), (0, 5)], 0, 1, 60),
        ([(0, 5), (20, 5)], 30, 1, 30),  # until the first one is a minute old
        ([(0, 5), (20, 5)], 30, 6, 50),  # until both are
        ([(0, 5), (20, 5)], 60, 5, 0),
        ([(0, 5), (20, 5)], 60, 6, 20),
        ([], 0, 99, 0),  # more than the whole limit fits alone
        ([(0, 1)], 10, 99, 50),
    ],
)
def test_when_a_request_fits(
    sent: list[tuple[float, float]], now: float, cost: float, wait: float
) -> None:
    """At most 10 in any 60 seconds, and no request waits that fits."""
    window = SlidingWindow(10, 60)
    for moment, one in sent:
        window.admit(one)
        window.answered(moment, one)
    assert window.wait(now, cost) == wait


def test_a_request_counts_while_it_is_in_flight() -> None:
    """The host may count it when its response leaves: until a minute after that it takes its place."""
    window = SlidingWindow(1, 60)
    window.admit()
    assert window.wait(1000) == 60  # the least that it takes
    window.answered(1000)
    assert window.wait(1030) == 30
    window.admit()
    window.withdraw()  # never sent
    assert window.wait(1060) == 0


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.floats(0, 30), st.sampled_from([1, 5]), st.floats(0, 20)), max_size=60),
)
def test_no_period_holds_more(limit: int, requests: list[tuple[float, int, float]]) -> None:
    """Whenever the host counts a request, between sending and response, no 60 seconds hold more.

    And none waits longer than it has to: a moment earlier it would not have fitted.
    """
    window = SlidingWindow(limit, 60)
    now, free = 0.0, 0.0
    spans: list[tuple[float, float, float]] = []  # one at a time: (sent, answered, cost)
    for pause, cost, latency in requests:
        now = max(now + pause, free)
        while seconds := window.wait(now, cost):
            early = now + seconds - 0.05
            held = sum(c for _, end, c in spans if end + 60 > early)
            assert held + min(cost, limit) > limit
            now += max(seconds, 1e-6)
        window.admit(cost)
        free = now + latency
        window.answered(free, cost)
        spans.append((now, free, min(cost, limit)))
    for which in (0, 1):  # counted when it is sent, or when its response leaves
        for one in spans:
            inside = (span[2] for span in spans if 0 <= span[which] - one[which] < 60 - 1e-3)
            assert sum(inside) <= limit


@given(st.lists(st.tuples(TIMES, st.integers(1, 5)), max_size=50), st.sampled_from([1.0, 60.0]))
def test_a_restored_window_admits_nothing_earlier(
    sent: list[tuple[float, int]], step: float
) -> None:
    """Summed up by the second or minute, at the later time: it waits as long, or a step longer."""
    original, restored = SlidingWindow(20, 3600), SlidingWindow(20, 3600)
    for moment, cost in sorted(sent):
        original.admit(cost)
        original.answered(moment, cost)
    restored.restore(coarse(original.entries(200), step), 200)
    for cost in (1, 5, 20):
        before, after = original.wait(200, cost), restored.wait(200, cost)
        assert before <= after + 1e-6
        assert after <= before + step + 1


def test_a_clock_that_was_set_back() -> None:
    """What seems to come from the future counts as sent now: it is waited for once, not for ever."""
    window = SlidingWindow(1, 60)
    window.restore([(1e9, 1)], 100)
    assert window.wait(100) == 60


def test_memory_is_bounded() -> None:
    """However much is sent, few entries are kept."""
    window = SlidingWindow(10**9, 60)
    for number in range(100_000):
        window.admit()
        window.answered(number / 10_000)
    assert len(window.entries(10)) < 2000
