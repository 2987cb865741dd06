# ruff: noqa: T201 - a program for a terminal
"""Lives by the thousand: ``python -m lives --count 20000 --jobs 2`` (with ``tests`` on the path)."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from lives.adapter import quiet_logs
from lives.life import draw, live, shrink
from lives.oracle import KINDS, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Brief(NamedTuple):
    """What is kept of a life."""

    seed: int
    digests: str
    happened: tuple[str, ...]
    violations: tuple[Violation, ...]


def brief(seed: int) -> Brief:
    """Live one life."""
    quiet_logs()
    try:
        outcome = live(draw(seed))
    except Exception as error:  # noqa: BLE001 - one broken life does not end the others
        broken = Violation("crashed", f"the life itself: {error!r}")
        return Brief(seed, "unknown", ("none",), (broken,))
    return Brief(
        seed,
        outcome.script.setup.digests,
        tuple(dict.fromkeys(outcome.happened)) or ("none",),
        tuple(outcome.violations),
    )


def told(item: Brief) -> Brief:
    """Tell of a life that failed as soon as it is over: thousands take their time."""
    if item.violations:
        print(item.seed, *item.violations[0], file=sys.stderr, flush=True)
    return item


def table(briefs: Sequence[Brief]) -> str:
    """How many lives, and how many with each kind of violation, by disturbance and by digests."""
    rows: dict[str, list[Brief]] = defaultdict(list)
    for item in briefs:
        for kind in item.happened:
            rows[f"disturbance: {kind}"].append(item)
        rows[f"digests: {item.digests}"].append(item)
    head = ["", "lives", *KINDS]
    lines = [head]
    for name, items in [*sorted(rows.items()), ("all", list(briefs))]:
        counts = Counter(kind for item in items for kind in {v.kind for v in item.violations})
        lines.append([name, str(len(items)), *(str(counts[kind]) for kind in KINDS)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def failing(briefs: Iterable[Brief], most: int) -> str:
    """The first lives that failed, by kind, with their first violation."""
    found: dict[str, list[str]] = defaultdict(list)
    for item in briefs:
        for kind in dict.fromkeys(v.kind for v in item.violations):
            first = next(v for v in item.violations if v.kind == kind)
            found[kind].append(f"  {item.seed}: {first.text[:300]}")
    return "\n".join(
        f"{kind} ({len(lines)}):\n" + "\n".join(lines[:most]) for kind, lines in found.items()
    )


def tell(seed: int, *, smallest: bool, trace: bool) -> int:
    """One life as a story; the exit status."""
    quiet_logs()
    script = draw(seed)
    outcome = live(script)
    if smallest and outcome.violations:
        script = shrink(script, outcome.violations[0].kind)
    outcome = live(script, requests_told=trace)
    print("\n".join(outcome.story))
    for violation in outcome.violations:
        print(f"!!! {violation.kind}: {violation.text}")
    return 1 if outcome.violations else 0


def main() -> int:
    """Live them all and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m lives", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", help="only these, separated by commas")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="failing seeds of each kind")
    parser.add_argument("--replay", type=int, metavar="SEED", help="tell one life as a story")
    parser.add_argument("--shrink", action="store_true", help="with --replay: the least that fails")
    parser.add_argument("--trace", action="store_true", help="with --replay: with all requests")
    options = parser.parse_args()
    if options.replay is not None:
        return tell(options.replay, smallest=options.shrink, trace=options.trace)
    seeds: Sequence[int] = range(options.first_seed, options.first_seed + options.count)
    if options.seeds:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    started = time.perf_counter()
    if options.jobs > 1:
        with multiprocessing.Pool(options.jobs) as pool:
            briefs = sorted(map(told, pool.imap_unordered(brief, seeds, chunksize=20)))
    else:
        briefs = [told(brief(seed)) for seed in seeds]
    seconds = time.perf_counter() - started
    print(failing(briefs, options.show))
    print(table(briefs))
    print(f"{len(briefs)} lives in {seconds:.1f} s: {len(briefs) / seconds:.1f} a second")
    return 1 if any(item.violations for item in briefs) else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the same life again, also where a set is walked
        os.execve(  # noqa: S606 - itself
            sys.executable,
            [sys.executable, "-m", "lives", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
