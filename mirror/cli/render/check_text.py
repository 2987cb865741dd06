"""What ``check`` prints: a line for each check, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import STYLES, FittingTable
from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mirror.check.check_results import CheckResult


def check_tables(results: Sequence[CheckResult]) -> list[RenderableType]:
    """A line for each check, and the verdict."""
    table = FittingTable("Host", "What", "Result", "Detail", wraps="Detail", labels=False)
    for result in results:
        table.add_row(
            Text(shorten(result.host, 30)),
            Text(clean(result.what)),
            Text(result.status, style=STYLES[result.status]),
            Text(clean(result.detail)),
        )
    states = [result.status for result in results]
    failed, warned = states.count("failed"), states.count("warning")
    unknown = states.count("unknown")
    if failed:
        text = f"{count(failed, 'check')} failed"
        style = STYLES["failed"]
    else:
        text, style = "All checks passed", STYLES["ok"]
    if warned:
        text += f", {count(warned, 'warning')}"
    if unknown:
        text += f", {unknown} could not be verified"
    return [table, Padding(Text(text, style=style), (1, 0, 0, 0))]
