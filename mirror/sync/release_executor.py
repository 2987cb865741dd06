"""Puts one release together: its assets arrive, are verified and named; then it is published."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.asset_names import guessed_name, is_temporary, label_of
from mirror.core.execution.action import (
    AssetAction,
    DeleteAsset,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UpdateRelease,
    UploadAsset,
    moves_bytes,
)
from mirror.core.execution.asset_order import AssetOrder
from mirror.core.execution.outcome import Outcome
from mirror.core.execution.publication import (
    Completeness,
    Hold,
    asks_for_latest,
    publication_refused,
    settle_latest,
    settle_release,
)
from mirror.core.execution.settlement import (
    Accept,
    Destination,
    Expected,
    Fail,
    NameTaken,
    are_complete,
    fault,
    has_wanted_name,
    is_name_taken,
    replaces_in_place,
    settle_rename,
)
from mirror.core.planning.renames import vacated
from mirror.core.retry import LAG, polling
from mirror.errors import MirrorError, ValidationFailed
from mirror.sync.concurrency import run_each
from mirror.transfer.priority_queue import Group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.action import ReleaseWork
    from mirror.sync.asset_upload import Copied
    from mirror.sync.execution_context import ExecutionContext

log = structlog.get_logger()

_REPLACED_IN_PLACE = (
    "the release is full: {name} was deleted before its replacement was uploaded, and was missing"
    " meanwhile"
)
_UPLOADED_TWICE = (
    "the target does not rename an asset to {name}; it was uploaded again under its own name, and"
    " was missing meanwhile"
)


class ReleaseExecutor:
    """Puts one release together.

    Args:
        work: The actions on the release.
        release: The target's release: a draft of this mirror, or a published one.
        context: What the executor works with.
    """

    def __init__(self, work: ReleaseWork, release: Release, context: ExecutionContext) -> None:
        self._work = work
        self._release = release
        self._context = context
        self._counts = Counter(asset.name for asset in work.source.assets)
        self._names = frozenset(self._counts)
        self._session = context.session
        self._vacated = {leftover.target.id for leftover in work.leftovers}
        present = work.target.assets if work.target else ()
        self._claimed = {asset.id for asset in present} - self._vacated
        self._arrived: dict[int, Copied] = {}  # by the source asset's id
        self._renamed: dict[int, Asset] = {}  # copies as they are now, by their id
        self._warnings: dict[int, str] = {}  # by the source asset's id
        # What was done of actions that have not ended, by the action's identity: for the report.
        self._steps: dict[int, list[Outcome]] = {}
        self._completeness = Completeness()
        self._group = Group(self._session.transfers_per_release)
        self._in_place = asyncio.Semaphore(self._session.transfers_per_release)

    async def run(self) -> None:
        """Upload and verify the assets, name them, and publish or update the release.

        Raises:
            HostStopped: The host or its credential is disabled.
        """
        order = AssetOrder.of(self._work.assets)
        try:
            await self._change_all(order.before)
            ahead = self._context.copier.places_ahead
            await self._run(order.uploads, self._transfer, waiting=ahead)
            for action in order.colliding:
                await self._run([action], self._transfer)
            if self._arrived:
                await self._verify()
            await self._change_all([a for a in order.after if self._can_be_named(a)])
            await self._finish()
        finally:
            for steps in self._steps.values():
                for step in steps:
                    self._context.note_step(step)

    def _can_be_named(self, action: AssetAction) -> bool:
        if not moves_bytes(action):
            return True
        copied = self._arrived.get(action.asset.id)
        return copied is not None and is_temporary(copied.asset.name)

    async def _run(
        self,
        actions: Iterable[AssetAction],
        do: Callable[[AssetAction], Awaitable[None]],
        *,
        waiting: int = 0,
    ) -> None:
        """Carry out actions, as many at a time as one release may have; record what fails.

        Args:
            actions: In the order in which they begin.
            do: Carries out one.
            waiting: How many more may begin, because most of their time they wait for a slot.
        """

        async def run(action: AssetAction) -> None:
            try:
                await do(action)
            except MirrorError as error:
                await self._fail(action, error)

        await run_each(actions, self._session.transfers_per_release + waiting, run)

    # -- assets arrive --------------------------------------------------------------------------

    async def _transfer(self, action: AssetAction) -> None:
        assert moves_bytes(action)  # noqa: S101 - no other action is an upload
        if self._session.stop.requested:
            self._completeness.pending = True
            return
        self._context.gate.check()
        name = action.temporary_name
        if isinstance(action, ReplaceAsset) and not name:
            await self._replace_in_place(action)
            return
        try:
            await self._upload(action, name or action.asset.name)
        except ValidationFailed as error:
            if not replaces_in_place(action, error):
                raise
            await self._replace_in_place(action)

    async def _upload(
        self, action: UploadAsset | ReplaceAsset, name: str, *, despite_stop: bool = False
    ) -> Copied | None:
        """Copy an asset; ``None`` if a stop was requested before the copy started."""
        asset, source, journal = action.asset, self._work.source, self._context.journal
        destination = self._destination(asset, name)
        if destination.public:
            # After a crash, only the ledger can tell that the asset of this name is ours.
            await journal.replacing_in_place(source, name)
        copier = self._context.copier
        try:
            copied = await self._context.finish(
                self._copy(action, destination, despite_stop=despite_stop),
                [action],
                source,
                gated=False,
                worthwhile=lambda: copier.break_off(asset),
            )
        except NameTaken:
            journal.not_in_place(source, name)
            raise
        if copied is None:
            self._completeness.pending = True
        return copied

    async def _copy(
        self, action: UploadAsset | ReplaceAsset, destination: Destination, *, despite_stop: bool
    ) -> Copied | None:
        asset, source, context = action.asset, self._work.source, self._context
        copied = await context.copier.copy(
            self._release,
            asset,
            destination,
            self._work.rank,
            self._group,
            despite_stop=despite_stop,
        )
        if copied is None:
            return None
        self._claimed.add(copied.asset.id)
        if copied.asset.uploaded:
            context.journal.arrived(source, asset, copied.asset, copied.sha256)
        self._arrived[asset.id] = copied
        upload = UploadAsset(asset)
        self._note_step(
            action, Outcome(upload, "done", source, self._release, copied.asset, copied.sha256)
        )
        return copied

    def _destination(self, asset: Asset, name: str) -> Destination:
        others = self._names
        if self._counts[asset.name] == 1:
            others = others - {asset.name}
        public = not (self._release.draft or is_temporary(name))
        return Destination(name, public, self._claimed, others)

    async def _replace_in_place(self, action: ReplaceAsset) -> None:
        """Delete the old asset before the new one is uploaded: the release is full."""
        source = self._work.source
        async with self._in_place:
            await self._context.journal.replacing_in_place(source, action.target_name)
            await self._context.finish(self._delete(action.old, action), [action], source)
            self._warnings[action.asset.id] = _REPLACED_IN_PLACE.format(name=action.target_name)
            await self._upload(action, action.target_name, despite_stop=True)

    # -- assets are verified --------------------------------------------------------------------

    async def _verify(self) -> None:
        """Read the release's assets again and compare: an upload's reply is never trusted alone."""
        uploads = {a.asset.id: a for a in self._work.assets if moves_bytes(a)}
        arrived = {number: (uploads[number], copied) for number, copied in self._arrived.items()}
        new = {copied.asset.id for _, copied in arrived.values()}
        expected = {n: _expected(action.asset, copied) for n, (action, copied) in arrived.items()}
        others = [
            Expected(entry.source_name, entry.target_id, entry.size, entry.sha256)
            for entry in self._work.present
            if entry.target_id not in new
        ]
        try:
            observed = await self._read_assets([*expected.values(), *others])
        except MirrorError as error:
            self._arrived.clear()
            for action, _ in arrived.values():
                await self._fail(action, error)
            return
        for number, (action, copied) in arrived.items():
            if problem := fault(expected[number], observed):
                await self._fail(action, problem)
                continue
            asset = observed[copied.asset.id]
            self._arrived[number] = replace(copied, asset=asset)
            if not is_temporary(asset.name):
                await self._record_upload(action, asset, copied.sha256)
        faults = (fault(item, observed) for item in others)
        self._completeness.damaged = next((problem for problem in faults if problem), None)

    async def _read_assets(self, expected: Sequence[Expected]) -> Mapping[int, Asset]:
        """The release's assets by id, read until the expected ones are complete."""
        context = self._context

        async def read() -> dict[int, Asset]:
            assets = await context.target.assets(context.repo, self._release.id)
            return {asset.id: asset for asset in assets}

        clock = self._session.clock
        return await polling(read, lambda assets: are_complete(expected, assets), LAG, clock)

    # -- names change ---------------------------------------------------------------------------

    async def _change_all(self, actions: Sequence[AssetAction]) -> None:
        """Delete, rename and label, each after those that have to give its name up first."""
        pending = [a for a in actions if moves_bytes(a) or not self._session.stop.requested]
        self._completeness.pending |= len(pending) < len(actions)
        for action in pending:
            match action:
                case RenameAsset(target=copy) | ReplaceAsset(temporary=copy) if copy:
                    self._context.journal.renaming(self._work.source, action.asset, copy)
        if any(not isinstance(action, UpdateAsset) for action in pending):
            # After a crash, the ledger tells what was half done.
            await self._context.journal.checkpoint()
        while ready := [action for action in pending if self._may_change(action)]:
            started = set(map(id, ready))
            pending = [action for action in pending if id(action) not in started]
            await self._run(ready, self._change)
        for action in pending:
            self._completeness.pending = True
            reason = "another asset still has the name"
            await self._context.record(Outcome(action, "skipped", self._work.source, later=reason))

    def _may_change(self, action: AssetAction) -> bool:
        return self._vacated.issuperset(getattr(action, "after", ()))

    async def _change(self, action: AssetAction) -> None:
        change, number = self._change_now(action), self._release.id
        await self._context.finish(change, [action], self._work.source, within=number)

    async def _change_now(self, action: AssetAction) -> None:
        match action:
            case RenameAsset():
                await self._rename(action)
            case UpdateAsset(target=copy):
                await self._context.confirm(copy)
                changed = await self._patch(copy, label=action.label)
                await self._record(action, asset=changed)
            case DeleteAsset():
                await self._context.delete(action)
                await self._record(action)
            case ReplaceAsset() | UploadAsset():
                await self._name_upload(action)
        if (number := vacated(action)) is not None:
            self._vacated.add(number)

    async def _rename(self, action: RenameAsset) -> None:
        copy = self._renamed.get(action.target.id, action.target)
        await self._context.confirm(copy)
        renamed = await self._patch_name(action, copy, action.target_name, action.label)
        await self._record(action, asset=renamed)

    async def _name_upload(self, action: UploadAsset | ReplaceAsset) -> None:
        """Give a copy that arrived under a temporary name its own.

        The old asset of a replacement is deleted just before: the only moment that it is missing.
        """
        asset, copied = action.asset, self._arrived.get(action.asset.id)
        copy, name = copied.asset if copied else None, asset.name
        if isinstance(action, ReplaceAsset):
            copy, name = copy or action.temporary, action.target_name
            await self._delete(action.old, action)
        assert copy is not None  # noqa: S101 - only what is at the target is named
        label = label_of(asset, guessed_name(name))
        named = await self._patch_name(action, copy, name, label)
        named = named or await self._upload_again(action, name)
        copied = self._arrived.get(asset.id)
        await self._record_upload(action, named, copied.sha256 if copied else None)

    async def _patch_name(
        self,
        action: RenameAsset | ReplaceAsset | UploadAsset,
        copy: Asset,
        name: str,
        label: str | None,
    ) -> Asset | None:
        """Rename a copy; ``None`` if it was deleted, and is to be uploaded under its own name.

        Raises:
            MirrorError: It cannot have the name.
        """
        answer: Asset | ValidationFailed
        try:
            answer = await self._patch(copy, name=name, label=label)
            if answer.id == copy.id:
                self._renamed[copy.id] = answer
        except ValidationFailed as error:
            answer = error
        others: Collection[Asset] = ()
        if isinstance(answer, ValidationFailed) and is_name_taken(answer):
            others = await polling(
                lambda: self._context.target.assets(self._context.repo, self._release.id),
                lambda assets: has_wanted_name(action, copy, assets),
                LAG,
                self._session.clock,
            )
        verdict = settle_rename(action, copy, answer, others)
        if isinstance(verdict, Accept):
            return verdict.asset
        for asset in verdict.remove:
            await self._delete(asset, action)
        if isinstance(verdict, Fail):
            raise verdict.error
        return None

    async def _patch(
        self, copy: Asset, *, name: str | None = None, label: str | None = None
    ) -> Asset:
        context = self._context
        return await context.target.update_asset(context.repo, copy.id, name=name, label=label)

    async def _upload_again(self, action: UploadAsset | ReplaceAsset, name: str) -> Asset:
        """Upload an asset under its own name, since the server does not rename it to that."""
        self._context.gate.admit()
        copied = await self._upload(action, name, despite_stop=True)
        assert copied is not None  # noqa: S101 - a stop does not prevent it
        expected = _expected(action.asset, copied)
        observed = await self._read_assets([expected])
        if problem := fault(expected, observed):
            raise problem
        self._warnings[action.asset.id] = _UPLOADED_TWICE.format(name=name)
        return observed[copied.asset.id]

    # -- the release is finished ----------------------------------------------------------------

    async def _finish(self) -> None:
        finish, context = self._work.finish, self._context
        if finish is None:
            return
        verdict = settle_release(self._work, self._completeness)
        if isinstance(verdict, Hold):
            await context.record(Outcome(finish, "skipped", self._work.source, self._release))
            return
        if isinstance(verdict, Fail):
            await context.fail([finish], self._work.source, verdict.error)
            return
        try:
            if verdict.remove_incomplete:
                await self._remove_incomplete()
            if isinstance(finish, PublishRelease):
                # Everything in a draft is ours; once it is published, only the ledger can tell.
                await context.journal.checkpoint()
            update, number = self._update_release(finish), self._release.id
            await context.finish(update, [finish], self._work.source, within=number)
            if asks_for_latest(finish):
                await self._settle_latest(finish)
        except MirrorError as error:
            await context.fail([finish], self._work.source, publication_refused(error))

    async def _update_release(self, finish: PublishRelease | UpdateRelease) -> None:
        context, source = self._context, self._work.source
        self._release = await context.target.update_release(
            context.repo, self._release.id, finish.fields
        )
        if isinstance(finish, PublishRelease):
            log.info("release.published", target=str(context.repo), release=source.tag)
        if not asks_for_latest(finish):
            await context.record(Outcome(finish, "done", source, self._release))

    async def _settle_latest(self, finish: UpdateRelease) -> None:
        """Record what became of an update that was to make the release the latest."""
        context, number = self._context, self._release.id
        latest: int | None = number
        look = partial(context.target.latest, context.repo)
        try:
            with suppress(MirrorError):  # then it is seen by the next pass that looks
                latest = await polling(
                    look, lambda found: found == number, LAG, self._session.clock
                )
        finally:
            outcome = settle_latest(finish, self._work.source, self._release, latest)
            await context.record(outcome)

    async def _remove_incomplete(self) -> None:
        context = self._context
        for asset in await context.target.assets(context.repo, self._release.id):
            if asset.begun:
                await context.delete(DeleteAsset(asset))

    # -- what is recorded -----------------------------------------------------------------------

    async def _delete(self, copy: Asset, action: AssetAction) -> None:
        """Delete an asset of the target for an action, and have the ledger forget it."""
        delete, source = DeleteAsset(copy), self._work.source
        await self._context.delete(delete)
        self._context.journal.deleted(source, copy)
        self._note_step(action, Outcome(delete, "done", source, self._release))

    def _note_step(self, action: AssetAction, step: Outcome) -> None:
        self._steps.setdefault(id(action), []).append(step)

    async def _record_upload(
        self, action: UploadAsset | ReplaceAsset, asset: Asset, sha256: str | None
    ) -> None:
        log.info(
            "asset.uploaded", target=str(self._context.repo), release=self._work.source.tag,
            asset=asset.name, bytes=asset.size,
        )  # fmt: skip
        warning = self._warnings.get(action.asset.id, "")
        await self._record(action, asset=asset, sha256=sha256, warning=warning)

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
        self._steps.pop(id(action), None)
        await self._context.record(outcome)

    async def _fail(self, action: AssetAction, error: MirrorError) -> None:
        self._arrived.pop(action.asset.id if moves_bytes(action) else 0, None)
        self._completeness.failed(error)
        await self._context.fail([action], self._work.source, error, within=self._release.id)
        # The failure tells of the upload; that an asset is gone would be told nowhere.
        steps = self._steps.pop(id(action), [])
        self._steps[id(action)] = [s for s in steps if isinstance(s.action, DeleteAsset)]


def _expected(asset: Asset, copied: Copied) -> Expected:
    size = asset.size if copied.size is None else copied.size
    copy = copied.asset
    return Expected(asset.name, copy.id, size, copied.sha256, uploaded_as=copy.name)
