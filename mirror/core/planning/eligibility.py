"""Which assets of a release can be taken now, never, or not yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mirror.core.domain.asset_names import folded, is_temporary
from mirror.core.domain.release import ABSENT, asset_fingerprint, fingerprint, surroundings
from mirror.core.domain.source_archives import is_archive
from mirror.core.execution.action import (
    AssetAction,
    DeleteAsset,
    ReplaceAsset,
    UploadAsset,
    moves_bytes,
)
from mirror.core.failure import Failure

if TYPE_CHECKING:
    from mirror.core.domain.capabilities import Capabilities
    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Asset, Release
    from mirror.core.domain.selection import Wanted
    from mirror.core.ledger.document import Ledger, QuarantineEntry
    from mirror.core.planning.asset_matching import Matched, Taken
    from mirror.core.planning.plan_context import PlanContext
    from mirror.errors import FailureKind, Hint

PENDING = timedelta(hours=1)
"""An asset that is not uploaded at the source for longer than this is no upload in progress."""


class Eligibility:
    """Tells of the assets of one release which can be taken.

    Attributes:
        held: The release is not to be published yet.
        obstacles: What cannot be taken, and why.
        warnings: What an operator should know.
    """

    def __init__(
        self,
        release: Release,
        copy: Release | None,
        ledger: Ledger,
        policy: Policy,
        about: PlanContext,
    ) -> None:
        self._release = release
        self._copy = copy
        self._ledger = ledger
        self._hold = policy.incomplete == "hold"
        self._about = about
        self.held = False
        self.obstacles: list[Failure] = []
        self.warnings: list[str] = []

    @cached_property
    def _within(self) -> str:
        return surroundings(self._release, self._copy.id) if self._copy else ""

    def not_tried(self, asset: Asset | None = None) -> Failure | None:
        """Why the release or one of its assets is left alone in this pass: how it failed before."""
        key = (self._release.id, asset.id if asset else 0)
        delayed = self._about.waiting.get(key)
        known = self._ledger.quarantined.get(key)
        if self._about.retry and known and not self._is_still_taken(known, asset):
            known = None
        if delayed is None and known is None:
            return None
        same = {fingerprint([self._release])}
        if asset:  # what a release of the target cannot take another one may
            same = {asset_fingerprint(asset), asset_fingerprint(asset, self._within)}
        if delayed and delayed.facts in same:
            return delayed
        if known is None or known.facts not in same:
            return None
        return Failure(
            known.kind,
            known.error,
            release_id=self._release.id,
            asset_id=asset.id if asset else 0,
            release=self._release.tag,
            asset=asset.name if asset else None,
            hint=known.hint,
            final=True,
            facts=known.facts,
        )

    def _is_still_taken(self, known: QuarantineEntry, asset: Asset | None) -> bool:
        """Whether an audit sees that a name is taken as it was: nothing is sent to hear it again."""
        if known.kind != "name-taken" or asset is None or self._about.full:
            return False
        others = self._copy.assets if self._copy and not self._copy.draft else ()
        return any(folded(other.name) == folded(asset.name) for other in others if not other.begun)

    def takeable(self, wanted: Wanted) -> list[Asset]:
        """The wanted assets that the target can take, as far as the source tells."""
        taken: list[Asset] = []
        for asset in wanted.assets:
            if is_temporary(asset.name):
                continue  # the source is a mirror itself, and this the new half of an exchange
            if not (asset.uploaded or asset.state == ABSENT):
                self._incomplete(asset)
            elif reason := _untakeable(asset, self._about.capabilities):
                self._never(asset, *reason)
                self.held |= self._hold
            else:
                taken.append(asset)
        return taken

    def settle(self, matched: Matched, copy: Release | None, *, left_alone: bool) -> None:
        """Leave out work that the copy cannot take, and what failed for good and is the same.

        Args:
            matched: What the assets need.
            copy: The target's release.
            left_alone: The settings leave it as it is, but for what is missing.
        """
        for item in matched.taken:
            self._taken(item, left_alone=left_alone)
        if copy and copy.frozen:
            self._frozen(matched)
        self._crowded(matched, len(copy.assets) if copy else 0)
        kept: list[AssetAction] = []
        for action in matched.actions:
            asset = None if isinstance(action, DeleteAsset) else action.asset
            if moves_bytes(action) and action.asset.state == ABSENT:
                text = f"the bundle does not hold the bytes of {action.asset.name} yet"
                self._wait(action.asset, "not-ready", text, hint="absent-bytes")
                self.held = True
                continue
            obstacle = self.not_tried(asset) if asset else None
            if obstacle is None:
                kept.append(action)
                continue
            self.obstacles.append(obstacle)
            if isinstance(action, UploadAsset | ReplaceAsset):
                self.held |= self._hold or not obstacle.final
        matched.actions = kept

    def _taken(self, item: Taken, *, left_alone: bool) -> None:
        """Another asset has the name: it is left alone."""
        name, holder = item.asset.name, item.holder
        if item.called and not is_temporary(item.called):
            text = (
                f"asset {name} was renamed at the source; its copy is still called {item.called},"
                " because another asset at the target has the new name"
            )
        elif item.ours:
            text = f"the target would call it {holder.name}, like another asset of this release"
        else:
            text = (
                f"asset {name} differs from the target's {holder.name}, which this mirror did not"
                " create; it was left alone"
            )
        if left_alone and not item.ours:
            self.warnings.append(text)
        elif holder.begun:
            self.held = True
            self._wait(item.asset, "name-taken", text)
        else:
            self._never(item.asset, "name-taken", text, within=self._within)
            self.held |= self._hold

    def _frozen(self, matched: Matched) -> None:
        """An immutable release keeps its assets as they are: nothing is sent that it refuses."""
        for action in matched.actions:
            if isinstance(action, DeleteAsset):
                continue
            change = "is missing" if isinstance(action, UploadAsset) else "changed at the source"
            text = f"{action.asset.name} {change}, and the target's release is immutable"
            hint: Hint | None = "keep-changes" if isinstance(action, ReplaceAsset) else None
            self._never(action.asset, "immutable", text, hint=hint)
        matched.actions.clear()
        matched.leftovers.clear()

    def _crowded(self, matched: Matched, there: int) -> None:
        """Leave out uploads, the smallest ones, that the target's release has no room for.

        A full one has none for an asset and its replacement at the same time.
        """
        limit = self._about.capabilities.max_assets
        if limit is None:
            return
        room = max(0, limit - there + len(matched.leftovers))
        uploads = [action for action in matched.actions if isinstance(action, UploadAsset)]
        late = {action.asset.id for action in uploads[room:]}
        matched.actions = [
            action
            for action in matched.actions
            if not (isinstance(action, UploadAsset) and action.asset.id in late)
        ]
        for action in uploads[room:]:
            text = f"the release has more assets than the target accepts ({limit})"
            self._never(action.asset, "too-many-assets", text)
            self.held |= self._hold
        spare = room - len(uploads)
        for place, change in enumerate(matched.actions):
            if isinstance(change, ReplaceAsset) and change.temporary is None:
                spare -= 1
                if spare < 0:
                    matched.actions[place] = replace(change, temporary_name="")

    def _incomplete(self, asset: Asset) -> None:
        since = asset.updated_at
        if since and self._about.now - since > PENDING:
            self.warnings.append(
                f"asset {asset.name} is not complete at the source (state {asset.state});"
                " left out until it is"
            )
            return
        self.held = True
        self._wait(asset, "not-ready", f"the source is still uploading {asset.name}")

    def _wait(
        self, asset: Asset, kind: FailureKind, text: str, *, hint: Hint | None = None
    ) -> None:
        self.obstacles.append(
            Failure(
                kind,
                text,
                "upload-asset",
                release_id=self._release.id,
                asset_id=asset.id,
                release=self._release.tag,
                asset=asset.name,
                hint=hint,
            )
        )

    def _never(
        self,
        asset: Asset,
        kind: FailureKind,
        text: str,
        *,
        within: str = "",
        hint: Hint | None = None,
    ) -> None:
        self._wait(asset, kind, text, hint=hint)
        facts = asset_fingerprint(asset, within)
        self.obstacles[-1] = replace(self.obstacles[-1], final=True, facts=facts)


def _untakeable(asset: Asset, limits: Capabilities) -> tuple[FailureKind, str] | None:
    """Why the target can never accept an asset, or ``None``."""
    if is_archive(asset.id):
        return None  # its size is known only once it was fetched
    if asset.size == 0 and not limits.empty_assets:
        return "empty", "the asset is empty (0 bytes), which GitHub does not accept"
    if limits.max_asset_size is not None and asset.size > limits.max_asset_size:
        most = limits.max_asset_size
        return "too-large", f"the asset has {asset.size} bytes; the target accepts at most {most}"
    return None
