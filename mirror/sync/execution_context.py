"""What the executor of a plan works with; guarded deletes, and how failures are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from mirror.core.domain.release import asset_fingerprint, fingerprint, surroundings
from mirror.core.execution.action import Action, DeleteAsset, DeleteRelease
from mirror.core.execution.outcome import Outcome
from mirror.core.execution.settlement import (
    asset_changed,
    deletion_refused,
    release_changed,
)
from mirror.core.failure import Failure
from mirror.errors import ClaimLost, ConnectionLost, HostStopped, MirrorError, NotFound, NotTried
from mirror.sync.permission_gate import refuse_if_there

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from mirror.core.domain.release import Asset, Release, RepoRef
    from mirror.core.host import ReleaseWriter
    from mirror.git.tag_pusher import Place, TagPusher
    from mirror.sync.asset_copier import AssetCopier
    from mirror.sync.context import SessionContext
    from mirror.sync.journal import Journal
    from mirror.sync.permission_gate import PermissionGate
    from mirror.sync.write_guard import WriteGuard

T = TypeVar("T")

_UNANSWERED = (
    "the run was stopped before this was finished; it may have been carried out, or a part of it"
)


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
        session: What all sessions of the pass share.
        record: Called with each outcome as soon as it is known.
        note_step: Called with what was done of an action that did not end, for the report alone.
        guard: Finishes the writes in flight when the run is cancelled.
        gate: Stops the writes once the target refused one for want of a permission.
        journal: Records in the ledger what is not an outcome yet.
        history: Pushes tags with their history, if that is configured.
    """

    target: ReleaseWriter
    repo: RepoRef
    copier: AssetCopier
    session: SessionContext
    record: Callable[[Outcome], Awaitable[None]]
    note_step: Callable[[Outcome], None]
    guard: WriteGuard
    gate: PermissionGate
    journal: Journal
    history: History | None = None

    async def finish(
        self,
        write: Coroutine[Any, Any, T],
        actions: Sequence[Action],
        source: Release | None,
        *,
        within: int = 0,
        gated: bool = True,
        worthwhile: Callable[[], bool] = lambda: True,
    ) -> T:
        """Run a write and the record of it to their end, also if the run is cancelled meanwhile.

        Args:
            write: Carries out the actions, and records them.
            actions: They are reported as failed if the target did not answer in time.
            source: The source's release.
            within: The id of the target's release that is written into; 0 for the repository.
            gated: The write passes the gate here, and not by itself.
            worthwhile: Whether an answer can be expected soon.

        Raises:
            NotTried: The target refused another write of this mirror.
            ClaimLost: Another process may work on this mirror now.
        """

        def unknown() -> None:
            for action in actions:
                failure = _failure(ConnectionLost(_UNANSWERED), action, source, 0)
                self.note_step(Outcome(action, "failed", source, failure=failure))

        finished = partial(self.guard.finish, write, worthwhile=worthwhile, unknown=unknown)
        try:
            self.session.check_claim()
            if not gated:
                return await finished()
            async with self.gate.write():
                try:
                    return await finished()
                except NotFound as error:
                    await refuse_if_there(error, self.target, self.repo, within)
                    raise
        finally:
            write.close()  # if it was not to be sent

    async def delete(self, action: DeleteAsset | DeleteRelease) -> None:
        """Delete what the plan saw, and nothing that took its place.

        Raises:
            Waiting: It is not what the plan saw. Or it exists although the target responds 404,
                which for a write can also mean that the token lacks a permission.
            ClaimLost: Another process may work on this mirror now.
        """
        self.session.check_claim()
        try:
            if isinstance(action, DeleteRelease):
                await self._delete_release(action.target)
            else:
                await self.confirm(action.target)
                await self.target.delete_asset(self.repo, action.target.id)
        except NotFound as error:
            listing = await self.target.list_releases(self.repo)
            if refused := deletion_refused(action.target, error, listing.releases):
                raise refused from None

    async def _delete_release(self, seen: Release) -> None:
        release = await self.target.release(self.repo, seen.id)
        if changed := release_changed(seen, release):
            raise changed
        await self.target.delete_release(self.repo, seen.id)

    async def confirm(self, seen: Asset) -> None:
        """Read an asset of the target again before it is changed.

        Raises:
            NotFound: It is gone.
            Waiting: It is not what the plan saw.
        """
        if changed := asset_changed(seen, await self.target.asset(self.repo, seen.id)):
            raise changed

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
            ClaimLost: The error itself: whoever has the mirror now goes on.
        """
        if isinstance(error, (HostStopped, ClaimLost)):
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
