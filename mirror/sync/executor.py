"""Carries out a plan: draft, uploads, verification, publication; it decides nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.action import (
    Action,
    AssetAction,
    CreateTag,
    DeleteAsset,
    DeleteRelease,
    Obstacle,
    Outcome,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.matching import asset_facts
from mirror.core.release import fingerprint
from mirror.errors import (
    DigestMismatch,
    GitHubError,
    HostStopped,
    MirrorError,
    NotFound,
    ShortRead,
    Unmirrorable,
    ValidationFailed,
)
from mirror.sync.copier import LAG, Copied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from mirror.core.action import CreateRepository, Plan, ReleaseWork
    from mirror.core.ledger import AssetEntry
    from mirror.core.release import Asset, Release, RepoRef
    from mirror.core.timetable import Clock
    from mirror.github import ReleaseStore
    from mirror.sync.copier import Copier
    from mirror.sync.stop import Stop
    from mirror.transfer.slots import Slots

log = structlog.get_logger()

RELEASES_AT_ONCE = 8
"""Releases of one mirror whose drafts are open at the same time."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A copy that has to be at the target before its release is published."""

    name: str
    target_id: int
    size: int
    sha256: str | None


@dataclass(slots=True)
class _Progress:
    """One release while it is worked on.

    Attributes:
        arrived: What each upload or replacement brought, not yet verified.
        claimed: Assets of the target's release that are copies already.
        missing: Something that should be there is not, and may yet come: not to be published.
        never: Something can never come.
        lost: What is wrong with a copy that was there before.
    """

    work: ReleaseWork
    release: Release
    arrived: dict[int, tuple[UploadAsset | ReplaceAsset, Copied]] = field(default_factory=dict)
    claimed: set[int] = field(default_factory=set)
    missing: bool = False
    never: bool = False
    lost: MirrorError | None = None


class Executor:
    """Carries out the plan of one mirror.

    Args:
        target: The host of the target.
        repo: The target repository.
        default_branch: Of the target repository; empty where it does not exist yet.
        copier: Copies one asset.
        slots: Permissions to transfer, shared by all mirrors.
        per_release: Transfers into one release at the same time.
        record: Called with each outcome as soon as it is known.
        stop: Once it is requested, nothing new is started.
    """

    def __init__(
        self,
        target: ReleaseStore,
        repo: RepoRef,
        default_branch: str,
        copier: Copier,
        *,
        slots: Slots,
        per_release: int,
        clock: Clock,
        stop: Stop,
        record: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        self._target = target
        self._repo = repo
        self._branch = default_branch
        self._copier = copier
        self._slots = slots
        self._per_release = per_release
        self._clock = clock
        self._stop = stop
        self._record = record
        self._root: tuple[str, str] | None = None
        self._root_lock = asyncio.Lock()

    async def run(self, plan: Plan) -> None:
        """Carry out everything; failures stop only what depends on them.

        Raises:
            HostStopped: The host or its credential was given up.
        """
        if plan.repository and not await self._create_repository(plan.repository, plan):
            return
        queue = iter(plan.releases)

        async def work_off() -> None:
            for work in queue:
                await self._release(work)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(RELEASES_AT_ONCE, len(plan.releases))):
                    group.create_task(work_off())
        except* HostStopped as stopped:
            raise stopped.exceptions[0] from None

    async def _create_repository(self, action: CreateRepository, plan: Plan) -> bool:
        try:
            if self._branch:  # made by a run that was cut off before the first commit
                created = await self._target.repository(self._repo)
            else:
                created = await self._target.create_repository(
                    self._repo, action.visibility, action.description
                )
            self._branch = created.default_branch
            self._root = await self._target.first_commit(
                self._repo, "README.md", action.readme, f"{action.description}\n"
            )
            await self._target.disable_actions(self._repo)
        except MirrorError as error:
            _reraise_stopped(error)
            await self._record(Outcome(action, "failed", obstacle=_obstacle(error, action, None)))
            for _, rest in plan.actions()[1:]:
                await self._record(Outcome(rest, "skipped"))
            return False
        log.info("repository.created", target=str(self._repo))
        await self._record(Outcome(action, "done", repository_id=created.id))
        return True

    async def _release(self, work: ReleaseWork) -> None:
        if self._stop.requested:
            return
        release = work.target
        todo = list(work.actions())
        try:
            if work.tag:
                await self._create_tag(work.tag)
                await self._record(Outcome(todo.pop(0), "done", work.source))
            for leftover in work.leftovers:
                await self._delete(leftover)
                await self._record(Outcome(todo.pop(0), "done", work.source, release))
            if work.create:
                release = await self._target.create_release(
                    self._repo, work.create.fields, work.create.mark
                )
                await self._record(Outcome(todo.pop(0), "done", work.source, release))
        except MirrorError as error:
            _reraise_stopped(error)
            await self._fail(todo, work.source, error)
            return
        if release is None:
            raise AssertionError("a release is planned from a copy, or is created")
        progress = _Progress(work, release, claimed={entry.target_id for entry in work.present})
        await self._assets(progress)
        await self._verify(progress)
        await self._finish(progress)

    async def _create_tag(self, tag: CreateTag) -> None:
        commit = tag.commit
        if commit is None:
            root, tree = await self._placeholder_root()
            commit = await self._target.create_commit(
                self._repo, message=tag.message, tree=tree, parents=[root], date=tag.date
            )
        await self._target.create_tag(self._repo, tag.tag, commit)

    async def _placeholder_root(self) -> tuple[str, str]:
        """The commit and the tree that placeholder commits stand on."""
        async with self._root_lock:
            if self._root is None:
                self._root = await self._target.head(self._repo, self._branch)
            return self._root

    async def _delete(self, action: DeleteAsset | DeleteRelease) -> None:
        """Delete what was seen when the plan was made, and nothing that took its place."""
        seen = action.target
        with suppress(NotFound):  # gone already
            if isinstance(action, DeleteRelease):
                release = await self._target.release(self._repo, seen.id)
                if release.draft and release.body == action.target.body:
                    await self._target.delete_release(self._repo, seen.id)
                return
            asset = await self._target.asset(self._repo, seen.id)
            if asset and (asset.name, asset.size) == (seen.name, action.target.size):
                await self._target.delete_asset(self._repo, seen.id)

    async def _assets(self, progress: _Progress) -> None:
        """Upload what is missing, the largest first; what may collide comes last, one by one."""
        room = asyncio.Semaphore(self._per_release)
        last: list[AssetAction] = []
        try:
            async with asyncio.TaskGroup() as group:
                for action in progress.work.assets:
                    if isinstance(action, UploadAsset) and action.collides:
                        last.append(action)
                    else:
                        await room.acquire()
                        group.create_task(self._bounded(progress, action, room))
        except* HostStopped as stopped:
            raise stopped.exceptions[0] from None
        for action in last:
            await self._asset(progress, action)

    async def _bounded(
        self, progress: _Progress, action: AssetAction, room: asyncio.Semaphore
    ) -> None:
        try:
            await self._asset(progress, action)
        finally:
            room.release()

    async def _asset(self, progress: _Progress, action: AssetAction) -> None:
        if self._stop.requested:
            progress.missing = True
            return
        try:
            match action:
                case UploadAsset():
                    await self._transfer(progress, action, action.asset.name)
                case ReplaceAsset():
                    await self._bring_replacement(progress, action)
                case RenameAsset():
                    await self._change(progress, action, name=action.target_name)
                case UpdateAsset():
                    await self._change(progress, action, label=action.label)
                case DeleteAsset():
                    await self._delete(action)
        except MirrorError as error:
            _reraise_stopped(error)
            self._note_missing(progress, error)
            await self._record(
                Outcome(
                    action,
                    "failed",
                    progress.work.source,
                    progress.release,
                    obstacle=_obstacle(error, action, progress.work.source),
                )
            )

    async def _transfer(
        self, progress: _Progress, action: UploadAsset | ReplaceAsset, name: str
    ) -> None:
        async with self._slots.take((progress.work.rank, -action.asset.size)):
            if self._stop.requested:
                progress.missing = True
                return
            copied = await self._copier.copy(
                progress.release,
                action.asset,
                name,
                progress.claimed,
                ours=progress.release.draft or not isinstance(action, UploadAsset),
            )
        if copied.asset.name != name and not copied.asset.label:
            # The server renamed it: the label keeps the name that people look for.
            labelled = await self._target.update_asset(
                self._repo, copied.asset.id, label=action.asset.name
            )
            copied = replace(copied, asset=labelled)
        progress.claimed.add(copied.asset.id)
        progress.arrived[action.asset.id] = (action, copied)

    async def _bring_replacement(self, progress: _Progress, action: ReplaceAsset) -> None:
        if action.temporary is None:
            await self._transfer(progress, action, action.temporary_name)
        else:
            found = Copied(action.temporary, action.temporary.sha256)
            progress.arrived[action.asset.id] = (action, found)

    async def _change(
        self,
        progress: _Progress,
        action: RenameAsset | UpdateAsset,
        *,
        name: str | None = None,
        label: str | None = None,
    ) -> None:
        changed = await self._target.update_asset(
            self._repo, action.target.id, name=name, label=label
        )
        await self._record(
            Outcome(action, "done", progress.work.source, progress.release, asset=changed)
        )

    async def _verify(self, progress: _Progress) -> None:
        """Read the release's assets afresh and compare; then exchange what was replaced.

        An upload's reply is never trusted alone. Lists may lag behind for up to 30 seconds.
        """
        if not progress.arrived:
            return
        expected = [
            _Expected(action.asset.name, copied.asset.id, action.asset.size, copied.sha256)
            for action, copied in progress.arrived.values()
        ]
        expected += [_expected(entry) for entry in progress.work.present]
        try:
            here = await self._settled_assets(progress.release, expected)
        except MirrorError as error:
            _reraise_stopped(error)
            here = {}
            reason: MirrorError | None = error
        else:
            reason = None
        for action, copied in progress.arrived.values():
            await self._prove(progress, action, copied, here, reason)
        arrived = {copied.asset.id for _, copied in progress.arrived.values()}
        others = (_wrong(item, here) for item in expected if item.target_id not in arrived)
        progress.lost = reason or next((error for error in others if error), None)

    async def _prove(
        self,
        progress: _Progress,
        action: UploadAsset | ReplaceAsset,
        copied: Copied,
        here: dict[int, Asset],
        reason: MirrorError | None,
    ) -> None:
        size = action.asset.size
        wanted = _Expected(action.asset.name, copied.asset.id, size, copied.sha256)
        error = reason or _wrong(wanted, here)
        asset = here.get(copied.asset.id, copied.asset)
        if error is None and isinstance(action, ReplaceAsset):
            try:
                asset = await self._exchange(action, asset)
            except MirrorError as failed:
                _reraise_stopped(failed)
                error = failed
        if error:
            self._note_missing(progress, error)
            obstacle = _obstacle(error, action, progress.work.source)
            await self._record(
                Outcome(action, "failed", progress.work.source, progress.release, obstacle=obstacle)
            )
            return
        log.info(
            "asset.uploaded", target=str(self._repo), release=progress.work.source.tag,
            asset=asset.name, bytes=asset.size,
        )  # fmt: skip
        await self._record(
            Outcome(action, "done", progress.work.source, progress.release, asset, copied.sha256)
        )

    async def _exchange(self, action: ReplaceAsset, fresh: Asset) -> Asset:
        """Delete the old asset and give the new one its name: the only moment it is missed."""
        if action.old:
            await self._delete(DeleteAsset(action.old))
        return await self._target.update_asset(
            self._repo, fresh.id, name=action.target_name, label=action.asset.label
        )

    async def _settled_assets(
        self, release: Release, expected: Sequence[_Expected]
    ) -> dict[int, Asset]:
        here: dict[int, Asset] = {}
        for pause in LAG:
            await self._clock.sleep(pause)
            here = {asset.id: asset for asset in await self._target.assets(self._repo, release.id)}
            if all(item.target_id in here and here[item.target_id].uploaded for item in expected):
                break
        return here

    async def _finish(self, progress: _Progress) -> None:
        work = progress.work
        if work.finish is None:
            return
        if progress.lost:
            await self._fail([work.finish], work.source, progress.lost)
            return
        held = progress.missing or (progress.never and not work.publish_incomplete)
        if held and isinstance(work.finish, PublishRelease):
            await self._record(Outcome(work.finish, "skipped", work.source, progress.release))
            return
        try:
            release = await self._target.update_release(
                self._repo, progress.release.id, work.finish.fields
            )
        except MirrorError as error:
            _reraise_stopped(error)
            await self._fail([work.finish], work.source, error)
            return
        if isinstance(work.finish, PublishRelease):
            log.info("release.published", target=str(self._repo), release=work.source.tag)
        await self._record(Outcome(work.finish, "done", work.source, release))

    async def _fail(self, todo: Iterable[Action], source: Release, error: MirrorError) -> None:
        """The first of these failed; the others depend on it."""
        first, *others = todo
        obstacle = _obstacle(error, first, source)
        await self._record(Outcome(first, "failed", source, obstacle=obstacle))
        for action in others:
            await self._record(Outcome(action, "skipped", source))

    def _note_missing(self, progress: _Progress, error: MirrorError) -> None:
        if _never(error):
            progress.never = True
        else:
            progress.missing = True


def _never(error: MirrorError) -> bool:
    """Whether an asset can never arrive: the host understood the upload and will not take it."""
    return isinstance(error, Unmirrorable | ValidationFailed)


def _reraise_stopped(error: MirrorError) -> None:
    if isinstance(error, HostStopped):
        raise error


def _obstacle(error: MirrorError, action: Action, source: Release | None) -> Obstacle:
    asset = getattr(action, "asset", None)
    facts = asset_facts(asset) if asset else fingerprint([source]) if source else ""
    return Obstacle(
        str(error),
        action=action.name,
        release_id=source.id if source else 0,
        asset_id=asset.id if asset else 0,
        release=source.tag if source else None,
        asset=asset.name if asset else None,
        final=error.final,
        facts=facts,
        status_code=error.status if isinstance(error, GitHubError) else None,
        attempts=error.attempts,
    )


def _expected(entry: AssetEntry) -> _Expected:
    return _Expected(entry.source_name, entry.target_id, entry.size, entry.sha256)


def _wrong(item: _Expected, here: dict[int, Asset]) -> MirrorError | None:
    """What is wrong with a copy as the target shows it now."""
    asset = here.get(item.target_id)
    if asset is None:
        return NotFound(f"the target took {item.name} and does not show it")
    if not asset.uploaded:
        return ShortRead(f"the target took {item.name} and shows it as {asset.state}")
    if asset.size != item.size:
        return ShortRead(f"the target shows {item.name} with {asset.size} of {item.size} bytes")
    if item.sha256 and asset.sha256 not in {None, item.sha256}:
        return DigestMismatch(f"the target shows {item.name} with SHA-256 {asset.sha256}")
    return None
