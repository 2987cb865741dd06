"""Interleaved repetitions, evaluated as medians of ratios with their range."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Sample = dict[str, float]
"""Figures of one run: ``seconds`` and others."""

Round = dict[str, Sample]
"""One run of every contender, by name."""

REPETITIONS = 5
"""Minimum number of rounds for a quotable median."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work of a row.

    Attributes:
        name: Key of its samples.
        run: Do the work once.
    """

    name: str
    run: Callable[[], Sample]


def interleaved(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
    shuffle: Callable[[list[Contender]], None] = random.shuffle,
) -> list[Round]:
    """Run every contender once per round, in random order, so that noise affects all equally.

    Args:
        contenders: What to run.
        rounds: Number of rounds.
        on_progress: Called with a progress message.
        shuffle: Shuffles a list in place.
    """
    found: list[Round] = []
    for number in range(rounds):
        order = list(contenders)
        shuffle(order)
        samples: Round = {}
        for contender in order:
            on_progress(f"{number + 1}/{rounds}: {contender.name}")
            samples[contender.name] = contender.run()
        found.append(samples)
    return found


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values; requires at least one."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Goal:
    """The goal for a median: a lower or upper bound, or an exact value."""

    sign: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value meets the goal."""
        if self.sign == "≤":
            return value <= self.bound
        return value >= self.bound if self.sign == "≥" else value == self.bound

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a row.

    Attributes:
        what: Its label, and its key in earlier results.
        of: Computes the figure of one round; ratios are taken within the round.
        goal: Goal for the median; ``None`` if there is none.
        unit: Unit of the figure; empty for a ratio.
    """

    what: str
    of: Callable[[Round], float]
    goal: Goal | None = None
    unit: str = ""

    def result(self, rounds: Sequence[Round]) -> dict[str, Any]:
        """The figure over all rounds, for the result's JSON."""
        spread = Spread.of([self.of(samples) for samples in rounds])
        return {
            "what": self.what,
            "unit": self.unit,
            "median": spread.median,
            "low": spread.low,
            "high": spread.high,
            "goal": str(self.goal) if self.goal else None,
            "met": self.goal.met(spread.median) if self.goal else None,
        }


def at_most(bound: float) -> Goal:
    """Upper bound."""
    return Goal("≤", bound)


def at_least(bound: float) -> Goal:
    """Lower bound."""
    return Goal("≥", bound)


def exactly(value: float) -> Goal:
    """Exact value."""
    return Goal("=", value)


def ratio(
    above: str, below: str, figure: str = "seconds", scale: float = 1.0
) -> Callable[[Round], float]:
    """One contender's figure divided by another's."""
    return lambda samples: scale * samples[above][figure] / samples[below][figure]


def plain(name: str, figure: str = "seconds", scale: float = 1.0) -> Callable[[Round], float]:
    """One contender's figure."""
    return lambda samples: scale * samples[name][figure]


def figures(samples: Mapping[str, Any]) -> Sample:
    """The numeric values of a process's output."""
    return {
        key: float(value)
        for key, value in samples.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
