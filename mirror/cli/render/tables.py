"""Parts that several commands print: tables, problems, the number of requests."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from mirror.core.failure import Failure, Quarantined
    from mirror.core.reporting.report import Report, RepositoryReport

LONGEST_NAME = 60
LONGEST_WARNINGS = 20
LONGEST_NOTES = 3
LONGEST_PLACES = 10
"""Maximum mirrors, releases and assets to name for one failure."""

_GAP = 2
"""Columns of the terminal between two columns of a table."""

_NOT_TRIED = "not tried: its host was disabled in this pass"

STYLES = {
    "ok": "green",
    "unchanged": "dim",
    "failed": "bold red",
    "interrupted": "yellow",
    "warning": "yellow",
    "unknown": "dim",
    "never": "yellow",
}


class FittingTable:
    """A table without borders; where it would split words, a block of lines for each row.

    Args:
        columns: Their headings.
        numbers: Of these, the right-aligned ones.
        wraps: The column that may take more than one line; the first by default.
        optional: Columns that are left out, the first one first, where that makes a table fit.
        labels: Name the columns in a block of lines.
    """

    def __init__(
        self,
        *columns: str,
        numbers: Iterable[str] = (),
        wraps: str = "",
        optional: Sequence[str] = (),
        labels: bool = True,
    ) -> None:
        self._columns = columns
        self._optional = optional
        self._labels = labels
        self._numbers = frozenset(numbers)
        self._wraps = wraps or columns[0]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row, with a cell for each column."""
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the width of the console."""
        for left_out in range(len(self._optional) + 1):
            columns = [c for c in self._columns if c not in self._optional[:left_out]]
            widths = [self._narrowest(column) for column in columns]
            if sum(widths) + _GAP * (len(widths) - 1) <= options.max_width:
                yield self._table(columns, widths)
                return
        for row in self._rows:
            yield from self._block(row)

    def _narrowest(self, column: str) -> int:
        """The width that a column needs to split no word."""
        place = self._columns.index(column)
        texts = [column, *(row[place].plain for row in self._rows)]
        if column == self._wraps:
            texts = [word for text in texts for word in text.split()]
        return max(map(cell_len, texts))

    def _table(self, columns: Sequence[str], widths: Sequence[int]) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            padding=(0, 1, 0, 0),
            header_style="bold",
        )
        for column, width in zip(columns, widths, strict=True):
            table.add_column(
                column,
                justify="right" if column in self._numbers else "left",
                no_wrap=column != self._wraps,
                min_width=width,
            )
        places = [self._columns.index(column) for column in columns]
        for row in self._rows:
            table.add_row(*(row[place] for place in places))
        return table

    def _block(self, row: list[Text]) -> Iterator[RenderableType]:
        """The first cell, then the others with their headings, without what says nothing."""
        first, *others = row
        first.overflow = "ellipsis"
        yield first
        facts = [
            Text.assemble((f"{column.lower()} " if self._labels else "", "dim"), cell)
            for column, cell in zip(self._columns[1:], others, strict=True)
            if cell.plain not in {"", "-"}
        ]
        if facts:
            yield Padding(Text(", ").join(facts), (0, 0, 0, 2))


def pair(source: str, target: str | None) -> Text:
    """Source and target of a mirror, the same wherever a mirror is named."""
    text = Text(shorten(source, LONGEST_NAME))
    if target:
        text.append(" → ", style="dim")
        text.append(shorten(target, LONGEST_NAME))
    return text


def without_leading_blank(parts: list[RenderableType]) -> list[RenderableType]:
    """Remove the blank line above the first part; blank lines belong between parts."""
    if parts and isinstance(parts[0], Padding):
        parts[0].top = 0
    return parts


def problems(report: Report, *, quarantined: bool = True) -> list[RenderableType]:
    """Failures, quarantined items, warnings and notes, each once, with all that it is about.

    Args:
        report: The report of a pass or a plan.
        quarantined: Include what is no news: the items that an earlier pass quarantined, and notes.
    """
    failed, kept, warnings, notes = Grouped(), Grouped(), Grouped(), Grouped()
    for repo in report.repositories:
        mirror = repo.source, repo.target
        for failure in repo.failures:
            failed.add(_failed_place(repo, failure), *explained(failure))
        for item in _known(repo) if quarantined else ():
            since = Text(f" (since {clean(item.since)[:10]})", style="not bold dim")
            where = place(*mirror, item.release, item.asset).append_text(since)
            kept.add(where, *explained(item.failure))
        # Why a host was given up is told once, with the failure; here, for which mirrors.
        told = (_NOT_TRIED,) if repo.stopped and not repo.failures else repo.warnings
        for text in told:
            warnings.add(place(*mirror), clean(text))
        for text in repo.notes if quarantined else ():
            notes.add(place(*mirror), clean(text))
    return [
        *failed.parts("Failed", STYLES["failed"]),
        *kept.parts(
            "Quarantined: retried when it or the settings change, at each audit, and by sync --full"
            " (trigger --full where the daemon runs)",
            "yellow",
        ),
        *warnings.parts("Warnings", "yellow", LONGEST_WARNINGS),
        *notes.parts("Notes", "dim", LONGEST_NOTES),
    ]


class Grouped:
    """What is to be told, each once, with the places that it is about."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, ...], list[Text]] = {}

    def add(self, where: Text, *lines: str) -> None:
        """Tell these lines of one more place."""
        self._places.setdefault(lines, []).append(where)

    def parts(self, heading: str, style: str, most: int = 0) -> list[RenderableType]:
        """A heading and all groups; at most so many, if that is not 0."""
        groups = list(self._places.items())
        if not groups:
            return []
        parts: list[RenderableType] = [Padding(Text(heading, style=style), (1, 0, 0, 0))]
        for lines, places in groups[:most] if most else groups:
            parts += [_indented(where, 2) for where in places[:LONGEST_PLACES]]
            if (more := len(places) - LONGEST_PLACES) > 0:
                parts.append(_indented(Text(f"and {more:,} more"), 2))
            parts += [_indented(Text(line), 4) for line in lines]
        if most and len(groups) > most:
            parts.append(_indented(Text(f"and {len(groups) - most} more (--json has all)"), 2))
        return parts


def _indented(text: Text, depth: int) -> RenderableType:
    return Padding(text, (0, 0, 0, depth))


def _known(repo: RepositoryReport) -> Iterator[Quarantined]:
    """The quarantined items that are not among the failures of this pass."""
    failed = {(failure.release, failure.asset) for failure in repo.failures if failure.final}
    for item in repo.quarantined:
        if (item.release, item.asset) not in failed:
            yield item


def place(
    source: str, target: str | None, release: str | None = None, asset: str | None = None
) -> Text:
    """Mirror, release and asset in one line; empty parts are left out."""
    text = pair(source, target)
    for name in (release, asset):
        if name:
            text.append(f" {shorten(name, LONGEST_NAME)}")
    text.stylize("bold")
    return text


def _failed_place(repo: RepositoryReport, failure: Failure) -> Text:
    text = place(repo.source, repo.target, failure.release, failure.asset)
    facts = [failure.action] if failure.action and failure.action != "sync" else []
    if failure.attempts > 1:
        facts.append(f"{failure.attempts} attempts")
    return text.append(f" ({', '.join(facts)})", style="not bold dim") if facts else text


def explained(failure: Failure) -> list[str]:
    """What happened, what helps, and when it is tried again: a line each."""
    lines = [clean(failure.sentence), f"→ {failure.advice}"]
    if failure.next_attempt:
        lines.append(f"next attempt {local_time(failure.next_attempt)}")
    return lines


def local_time(moment: str) -> str:
    """A time of a report (ISO 8601) for people, in the machine's time zone."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return clean(moment)


def requests(report: Report) -> str:
    """The number of requests, over all hosts."""
    total = sum(counted.total for counted in report.requests.values())
    unmodified = sum(counted.not_modified for counted in report.requests.values())
    text = count(total, "request")
    return f"{text} ({unmodified:,} answered 304)" if unmodified else text
