"""Verifies one mirror: compares what the target shows with the source, and repairs it on request.

Digests that hosts report decide where they are enough; otherwise the bytes of both sides are read.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.circuit_breaker import SUSPECT
from mirror.core.domain.source_archives import is_archive
from mirror.core.execution.action import Plan
from mirror.core.execution.transfer_failures import lane_at_fault, may_retry, not_tried
from mirror.core.ledger.document import Ledger
from mirror.core.planning.effort import is_heavy
from mirror.core.planning.verification import (
    Comparison,
    compare,
    doctored,
    note,
    note_proof,
    repairs,
    told_once,
    verifying,
)
from mirror.core.reporting.report import Difference, RepositoryReport, Verified
from mirror.core.retry import retrying
from mirror.errors import HostStopped, MirrorError, RateLimited, ShortRead, SourceChanged
from mirror.sync.concurrency import run_each
from mirror.sync.results import Results, planned_report
from mirror.sync.session import Session
from mirror.transfer.pipe import pipe
from mirror.verify.unread import Unread, failures_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import Asset, RepoRef, Snapshot
    from mirror.core.failure import Failure
    from mirror.core.planning.verification import Item, Pair
    from mirror.core.reporting.report import Status
    from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint

log = structlog.get_logger()

AT_ONCE = 32
"""Maximum comparisons of one mirror in progress; those that read bytes also need a transfer slot."""

_BEFORE_REPAIR = "the repair was not finished: the differences are those found before it"

_numbers = itertools.count(-1, -1)  # those of copies are above 0


async def verify_mirror(
    mirror: Mirror,
    source: Endpoint,
    target: TargetEndpoint,
    context: SessionContext,
    *,
    repair: bool = False,
) -> RepositoryReport:
    """Compare one mirror with its source.

    Args:
        mirror: Which.
        source: The host of the source.
        target: The host of the target.
        context: What all sessions of a pass share.
        repair: Mend what differs or is missing.
    """
    return await Verifier(mirror, source, target, context, repair=repair).run()


class Verifier:
    """Compares one mirror once.

    Args:
        mirror: Which.
        source: The host of the source.
        target: The host of the target.
        context: What all sessions of a pass share.
        repair: Mend what differs or is missing.
    """

    def __init__(
        self,
        mirror: Mirror,
        source: Endpoint,
        target: TargetEndpoint,
        context: SessionContext,
        *,
        repair: bool,
    ) -> None:
        self._mirror = mirror
        self._source = source
        self._target = target
        self._context = context
        self._repair = repair
        self._session = Session(mirror, source, target, context)
        self._plan = Plan()
        self._found = Comparison()
        self._ledger = Ledger(mirror.name, str(mirror.target), target.api_url)
        self._results: Results | None = None
        self._source_digests: dict[int, str] = {}
        self._target_digests: dict[int, str | None] = {}
        self._verdicts: dict[Item, bool] = {}
        self._unread: dict[Item, Unread] = {}
        self._cut_short: dict[Item, Unread] = {}
        self._at_fault: set[tuple[str, int]] = set()
        self._proven: list[tuple[Pair, bool]] = []
        self._warnings: list[str] = []
        self._compared = self._read = self._bytes_read = 0
        self._unfinished = False

    async def run(self) -> RepositoryReport:
        """Compare, and repair if configured.

        Raises:
            HostStopped: The host or its credential was given up before anything was repaired.
            MirrorError: The mirror cannot be looked at.
        """
        try:
            await self._run()
        except asyncio.CancelledError:
            self._unfinished = True
            if self._results:
                self._warnings.append(_BEFORE_REPAIR)
            self._context.interrupted[self._mirror.key] = self._report()
            raise
        return self._report()

    async def _run(self) -> None:
        source, target, self._ledger = await self._session.read_state(write=self._repair)
        policy = verifying(self._mirror.policy)
        self._plan = await self._session.plan(source, target, self._ledger, policy)
        self._found = await self._look(source, target)
        await self._compare(self._found.pairs)
        if not source.complete:
            self._warnings.append(
                "the source's list of releases is incomplete; only what it shows was compared"
            )
        wrong = self._wrong()
        if self._repair and wrong and not self._unfinished:
            await self._mend(source, target, wrong)

    async def _look(self, source: Snapshot, target: Snapshot | None) -> Comparison:
        """Compare what both hosts say."""
        context = await self._session.plan_context(source)
        make = partial(compare, source, target, self._ledger, self._mirror.policy, context)
        return await asyncio.to_thread(make) if is_heavy(source, target) else make()

    def _differing(self) -> list[Pair]:
        return [pair for pair in self._found.pairs if self._verdicts.get(pair.key) is False]

    def _wrong(self) -> set[Item]:
        """What a repair can mend."""
        return set(self._found.differences) | {
            pair.item
            for pair in self._differing()
            if not pair.theirs and (pair.against_source or is_archive(pair.asset.id))
        }

    # -- the report ---------------------------------------------------------------------------

    def _report(self) -> RepositoryReport:
        """What is known so far."""
        found, results = self._found, self._results
        differences, failures = self._differences()
        name, target = self._mirror.name, str(self._mirror.target)
        report = planned_report(name, target, Plan(obstacles=failures), self._ledger, {})
        failures = (*report.failures, *failures_of(self._unread.values()))
        warnings = self._warnings + [
            f"{one.pair.release.tag}: the copy of {one.pair.asset.name} cannot be read to its end"
            f" ({one.error})"
            for one in self._cut_short.values()
        ]
        undone = bool(report.quarantined)
        if results:
            done = results.report(self._ledger)
            failures += done.failures
            warnings = [*done.warnings, *warnings]
            undone = undone or results.undone
            report = report.but(actions=done.actions, stopped=done.stopped)
        status: Status = "failed" if differences or failures or undone else "ok"
        if self._unfinished or (results and results.interrupted):
            status = "interrupted"
        log.info(
            "mirror.verified",
            source=self._mirror.name,
            compared=self._compared,
            read=self._read,
            differences=len(differences),
            actions=len(report.actions),
            failures=len(failures),
        )
        theirs = [f"{p.release.tag} {p.asset.name}" for p in self._differing() if p.theirs]
        existing = self._mirror.policy.existing
        text = f'not created by this mirror, and left as it is (existing = "{existing}")'
        return report.but(
            status=status,
            failures=failures,
            warnings=tuple(dict.fromkeys(warnings)),
            notes=(*found.notes, *note(text, [*found.theirs, *theirs])),
            target_checked_at=self._session.checked,
            verified=Verified(
                tuple(sorted(differences, key=lambda d: (d.release, d.asset or "", d.kind))),
                self._compared,
                self._read,
                self._bytes_read,
            ),
        )

    def _differences(self) -> tuple[list[Difference], tuple[Failure, ...]]:
        """What is wrong, and the plan's obstacles that matter."""
        wrong = dict(self._found.differences)
        right = {pair.item for pair in self._found.pairs if self._verdicts.get(pair.key)}
        for pair in self._differing():
            if pair.theirs:
                right.add(pair.item)
            else:
                one = Difference(pair.release.tag, pair.asset.name, "differing")
                wrong[pair.item] = [*wrong.get(pair.item, []), one]
        differences, failures = told_once(wrong, self._plan.obstacles, right)
        return [*differences, *self._found.extra], failures

    # -- comparing ----------------------------------------------------------------------------

    async def _compare(self, pairs: Iterable[Pair]) -> None:
        """Compare what was not compared yet, first by the hosts' digests, then by reading bytes."""
        to_read = []
        for pair in pairs:
            if pair.key in self._verdicts or pair.key in self._unread:
                continue
            same = pair.verdict(full=self._context.full)
            if same is None:
                to_read.append(pair)
            else:
                self._note(pair, same=same)
        self._context.observer.bytes_planned(self._mirror.name, sum(map(_bytes, to_read)))
        try:
            await run_each(to_read, AT_ONCE, self._read_pair)
        finally:
            self._doubt_target()
        await self._keep_proofs()

    async def _read_pair(self, pair: Pair) -> None:
        async with self._context.slots.take((pair.rank, -pair.copy.size)):
            if self._context.stop.requested:
                self._unfinished = True
                return
            try:
                same = await self._same_bytes(pair)
            except HostStopped:
                raise
            except MirrorError as error:
                self._unread[pair.key] = Unread(pair, error, self._host_at_fault(pair))
            else:
                self._read += 1
                self._proven.append((pair, same))
                self._note(pair, same=same)

    def _note(self, pair: Pair, *, same: bool) -> None:
        self._compared += 1
        self._verdicts[pair.key] = same
        if not same:
            log.warning(
                "asset.differs",
                source=self._mirror.name,
                release=pair.release.tag,
                asset=pair.asset.name,
            )

    def _doubt_target(self) -> None:
        """Take back what bodies that were cut short seemed to prove, if most of them were.

        Then something between here and the target answers in its place, and to upload all of
        these assets again would be wrong.
        """
        number = len(self._cut_short)
        most = number >= SUSPECT and 2 * number > self._read
        if self._target.store.client.lane("download").is_closed and not most:
            return
        for key, unread in self._cut_short.items():
            del self._verdicts[key], self._target_digests[unread.pair.copy.id]
            self._unread[key] = unread
            self._compared -= 1
            self._read -= 1
        self._cut_short.clear()

    async def _same_bytes(self, pair: Pair) -> bool:
        """Read both sides completely, and compare their digests."""
        number, done = next(_numbers), [0, 0]
        observer = self._context.observer
        asset, tag = pair.asset, pair.release.tag
        name, target = self._mirror.name, str(self._mirror.target)
        observer.transfer_started(number, name, target, tag, asset.name, _bytes(pair))

        def moved(side: int) -> Callable[[int], None]:
            def note(count: int) -> None:
                self._bytes_read += count - done[side]
                done[side] = count
                observer.transfer_moved(number, sum(done))

            return note

        good = False
        try:
            async with asyncio.TaskGroup() as group:
                copy = group.create_task(self._digest_of_copy(pair, moved(0)))
                original = (
                    group.create_task(self._digest_of_source(asset, moved(1)))
                    if pair.against_source
                    else None
                )
            good = True
        except* MirrorError as failed:
            raise failed.exceptions[0] from None
        finally:
            observer.transfer_finished(number, good=good)
        self._target_digests[pair.copy.id] = copy.result()
        if original:
            self._source_digests[asset.id] = original.result()
        result = pair.compare(copy.result(), original.result() if original else None)
        if result.changed:
            self._warnings.append(
                f"{tag}: the {result.changed}'s bytes of {asset.name} are no longer those that were"
                " mirrored"
            )
        return result.same

    async def _digest_of_source(self, asset: Asset, moved: Callable[[int], None]) -> str:
        """The SHA-256 of the source's bytes; a mismatch with its own digest is an error."""
        return await self._digest(self._source, self._mirror.source, asset, asset.sha256, moved)

    async def _digest_of_copy(self, pair: Pair, moved: Callable[[int], None]) -> str | None:
        """The SHA-256 of the copy's bytes; ``None`` if they cannot be read to their end."""
        try:
            return await self._digest(self._target, self._mirror.target, pair.copy, None, moved)
        except (SourceChanged, ShortRead) as error:
            client = self._target.store.client
            subject = (self._mirror.target.key, pair.copy.id)
            client.lane("download").failed(self._context.clock.monotonic(), subject, error)
            self._cut_short[pair.key] = Unread(pair, error, client.name)
            return None

    async def _digest(
        self,
        side: Endpoint,
        repo: RepoRef,
        asset: Asset,
        sha256: str | None,
        moved: Callable[[int], None],
    ) -> str:
        """The SHA-256 of an asset's bytes; transient failures are retried.

        Raises:
            NotTried: One asset after the other failed, so that no more is asked of this host.
        """
        context, bandwidth = self._context, self._context.bandwidth
        source = side.store.read_asset(repo, asset)
        breaker = side.store.client.lane("download")
        if not breaker.allows(context.clock.monotonic()):
            self._at_fault.add((side.name, asset.id))
            raise not_tried(breaker)

        async def attempt() -> str:
            piped = await pipe(
                source,
                _Discard(),
                sha256=sha256,
                clock=context.clock,
                retry=context.retry,
                stall_timeout=side.stall_timeout,
                response_timeout=side.response_timeout,
                moved=moved,
                pace=bandwidth.lane().pace if bandwidth.piece else None,
                piece=bandwidth.piece,
            )
            return piped.sha256

        def is_worth_a_retry(error: MirrorError) -> bool:
            limited = isinstance(error, RateLimited)
            return limited or may_retry(error, lane_suspect=breaker.suspect)

        try:
            digest = await retrying(attempt, context.retry, context.clock, is_worth_a_retry)
        except MirrorError as error:
            if lane_at_fault(error, asset, side.name) == "download":
                breaker.failed(context.clock.monotonic(), (repo.key, asset.id), error)
                self._at_fault.add((side.name, asset.id))
            raise
        breaker.succeeded()
        return digest

    def _host_at_fault(self, pair: Pair) -> str:
        """The host that failed while a pair was read, rather than the asset; empty for none."""
        sides = ((self._target.name, pair.copy.id), (self._source.name, pair.asset.id))
        return next((side[0] for side in sides if side in self._at_fault), "")

    # -- repairing ----------------------------------------------------------------------------

    async def _mend(self, source: Snapshot, target: Snapshot | None, wrong: set[Item]) -> None:
        """Do for what is wrong what a pass would do that knew; then look at everything again.

        The planner is shown the digests that were found by reading, and so comes to replace what
        it would have believed.
        """
        seen_source = doctored(source, self._source_digests)
        seen_target = doctored(target, self._target_digests) if target else None
        policy = verifying(self._mirror.policy)
        self._plan = await self._session.plan(seen_source, seen_target, self._ledger, policy)
        work = repairs(self._plan, wrong)
        self._results = Results(self._mirror.name, str(self._mirror.target), work)
        ledger = self._ledger
        await self._session.repair(work, self._results, ledger, source, target)
        if self._results.unfinished:
            self._warnings.append(_BEFORE_REPAIR)
            return
        await self._look_again()

    async def _look_again(self) -> None:
        """Compare again after a repair; of what it sent, the bytes are read back."""
        before = {pair.copy.id for pair in self._found.pairs}
        compared, read = self._compared, self._read
        try:
            source, target, self._ledger = await self._session.read_state(write=False)
            found = await self._look(source, target)
            found.pairs = [p if p.copy.id in before else p.read_back() for p in found.pairs]
            self._found = found
            await self._compare(found.pairs)
        except MirrorError as error:
            self._warnings.append(f"not compared again after the repair: {error}")
            self._unfinished = self._unfinished or self._context.stop.requested
        self._compared, self._read = compared, read

    async def _keep_proofs(self) -> None:
        """Record what was read; only a repair holds the lock for writing."""
        proven = [item for item in self._proven if item[0].key in self._verdicts]
        self._proven.clear()
        if not (self._repair and proven):
            return
        for pair, same in proven:
            note_proof(self._ledger, pair, self._target_digests[pair.copy.id], same=same)
        await self._session.save(self._ledger)


class _Discard:
    """A sink that discards the bytes."""

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> None:
        """Take all chunks."""
        del size
        async for _ in chunks:
            pass


def _bytes(pair: Pair) -> int:
    return pair.copy.size + (pair.asset.size if pair.against_source else 0)
