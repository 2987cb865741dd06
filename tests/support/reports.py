"""Reports to print, and what a console makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mirror.core.reporting.report import (
    Report,
    RepositoryReport,
    RequestCount,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 11, 21, tzinfo=UTC)


def report(*repositories: RepositoryReport, command: str = "sync", **facts: Any) -> Report:
    return Report(
        command,
        START,
        START + timedelta(seconds=4),
        repositories,
        requests={"github": RequestCount(10, 7)},
        **facts,
    )


def text(parts: Sequence[Any], width: int = 100) -> str:
    console = Console(width=width, markup=False, highlight=False, color_system=None)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def repo(number: int, status: Any = "unchanged", **facts: Any) -> RepositoryReport:
    return RepositoryReport(f"github:o/r{number}", f"m/r{number}", status, **facts)
