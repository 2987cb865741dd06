"""What ``plan`` prints: the changes of each mirror, problems and totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import LONGEST_NAME, FittingTable, pair, problems, requests
from mirror.core.text.sanitise import shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mirror.core.reporting.report import ActionReport, Report, RepositoryReport

LINES = 50
"""Maximum actions to list one by one; longer plans show counts per release."""

RELEASES = 200
"""Maximum releases to list per mirror."""

_VERBS = {
    "create-repository": "create the repository",
    "create-tag": "create the tag",
    "create-release": "create as a draft",
    "update-release": "update text and flags",
    "publish-release": "publish",
    "delete-release": "delete the release",
    "upload-asset": "upload",
    "replace-asset": "replace",
    "rename-asset": "rename",
    "update-asset": "update the label of",
    "delete-asset": "delete",
}
_SHORT = {
    "create-release": "new",
    "update-release": "update",
    "delete-release": "delete",
    "publish-release": "publish",
}


def plan_tables(report: Report) -> list[RenderableType]:
    """The output of ``plan``: changes per mirror, problems, totals and estimated requests."""
    pending = [
        repo
        for repo in sorted(report.repositories, key=lambda repo: repo.source.casefold())
        if any(action.status == "planned" for action in repo.actions)
    ]
    parts: list[RenderableType] = []
    if pending:
        parts.append(_table(pending))
        planned = sum(len(_planned(repo)) for repo in pending)
        parts += [part for repo in pending for part in _details(repo, each=planned <= LINES)]
    parts += problems(report)
    parts.append(Padding(_totals(report), (1 if parts else 0, 0, 0, 0)))
    return parts


def _planned(repo: RepositoryReport) -> list[ActionReport]:
    return [action for action in repo.actions if action.status == "planned"]


def _bytes(actions: Sequence[ActionReport]) -> int:
    moves = {"upload-asset", "replace-asset"}
    return sum(action.bytes or 0 for action in actions if action.action in moves)


def _table(repositories: Sequence[RepositoryReport]) -> RenderableType:
    columns = ("New", "Update", "Delete", "Assets", "Bytes")
    table = FittingTable("Source → target", *columns, numbers=columns)
    for repo in repositories:
        actions = _planned(repo)
        kinds = Counter(action.action for action in actions)
        name = pair(repo.source, repo.target)
        if kinds["create-repository"]:
            name.append(" (new)", style="dim")
        numbers = (
            kinds["publish-release"],
            kinds["update-release"],
            kinds["delete-release"] + kinds["delete-asset"],
            kinds["upload-asset"] + kinds["replace-asset"],
        )
        table.add_row(name, *(f"{n:,}" if n else "-" for n in numbers), size(_bytes(actions)))
    return table


def _details(repo: RepositoryReport, *, each: bool) -> list[RenderableType]:
    by_release: dict[str | None, list[ActionReport]] = {}
    for action in _planned(repo):
        by_release.setdefault(action.release, []).append(action)
    head = pair(repo.source, repo.target)
    head.stylize("bold")
    parts: list[RenderableType] = [Padding(head, (1, 0, 0, 0))]
    for release, actions in list(by_release.items())[:RELEASES]:
        if not each:
            parts.append(_indented(2, f"{_name(release)}: {_counted(actions)}"))
            continue
        depth = 2
        if release is not None:
            parts.append(_indented(2, _name(release)))
            depth = 4
        parts += [_indented(depth, _action(action)) for action in actions]
    if len(by_release) > RELEASES:
        more = len(by_release) - RELEASES
        parts.append(_indented(2, f"and {count(more, 'release')} more (--json has all)"))
    return parts


def _indented(depth: int, text: str) -> RenderableType:
    return Padding(Text(text, overflow="fold"), (0, 0, 0, depth))


def _name(release: str | None) -> str:
    return "(repository)" if release is None else shorten(release, LONGEST_NAME)


def _action(action: ActionReport) -> str:
    text = _VERBS.get(action.action, action.action)
    if action.asset:
        text += f" {shorten(action.asset, LONGEST_NAME)}"
    return text if action.bytes is None else f"{text} ({size(action.bytes)})"


def _counted(actions: Sequence[ActionReport]) -> str:
    kinds = Counter(action.action for action in actions)
    words = [word for kind, word in _SHORT.items() if kinds[kind]]
    if "new" in words and "publish" in words:
        words.remove("publish")
    uploads = kinds["upload-asset"] + kinds["replace-asset"]
    if uploads:
        words.append(f"{count(uploads, 'asset')} ({size(_bytes(actions))})")
    others = sum(kinds.values()) - uploads - sum(kinds[kind] for kind in _SHORT)
    if others:
        words.append(count(others, "other step"))
    return ", ".join(words)


def _totals(report: Report) -> Text:
    seconds = (report.finished_at - report.started_at).total_seconds()
    scope = f"{count(len(report.repositories), 'mirror')}, {requests(report)}, {duration(seconds)}"
    if not report.pending:
        word = "Planning failed" if report.failed else "Nothing to do"
        word = "Interrupted" if report.interrupted else word
        return Text(f"{word}; {scope}")
    totals = report.totals()
    assets = totals["assets_uploaded"] + totals["assets_replaced"]
    text = (
        f"Would publish {count(totals['releases_created'], 'release')}, update"
        f" {totals['releases_updated']:,}, upload {count(assets, 'asset')}"
        f" ({size(totals['bytes_uploaded'])})"
    )
    deletes = totals["releases_deleted"] + totals["assets_deleted"]
    if deletes:
        text += f", delete {deletes:,}"
    costs = report.estimated_requests()
    cost = ", ".join(f"{n:,} to {shorten(host, 30)}" for host, n in costs.items())
    return Text(f"{text}.\nEstimated requests: {cost}.\nPlanned: {scope}.")
