"""In which order the actions on the assets of one release are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.core.execution.action import RenameAsset, ReplaceAsset, UploadAsset, moves_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.execution.action import AssetAction


@dataclass(frozen=True, slots=True)
class AssetOrder:
    """The actions on a release's assets, in four steps.

    An action that uploads under a temporary name appears twice: as an upload, and as a change of
    names afterwards.

    Attributes:
        before: Deletions, renames and labels whose bytes are at the target already: people should
            not miss those names while the uploads take their time.
        uploads: What can be uploaded at the same time.
        colliding: Uploads whose names may collide with others; one by one, after those.
        after: Names that the uploads get, and renames that would leave a public name unused
            until an upload takes it.
    """

    before: tuple[AssetAction, ...]
    uploads: tuple[UploadAsset | ReplaceAsset, ...]
    colliding: tuple[UploadAsset | ReplaceAsset, ...]
    after: tuple[AssetAction, ...]

    @classmethod
    def of(cls, actions: Sequence[AssetAction]) -> AssetOrder:
        """Order the actions of a release."""
        wait = any(isinstance(action, UploadAsset) and action.after for action in actions)
        uploads = [action for action in actions if moves_bytes(action)]
        others = [action for action in actions if not moves_bytes(action)]
        return cls(
            before=tuple(a for a in others if not (wait and isinstance(a, RenameAsset))),
            uploads=tuple(a for a in uploads if not _collides(a)),
            colliding=tuple(a for a in uploads if _collides(a)),
            after=(
                *(action for action in uploads if action.temporary_name),
                *(action for action in others if wait and isinstance(action, RenameAsset)),
            ),
        )


def _collides(action: UploadAsset | ReplaceAsset) -> bool:
    return isinstance(action, UploadAsset) and action.collides
