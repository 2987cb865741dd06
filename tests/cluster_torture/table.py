"""What became of a tortured cluster, shown after the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PROPERTY = "cluster_torture"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables after the tests."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, lines in getattr(report, "user_properties", ()):
                if name == PROPERTY and report.when == "call":
                    terminalreporter.section("tortured cluster")
                    terminalreporter.write_line("\n".join(lines))
