"""Run all rows, or the given ones: ``python -m benchmarks [--long] [ROW …]``."""

from __future__ import annotations

import sys
import time

from rich.table import Table

from benchmarks import (
    bundle,
    cluster,
    cluster_scale,
    idle,
    ledger,
    ledger_copy,
    link,
    memory,
    memory_ledger,
    mixed,
    page,
    parallel,
    secure,
    single,
    small,
    startup,
    wan,
    wan_large,
    webhook,
)
from benchmarks.command import Options, Row, end_by_signal, parse
from benchmarks.machine import Missing
from benchmarks.report import cells, console
from benchmarks.stage.processes import Failed

ROWS: tuple[Row, ...] = (
    link.ROW,
    single.ROW,
    parallel.ROW,
    secure.ROW,
    small.ROW,
    idle.ROW,
    idle.LARGE,
    memory.ROW,
    ledger.ROW,
    mixed.ROW,
    startup.ROW,
    bundle.ROW,
    wan.ROW,
    wan_large.ROW,
    webhook.ROW,
    wan.IDLE,
    memory_ledger.ROW,
)
LONG: tuple[Row, ...] = (
    memory.LONG,
    bundle.MANY,
    bundle.MEMORY,
    ledger_copy.ROW,
    cluster_scale.ROW,
    cluster.ROW,
    cluster.IDLE,
)


def main() -> int:
    """Run the rows and print a summary.

    Returns:
        1 if a row could not be measured. A missed goal is a result, not an error.
    """
    given = parse(__doc__ or "", rows=True)
    end_by_signal()
    options = Options(given.quick, given.repetitions)
    began, broken = time.monotonic(), []
    summary = Table(title="goals", title_justify="left")
    for column in ("row", "what", "median", "min to max", "goal", ""):
        summary.add_column(column, overflow="fold")
    for row in LONG if given.long else ROWS:
        if given.rows and row.number not in given.rows:
            continue
        try:
            found = row.run(options)
        except (Missing, Failed) as error:
            broken.append(f"row {row.number}: {error}")
            console.print(broken[-1], style="red", highlight=False)
            continue
        for line in found["lines"]:
            if line["goal"]:
                summary.add_row(row.number, *cells(line))
    console.print(summary)
    console.print(f"{(time.monotonic() - began) / 60:.1f} minutes", highlight=False)
    for line_ in broken:
        console.print(line_, style="red", highlight=False)
    console.print(f"Markdown: {page.write()}", highlight=False)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
