"""What the executor of a plan works with; guarded deletes, and how failures are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.core.domain.release import asset_fingerprint, fingerprint, surroundings
from mirror.core.execution.action import Action, DeleteAsset, DeleteRelease
from mirror.core.execution.outcome import Outcome
from mirror.core.failure import Failure
from mirror.errors import HostStopped, MirrorError, NotFound, NotTried, Waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, Release, RepoRef
    from mirror.core.retry import RetryPolicy
    from mirror.git.tag_pusher import Place, TagPusher
    from mirror.github import ReleaseStore
    from mirror.sync.asset_copier import AssetCopier
    from mirror.sync.journal import Journal
    from mirror.sync.stop import Stop
    from mirror.transfer.priority_queue import TransferSlots


@dataclass(frozen=True, slots=True)
class History:
    """Pushes tags, with their history, from one repository to another."""

    pusher: TagPusher
    source: Place
    target: Place

    async def push(self, tags: Sequence[str]) -> Mapping[str, MirrorError]:
        """Push tags; the error of each tag that could not be pushed."""
        return await self.pusher.push(self.source, self.target, tags)

    async def push_branch(self, branch: str, tag: str) -> None:
        """Create a branch at a tag that was pushed."""
        await self.pusher.push_branch(self.source, self.target, branch, tag)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What the executor of one mirror works with.

    Attributes:
        target: The host of the target.
        repo: The target repository.
        copier: Copies one asset.
        slots: Permissions to transfer an asset, shared by all mirrors.
        per_release: Transfers into one release at the same time.
        retry: How often a copy is attempted that meets rate limits.
        stop: Once it is requested, nothing new is started.
        record: Called with each outcome as soon as it is known.
        journal: Records in the ledger what is not an outcome yet.
        history: Pushes tags with their history, if that is configured.
    """

    target: ReleaseStore
    repo: RepoRef
    copier: AssetCopier
    slots: TransferSlots
    per_release: int
    clock: Clock
    retry: RetryPolicy
    stop: Stop
    record: Callable[[Outcome], Awaitable[None]]
    journal: Journal
    history: History | None = None

    async def delete(self, action: DeleteAsset | DeleteRelease) -> None:
        """Delete what the plan saw, and nothing that took its place.

        Raises:
            Waiting: It is not what the plan saw. Or it exists although the target responds 404,
                which for a write can also mean that the token lacks a permission.
        """
        try:
            if isinstance(action, DeleteRelease):
                await self._delete_release(action.target)
            else:
                await self._delete_asset(action.target)
        except NotFound as error:
            releases = (await self.target.list_releases(self.repo)).releases
            here = {release.id for release in releases}
            here |= {asset.id for release in releases for asset in release.assets}
            if action.target.id in here:
                raise Waiting(
                    "permission", f"it cannot be deleted ({error}), although it is there"
                ) from None

    async def _delete_release(self, seen: Release) -> None:
        release = await self.target.release(self.repo, seen.id)
        same = (release.draft, release.tag) == (seen.draft, seen.tag)
        if not same or (release.draft and release.body != seen.body):
            raise Waiting("not-ready", f"the release {seen.tag} changed at the target; it was kept")
        known = {asset.id for asset in seen.assets}
        if new := [asset.name for asset in release.assets if asset.id not in known]:
            raise Waiting(
                "not-ready", f"{new[0]} was attached to {seen.tag} meanwhile; it was kept"
            )
        await self.target.delete_release(self.repo, seen.id)

    async def _delete_asset(self, seen: Asset) -> None:
        await self.confirm(seen)
        await self.target.delete_asset(self.repo, seen.id)

    async def confirm(self, seen: Asset) -> None:
        """Read an asset of the target again before it is changed.

        Raises:
            NotFound: It is gone.
            Waiting: It is not what the plan saw.
        """
        asset = await self.target.asset(self.repo, seen.id)
        if asset is None:
            raise NotFound(f"the target has no asset {seen.name} ({seen.id})")
        if _identity(asset) != _identity(seen):
            raise Waiting("not-ready", f"{seen.name} changed at the target; it was left alone")

    async def fail(
        self,
        todo: Iterable[Action],
        source: Release | None,
        error: MirrorError,
        *,
        within: int = 0,
    ) -> None:
        """Record that the first of these actions failed, and that the others, which need it, wait.

        Args:
            todo: The actions.
            source: The source's release.
            error: Why the first one failed.
            within: The id of the target's release that an asset belongs into.

        Raises:
            HostStopped: The error itself, if it is one: it is reported once, for the host.
        """
        if isinstance(error, HostStopped):
            raise error
        if isinstance(error, NotTried):
            for action in todo:
                await self.record(Outcome(action, "skipped", source, later=str(error)))
            return
        first, *others = todo
        failure = _failure(error, first, source, within)
        await self.record(Outcome(first, "failed", source, failure=failure))
        for action in others:
            await self.record(Outcome(action, "skipped", source))


def _identity(asset: Asset) -> tuple[object, ...]:
    return asset.name, asset.size, asset.state, asset.created_at


def _failure(error: MirrorError, action: Action, source: Release | None, within: int) -> Failure:
    asset = getattr(action, "asset", None)
    facts = fingerprint([source]) if source else ""
    if asset:
        facts = asset_fingerprint(asset, surroundings(source, within) if source and within else "")
    return Failure.of(
        error,
        action.name,
        release_id=source.id if source else 0,
        asset_id=asset.id if asset else 0,
        release=source.tag if source else None,
        asset=asset.name if asset else None,
        final=error.final,
        facts=facts,
    )
