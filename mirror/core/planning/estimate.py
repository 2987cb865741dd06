"""What a plan costs in requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.execution.action import CreateTag, PushTag, ReplaceAsset, UploadAsset, moves_bytes

if TYPE_CHECKING:
    from mirror.core.execution.action import Plan


def requests_of(plan: Plan) -> dict[str, int]:
    """The requests that carrying a plan out costs if nothing fails, by side.

    Returns:
        ``source`` and ``target``. A download is one request of the source's API, whose answer may
        point to a storage host that counts nothing.
    """
    source = 0
    target = 0
    if plan.repository:
        # The repository, Actions disabled, its first commit.
        target += 2 + bool(plan.repository.readme)
    elif any(work.tag and work.tag.commit is None for work in plan.releases):
        target += 2  # where placeholders start from: the default branch's head and its tree
    for work in plan.releases:
        for action in work.actions():
            cost = 0 if isinstance(action, PushTag) else _COST[action.name]
            if isinstance(action, CreateTag) and action.commit is None:
                cost += 1
            source += moves_bytes(action)
            if isinstance(action, UploadAsset):
                cost += bool(action.temporary_name)  # renamed when it is verified
            elif isinstance(action, ReplaceAsset):
                # There already, it is not uploaded; without room for both, it is not renamed.
                cost -= action.temporary is not None or not action.temporary_name
            target += cost
        if any(moves_bytes(action) for action in work.assets):
            target += (len(work.present) + len(work.assets) + 99) // 100
    return {"source": source, "target": target}


_COST: dict[str, int] = {
    "create-repository": 0,  # counted once, above
    "create-tag": 1,
    "create-release": 1,
    "upload-asset": 1,
    "replace-asset": 4,  # upload, read the old one again, delete it, rename
    "rename-asset": 2,  # read it again, rename it
    "update-asset": 1,
    "delete-asset": 2,  # read it again, delete it
    "delete-release": 2,
    "publish-release": 1,
    "update-release": 1,
}
