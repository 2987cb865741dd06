"""What ``sync`` prints: a table of changes, then failures, quarantined items and warnings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mirror.core.failure import Failure, Quarantined
    from mirror.core.reporting.report import Report, RepositoryReport, Status

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


def summary(report: Report) -> list[RenderableType]:
    """The output of ``sync``: changes, problems and totals."""
    parts: list[RenderableType] = []
    listed = [repo for repo in report.repositories if _is_listed(repo)]
    if listed:
        parts.append(_changes(listed))
    if others := _others(report.repositories):
        parts.append(Text(others, style="dim"))
    parts += problems(report)
    parts.append(_last_line(report))
    return parts


def news(report: Report) -> list[RenderableType]:
    """The output of ``sync --quiet``: failures and an interruption; otherwise nothing.

    Items that an earlier pass quarantined are left out.
    """
    if not (report.interrupted or any(_is_news(repo) for repo in report.repositories)):
        return []
    return without_leading_blank([*problems(report, quarantined=False), _last_line(report)])


def without_leading_blank(parts: list[RenderableType]) -> list[RenderableType]:
    """Remove the blank line above the first part; blank lines belong between parts."""
    if parts and isinstance(parts[0], Padding):
        parts[0].top = 0
    return parts


def _is_news(repo: RepositoryReport) -> bool:
    return bool(repo.failures) or (repo.status == "failed" and not repo.quarantined)


def _is_listed(repo: RepositoryReport) -> bool:
    return bool(repo.actions or repo.failures) or repo.status == "failed"


def _others(repositories: Sequence[RepositoryReport]) -> str:
    """One line that counts the mirrors without a line of their own."""
    kinds = Counter(repo.status for repo in repositories if not _is_listed(repo))
    texts: dict[Status, str] = {
        "unchanged": "unchanged",
        "ok": "in sync",
        "interrupted": "not finished",
    }
    return ", ".join(f"{kinds[kind]:,} {text}" for kind, text in texts.items() if kinds[kind])


def _changes(repositories: Sequence[RepositoryReport]) -> Table:
    table = plain_table(
        "Source → target",
        "New",
        "Updated",
        "Uploaded",
        "Bytes",
        "Failed",
        numbers=("New", "Updated", "Uploaded", "Bytes", "Failed"),
    )
    for repo in sorted(repositories, key=lambda repo: repo.source.casefold()):
        done = Counter(action.action for action in repo.actions if action.status == "done")
        uploaded = done["upload-asset"] + done["replace-asset"]
        moved = sum(
            action.bytes or 0
            for action in repo.actions
            if action.status == "done" and action.action in {"upload-asset", "replace-asset"}
        )
        bad = len(repo.failures) or len(repo.quarantined) or int(repo.status == "failed")
        name = pair(repo.source, repo.target)
        if repo.status == "interrupted":
            name.append(" (not finished)", style=STYLES["interrupted"])
        table.add_row(
            name,
            _number(done["create-release"]),
            _number(done["update-release"]),
            _number(uploaded),
            size(moved) if uploaded else "-",
            Text(_number(bad), style=STYLES["failed"] if bad else ""),
        )
    return table


def _number(number: int) -> str:
    return f"{number:,}" if number else "-"


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
    if warnings:
        parts.append(_heading("Warnings", "yellow"))
        parts += [
            _item(f"{shorten(repo.source, LONGEST_NAME)}: {clean(text)}")
            for repo, text in warnings[:LONGEST_WARNINGS]
        ]
        if len(warnings) > LONGEST_WARNINGS:
            parts.append(_item(f"and {len(warnings) - LONGEST_WARNINGS} more (--json has all)"))
    return parts


def _known(repo: RepositoryReport) -> Iterator[Quarantined]:
    """What is quarantined, without what this pass has told as a failure."""
    told = {(failure.release, failure.asset) for failure in repo.failures if failure.final}
    for item in repo.quarantined:
        if (item.release, item.asset) not in told:
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


def _last_line(report: Report) -> RenderableType:
    totals = report.totals()
    seconds = (report.finished_at - report.started_at).total_seconds()
    planned = report.command == "plan"
    updated, deleted, sent = (
        ("to update", "to delete", "to upload") if planned else ("updated", "deleted", "uploaded")
    )
    changed = [
        count(totals["releases_created"], "new release") if totals["releases_created"] else "",
        f"{totals['releases_updated']:,} {updated}" if totals["releases_updated"] else "",
        f"{totals['releases_deleted']:,} {deleted}" if totals["releases_deleted"] else "",
    ]
    uploaded = totals["assets_uploaded"] + totals["assets_replaced"]
    if uploaded:
        moved = totals["bytes_uploaded"]
        speed = f", {size(moved / seconds)}/s" if seconds >= 1 and not planned else ""
        changed.append(f"{count(uploaded, 'asset')} {sent} ({size(moved)}{speed})")
    if totals["failures"]:
        changed.append(count(totals["failures"], "failure"))
    none = "nothing changed" if report.status in {"failed", "interrupted"} else "nothing to do"
    changes = ", ".join(text for text in changed if text) or none
    word = {"ok": "In sync", "unchanged": "In sync", "failed": "Failed"}.get(
        report.status, "Interrupted"
    )
    line = Text(f"{word}: ", style=STYLES["ok" if word == "In sync" else report.status])
    mirrors = count(totals["repositories"], "mirror")
    line.append(f"{changes}; {mirrors}, {requests(report)}, {duration(seconds)}", style="not bold")
    return Padding(line, (1 if report.repositories else 0, 0, 0, 0))


def requests(report: Report) -> str:
    """The number of requests, over all hosts."""
    total = sum(counted.total for counted in report.requests.values())
    unmodified = sum(counted.not_modified for counted in report.requests.values())
    text = count(total, "request")
    return f"{text} ({unmodified:,} answered 304)" if unmodified else text
