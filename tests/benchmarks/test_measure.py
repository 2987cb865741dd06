"""What benchmarks say of their figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import report
from benchmarks.measure import (
    Contender,
    Goal,
    Line,
    Spread,
    at_least,
    at_most,
    exactly,
    interleaved,
    ratio,
)
from benchmarks.page import fragment

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = [
    {"ours": {"seconds": 3.0}, "peer": {"seconds": 2.0}},
    {"ours": {"seconds": 8.0}, "peer": {"seconds": 2.0}},
    {"ours": {"seconds": 2.0}, "peer": {"seconds": 4.0}},
]


def test_every_round_runs_everyone_once() -> None:
    """Contenders take turns: noise of a moment meets all of them."""
    ran: list[str] = []

    def contender(name: str) -> Contender:
        def run() -> dict[str, float]:
            ran.append(name)
            return {"seconds": float(len(ran))}

        return Contender(name, run)

    found = interleaved([contender("a"), contender("b")], 3, shuffle=lambda order: order.reverse())
    assert ran == ["b", "a"] * 3
    assert found[0] == {"b": {"seconds": 1.0}, "a": {"seconds": 2.0}}


def test_a_ratio_is_taken_within_its_round() -> None:
    """The median is one of ratios, and no ratio of medians."""
    line = Line("ours / peer", ratio("ours", "peer"), at_most(1.5))
    found = line.result(ROUNDS)
    assert (found["median"], found["low"], found["high"]) == (1.5, 0.5, 4.0)
    assert found["met"]


def test_a_spread_has_its_ends() -> None:
    """Median, least and most, in any order."""
    assert Spread.of([5, 1, 3, 2]) == Spread(2.5, 1, 5)


@pytest.mark.parametrize(
    ("goal", "good", "bad"),
    [(at_most(1.5), 1.5, 1.51), (at_least(0.85), 0.85, 0.84), (exactly(1000), 1000, 1001)],
)
def test_goals(goal: Goal, good: float, bad: float) -> None:
    """A bound itself meets its goal."""
    assert goal.met(good)
    assert not goal.met(bad)


def test_a_missed_goal_stays_in_the_results(tmp_path: Path) -> None:
    """JSON and Markdown tell a goal that was missed as missed."""
    lines = [Line("curl | ours", ratio("ours", "peer"), at_most(1.2))]
    made = report.result("3", "work", "work", lines, ROUNDS, ["a note"])
    report.publish(made, tmp_path)
    (loaded,) = report.load(tmp_path)
    assert loaded["lines"][0]["met"] is False
    assert json.loads((tmp_path / "row-03.json").read_text())["repetitions"] == 3
    shown = fragment([loaded], {"3: curl | ours": 2.0})
    assert "| curl \\| ours | 2 | **1.50** | 0.5 to 4 | ≤ 1.2 | missed |" in shown
