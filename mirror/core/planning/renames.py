"""Names that pass from one asset to another: the order of it, and the circles in it.

A host refuses a name that another asset has. So whoever has a name gives it up first; where names
go round in a circle, one copy gets a temporary name meanwhile.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from mirror.core.domain.asset_names import temporary_name
from mirror.core.execution.action import DeleteAsset, RenameAsset, ReplaceAsset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.execution.action import AssetAction


def in_order(actions: Sequence[AssetAction]) -> list[AssetAction]:
    """Sort actions so that each name is given up before it is taken.

    Uploads and replacements keep their place; renames follow in the order of their chains, and of
    each circle one copy steps aside first.
    """
    renames = {action.target.id: action for action in actions if isinstance(action, RenameAsset)}
    aside = _circles(renames)
    # A chain begins with whoever waits for nobody, or for one that stepped aside.
    moving = renames.keys() - set(aside)
    waits = {number: moving.intersection(action.after) for number, action in renames.items()}
    return [
        *(action for action in actions if not isinstance(action, RenameAsset)),
        *(_step_aside(renames[number]) for number in aside),
        *(renames[number] for number in TopologicalSorter(waits).static_order()),
    ]


def vacated(action: AssetAction) -> int | None:
    """The id of the copy that gives its name up with an action; ``None`` for none."""
    match action:
        case RenameAsset(target=copy) | DeleteAsset(target=copy):
            return copy.id
        case ReplaceAsset(temporary=copy) if copy is not None:
            return copy.id
        case _:
            return None


def _circles(renames: Mapping[int, RenameAsset]) -> list[int]:
    """One copy of each circle of renames, by its id."""
    seen: set[int] = set()
    found = []
    for start in renames:
        path: set[int] = set()
        at = start
        while at in renames and at not in seen | path:
            path.add(at)
            at = next(iter(renames[at].after), 0)
        if at in path:
            found.append(at)
        seen |= path
    return found


def _step_aside(action: RenameAsset) -> RenameAsset:
    """Free a copy's name for the next one; its own comes later."""
    return RenameAsset(action.asset, action.target, temporary_name(action.asset))
