"""Parts that several commands print: tables, problems, the number of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mirror.core.failure import Failure, Quarantined
    from mirror.core.reporting.report import Report, RepositoryReport

LONGEST_NAME = 60
LONGEST_WARNINGS = 20

STYLES = {
    "ok": "green",
    "unchanged": "dim",
    "failed": "bold red",
    "interrupted": "yellow",
    "warning": "yellow",
    "unknown": "dim",
    "never": "yellow",
}


def plain_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """A table without borders; the columns in ``numbers`` are right-aligned."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    right = set(numbers)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in right,
            overflow="fold",
        )
    return table


def pair(source: str, target: str | None) -> Text:
    """Source and target of a mirror, the same in every table."""
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
    """Failures, quarantined items and warnings, each with its mirror, release and asset.

    Args:
        report: The report of a pass or a plan.
        quarantined: Include the items that an earlier pass quarantined.
    """
    parts: list[RenderableType] = []
    failures = [(repo, failure) for repo in report.repositories for failure in repo.failures]
    if failures:
        parts.append(_heading("Failed", STYLES["failed"]))
        parts += [_failure(repo, failure) for repo, failure in failures]
    kept = [(repo, item) for repo in report.repositories for item in _known(repo)]
    if kept and quarantined:
        parts.append(
            _heading(
                "Quarantined: retried when it or the settings change, at each audit, and with --full",
                "yellow",
            )
        )
        parts += [_quarantined(repo, item) for repo, item in kept]
    warnings = [(repo, text) for repo in report.repositories for text in repo.warnings]
    return parts + _sentences("Warnings", "yellow", warnings)


def notes(report: Report) -> list[RenderableType]:
    """What is normal, but good to know."""
    found = [(repo, text) for repo in report.repositories for text in repo.notes]
    return _sentences("Notes", "dim", found)


def _sentences(
    title: str, style: str, texts: Sequence[tuple[RepositoryReport, str]]
) -> list[RenderableType]:
    """Texts about mirrors under a heading, equal ones once; nothing without any."""
    if not texts:
        return []
    mirrors: dict[str, list[str]] = {}
    for repo, text in texts:
        mirrors.setdefault(text, []).append(repo.source)
    parts = [_heading(title, style)]
    for text, (first, *others) in list(mirrors.items())[:LONGEST_WARNINGS]:
        more = f" and {len(others)} more" * bool(others)
        parts.append(_item(f"{shorten(first, LONGEST_NAME)}{more}: {clean(text)}"))
    if len(mirrors) > LONGEST_WARNINGS:
        parts.append(_item(f"and {len(mirrors) - LONGEST_WARNINGS} more (--json has all)"))
    return parts


def _known(repo: RepositoryReport) -> Iterator[Quarantined]:
    """The quarantined items that are not among the failures of this pass."""
    failed = {(failure.release, failure.asset) for failure in repo.failures if failure.final}
    for item in repo.quarantined:
        if (item.release, item.asset) not in failed:
            yield item


def _heading(text: str, style: str) -> RenderableType:
    return Padding(Text(text, style=style), (1, 0, 0, 0))


def _item(text: str | Text) -> RenderableType:
    return Padding(text if isinstance(text, Text) else Text(text), (0, 0, 0, 2))


def place(source: str, release: str | None, asset: str | None) -> str:
    """Mirror, release and asset in one line; empty parts are left out."""
    return " ".join(shorten(name, LONGEST_NAME) for name in (source, release, asset) if name)


def _failure(repo: RepositoryReport, failure: Failure) -> RenderableType:
    text = Text(place(repo.source, failure.release, failure.asset), style="bold")
    facts = [failure.action] if failure.action and failure.action != "sync" else []
    if failure.attempts > 1:
        facts.append(f"{failure.attempts} attempts")
    if facts:
        text.append(f" ({', '.join(facts)})", style="dim")
    return _item(_explained(text, failure))


def _quarantined(repo: RepositoryReport, item: Quarantined) -> RenderableType:
    text = Text(place(repo.source, item.release, item.asset), style="bold")
    text.append(f" (since {clean(item.since)[:10]})", style="dim")
    return _item(_explained(text, item.failure))


def _explained(text: Text, failure: Failure) -> Text:
    text.append(f"\n{clean(failure.sentence)}", style="not bold")
    return text.append(f"\n→ {failure.advice}", style="not bold dim")


def requests(report: Report) -> str:
    """The number of requests, over all hosts."""
    total = sum(counted.total for counted in report.requests.values())
    unmodified = sum(counted.not_modified for counted in report.requests.values())
    text = count(total, "request")
    return f"{text} ({unmodified:,} answered 304)" if unmodified else text
