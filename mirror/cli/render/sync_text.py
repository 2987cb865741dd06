"""What ``sync`` prints: a table of changes, then problems and totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import (
    STYLES,
    FittingTable,
    pair,
    problems,
    requests,
    without_leading_blank,
)
from mirror.core.text.wording import age, count, duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mirror.core.reporting.report import Report, RepositoryReport


def summary(report: Report) -> list[RenderableType]:
    """The output of ``sync``: changes, problems and totals."""
    parts: list[RenderableType] = []
    listed = [repo for repo in report.repositories if _is_listed(repo)]
    if listed:
        parts.append(_changes(listed))
    others = _others(report)
    if others and (listed or len(others) > 1):  # else the last line tells it
        parts.append(Text(", ".join(others), style="dim"))
    parts += problems(report)
    parts.append(_last_line(report))
    return without_leading_blank(parts)


def news(report: Report) -> list[RenderableType]:
    """The output of ``sync --quiet``: failures and an interruption; otherwise nothing.

    Items that an earlier pass quarantined are left out.
    """
    if not (report.interrupted or any(_is_news(repo) for repo in report.repositories)):
        return []
    return without_leading_blank([*problems(report, quarantined=False), _last_line(report)])


def _is_news(repo: RepositoryReport) -> bool:
    return bool(repo.failures) or (repo.status == "failed" and not repo.quarantined)


def _is_listed(repo: RepositoryReport) -> bool:
    return bool(repo.actions or repo.failures) or repo.status == "failed"


def _others(report: Report) -> list[str]:
    """The numbers of mirrors without a line of their own."""
    others = [repo for repo in report.repositories if not _is_listed(repo)]
    unseen = [repo for repo in others if _is_source_only(repo, report)]
    stopped = sum(repo.status == "interrupted" for repo in others)
    parts = []
    if unseen:
        parts.append(f"{len(unseen):,} with {_unchanged(unseen, report)}")
    if good := len(others) - len(unseen) - stopped:
        parts.append(f"{good:,} in sync")
    if stopped:
        parts.append(f"{stopped:,} not finished")
    return parts


def _is_source_only(repo: RepositoryReport, report: Report) -> bool:
    """Whether only the source was asked: nothing is known of the target now."""
    checked = repo.target_checked_at
    return repo.status == "unchanged" and (checked is None or checked < report.started_at)


def _unchanged(repositories: Sequence[RepositoryReport], report: Report) -> str:
    """What is known of mirrors whose target was not looked at."""
    times = [repo.target_checked_at for repo in repositories if repo.target_checked_at]
    oldest = min(times, default=None)
    if oldest is None:
        return "source unchanged"
    ago, newest = age(oldest, report.started_at), age(max(times), report.started_at)
    return f"source unchanged; target last checked {'' if ago == newest else 'at most '}{ago}"


def _changes(repositories: Sequence[RepositoryReport]) -> RenderableType:
    table = FittingTable(
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
            _number(done["publish-release"]),
            _number(done["update-release"]),
            _number(uploaded),
            size(moved) if uploaded else "-",
            Text(_number(bad), style=STYLES["failed"] if bad else ""),
        )
    return table


def _number(number: int) -> str:
    return f"{number:,}" if number else "-"


def _verdict(report: Report) -> str:
    if report.status == "failed":
        return "Failed"
    if report.status == "interrupted":
        return "Interrupted"
    unseen = [_is_source_only(repo, report) for repo in report.repositories]
    if not any(unseen):
        return "In sync"
    if not all(unseen):
        return "Done"
    text = _unchanged(report.repositories, report)
    return text[0].upper() + text[1:]


def _unpublished(report: Report) -> int:
    """Drafts that an interrupted pass made and did not publish."""
    if not report.interrupted:
        return 0
    found: dict[str, set[tuple[str, str | None, str | None]]] = {}
    for repo in report.repositories:
        for action in repo.actions:
            if action.status == "done":
                release = (repo.source, repo.target, action.release)
                found.setdefault(action.action, set()).add(release)
    return len(found.get("create-release", set()) - found.get("publish-release", set()))


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
    if drafts := _unpublished(report):
        changed.append(f"{count(drafts, 'draft')} to be published by the next pass")
    if totals["failures"]:
        changed.append(count(totals["failures"], "failure"))
    nothing = {"failed": "nothing changed", "interrupted": "nothing completed"}
    none = nothing.get(report.status, "nothing to do")
    changes = ", ".join(text for text in changed if text) or none
    good = report.status in {"ok", "unchanged"}
    line = Text(f"{_verdict(report)}: ", style=STYLES["ok" if good else report.status])
    mirrors = count(totals["repositories"], "mirror")
    line.append(f"{changes}; {mirrors}, {requests(report)}, {duration(seconds)}", style="not bold")
    return Padding(line, (1 if report.repositories else 0, 0, 0, 0))
