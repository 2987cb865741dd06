"""What was survived, as tables: kills and what they left, and runs that lacked something."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

BLOW, COMPARED, LACK = "survival_blow", "survival_compared", "survival_lack"


def kills(reports: Iterable[Any]) -> list[str]:
    """Signals by story, how the processes ended, and what was found after them."""
    rows: dict[str, Counter[str]] = {}
    ends: Counter[str] = Counter()
    states: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    lots = passed = assets = 0
    for report in reports:
        mine = [p for p in getattr(report, "user_properties", ()) if p[0] in {BLOW, COMPARED}]
        if not mine or report.when != "call":
            continue
        lots, passed = lots + 1, passed + report.passed
        assets += sum(value for name, value in mine if name == COMPARED)
        for story, kind, status, left in (value for name, value in mine if name == BLOW):
            rows.setdefault(story, Counter())[kind] += 1
            ends[_end(status)] += 1
            states.update(left.keys())
            amounts.update(left)
    if not rows:
        return []
    kinds = sorted({kind for row in rows.values() for kind in row})
    total = sum((row for row in rows.values()), Counter[str]())
    return [
        f"{'run':<16}" + "".join(f"{kind:>12}" for kind in kinds),
        *(
            f"{story:<16}" + "".join(f"{row[kind]:>12}" for kind in kinds)
            for story, row in [*sorted(rows.items()), ("all", total)]
        ),
        "ended: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()),
        "found after them (times, and how many in all): "
        + ", ".join(f"{name} {count} ({amounts[name]})" for name, count in states.most_common()),
        f"after a clean run: {passed} of {lots} lots well, {assets} assets read back and compared",
    ]


def _end(status: int) -> str:
    return {-9: "by SIGKILL", 143: "by SIGTERM", 0: "well"}.get(status, f"with {status}")


def lacks(reports: Iterable[Any]) -> list[str]:
    """What a run lacked, what it said, and what it took."""
    rows = [
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == LACK and report.when == "call"
    ]
    return [f"{what:<46} {came}" for what, came in sorted(map(tuple, rows))]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables after the tests."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for title, shown in (("killed", kills(reports)), ("lacking", lacks(reports))):
        if shown:
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(shown))
