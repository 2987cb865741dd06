"""One release while it is put together: its assets arrive, are verified and get their names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.asset_names import guessed_name, is_temporary, label_of, may_become
from mirror.core.execution.action import (
    AssetAction,
    DeleteAsset,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
    moves_bytes,
)
from mirror.core.execution.outcome import Outcome
from mirror.core.planning.renames import vacated
from mirror.core.retry import LAG, is_transient, polling, retrying
from mirror.errors import (
    DigestMismatch,
    HostStopped,
    MirrorError,
    NotFound,
    RateLimited,
    ShortRead,
    ValidationFailed,
    Waiting,
)
from mirror.sync.asset_copier import Copied, NameTaken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.action import ReleaseWork
    from mirror.sync.execution_context import ExecutionContext

log = structlog.get_logger()

SLICE = 5.0
"""Seconds between checks for a disabled host or a requested stop during a pause."""

_ONE_AT_A_TIME = (
    "the release is full: {name} was deleted before its replacement was uploaded, and was missing"
    " meanwhile"
)
_MISNAMED = (
    "the target does not rename an asset to {name}; it was uploaded anew under its own name, and"
    " was missing meanwhile"
)


@dataclass(frozen=True, slots=True)
class _Expected:
    """A copy that has to be at the target before its release is published."""

    name: str
    target_id: int
    size: int
    sha256: str | None


class ReleaseExecutor:
    """Puts one release together.

    Args:
        work: What to do.
        release: The target's release, a draft of ours or one that is published.
        context: What to do it with.
    """

    def __init__(self, work: ReleaseWork, release: Release, context: ExecutionContext) -> None:
        self._work = work
        self._release = release
        self._hands = context
        self._vacated = {gone.target.id for gone in work.leftovers}
        here = work.target.assets if work.target else ()
        self._claimed = {asset.id for asset in here} - self._vacated
        self._arrived: dict[int, Copied] = {}  # by the source asset's id
        self._renamed: dict[int, Asset] = {}  # copies as they are now, by their id
        self._warnings: dict[int, str] = {}
        self._missing = False  # what should be there is not, and may yet come
        self._never = False  # something can never come
        self._lost: MirrorError | None = None  # what is wrong with a copy that was there before

    async def run(self) -> None:
        """Bring the assets, verify them by a fresh read, name them, publish or update the release.

        Raises:
            HostStopped: The host or its credential is disabled.
        """
        # People miss names whose assets are there already; what gives a new asset its name keeps
        # it until that has arrived.
        changes = [action for action in self._work.assets if _changes_names(action)]
        wait = _keep_names_for_uploads(self._work.assets)
        later = [a for a in changes if wait and isinstance(a, RenameAsset)]
        first = [
            a for a in changes if not (moves_bytes(a) or (wait and isinstance(a, RenameAsset)))
        ]
        await self._change_all(first)
        await self._bring_assets()
        if self._arrived:
            await self._verify()
        arrived = [a for a in changes if moves_bytes(a) and self._has_temporary_name(a.asset.id)]
        await self._change_all([*arrived, *later])
        await self._finish()

    def _has_temporary_name(self, source_id: int) -> bool:
        copied = self._arrived.get(source_id)
        return copied is not None and is_temporary(copied.asset.name)

    async def _at_once(
        self, actions: Iterable[AssetAction], do: Callable[[AssetAction], Awaitable[None]]
    ) -> None:
        """Do something with each of these, so many at a time as one release can bear."""
        room = asyncio.Semaphore(self._hands.per_release)

        async def in_turn(action: AssetAction) -> None:
            try:
                await do(action)
            except MirrorError as error:
                await self._fail(action, error)
            finally:
                room.release()

        try:
            async with asyncio.TaskGroup() as group:
                for action in actions:
                    await room.acquire()
                    group.create_task(in_turn(action))
        except* HostStopped as stopped:
            raise stopped.exceptions[0] from None

    # -- assets arrive --------------------------------------------------------------------------

    async def _bring_assets(self) -> None:
        """Upload what is missing, the largest first; what may collide comes last, one by one."""
        uploads = [action for action in self._work.assets if moves_bytes(action)]
        last = [a for a in uploads if isinstance(a, UploadAsset) and a.collides]
        others = [a for a in uploads if not (isinstance(a, UploadAsset) and a.collides)]
        await self._at_once(others, self._bring)
        for action in last:
            await self._at_once([action], self._bring)

    async def _bring(self, action: AssetAction) -> None:
        if self._hands.stop.requested:
            self._missing = True
        elif isinstance(action, UploadAsset):
            await self._upload(action, action.temporary_name or action.asset.name)
        elif isinstance(action, ReplaceAsset) and action.temporary_name:
            try:
                await self._upload(action, action.temporary_name)
            except ValidationFailed as error:
                if error.reason != "too-many-assets":
                    raise
                await self._replace_in_place(action)
        elif isinstance(action, ReplaceAsset):
            await self._replace_in_place(action)

    async def _upload(
        self, action: UploadAsset | ReplaceAsset, name: str, *, despite_stop: bool = False
    ) -> Copied | None:
        """Copy an asset in its turn; ``None`` where a stop was asked for before it was begun."""
        asset, journal = action.asset, self._hands.journal
        if not (self._release.draft or is_temporary(name)):
            # Cut off, nothing else would tell that what has this name is ours.
            await journal.replacing_in_place(self._work.source, name)
        try:
            copied = await self._copy(asset, name, despite_stop=despite_stop)
        except NameTaken:
            journal.not_in_place(self._work.source, name)
            raise
        if copied is None:
            self._missing = True
            return None
        self._claimed.add(copied.asset.id)
        if copied.asset.uploaded:
            journal.arrived(self._work.source, asset, copied.asset, copied.sha256)
        self._arrived[asset.id] = copied
        return copied

    def _others(self, asset: Asset) -> frozenset[str]:
        """Names of the source's other assets of this release."""
        return frozenset(other.name for other in self._work.source.assets if other.id != asset.id)

    async def _replace_in_place(self, action: ReplaceAsset) -> None:
        """Where a release has no room for both, the old asset goes first."""
        await self._hands.journal.replacing_in_place(self._work.source, action.target_name)
        await self._hands.delete(DeleteAsset(action.old))
        self._hands.journal.deleted(self._work.source, action.old)
        self._warnings[action.asset.id] = _ONE_AT_A_TIME.format(name=action.target_name)
        await self._upload(action, action.target_name, despite_stop=True)

    async def _copy(self, asset: Asset, name: str, *, despite_stop: bool) -> Copied | None:
        """Copy an asset in its turn; ``None`` if a stop was requested before it started.

        Its turn ends when a host's rate limit is met: meanwhile others, whose hosts may take
        requests, have theirs.
        """
        context = self._hands
        limits: list[MirrorError] = []

        async def in_turn() -> Copied | None:
            while True:
                while (seconds := context.copier.paused_for()) and not context.stop.requested:
                    await context.clock.sleep(min(seconds, SLICE))
                async with context.slots.take((self._work.rank, -asset.size)):
                    if context.stop.requested and not despite_stop:
                        return None
                    if context.copier.paused_for() and not context.stop.requested:
                        continue  # since then
                    return await context.copier.copy(
                        self._release, asset, name, self._claimed, self._others(asset),
                        limited=limits[-1] if limits else None,
                    )  # fmt: skip

        def limited(error: MirrorError) -> bool:
            return isinstance(error, RateLimited) and is_transient(error, context.clock.now())

        def note(error: MirrorError) -> None:
            limits.append(error)
            log.info("asset.retried", asset=asset.name, attempts=len(limits), error=str(error))

        copied = await retrying(in_turn, context.retry, context.clock, limited, on_retry=note)
        return copied and replace(copied, attempts=copied.attempts + len(limits))

    # -- assets are verified --------------------------------------------------------------------

    async def _verify(self) -> None:
        """Read the release's assets afresh and compare.

        An upload's reply is never trusted alone. Lists may lag behind for up to 30 seconds.
        """
        uploads = {a.asset.id: a for a in self._work.assets if moves_bytes(a)}
        arrived = {number: (uploads[number], copied) for number, copied in self._arrived.items()}
        new = {copied.asset.id for _, copied in arrived.values()}
        expected = {n: _expected(action.asset, copied) for n, (action, copied) in arrived.items()}
        others = [
            _Expected(entry.source_name, entry.target_id, entry.size, entry.sha256)
            for entry in self._work.present
            if entry.target_id not in new
        ]
        try:
            here = await self._settled_assets([*expected.values(), *others])
        except MirrorError as error:
            self._arrived.clear()
            for action, _ in arrived.values():
                await self._fail(action, error)
            return
        for number, (action, copied) in arrived.items():
            if wrong := _wrong(expected[number], here):
                del self._arrived[number]
                await self._fail(action, wrong)
                continue
            asset = here[copied.asset.id]
            if asset.name != copied.asset.name:
                renamed = f"{copied.asset.name} was renamed at the target meanwhile"
                del self._arrived[number]
                await self._fail(action, Waiting("not-ready", renamed))
                continue
            self._arrived[number] = replace(copied, asset=asset)
            if not is_temporary(asset.name):
                await self._upload_is_done(action, asset, copied.sha256)
        self._lost = next((wrong for item in others if (wrong := _wrong(item, here))), None)

    async def _settled_assets(self, expected: Sequence[_Expected]) -> Mapping[int, Asset]:
        context = self._hands

        async def look() -> dict[int, Asset]:
            assets = await context.target.assets(context.repo, self._release.id)
            return {asset.id: asset for asset in assets}

        def complete(here: Mapping[int, Asset]) -> bool:
            return all(i.target_id in here and here[i.target_id].uploaded for i in expected)

        return await polling(look, complete, LAG, context.clock)

    async def _upload_is_done(
        self, action: UploadAsset | ReplaceAsset, asset: Asset, sha256: str | None
    ) -> None:
        log.info(
            "asset.uploaded", target=str(self._hands.repo), release=self._work.source.tag,
            asset=asset.name, bytes=asset.size,
        )  # fmt: skip
        warning = self._warnings.get(action.asset.id, "")
        await self._record(action, asset=asset, sha256=sha256, warning=warning)

    # -- names change ---------------------------------------------------------------------------

    async def _change_all(self, actions: Sequence[AssetAction]) -> None:
        """Delete, rename and label, each after those that have to give its name up first."""
        pending = [a for a in actions if moves_bytes(a) or not self._hands.stop.requested]
        self._missing |= len(pending) < len(actions)
        for action in pending:
            match action:
                case RenameAsset(target=copy) | ReplaceAsset(temporary=copy) if copy:
                    self._hands.journal.renaming(self._work.source, action.asset, copy)
        if any(not isinstance(action, UpdateAsset) for action in pending):
            # What a crash would leave behind is told by the ledger then.
            await self._hands.journal.checkpoint()
        while ready := [action for action in pending if self._may_change(action)]:
            begun = set(map(id, ready))
            pending = [action for action in pending if id(action) not in begun]
            await self._at_once(ready, self._change)
        for action in pending:
            self._missing = True
            reason = "another asset still has the name"
            await self._hands.record(Outcome(action, "skipped", self._work.source, later=reason))

    def _may_change(self, action: AssetAction) -> bool:
        return self._vacated.issuperset(getattr(action, "after", ()))

    async def _change(self, action: AssetAction) -> None:
        match action:
            case RenameAsset(asset=asset):
                copy = self._renamed.get(action.target.id, action.target)
                await self._hands.confirm(copy)
                changed = await self._rename(asset, copy, action.target_name, action.label)
                self._renamed[changed.id] = changed
                if not _took_name(action, changed):
                    raise Waiting("invalid-answer", f"the target still calls it {changed.name}")
                await self._record(action, asset=changed)
            case UpdateAsset(target=copy):
                await self._hands.confirm(copy)
                changed = await self._patch(copy, label=action.label)
                await self._record(action, asset=changed)
            case DeleteAsset():
                await self._hands.delete(action)
                await self._record(action)
            case ReplaceAsset() | UploadAsset():
                await self._name_upload(action)
        if (number := vacated(action)) is not None:
            self._vacated.add(number)

    async def _name_upload(self, action: UploadAsset | ReplaceAsset) -> None:
        """Give a copy that arrived under a temporary name its own.

        Of a replacement the old asset is deleted before: the only moment in which it is missed.
        """
        asset, copied = action.asset, self._arrived.get(action.asset.id)
        if isinstance(action, ReplaceAsset):
            fresh = copied.asset if copied else action.temporary
            name = action.target_name
            await self._hands.delete(DeleteAsset(action.old))
            self._hands.journal.deleted(self._work.source, action.old)
        else:
            fresh, name = copied.asset if copied else None, asset.name
        assert fresh is not None  # noqa: S101 - only what is at the target is named
        label = label_of(asset, guessed_name(name))
        try:
            named = await self._rename(asset, fresh, name, label)
        except ValidationFailed as error:
            if error.reason != "invalid-name":
                # The old asset may be gone already: this cannot be left as it is for a day.
                raise Waiting("rejected", f"{name} could not be renamed ({error})") from error
            named = fresh
        if not _is_named(action, named):
            named = await self._upload_anew(action, named, name)
            copied = self._arrived[asset.id]
        await self._upload_is_done(action, named, copied.sha256 if copied else None)

    async def _rename(self, asset: Asset, copy: Asset, name: str, label: str | None) -> Asset:
        """Rename a copy.

        Raises:
            NameTaken: Another asset has the name.
        """
        context = self._hands
        try:
            return await self._patch(copy, name=name, label=label)
        except ValidationFailed as error:
            if error.reason != "already-exists":
                raise
            if is_temporary(copy.name):
                # Nobody is to find it there; the source has its bytes.
                await context.delete(DeleteAsset(copy))
                context.journal.deleted(self._work.source, copy)
            raise NameTaken(
                f"the target has another asset with the name that it would give to {asset.name}"
            ) from error

    async def _patch(
        self, copy: Asset, *, name: str | None = None, label: str | None = None
    ) -> Asset:
        context = self._hands
        return await context.target.update_asset(context.repo, copy.id, name=name, label=label)

    async def _upload_anew(
        self, action: UploadAsset | ReplaceAsset, misnamed: Asset, name: str
    ) -> Asset:
        """What is left where a server takes no name for an asset that it has already."""
        await self._hands.delete(DeleteAsset(misnamed))
        self._hands.journal.deleted(self._work.source, misnamed)
        copied = await self._upload(action, name, despite_stop=True)
        assert copied is not None  # noqa: S101 - no stop keeps it from being begun
        expected = _expected(action.asset, copied)
        here = await self._settled_assets([expected])
        if wrong := _wrong(expected, here):
            raise wrong
        self._warnings[action.asset.id] = _MISNAMED.format(name=name)
        return here[copied.asset.id]

    # -- the release is finished ----------------------------------------------------------------

    async def _finish(self) -> None:
        finish, context = self._work.finish, self._hands
        if finish is None:
            return
        if self._lost:
            await context.fail([finish], self._work.source, self._lost)
            return
        held = self._missing or (self._never and not self._work.publish_incomplete)
        if held and isinstance(finish, PublishRelease):
            await context.record(Outcome(finish, "skipped", self._work.source, self._release))
            return
        try:
            if self._never and isinstance(finish, PublishRelease):
                await self._remove_broken()
            if isinstance(finish, PublishRelease):
                # Only in a draft is everything ours: from now on the ledger alone tells.
                await context.journal.checkpoint()
            self._release = await context.target.update_release(
                context.repo, self._release.id, finish.fields
            )
        except ValidationFailed as error:
            await context.fail([finish], self._work.source, _perhaps_later(error))
            return
        except MirrorError as error:
            await context.fail([finish], self._work.source, error)
            return
        if isinstance(finish, PublishRelease):
            log.info("release.published", target=str(context.repo), release=self._work.source.tag)
        await context.record(Outcome(finish, "done", self._work.source, self._release))

    async def _remove_broken(self) -> None:
        """Delete what an upload that can never succeed has left, before people see the release."""
        context = self._hands
        for asset in await context.target.assets(context.repo, self._release.id):
            if not asset.uploaded:
                await context.delete(DeleteAsset(asset))

    async def _record(
        self,
        action: AssetAction,
        *,
        asset: Asset | None = None,
        sha256: str | None = None,
        warning: str = "",
    ) -> None:
        source = self._work.source
        outcome = Outcome(action, "done", source, self._release, asset, sha256, warning=warning)
        await self._hands.record(outcome)

    async def _fail(self, action: AssetAction, error: MirrorError) -> None:
        self._arrived.pop(action.asset.id if moves_bytes(action) else 0, None)
        if error.final:
            self._never = True  # the host understood, and will not take it
        else:
            self._missing = True
        await self._hands.fail([action], self._work.source, error, within=self._release.id)


def _perhaps_later(error: ValidationFailed) -> MirrorError:
    """Somebody published a release of this tag meanwhile: the next pass will see it."""
    if error.reason != "already-exists":
        return error
    return Waiting("not-ready", f"somebody else published this release meanwhile ({error})")


def _is_named(action: UploadAsset | ReplaceAsset, copy: Asset) -> bool:
    """Whether the target took a name: as it is, or as what servers make of such a name."""
    if isinstance(action, ReplaceAsset) and action.target_name == action.old.name:
        return copy.name == action.target_name  # it had that name already
    return not is_temporary(copy.name) and may_become(action.asset.name, copy.name)


def _took_name(action: RenameAsset, copy: Asset) -> bool:
    """Whether a renamed copy has its name, or what servers make of such a name."""
    if is_temporary(action.target_name):
        return is_temporary(copy.name)
    if copy.name == action.target_name:
        return True
    return may_become(action.asset.name, copy.name)


def _changes_names(action: AssetAction) -> bool:
    """Whether an action is carried out, or ends, without moving bytes."""
    return not isinstance(action, UploadAsset | ReplaceAsset) or bool(action.temporary_name)


def _keep_names_for_uploads(actions: Sequence[AssetAction]) -> bool:
    """Whether copies have to keep their names until something that is uploaded takes them."""
    return any(isinstance(action, UploadAsset) and action.after for action in actions)


def _expected(asset: Asset, copied: Copied) -> _Expected:
    size = asset.size if copied.size is None else copied.size
    return _Expected(asset.name, copied.asset.id, size, copied.sha256)


def _wrong(item: _Expected, here: Mapping[int, Asset]) -> MirrorError | None:
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
