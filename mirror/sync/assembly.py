"""One release while it is put together: its assets arrive, are verified, and it is finished."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.action import (
    AssetAction,
    DeleteAsset,
    Outcome,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.matching import guessed_name
from mirror.errors import (
    DigestMismatch,
    HostStopped,
    MirrorError,
    NotFound,
    RateLimited,
    ShortRead,
    Unmirrorable,
    ValidationFailed,
    Waiting,
)
from mirror.sync.copier import LAG, Copied, NameTaken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.action import ReleaseWork
    from mirror.core.release import Asset, Release
    from mirror.sync.hands import Hands

log = structlog.get_logger()

SLICE = 5.0
"""Seconds between two looks whether a host that wanted no requests was given up, or a stop came."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A copy that has to be at the target before its release is published."""

    name: str
    target_id: int
    size: int
    sha256: str | None


class Assembly:
    """Puts one release together.

    Args:
        work: What to do.
        release: The target's release, a draft of ours or one that is published.
        hands: What to do it with.
    """

    def __init__(self, work: ReleaseWork, release: Release, hands: Hands) -> None:
        self._work = work
        self._release = release
        self._hands = hands
        self._arrived: dict[int, tuple[UploadAsset | ReplaceAsset, Copied]] = {}
        self._claimed = {entry.target_id for entry in work.present}
        # The name of what is exchanged is its own until the end, also while nothing has it.
        replaced = [action for action in work.assets if isinstance(action, ReplaceAsset)]
        self._claimed |= {action.old.id for action in replaced if action.old}
        self._reserved = {guessed_name(action.target_name).casefold() for action in replaced}
        self._missing = False  # what should be there is not, and may yet come
        self._never = False  # something can never come
        self._lost: MirrorError | None = None  # what is wrong with a copy that was there before

    async def run(self) -> None:
        """Bring the assets, verify them by a fresh read, publish or update the release.

        Raises:
            HostStopped: The host or its credential was given up.
        """
        await self._finish_exchanges()
        await self._bring_assets()
        if self._arrived:
            await self._verify()
        await self._finish()

    async def _finish_exchanges(self) -> None:
        """First of all those that a run began and did not end: people miss these names."""
        for action in self._work.assets:
            if isinstance(action, ReplaceAsset) and (there := action.temporary):
                self._note_arrival(action, Copied(there, there.sha256))
        if self._arrived:
            await self._verify()
            self._arrived.clear()

    # -- assets arrive --------------------------------------------------------------------------

    async def _bring_assets(self) -> None:
        """Upload what is missing, the largest first; what may collide comes last, one by one."""
        room = asyncio.Semaphore(self._hands.per_release)

        async def in_turn(action: AssetAction) -> None:
            try:
                await self._asset(action)
            finally:
                room.release()

        last: list[AssetAction] = []
        try:
            async with asyncio.TaskGroup() as group:
                for action in self._work.assets:
                    if isinstance(action, UploadAsset) and action.collides:
                        last.append(action)
                    else:
                        await room.acquire()
                        group.create_task(in_turn(action))
        except* HostStopped as stopped:
            raise stopped.exceptions[0] from None
        for action in last:
            await self._asset(action)

    async def _asset(self, action: AssetAction) -> None:
        if self._hands.stop.requested:
            self._missing = True
            return
        try:
            match action:
                case UploadAsset():
                    self._refuse_reserved(action.asset.name)
                    await self._upload(action, action.asset.name)
                case ReplaceAsset(temporary=None):
                    await self._upload(action, action.temporary_name)
                case RenameAsset():
                    await self._change(action, name=action.target_name)
                case UpdateAsset():
                    await self._change(action, label=action.label)
                case DeleteAsset():
                    await self._hands.delete(action)
                    await self._record(action)
        except MirrorError as error:
            await self._fail(action, error)

    def _refuse_reserved(self, name: str) -> None:
        if guessed_name(name).casefold() in self._reserved:
            raise NameTaken(
                f"the target would name it {guessed_name(name)}, as another asset of this release"
            )

    async def _upload(self, action: UploadAsset | ReplaceAsset, name: str) -> None:
        asset = action.asset
        ours = self._release.draft or isinstance(action, ReplaceAsset)
        copied = await self._copy(asset, name, ours=ours)
        if copied is None:
            self._missing = True
            return
        if isinstance(action, UploadAsset):
            copied = replace(copied, asset=await self._labelled(copied.asset, asset))
        self._note_arrival(action, copied)

    async def _copy(
        self, asset: Asset, name: str, *, ours: bool, despite_stop: bool = False
    ) -> Copied | None:
        """Copy an asset in its turn; ``None`` where a stop was asked for before it was begun.

        While one of its hosts takes no requests the turn is others', whose hosts may.
        """
        hands, tries = self._hands, 0
        while True:
            while (seconds := hands.copier.paused_for()) and not hands.stop.requested:
                await hands.clock.sleep(min(seconds, SLICE))
            async with hands.slots.take((self._work.rank, -asset.size)):
                if hands.stop.requested and not despite_stop:
                    return None
                if hands.copier.paused_for() and not hands.stop.requested:
                    continue  # since then
                try:
                    copied = await hands.copier.copy(
                        self._release, asset, name, self._claimed, ours=ours
                    )
                except RateLimited as error:
                    tries += 1
                    if not hands.copier.may_come_back(error, tries):
                        error.attempts = max(tries, error.attempts)
                        raise
                    log.info("asset.retried", asset=asset.name, attempts=tries, error=str(error))
                else:
                    return replace(copied, attempts=copied.attempts + tries)

    def _note_arrival(self, action: UploadAsset | ReplaceAsset, copied: Copied) -> None:
        self._claimed.add(copied.asset.id)
        self._arrived[action.asset.id] = (action, copied)

    async def _labelled(self, copy: Asset, asset: Asset) -> Asset:
        """Where the server renamed an asset, its label keeps the name that people look for."""
        if copy.name == asset.name or copy.label:
            return copy
        hands = self._hands
        return await hands.target.update_asset(hands.repo, copy.id, label=asset.name)

    async def _change(
        self,
        action: RenameAsset | UpdateAsset,
        *,
        name: str | None = None,
        label: str | None = None,
    ) -> None:
        target = self._hands.target
        try:
            changed = await target.update_asset(
                self._hands.repo, action.target.id, name=name, label=label
            )
        except ValidationFailed as error:
            if name and error.has(code="already_exists"):
                # What has the name may be on its way to another one.
                raise Waiting(f"waits: the name {name} is still taken ({error})") from error
            raise
        await self._record(action, asset=changed)

    # -- assets are verified --------------------------------------------------------------------

    async def _verify(self) -> None:
        """Read the release's assets afresh and compare; then exchange what was replaced.

        An upload's reply is never trusted alone. Lists may lag behind for up to 30 seconds.
        """
        arrived = {copied.asset.id for _, copied in self._arrived.values()}
        expected = [_expected(action, copied) for action, copied in self._arrived.values()]
        others = [
            _Expected(entry.source_name, entry.target_id, entry.size, entry.sha256)
            for entry in self._work.present
            if entry.target_id not in arrived
        ]
        try:
            here = await self._settled_assets([*expected, *others])
        except MirrorError as error:
            for action, _ in self._arrived.values():
                await self._fail(action, error)
            return
        for action, copied in self._arrived.values():
            await self._prove(action, copied, here)
        self._lost = next((wrong for item in others if (wrong := _wrong(item, here))), None)

    async def _settled_assets(self, expected: Sequence[_Expected]) -> Mapping[int, Asset]:
        hands = self._hands
        here: dict[int, Asset] = {}
        for pause in LAG:
            await hands.clock.sleep(pause)
            assets = await hands.target.assets(hands.repo, self._release.id)
            here = {asset.id: asset for asset in assets}
            if all(item.target_id in here and here[item.target_id].uploaded for item in expected):
                break
        return here

    async def _prove(
        self, action: UploadAsset | ReplaceAsset, copied: Copied, here: Mapping[int, Asset]
    ) -> None:
        if wrong := _wrong(_expected(action, copied), here):
            await self._fail(action, wrong)
            return
        asset, warning = here[copied.asset.id], ""
        if isinstance(action, ReplaceAsset):
            try:
                asset = await self._exchange(action, asset)
                if asset.name != action.target_name:
                    warning = (
                        f"the target named {action.target_name} {asset.name} when it was renamed;"
                        " it was uploaded anew under its own name, and was missing meanwhile"
                    )
                    asset = await self._upload_in_place(action, asset)
            except ValidationFailed as error:
                # The old asset may be gone already: this cannot be left as it is for a day.
                await self._fail(action, Waiting(f"waits: the exchange is not finished ({error})"))
                return
            except MirrorError as error:
                await self._fail(action, error)
                return
        log.info(
            "asset.uploaded", target=str(self._hands.repo), release=self._work.source.tag,
            asset=asset.name, bytes=asset.size,
        )  # fmt: skip
        await self._record(action, asset=asset, sha256=copied.sha256, warning=warning)

    async def _upload_in_place(self, action: ReplaceAsset, misnamed: Asset) -> Asset:
        """What is left where a server takes no name for an asset that it has already."""
        hands = self._hands
        await hands.target.delete_asset(hands.repo, misnamed.id)
        copied = await self._copy(action.asset, action.target_name, ours=True, despite_stop=True)
        assert copied is not None  # noqa: S101 - no stop keeps it from being begun
        expected = _expected(action, copied)
        here = await self._settled_assets([expected])
        if wrong := _wrong(expected, here):
            raise wrong
        return here[copied.asset.id]

    async def _exchange(self, action: ReplaceAsset, fresh: Asset) -> Asset:
        """Delete the old asset and give the new one its name: the only moment it is missed."""
        hands = self._hands
        if action.old:
            await hands.delete(DeleteAsset(action.old))
        label = action.asset.label
        if action.target_name != action.asset.name:
            label = label or action.asset.name
        return await hands.target.update_asset(
            hands.repo, fresh.id, name=action.target_name, label=label
        )

    # -- the release is finished ----------------------------------------------------------------

    async def _finish(self) -> None:
        finish, hands = self._work.finish, self._hands
        if finish is None:
            return
        if self._lost:
            await hands.fail([finish], self._work.source, self._lost)
            return
        held = self._missing or (self._never and not self._work.publish_incomplete)
        if held and isinstance(finish, PublishRelease):
            await hands.record(Outcome(finish, "skipped", self._work.source, self._release))
            return
        try:
            self._release = await hands.target.update_release(
                hands.repo, self._release.id, finish.fields
            )
        except ValidationFailed as error:
            await hands.fail([finish], self._work.source, _perhaps_later(error))
            return
        except MirrorError as error:
            await hands.fail([finish], self._work.source, error)
            return
        if isinstance(finish, PublishRelease):
            log.info("release.published", target=str(hands.repo), release=self._work.source.tag)
        await hands.record(Outcome(finish, "done", self._work.source, self._release))

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
        if isinstance(error, Unmirrorable | ValidationFailed):
            self._never = True  # the host understood, and will not take it
        else:
            self._missing = True
        await self._hands.fail([action], self._work.source, error)


def _perhaps_later(error: ValidationFailed) -> MirrorError:
    """Somebody published a release of this tag meanwhile: the next pass will see it."""
    if not error.has(code="already_exists"):
        return error
    return Waiting(f"waits: somebody else published this release meanwhile ({error})")


def _expected(action: UploadAsset | ReplaceAsset, copied: Copied) -> _Expected:
    size = action.asset.size if copied.size is None else copied.size
    return _Expected(action.asset.name, copied.asset.id, size, copied.sha256)


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
