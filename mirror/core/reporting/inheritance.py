"""Finds out what runs of a mirror did that were killed before they told it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.execution.action import RenameAsset

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.execution.action import Examined, Plan
    from mirror.core.reporting.report import ActionReport, RepositoryReport


class KilledRun(NamedTuple):
    """A run that did not end.

    Attributes:
        claim: The number of its claim.
        intended: What it was about to do.
        report: What it has told.
    """

    claim: int
    intended: tuple[ActionReport, ...]
    report: RepositoryReport


def inherited(
    killed: Sequence[KilledRun],
    plan: Plan,
    planned: Iterable[ActionReport],
    target: Snapshot | None,
) -> tuple[ActionReport, ...]:
    """What runs did that were killed; it has to be told by the run that found it.

    That is what they have told, and what they intended, if it is not to be done any more and the
    target shows it: of several runs that intended it, the last one did it.

    Args:
        killed: The oldest first.
        plan: Of the run that took over.
        planned: Its actions.
        target: As the plan was made for.
    """
    examined = {one.source.tag: one for one in plan.examined}
    copies = {release.tag: release for release in target.releases} if target else {}
    tags = target.tags if target else {}
    left = {action.identity for action in planned}
    found: list[ActionReport] = []
    for run in reversed(killed):
        told = [action for action in run.report.actions if action.status == "done"]
        mine = {action.identity for action in told if not action.run}
        new = [
            replace(done, status="done")
            for action in run.intended
            if action.identity not in left | mine
            if (done := _as_done(action, examined, copies, tags, exists=target is not None))
        ]
        before = [action for action in told if not action.run] + new
        found = [replace(action, run=run.claim) for action in before] + found
        left |= {action.identity for action in run.intended}
    # What a killed run had inherited, as far as it was not found again.
    known = {(action.run, action.identity) for action in found}
    passed_on = {
        (action.run, action.identity): action
        for run in killed
        for action in run.report.actions
        if action.run and (action.run, action.identity) not in known
    }
    return (*passed_on.values(), *found)


def _as_done(
    action: ActionReport,
    examined: Mapping[str, Examined],
    copies: Mapping[str, Release],
    tags: Container[str],
    *,
    exists: bool,
) -> ActionReport | None:
    """An action with what the target shows of it; ``None`` if that does not prove it."""
    tag = action.release or ""
    looked, copy = examined.get(tag), copies.get(tag)
    match action.action:
        case "create-repository":
            done = exists
        case "delete-release":
            done = copy is None
        case "delete-asset":
            done = copy is not None and all(a.name != action.asset for a in copy.assets)
        case "publish-release":
            done = looked is not None and looked.copy is not None and not looked.copy.draft
        case "create-tag":
            done = tag in tags or copy is not None
        case "create-release" | "update-release":
            done = looked is not None and looked.copy is not None
        case _:
            return _as_present(action, looked) if looked else None
    return action if done else None


def _as_present(action: ActionReport, looked: Examined) -> ActionReport | None:
    """What was done to an asset, if its copy is there."""
    for asset in looked.assets:
        if asset.name != action.asset:
            continue
        if entry := looked.present.get(asset.id):
            sha256 = entry.sha256 if action.bytes is not None else None
            return replace(action, target_asset=entry.target_name, sha256=sha256)
        for change in looked.changes:
            if isinstance(change, RenameAsset) and change.asset.id == asset.id:
                return action
    return None
