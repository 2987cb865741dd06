"""Profiles a row: ``python -m benchmarks.profile 3|5|6`` runs its pass once under cProfile.

The profile covers an event loop's thread (row 3: one of the threads for large assets). Work in
other threads (hashing, disk) shows as waiting. cProfile slows down Python calls, so compare shares,
not seconds.
"""

from __future__ import annotations

import argparse
import io
import pstats
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.idle import RELEASES, Idle
from benchmarks.parallel import ASSETS
from benchmarks.report import RESULTS, console
from benchmarks.small import RELEASES as SMALL_RELEASES
from benchmarks.small import SIZE
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from benchmarks.measure import Sample

LINES = 30


def parallel(file: str) -> Sample:
    """Row 3: the byte path, in one of its two loops."""
    with scene([[256 * MIB] * ASSETS], sink={}) as here:
        here.hashing = False
        return here.sync(fast=True, profile=file, thread="bytes-1")


def small(file: str) -> Sample:
    """Row 5: the cost of one asset."""
    with scene([[SIZE] * 100] * SMALL_RELEASES) as here:
        return here.sync(fast=True, profile=file)


def idle(file: str) -> Sample:
    """Row 6: the cost of an unchanged mirror."""
    with scene(RELEASES, repositories=1000) as here:
        work = Idle(here)
        return work.sync(work.ledger(1000), 1000, fast=True, profile=file)


def main() -> None:
    """Run, print and save the profile."""
    rows = {"3": parallel, "5": small, "6": idle}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=sorted(rows))
    row = parser.parse_args().row
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        file = str(Path(directory) / "profile")
        rows[row](file)
        text = io.StringIO()
        for order in ("tottime", "cumulative"):
            pstats.Stats(file, stream=text).strip_dirs().sort_stats(order).print_stats(LINES)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"profile-{row}.txt").write_text(text.getvalue(), encoding="utf-8")
    console.print(text.getvalue(), highlight=False)


if __name__ == "__main__":
    main()
