"""What ``verify`` prints: differences, repairs, problems and totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import (
    LONGEST_NAME,
    STYLES,
    FittingTable,
    pair,
    problems,
    requests,
    without_leading_blank,
)
from mirror.core.text.sanitise import shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mirror.core.reporting.report import Report, RepositoryReport

LINES = 200
"""Maximum rows per table."""

_WORDS = {
    "missing": "missing at the target",
    "differing": "different content",
    "extra": "to be deleted: not at the source or not selected",
    "text": "different title or text",
    "flags": "different prerelease or latest flag",
}
_REPAIRED = {
    "upload-asset": "uploaded",
    "replace-asset": "replaced",
    "rename-asset": "renamed",
    "update-release": "updated",
    "publish-release": "published",
}


def verify_tables(report: Report, *, quiet: bool = False) -> list[RenderableType]:
    """The output of ``verify``.

    Args:
        report: The report of a verification.
        quiet: Return nothing unless something failed, differs or was repaired; leave out what was
            quarantined before.
    """
    if quiet and not (report.interrupted or any(map(_is_news, report.repositories))):
        return []
    parts: list[RenderableType] = []
    found = [
        (repo, item.release, item.asset or "", _WORDS[item.kind])
        for repo in report.repositories
        for item in repo.differences
    ]
    repaired = [
        (repo, action.release or "", action.asset or "", _REPAIRED[action.action])
        for repo in report.repositories
        for action in repo.actions
        if action.status == "done" and action.action in _REPAIRED
    ]
    parts += _table("Differs", STYLES["failed"], found)
    parts += _table("Repaired", STYLES["ok"], repaired)
    parts += problems(report, quarantined=not quiet)
    parts.append(Padding(_totals(report, len(repaired)), (1 if parts else 0, 0, 0, 0)))
    return without_leading_blank(parts)


def _is_news(repo: RepositoryReport) -> bool:
    if repo.failures or repo.differences or repo.actions:
        return True
    return repo.status == "failed" and not repo.quarantined


def _table(
    title: str, style: str, rows: list[tuple[RepositoryReport, str, str, str]]
) -> list[RenderableType]:
    if not rows:
        return []
    table = FittingTable("Source → target", "Release", "Asset", title)
    for repo, release, asset, word in rows[:LINES]:
        table.add_row(
            pair(repo.source, repo.target),
            shorten(release, LONGEST_NAME),
            shorten(asset, LONGEST_NAME),
            Text(word, style=style),
        )
    padded = Padding(table, (1, 0, 0, 0))
    if len(rows) <= LINES:
        return [padded]
    return [padded, Text(f"and {len(rows) - LINES:,} more (--json has all)", style="dim")]


def _totals(report: Report, repaired: int) -> Text:
    totals = report.totals()
    seconds = (report.finished_at - report.started_at).total_seconds()
    word, style = ("In sync", "ok") if report.status == "ok" else ("Failed", "failed")
    if report.status == "interrupted":
        word, style = "Interrupted", "interrupted"
    compared = count(totals["assets_compared"], "asset") + " compared"
    if totals["assets_read"]:
        read = f"{totals['assets_read']:,} downloaded ({size(totals['bytes_read'])})"
        compared += f", {read}"
    parts = [compared, count(totals["differences"], "difference")]
    if repaired:
        parts.append(f"{repaired:,} repaired")
    if totals["failures"]:
        parts.append(count(totals["failures"], "failure"))
    mirrors = count(totals["repositories"], "mirror")
    line = Text(f"{word}: ", style=STYLES[style])
    scope = f"{mirrors}, {requests(report)}, {duration(seconds)}"
    line.append(f"{', '.join(parts)}; {scope}", style="not bold")
    return line
