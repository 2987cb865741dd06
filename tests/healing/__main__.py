# ruff: noqa: T201 - a program for a terminal
"""Prints the matrix: every kind of failure, what it costs while it stands, and what heals it.

PYTHONPATH=tests python -m healing
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import get_args

import structlog

from healing.cases import CASES, Healer, expected
from healing.mirrored import outcome

HEALERS: tuple[Healer, ...] = get_args(Healer)


def main() -> int:
    """Run every cell and print the table; the exit status is 1 if one is not as expected."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    columns = "".join(f"{healer:>10}" for healer in HEALERS)
    print(f"{'kind':<16}{'state':<12}{'requests':>15}{'refused':>9}{columns}")
    wrong = 0
    for case in CASES:
        cells: dict[Healer, str] = {}
        requests = refused = ""
        for healer in case.healers():
            with tempfile.TemporaryDirectory() as directory:
                found = asyncio.run(outcome(Path(directory), case, healer))
            requests = " ".join(f"{one.requests}" for one in found.stood)
            refused = " ".join(f"{one.refused}" for one in found.stood)
            good = found.passes == expected(case, healer)
            wrong += not good
            cells[healer] = (f"{found.passes}" if found.passes else "no") + ("" if good else " !")
        told = "".join(f"{cells.get(healer, '-'):>10}" for healer in HEALERS)
        print(f"{case.kind:<16}{case.state:<12}{requests:>15}{refused:>9}{told}", flush=True)
    print("requests, refused: in each of four passes while the cause stands, both hosts together")
    print("others: passes until it is healed; no: only at the audit; -: it does not apply")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
