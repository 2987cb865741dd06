"""Runs a row from the command line."""

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
    """Options of a run.

    Attributes:
        quick: Use small sizes, as a smoke test.
        repetitions: Measured rounds.
    """

    quick: bool = False
    repetitions: int = REPETITIONS


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of a row, once its servers are running.

    Attributes:
        contenders: What to measure.
        lines: Figures to report.
        notes: Additional remarks.
        warmed: Called between the warm-up and the measured rounds.
    """

    contenders: Sequence[Contender]
    lines: Sequence[Line]
    notes: Callable[[], Sequence[str]] = tuple
    warmed: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        number: Its number in the table.
        title: Description of the work.
        module: The module that runs it.
        stage: Starts the servers and returns the work.
        programs: Required programs.
        factor: Multiplies the number of repetitions.
        warm_up: Run one unmeasured round first.
    """

    number: str
    title: str
    module: str
    stage: Callable[[Options], AbstractContextManager[Plan]]
    programs: tuple[str, ...] = ("curl", "bash", "nginx")
    factor: int = 1
    warm_up: bool = True

    def run(self, options: Options) -> dict[str, Any]:
        """Measure, print and save the result.

        Raises:
            Missing: A program is not installed.
            Failed: The measured command failed.
        """
        need(*self.programs)
        with self.stage(options) as plan:
            with report.console.status("") as status:

                def on_progress(text: str) -> None:
                    status.update(f"{self.number}. {self.title}: {text}")

                if self.warm_up:
                    interleaved(plan.contenders, 1, on_progress=on_progress)
                plan.warmed()
                times = options.repetitions * self.factor
                rounds = interleaved(plan.contenders, times, on_progress=on_progress)
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
    """Run one row from the command line."""
    options = parse(row.title)
    end_by_signal()
    try:
        row.run(options)
    except (Missing, Failed) as error:
        sys.exit(f"row {row.number}: {error}")


def end_by_signal() -> None:
    """Make SIGTERM stop all child processes, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def parse(title: str, *, rows: bool = False) -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="use small sizes, as a smoke test")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="measured rounds")
    if rows:
        parser.add_argument("--long", action="store_true", help="run the long rows instead")
        parser.add_argument("rows", nargs="*", help="row numbers (default: all)")
        return parser.parse_args()
    given = parser.parse_args()
    return Options(given.quick, given.repetitions)


def both(run: Callable[[bool], dict[str, float]]) -> Iterator[Contender]:
    """release-mirror with and without the extra ``fast``."""
    yield Contender("fast", lambda: run(True))
    yield Contender("plain", lambda: run(False))
