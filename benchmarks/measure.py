"""Repetitions, interleaved, and what they say: medians of ratios with their spread."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Sample = dict[str, float]
"""The figures of one run: ``seconds`` and others."""

Round = dict[str, Sample]
"""One run of every contender, by its name."""

REPETITIONS = 5
"""The fewest from which a median is quoted."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a row's work.

    Attributes:
        name: What its samples are found by.
        run: Does the work once.
    """

    name: str
    run: Callable[[], Sample]


def interleaved(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    told: Callable[[str], None] = lambda _: None,
    shuffle: Callable[[list[Contender]], None] = random.shuffle,
) -> list[Round]:
    """Run every contender once a round, in random order: noise meets all of them alike.

    Args:
        contenders: Who runs.
        rounds: How often.
        told: What is done now, for people who wait.
        shuffle: Brings a list into random order.
    """
    found: list[Round] = []
    for number in range(rounds):
        order = list(contenders)
        shuffle(order)
        samples: Round = {}
        for contender in order:
            told(f"{number + 1}/{rounds}: {contender.name}")
            samples[contender.name] = contender.run()
        found.append(samples)
    return found


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up; at least one value is needed."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Goal:
    """What a median has to reach: a lower or an upper bound, or one exact value."""

    sign: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value reaches it."""
        if self.sign == "≤":
            return value <= self.bound
        return value >= self.bound if self.sign == "≥" else value == self.bound

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a row.

    Attributes:
        what: What it tells, for people; also what it is found by in an earlier result.
        of: The figure of one round: a ratio is taken within the round.
        goal: What its median has to reach; ``None`` where it is only shown.
        unit: Behind the figure; empty for a ratio.
    """

    what: str
    of: Callable[[Round], float]
    goal: Goal | None = None
    unit: str = ""

    def result(self, rounds: Sequence[Round]) -> dict[str, Any]:
        """The figure over all rounds, as it stands in a result's JSON."""
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
    """No more than this."""
    return Goal("≤", bound)


def at_least(bound: float) -> Goal:
    """No less than this."""
    return Goal("≥", bound)


def exactly(value: float) -> Goal:
    """This and nothing else."""
    return Goal("=", value)


def ratio(
    above: str, below: str, figure: str = "seconds", scale: float = 1.0
) -> Callable[[Round], float]:
    """One contender's figure divided by another's."""
    return lambda samples: scale * samples[above][figure] / samples[below][figure]


def plain(name: str, figure: str = "seconds", scale: float = 1.0) -> Callable[[Round], float]:
    """One contender's figure as it is."""
    return lambda samples: scale * samples[name][figure]


def figures(samples: Mapping[str, Any]) -> Sample:
    """Only the numbers of a process's answer."""
    return {
        key: float(value)
        for key, value in samples.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
