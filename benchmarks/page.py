"""Inserts the results into docs/reference/performance.md: ``python -m benchmarks.page``.

The column "before" comes from ``before.json``; ``python -m benchmarks.page --keep`` replaces it with
the current results.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import BEFORE, RESULTS, load, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "performance.md"
BEGIN, END = "<!-- results -->", "<!-- end of the results -->"

_HEAD = "| what | before | median | min to max | goal | |\n| --- | --- | --- | --- | --- | --- |\n"


def fragment(results: Sequence[Mapping[str, Any]], before: Mapping[str, float]) -> str:
    """All rows, as Markdown."""
    return "\n".join(_row(found, before) for found in _in_order(results))


def _in_order(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(results, key=lambda found: _place(found["row"]))


def _place(row: str) -> tuple[float, str]:
    return float(row.partition("-")[0]), row


def _sections(text: str) -> dict[str, str]:
    """The rows of the page, by their number."""
    rows = re.split("^### ", text, flags=re.MULTILINE)[1:]
    return {row.partition(". ")[0]: f"### {row.rstrip()}\n" for row in rows}


def _row(found: Mapping[str, Any], before: Mapping[str, float]) -> str:
    machine = found["machine"]
    lines = "".join(_line(found["row"], line, before) for line in found["lines"])
    notes = "".join(f"\n{note[0].upper()}{note[1:]}.\n" for note in found["notes"])
    quick = ", **smoke test: do not quote these figures**" if found["quick"] else ""
    return (
        f"### {found['row']}. {found['title']}\n\n"
        f"`{found['command']}`, {found['repetitions']} repetitions, {machine['date']}, load before"
        f" {machine['load_before']}{quick}\n\n{_HEAD}{lines}{notes}"
    )


def _line(row: str, line: Mapping[str, Any], before: Mapping[str, float]) -> str:
    first = before.get(f"{row}: {line['what']}")
    shown = [
        line["what"].replace("|", "\\|"),
        number(first, line["unit"]) if first is not None else "",
        f"**{number(line['median'], line['unit'])}**",
        f"{number(line['low'])} to {number(line['high'])}",
        line["goal"] or "",
        {True: "met", False: "missed", None: ""}[line["met"]],
    ]
    return f"| {' | '.join(shown)} |\n"


def kept() -> dict[str, float]:
    """The "before" figures, by row and label."""
    if not BEFORE.exists():
        return {}
    found: dict[str, float] = json.loads(BEFORE.read_text(encoding="utf-8"))
    return found


def keep() -> None:
    """Make the current figures the "before" figures."""
    medians = {
        f"{found['row']}: {line['what']}": float(f"{line['median']:.4g}")
        for found in _in_order(load())
        for line in found["lines"]
    }
    text = json.dumps({**kept(), **medians}, indent=1, ensure_ascii=False)
    BEFORE.write_text(text + "\n", encoding="utf-8")


def write() -> Path:
    """Write the Markdown beside the results and return its path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "results.md"
    path.write_text(fragment(load(), kept()), encoding="utf-8")
    return path


def publish() -> Path:
    """Insert the machine and all results into the page, keep its other rows, and return its path."""
    results = load()
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    before, _, tail = rest.partition(END)
    rows = _sections(before) | _sections(fragment(results, kept()))
    shown = "\n".join(rows[key] for key in sorted(rows, key=_place))
    made = f"{head}{BEGIN}\n{machine(results)}\n{shown}{END}{tail}"
    PAGE.write_text(made, encoding="utf-8")
    return PAGE


def machine(results: Sequence[Mapping[str, Any]]) -> str:
    """The machine that produced the results."""
    if not results:
        return ""
    last = max((found["machine"] for found in results), key=lambda known: known["date"])
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    return (
        f"{last['cpu']}, {last['cores']} cores, {last['memory_gib']} GiB, Linux {last['kernel']},"
        f" Python {last['python']}, {versions}.\n"
    )


if __name__ == "__main__":
    if "--keep" in sys.argv:
        keep()
    sys.stdout.write(f"{publish()}\n")
