"""One mirror in a pass: snapshot, plan, execute, record, report."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from mirror.concurrency import together
from mirror.core.domain.selection import select
from mirror.core.execution.ledger_updates import learn, note_commits, quarantine
from mirror.core.failure import Failure
from mirror.core.host import Received, ReleaseCopy
from mirror.core.ledger.backoff import after_pass
from mirror.core.ledger.document import IndexEntry, Ledger
from mirror.core.ledger.trust import is_audit_due, mismatch
from mirror.core.planning.effort import is_heavy
from mirror.core.planning.estimate import requests_of
from mirror.core.planning.planner import PlanContext, plan
from mirror.core.reporting.inheritance import inherited
from mirror.core.reporting.report import RepositoryReport
from mirror.core.text.timestamps import iso
from mirror.errors import HostStopped, MirrorError, NotFound, Unmirrorable
from mirror.git.tag_pusher import Place
from mirror.sync.asset_copier import AssetCopier
from mirror.sync.asset_download import AssetDownloader
from mirror.sync.context import MirrorContext, circumstances
from mirror.sync.execution_context import ExecutionContext, History
from mirror.sync.executor import Executor
from mirror.sync.journal import Journal
from mirror.sync.mirror_runner import interrupted
from mirror.sync.permission_gate import PermissionGate
from mirror.sync.results import Results, planned_actions, planned_report
from mirror.sync.snapshots import Begun, Snapshots
from mirror.sync.unchanged import ask
from mirror.sync.write_guard import guarded_writes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.execution.action import Plan
    from mirror.core.execution.outcome import Outcome
    from mirror.core.host import Listing, Pack
    from mirror.core.ledger.backoff import FailedItem
    from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint
    from mirror.sync.unchanged import Asked

log = structlog.get_logger()

RECENT = 60.0
"""Seconds for which a listing of the source is used; after a longer wait it is read again."""


class Session:
    """One mirror, once.

    Attributes:
        checked: When the target was last read; ``None`` for never.
    """

    def __init__(
        self,
        mirror: Mirror,
        source: Endpoint,
        target: TargetEndpoint,
        context: SessionContext,
        asked: Asked | None = None,
    ) -> None:
        self._mirror = mirror
        self._source = source
        self._target = target
        self._context = context
        self._asked = asked
        self._started = asked.at if asked else context.clock.now()
        self._entry = context.index.mirrors.get(mirror.key) or IndexEntry(
            mirror.name, str(mirror.target)
        )
        self._audit = self._audit_due()
        self._waiting = self._not_due()
        self._whole = circumstances(mirror, source, target)
        self._snapshots = Snapshots(mirror, source, target)
        self._commits: Mapping[str, str] = {}
        self.checked = self._entry.checked

    async def sync(self) -> RepositoryReport:
        """Bring the target up to the source, once."""
        if self._audit:  # it is certain to be compared
            async with self._turn() as begins:
                if not begins:
                    return interrupted(self._mirror)
                listing, begun = await self._look()
                if listing is None:
                    return await self._unchanged(None)
                self._entry.audited_at = 0.0  # until it is done, it is due
                return await self._compare(listing, begun)
        listed = self._entry.listed
        listing, begun = await self._look()
        if listing is None or listing.unchanged:
            return await self._unchanged(listing)
        async with self._turn() as begins:
            if not begins:
                self._entry.listed = listed
                return interrupted(self._mirror)
            return await self._compare(await self._recent(listing), begun)

    async def _compare(self, listing: Listing, begun: Begun | None) -> RepositoryReport:
        """Compare both sides, and carry out what there is to do."""
        source, target, ledger = await self._read_state(listing, begun, write=True)
        work = await self._plan_pass(source, target, ledger)
        results = Results(self._mirror.name, str(self._mirror.target), work)
        await self._forget_proof(work)
        if (claim := self._context.claim) and ledger.working_since:
            results.inherited = inherited(await claim.killed(), work, planned_actions(work), target)
        async with self._reported(results, ledger):
            try:
                await self._execute(work, ledger, results, source, target)
            finally:
                await self._record(work, ledger, results, listing)
        return results.report(ledger).but(target_checked_at=self.checked)

    async def preview(self) -> RepositoryReport:
        """Report what :meth:`sync` would do; nothing is written."""
        listing = await self._list_source()
        if listing is None or listing.unchanged:
            return await self._unchanged(listing)
        async with self._turn():
            return await self._preview(await self._recent(listing))

    async def _preview(self, listing: Listing) -> RepositoryReport:
        source, target, ledger = await self._read_state(listing, None, write=False)
        work = await self._plan_pass(source, target, ledger)
        if failure := await self._missing_owner(work):
            name, repo = self._mirror.name, str(self._mirror.target)
            return RepositoryReport(name, repo, "failed", failures=(failure,))
        cost = requests_of(work)
        ends = {"source": self._source, "target": self._target}
        requests = {end.name: cost[side] * end.counted for side, end in ends.items()}
        name, repo = self._mirror.name, str(self._mirror.target)
        report = planned_report(name, repo, work, ledger, requests)
        return report.but(target_checked_at=self.checked)

    async def _missing_owner(self, work: Plan) -> Failure | None:
        """Why the repository that a plan begins with cannot be created; ``None`` if it can be."""
        if work.repository is None:
            return None
        try:
            await self._target.store.repositories.check_owner(self._mirror.target.owner)
        except NotFound as error:
            return Failure.of(error, work.repository.name)
        return None

    # -- for a verification -------------------------------------------------------------------

    async def read_state(self, *, write: bool) -> tuple[Snapshot, Snapshot | None, Ledger]:
        """Both sides in full, whatever the index proves, and the ledger.

        Args:
            write: Set a document aside that does not describe this mirror; otherwise ignore it.
        """
        listing = await self._source.store.list_releases(self._mirror.source)
        return await self._read_state(listing, None, write=write)

    async def plan(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        policy: Policy,
        *,
        about: PlanContext | None = None,
    ) -> Plan:
        """Plan; without a context, what is quarantined stays so, and what failed is tried again."""
        context = about or await self.plan_context(source)
        make = partial(plan, source, target, ledger, policy, context)
        return await asyncio.to_thread(make) if is_heavy(source, target) else make()

    async def save(self, ledger: Ledger) -> None:
        """Keep what a verification learnt of the copies' bytes, also for ``status``."""
        await self._context.ledgers.save(self._mirror.key, ledger)
        entry, figures = self._entry, (*ledger.totals(), ledger.proofs())
        known = self._mirror.key in self._context.index.mirrors
        if known and (entry.releases, entry.assets, entry.bytes, entry.proof) != figures:
            entry.releases, entry.assets, entry.bytes, entry.proof = figures
            await self._context.ledgers.save_entry(self._context.index, self._mirror.key)

    async def repair(
        self,
        work: Plan,
        results: Results,
        ledger: Ledger,
        source: Snapshot,
        target: Snapshot | None,
    ) -> None:
        """Carry out a part of a plan: it proves nothing of the rest, so that the next pass looks.

        ``results`` gets the outcomes as they come, also where this is cancelled.
        """
        if self._entry.pages:
            self._entry.pages = ()
            await self._context.ledgers.save_entry(self._context.index, self._mirror.key)
        async with self._reported(results, ledger):
            try:
                await self._execute(work, ledger, results, source, target)
            finally:
                await self.save(ledger)
        known = ledger.quarantined
        results.fresh = [
            o for o in results.all_failures() if (o.release_id, o.asset_id) not in known
        ]

    # -- what is there ------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Hold a turn to compare this mirror; false if a stop was requested before it came."""
        comparing = self._context.comparing
        async with comparing or nullcontext():
            yield not (comparing and self._context.stop.requested)

    async def _recent(self, listing: Listing) -> Listing:
        """A listing of the source, or another one if it waited for its turn for long."""
        clock = self._context.clock
        if (clock.now() - self._started).total_seconds() < RECENT:
            return listing
        listing = await self._source.store.list_releases(self._mirror.source)
        self._entry.listed = listing.pages
        return listing

    async def _look(self) -> tuple[Listing | None, Begun | None]:
        """The source's releases, and what else is needed where they are to be compared.

        The latter only in a mirror that is well: of one that is not, as little as possible is
        requested.
        """
        entry = self._entry
        expected = self._audit or self._context.announced
        well = entry.settled_at and not (entry.failure or entry.failed)
        if not (expected and well):
            return await self._list_source(), None
        look = together(self._list_source(), self._snapshots.begin())
        if not self._context.announced:
            return await look
        return (await together(look, self._warm()))[0]

    async def _warm(self) -> None:
        """Open connections for the assets of a new release, which are requested at the same time."""
        count = self._context.transfers_per_release
        ends = (self._source, self._target)
        await together(*(end.warm(count) for end in ends if end.warm))

    async def _list_source(self) -> Listing | None:
        """The source's releases; its pages answer 304 where nothing changed.

        Returns:
            ``None`` where the mirror as a whole is left alone in this pass: its source is as it was
            when the mirror failed, or is what failed, and then it is not asked.
        """
        if self._asked:
            self._entry.listed = self._asked.listing.pages
            return self._asked.listing
        entry, delayed = self._entry, any(map(self._is_whole, self._waiting))
        due = any(item not in self._waiting and not self._is_whole(item) for item in entry.failed)
        proofs = entry.listed if delayed else () if self._audit or due else entry.pages
        if delayed and not proofs:
            return None
        entry.listed = ()
        listing = await self._source.store.list_releases(self._mirror.source, proofs)
        entry.listed = listing.pages
        return None if delayed and listing.unchanged else listing

    def _audit_due(self) -> bool:
        context = self._context
        return context.full or is_audit_due(
            self._entry,
            self._mirror,
            credential=self._source.credential,
            target_url=self._target.api_url,
            interval=context.audit_interval,
            now=self._started.timestamp(),
        )

    def _not_due(self) -> tuple[FailedItem, ...]:
        """What failed, and is left alone in this pass."""
        context, now = self._context, self._started.timestamp()
        if context.full or context.explicit:
            return ()
        failed = self._entry.failed
        return tuple(item for item in failed if item.waits(now, context.audit_interval))

    def _is_whole(self, item: FailedItem) -> bool:
        """Whether it is this mirror that could not be looked at, configured as it is now."""
        return item.failure.facts == self._whole

    async def _unchanged(self, listing: Listing | None) -> RepositoryReport:
        """What the last pass left; without a listing, the mirror is left alone.

        In a pass that asks the target nothing else, the target's credential is proven to work.
        """
        entry, now = self._entry, self._started.timestamp()
        if listing:
            await self._target.store.client.prove(self._mirror.target, self._context.since)
            entry.pages, entry.listed = listing.pages, ()
            entry.failed = self._waiting  # what kept the last pass from looking is over
        entry.passed_at = now
        if not entry.failed:
            entry.settled_at = now
            if not entry.quarantined:
                entry.failure = None
                entry.succeeded_at = now
        return RepositoryReport(
            self._mirror.name,
            str(self._mirror.target),
            "failed" if entry.quarantined or entry.failed else "unchanged",
            failures=tuple(item.failure for item in entry.failed),
            warnings=entry.warnings,
            quarantined=entry.quarantined,
            target_checked_at=entry.checked,
        )

    async def _read_state(
        self, listing: Listing, begun: Begun | None, *, write: bool
    ) -> tuple[Snapshot, Snapshot | None, Ledger]:
        """Both sides as they are now, and the ledger.

        A document that does not describe this mirror is ignored: the target's own state is the
        truth.

        Raises:
            Unmirrorable: The source's name belongs to another repository now.
        """
        fresh = Ledger(self._mirror.name, str(self._mirror.target), self._target.api_url)
        ledger = await self._context.ledgers.load(self._mirror.key) or fresh
        snapshots = self._snapshots
        if ledger.target_url == self._target.api_url:
            source, target = await snapshots.take(
                listing, begun, ledger, self._started, audit=self._audit
            )
            here = target.repository if target else None
            reason = mismatch(ledger, self._mirror, source.repository, here)
            if isinstance(reason, Unmirrorable):
                raise reason
        else:
            reason = f"it is of another target, {ledger.target_url}"
        if reason:
            log.warning("ledger.set_aside", target=str(self._mirror.target), reason=reason)
            if write:
                await self._context.ledgers.set_aside(self._mirror.key, reason)
            ledger = fresh
            source, target = await snapshots.take(listing, None, fresh, self._started, audit=False)
        self.checked = self._started
        ledger.source = self._mirror.name
        ledger.source_id = source.repository.id
        ledger.target_id = target.repository.id if target else 0
        # The next one of this name may be anybody's.
        ledger.created_repository = ledger.created_repository and target is not None
        ledger.creating_repository = ledger.creating_repository and target is not None
        self._commits = source.tags
        note_commits(ledger, source.tags)
        return source, target, ledger

    async def _plan_pass(self, source: Snapshot, target: Snapshot | None, ledger: Ledger) -> Plan:
        """Plan what a pass does: an audit tries everything again."""
        about = await self.plan_context(
            source,
            retry=self._audit,
            full=self._context.full,
            refused=self._entry.refused,
            waiting={} if self._audit else {item.key: item.failure for item in self._waiting},
        )
        return await self.plan(source, target, ledger, self._mirror.policy, about=about)

    async def plan_context(self, source: Snapshot, **attempts: Any) -> PlanContext:
        """What a plan and a comparison depend on besides both sides, the ledger and the settings."""
        own = f"{self._source.url}/{self._mirror.source}"
        return PlanContext(
            source_url=self._source.url,
            source_address=own if self._source.counted else source.repository.html_url,
            now=self._started,
            history=self._mirror.policy.tags != "push" or await self._has_history(source),
            capabilities=await self._target.store.client.capabilities(),
            **attempts,
        )

    def _selected(self, listing: Listing) -> list[Release]:
        """The source's releases that this mirror is about, the newest first."""
        wanted = select(listing.releases, self._mirror.policy.selection)
        return [item.release for item in wanted]

    # -- what is done -------------------------------------------------------------------------

    async def _forget_proof(self, work: Plan) -> None:
        """Before anything is changed, have the next pass look: this one may be killed halfway.

        Also where that pass would look anyway: by then the settings may be the former ones again.
        """
        if self._entry.pages and work.actions():
            self._entry.pages = ()
            await self._context.ledgers.save_entry(self._context.index, self._mirror.key)

    @asynccontextmanager
    async def _reported(self, results: Results, ledger: Ledger) -> AsyncIterator[None]:
        """Keep the report of what was done if the block does not end well."""
        try:
            yield
        except BaseException:
            report = results.report(ledger).but(target_checked_at=self.checked)
            self._context.interrupted[self._mirror.key] = report
            raise

    async def _save_progress(self, ledger: Ledger, results: Results) -> None:
        await self._context.ledgers.save(self._mirror.key, ledger)
        if self._context.claim:
            await self._context.claim.tell(results.report(ledger))

    async def _execute(
        self,
        work: Plan,
        ledger: Ledger,
        results: Results,
        source: Snapshot,
        target: Snapshot | None,
    ) -> None:
        learn(ledger, work.learned)
        context = self._context
        journal = Journal(ledger, partial(self._save_progress, ledger, results), context.clock)

        async def note(outcome: Outcome) -> None:
            results.add(outcome)
            journal.done(outcome)

        gate = PermissionGate()
        mirror = MirrorContext(self._mirror, self._source, self._target, context, gate)
        copier = AssetCopier(mirror, AssetDownloader(mirror, await self._archive_limit()))
        branch = target.repository.default_branch if target else ""
        context.observer.bytes_planned(self._mirror.name, results.planned_bytes)
        try:
            if work.actions():
                if context.claim:
                    intended = planned_actions(work)
                    await context.claim.intend(intended, results.report(ledger))
                now = self._target.store.client.host_time()
                await journal.begin(now, creating_repository=work.repository is not None)
            async with guarded_writes(permit=context.check_claim) as guard:
                execution = ExecutionContext(
                    target=self._target.store,
                    repo=self._mirror.target,
                    copier=copier,
                    session=context,
                    record=note,
                    note_step=results.add_step,
                    guard=guard,
                    gate=gate,
                    journal=journal,
                    history=self._history(source, target),
                )
                async with journal.kept():
                    await Executor(execution, branch).run(work)
            await self._hand_over(source, ledger, results)
        except HostStopped as error:
            results.stopped = Failure.of(error)
            await self._hand_over(source, ledger, results)
        except asyncio.CancelledError:
            results.interrupted = True
            raise
        results.interrupted = context.stop.requested and results.unfinished

    async def _hand_over(self, source: Snapshot, ledger: Ledger, results: Results) -> None:
        """Before the ledger says that it is there, have the target show what has arrived."""
        wanted = select(source.releases, self._mirror.policy.selection, self._started)
        received = Received(
            source_url=self._source.url,
            source=source,
            selected={item.release.id for item in wanted},
            copies={
                number: ReleaseCopy(
                    entry.target_id, {n: asset.source_id for n, asset in entry.assets.items()}
                )
                for number, entry in ledger.releases.items()
            },
            unfinished=results.unfinished_releases(),
            pack=await self._packing(source, [i.release for i in wanted if not i.release.draft]),
        )
        try:
            await self._target.store.receive(self._mirror.target, received)
        except MirrorError as error:
            results.add_failure(Failure.of(error, "sync"))
        except asyncio.CancelledError:
            text = "interrupted before the target showed what had arrived"
            results.add_failure(Failure("unavailable", text, "sync"))
            raise

    async def _packing(self, source: Snapshot, releases: Sequence[Release]) -> Pack | None:
        """How a target that stores history as files gets it; ``None`` if it is not wanted there."""
        capabilities = await self._target.store.client.capabilities()
        git, there = self._context.git, self._source.git
        if self._mirror.policy.tags != "push" or not (
            capabilities.packed_history and git and there
        ):
            return None
        tags = [release.tag for release in releases]
        return partial(git.pack, Place(there, source.repository.ref), tags)

    async def _has_history(self, source: Snapshot) -> bool:
        """Whether the source has history to push; where it is not known, it has."""
        git = self._source.git
        if git is None or git.packed is None:
            return git is not None or not self._target.git
        return bool((await git.packed(source.repository.ref)).tags)

    async def _archive_limit(self) -> int | None:
        """Maximum size of a source archive in bytes; ``None`` for no limit."""
        limits = await self._target.store.client.capabilities()
        sizes = (self._mirror.policy.selection.asset_max_size, limits.max_asset_size)
        return min((size for size in sizes if size is not None), default=None)

    def _history(self, source: Snapshot, target: Snapshot | None) -> History | None:
        """The way of pushed tags, between the two repositories as they are called now."""
        git, there, here = self._context.git, self._source.git, self._target.git
        if self._mirror.policy.tags != "push" or not (git and there and here):
            return None
        repo = target.repository.ref if target else self._mirror.target
        return History(git, Place(there, source.repository.ref), Place(here, repo))

    async def _record(self, work: Plan, ledger: Ledger, results: Results, listing: Listing) -> None:
        """Save the document, then what the next pass may trust: nothing, if anything is undone."""
        now = self._context.clock.now()
        if not results.unfinished:
            results.fresh = quarantine(ledger, results.all_failures(), now)
        note_commits(ledger, self._commits)
        results.failed = self._failed_items(results)
        undone = results.undone
        if not undone:
            ledger.settle()
        await self._context.ledgers.save(self._mirror.key, ledger)
        releases, assets, size = ledger.totals()
        newest = next((r for r in self._selected(listing) if not r.draft), None)
        shown = ledger.releases.get(newest.id) if newest else None
        entry = msgspec.structs.replace(
            self._entry,
            source=self._mirror.name,
            target=str(self._mirror.target),
            settings=self._mirror.settings,
            credential=self._source.credential,
            target_url=self._target.api_url,
            source_id=ledger.source_id,
            pages=listing.pages if results.only_delayed else (),
            listed=(),
            passed_at=self._started.timestamp(),
            failure=results.failure,
            failed=results.failed,
            refused=results.refused(self._entry.refused),
            releases=releases,
            assets=assets,
            bytes=size,
            proof=ledger.proofs(),
            target_checked_at=self.checked.timestamp() if self.checked else 0.0,
            newest=iso(newest.published_at) if newest and newest.published_at else None,
            newest_tag=newest.tag if newest else None,
            newest_visible=shown.published if shown else None,
            since=self._entry.since or self._started.timestamp(),
            wake_at=work.wake_at.timestamp() if work.wake_at else 0.0,
            warnings=work.warnings,
            quarantined=tuple(item.report() for item in ledger.quarantined.values()),
        )
        if not undone:
            entry.settled_at = self._started.timestamp()
            if not entry.quarantined:
                entry.succeeded_at = entry.settled_at
        if self._audit:
            entry.audited_at = 0.0 if results.unfinished else self._started.timestamp()
        self._entry = self._context.index.mirrors[self._mirror.key] = entry
        counts = results.summary()
        tell = log.info if counts.keys() - {"failures"} else log.debug  # transitions only
        event = "mirror.interrupted" if results.interrupted else "mirror.finished"
        tell(event, source=self._mirror.name, **counts)

    def _failed_items(self, results: Results) -> tuple[FailedItem, ...]:
        """What failed, and when it is tried again; a host that was disabled is no item's failure."""
        ends = self._source.store.client, self._target.store.client
        before = self._entry.failed
        if results.stopped or results.interrupted:  # the mirror as a whole could be looked at
            before = tuple(item for item in before if not self._is_whole(item))
        if results.stopped or any(client.stopped for client in ends):
            return before
        return after_pass(
            before,
            results.all_failures(),
            now=self._started.timestamp(),
            last_pass=self._entry.passed_at,
            longest=self._context.audit_interval,
            finished=not results.unfinished,
        )


async def sync_mirror(
    mirror: Mirror, source: Endpoint, target: TargetEndpoint, context: SessionContext
) -> RepositoryReport:
    """Bring one mirror's target up to its source."""
    asked = await ask(mirror, source, target, context)
    if isinstance(asked, RepositoryReport):
        return asked
    return await Session(mirror, source, target, context, asked).sync()


async def plan_mirror(
    mirror: Mirror, source: Endpoint, target: TargetEndpoint, context: SessionContext
) -> RepositoryReport:
    """Report what :func:`sync_mirror` would do; nothing is written anywhere."""
    asked = await ask(mirror, source, target, context)
    if isinstance(asked, RepositoryReport):
        return asked
    return await Session(mirror, source, target, context, asked).preview()
