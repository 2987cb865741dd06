"""A row's result: a table for the terminal, JSON for the page and for comparisons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Line, Round

RESULTS = Path(__file__).parent / "results"
"""Output directory of results; not in the repository."""

BEFORE = Path(__file__).parent / "before.json"
"""The "before" figures, for comparison."""

console = Console()


def result(
    number: str,
    title: str,
    module: str,
    lines: Sequence[Line],
    rounds: Sequence[Round],
    notes: Sequence[str] = (),
    *,
    quick: bool = False,
) -> dict[str, Any]:
    """The complete result of a run."""
    return {
        "row": number,
        "title": title,
        "command": f"python -m benchmarks.{module}",
        "quick": quick,
        "machine": facts(),
        "repetitions": len(rounds),
        "lines": [line.result(rounds) for line in lines],
        "notes": list(notes),
        "samples": list(rounds),
    }


def publish(found: Mapping[str, Any], directory: Path = RESULTS) -> None:
    """Print the table and write the JSON."""
    console.print(table(found))
    for note in found["notes"]:
        console.print(f"  {note}", highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"row-{found['row'].zfill(2)}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(found: Mapping[str, Any]) -> Table:
    """A row's figures as a table."""
    title = f"{found['row']}. {found['title']} ({found['repetitions']} repetitions)"
    made = Table(
        title=title + (" SMOKE TEST: SMALL SIZES" if found["quick"] else ""), title_justify="left"
    )
    made.add_column("what", overflow="fold")
    made.add_column("median", justify="right")
    made.add_column("min to max", justify="right")
    made.add_column("goal", justify="right")
    made.add_column("")
    for line in found["lines"]:
        made.add_row(*cells(line))
    return made


def cells(line: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """One figure as table cells."""
    unit = line["unit"]
    met = {True: "met", False: "MISSED", None: ""}[line["met"]]
    return (
        line["what"],
        number(line["median"], unit),
        f"{number(line['low'])} to {number(line['high'])}",
        line["goal"] or "",
        met,
    )


def number(value: float, unit: str = "") -> str:
    """Format with three significant digits."""
    if value == int(value) and abs(value) < 1e9:
        text = f"{int(value):,}"
    elif abs(value) >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def load(directory: Path = RESULTS) -> list[dict[str, Any]]:
    """The saved results, by row."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("row-*.json"))
    ]
