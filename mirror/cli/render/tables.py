"""What a pass did, for people: a table of what changed, then everything that needs a look."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirror.cli.advice import advice
from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mirror.core.reporting.report import Failure, Quarantined, Report, RepositoryReport, Status

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
    """A table without frames; the columns named in ``numbers`` are right-aligned."""
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
    """A mirror, as every table names it."""
    text = Text(shorten(source, LONGEST_NAME))
    if target:
        text.append(" → ", style="dim")
        text.append(shorten(target, LONGEST_NAME))
    return text


def summary(report: Report) -> list[RenderableType]:
    """The end of ``sync``: what changed, what needs a look, and the sum."""
    parts: list[RenderableType] = []
    told = [repo for repo in report.repositories if _tells(repo)]
    if told:
        parts.append(_changes(told))
    if calm := _calm(report.repositories):
        parts.append(Text(calm, style="dim"))
    parts += problems(report)
    parts.append(_last_line(report))
    return parts


def news(report: Report) -> list[RenderableType]:
    """What ``--quiet`` tells: failures, and that it was interrupted; else nothing.

    What was quarantined in an earlier pass is no news; what was in this one is a failure.
    """
    if not (report.interrupted or any(_is_news(repo) for repo in report.repositories)):
        return []
    return from_the_top([*problems(report, quarantined=False), _last_line(report)])


def from_the_top(parts: list[RenderableType]) -> list[RenderableType]:
    """Without the empty line before the first part: it is for the room between two."""
    if parts and isinstance(parts[0], Padding):
        parts[0].top = 0
    return parts


def _is_news(repo: RepositoryReport) -> bool:
    return bool(repo.failures) or (repo.status == "failed" and not repo.quarantined)


def _tells(repo: RepositoryReport) -> bool:
    return bool(repo.actions or repo.failures) or repo.status == "failed"


def _calm(repositories: Sequence[RepositoryReport]) -> str:
    """The mirrors that need no line of their own, in one."""
    kinds = Counter(repo.status for repo in repositories if not _tells(repo))
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
    """Failures, what is quarantined, and warnings: each with its place.

    Args:
        report: Of a pass or a plan.
        quarantined: Tell also what has been known to fail for good since an earlier pass.
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
                "Quarantined: tried again when it or the settings change, once a day, and with --full",
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
    told = {(failure.release, failure.asset, failure.error) for failure in repo.failures}
    for item in repo.quarantined:
        if (item.release, item.asset, item.error) not in told:
            yield item


def _heading(text: str, style: str) -> RenderableType:
    return Padding(Text(text, style=style), (1, 0, 0, 0))


def _item(text: str | Text) -> RenderableType:
    return Padding(text if isinstance(text, Text) else Text(text), (0, 0, 0, 2))


def place(source: str, release: str | None, asset: str | None) -> str:
    """Where something is: mirror, release, asset."""
    return " ".join(shorten(name, LONGEST_NAME) for name in (source, release, asset) if name)


def _failure(repo: RepositoryReport, failure: Failure) -> RenderableType:
    text = Text(place(repo.source, failure.release, failure.asset), style="bold")
    facts = [failure.action] if failure.action and failure.action != "sync" else []
    if failure.attempts > 1:
        facts.append(f"{failure.attempts} tries")
    if facts:
        text.append(f" ({', '.join(facts)})", style="dim")
    text.append(f"\n{clean(failure.error)}", style="not bold")
    if hint := advice(failure):
        text.append(f"\n→ {hint}", style="not bold dim")
    return _item(text)


def _quarantined(repo: RepositoryReport, item: Quarantined) -> RenderableType:
    text = Text(place(repo.source, item.release, item.asset), style="bold")
    text.append(f" (since {clean(item.since)[:10]})", style="dim")
    text.append(f"\n{clean(item.error)}", style="not bold")
    return _item(text)


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
    said = ", ".join(text for text in changed if text) or "nothing to do"
    if said == "nothing to do" and report.status in {"failed", "interrupted"}:
        said = "nothing changed"
    word = {"ok": "In sync", "unchanged": "In sync", "failed": "Failed"}.get(
        report.status, "Interrupted"
    )
    line = Text(f"{word}: ", style=STYLES["ok" if word == "In sync" else report.status])
    mirrors = count(totals["repositories"], "mirror")
    line.append(f"{said}; {mirrors}, {requests(report)}, {duration(seconds)}", style="not bold")
    return Padding(line, (1 if report.repositories else 0, 0, 0, 0))


def requests(report: Report) -> str:
    """How many requests it took, over all hosts."""
    total = sum(counted.total for counted in report.requests.values())
    unmodified = sum(counted.not_modified for counted in report.requests.values())
    text = count(total, "request")
    return f"{text} ({unmodified:,} answered 304)" if unmodified else text
