"""A row as a command: its options, its end."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.machine import Missing, need
from benchmarks.measure import REPETITIONS, Contender, Line, interleaved
from benchmarks.stage.processes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True)
class Options:
    """How a row is run.

    Attributes:
        quick: With small sizes: to see that it works, not for figures.
        repetitions: Rounds that count.
    """

    quick: bool = False
    repetitions: int = REPETITIONS


@dataclass(frozen=True, slots=True)
class Plan:
    """What a row does, once its servers run.

    Attributes:
        contenders: Who runs.
        lines: What is told of the rounds.
        notes: What else there is to say.
        warmed: Called between the warm-up and the rounds that count.
    """

    contenders: Sequence[Contender]
    lines: Sequence[Line]
    notes: Callable[[], Sequence[str]] = tuple
    warmed: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of goals.

    Attributes:
        number: Its number there.
        title: The work.
        module: Its command.
        stage: Starts its servers and tells what is to be done.
        programs: What it needs.
        factor: Times the usual repetitions.
        warm_up: Whether one round before the others does not count.
    """

    number: str
    title: str
    module: str
    stage: Callable[[Options], AbstractContextManager[Plan]]
    programs: tuple[str, ...] = ("curl", "bash", "nginx")
    factor: int = 1
    warm_up: bool = True

    def run(self, options: Options) -> dict[str, Any]:
        """Measure, print, write; the result.

        Raises:
            Missing: A program is not installed.
            Failed: What was to be measured failed.
        """
        need(*self.programs)
        with self.stage(options) as plan:
            with report.console.status("") as status:

                def told(text: str) -> None:
                    status.update(f"{self.number}. {self.title}: {text}")

                if self.warm_up:
                    interleaved(plan.contenders, 1, told=told)
                plan.warmed()
                times = options.repetitions * self.factor
                rounds = interleaved(plan.contenders, times, told=told)
            made = report.result(
                self.number,
                self.title,
                self.module,
                plan.lines,
                rounds,
                plan.notes(),
                quick=options.quick,
            )
        report.publish(made)
        return made


def main(row: Row) -> None:
    """Run one row as a command."""
    options = parse(row.title)
    end_by_signal()
    try:
        row.run(options)
    except (Missing, Failed) as error:
        sys.exit(f"row {row.number}: {error}")


def end_by_signal() -> None:
    """Have SIGTERM end everything that was started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def parse(title: str, *, rows: bool = False) -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="rounds that count")
    if rows:
        parser.add_argument("--long", action="store_true", help="the rows that take long")
        parser.add_argument("rows", nargs="*", help="numbers of rows; all without")
        return parser.parse_args()
    given = parser.parse_args()
    return Options(given.quick, given.repetitions)


def both(run: Callable[[bool], dict[str, float]]) -> Iterator[Contender]:
    """The program with its extra ``fast`` and without."""
    yield Contender("fast", lambda: run(True))
    yield Contender("plain", lambda: run(False))
