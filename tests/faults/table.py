"""The matrix as a table: what was tried and passed, how long it took, and the worst of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.seed import EVERYTHING, SEED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

PROPERTY = "fault_cell"
HITS = ("once", "thrice", "a while", "ever")


@dataclass
class Row:
    """One way to go wrong, over all routes."""

    tried: int = 0
    passed: int = 0
    seconds: float = 0.0
    requests: int = 0
    longest: float = 0.0
    worst: str = ""
    slowest: str = ""

    def add(self, cell: str, *, requests: int, seconds: float, passed: bool) -> None:
        self.tried += 1
        self.passed += passed
        self.seconds += seconds
        if requests > self.requests:
            self.requests, self.worst = requests, cell
        if seconds > self.longest:
            self.longest, self.slowest = seconds, cell

    def line(self, name: str) -> str:
        return (
            f"{name:<28} {self.tried:>6} {self.passed:>7} {self.seconds:>8.1f}"
            f" {self.requests:>9} {self.longest:>8.2f}"
        )


def lines(reports: Iterable[Any]) -> list[str]:
    """The table of the cells that ran; nothing, if none did."""
    rows: dict[str, Row] = {}
    total = Row()
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name != PROPERTY or report.when != "call":
                continue
            kind, hits, cell, requests, seconds = value
            for row in (rows.setdefault(f"{kind}, {hits}", Row()), total):
                row.add(cell, requests=requests, seconds=seconds, passed=report.passed)
    if not rows:
        return []
    head = f"{'fault':<28} {'tried':>6} {'passed':>7} {'seconds':>8} {'requests':>9} {'longest':>8}"
    table = [row.line(name) for name, row in sorted(rows.items(), key=_order)] if EVERYTHING else []
    return [
        head,
        *table,
        total.line("all"),
        f"most requests: {total.worst} ({total.requests})",
        f"longest: {total.slowest} ({total.longest:.2f} s)",
    ]


def _order(item: tuple[str, Row]) -> tuple[str, int]:
    kind, _, hits = item[0].rpartition(", ")
    return kind, HITS.index(hits)


def pytest_report_header() -> str:
    """The seed, so that a draw can be drawn again."""
    what = "everything" if EVERYTHING else "a sample"
    return f"release-mirror: {what}, RELEASE_MIRROR_SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table after the tests."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    if shown := lines(reports):
        terminalreporter.section("fault matrix")
        terminalreporter.write_line("\n".join(shown))
