"""Compares copies with their sources: by digest, or byte by byte where digests do not decide."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.source_archives import is_archive
from mirror.core.failure import Failure
from mirror.core.planning.verification import (
    Pair,
    compare,
    doctored,
    note_proof,
    repairs,
    verifying,
)
from mirror.core.reporting.report import Difference, RepositoryReport, Verified
from mirror.core.retry import retrying
from mirror.errors import HostStopped, MirrorError, ShortRead, SourceChanged
from mirror.sync.concurrency import run_each
from mirror.sync.results import planned_report
from mirror.sync.session import Session
from mirror.transfer.pipe import pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import Asset, RepoRef, Snapshot
    from mirror.core.execution.outcome import Outcome
    from mirror.core.ledger.document import Ledger
    from mirror.core.planning.verification import Comparison
    from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint

log = structlog.get_logger()

AT_ONCE = 32
"""Maximum comparisons of one mirror in progress; those that read bytes also need a transfer slot."""

UNREADABLE = "0" * 64
"""The digest of a copy that cannot be read to its end: no bytes have it."""

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
        repair: Upload again what differs or is missing.
    """
    return await Verifier(mirror, source, target, context, repair=repair).run()


class Verifier:
    """Compares one mirror once.

    Args:
        mirror: Which.
        source: The host of the source.
        target: The host of the target.
        context: What all sessions of a pass share.
        repair: Send again what differs or is missing.
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
        self._source_digests: dict[int, str] = {}
        self._target_digests: dict[int, str] = {}
        self._differing: list[Pair] = []
        self._proven: list[tuple[Pair, bool]] = []
        self._failures: list[Failure] = []
        self._warnings: list[str] = []
        self._compared = self._read = self._bytes_read = 0
        self._unfinished = False

    async def run(self) -> RepositoryReport:
        """Compare, and repair if configured.

        Raises:
            HostStopped: The host or its credential was given up.
            MirrorError: The mirror cannot be looked at.
        """
        source, target, ledger = await self._session.read_state(write=self._repair)
        policy = self._mirror.policy
        plan = await self._session.plan(source, target, ledger, verifying(policy))
        found = compare(plan, source, target, ledger, policy, self._context.clock.now())
        await self._compare(found.pairs)
        name, repo = self._mirror.name, str(self._mirror.target)
        damaged = {asset.id for _, asset in found.missing}
        damaged |= {
            pair.asset.id
            for pair in self._differing
            if pair.against_source or is_archive(pair.asset.id)
        }
        await self._keep_proofs(ledger)
        if self._repair and damaged and not self._unfinished:
            report, repaired = await self._repair_damaged(source, target, ledger, damaged)
        else:
            nothing = replace(plan, repository=None, releases=())
            report, repaired = planned_report(name, repo, nothing, ledger, {}), set()
        return self._report(report, found, repaired)

    def _report(
        self, report: RepositoryReport, found: Comparison, repaired: Collection[int]
    ) -> RepositoryReport:
        differences = [
            Difference(release.tag, asset.name, "missing")
            for release, asset in found.missing
            if asset.id not in repaired
        ]
        differences += [
            pair.difference for pair in self._differing if pair.asset.id not in repaired
        ]
        differences += found.extra
        failures = (*report.failures, *self._failures)
        status = report.status
        if self._unfinished or status == "interrupted":
            status = "interrupted"
        elif differences or failures or status == "failed":
            status = "failed"
        else:
            status = "ok"
        log.info(
            "mirror.verified",
            source=self._mirror.name,
            compared=self._compared,
            read=self._read,
            differences=len(differences),
            repaired=len(repaired),
            failures=len(failures),
        )
        return replace(
            report,
            status=status,
            failures=failures,
            warnings=(*report.warnings, *self._warnings),
            target_checked_at=self._session.checked,
            verified=Verified(
                tuple(sorted(differences, key=lambda d: (d.release, d.asset, d.kind))),
                self._compared,
                self._read,
                self._bytes_read,
            ),
        )

    # -- comparing ----------------------------------------------------------------------------

    async def _compare(self, pairs: Iterable[Pair]) -> None:
        """Compare all pairs, first by the digests of the hosts, then by reading bytes."""
        to_read = []
        for pair in pairs:
            same = pair.verdict(full=self._context.full)
            if same is None:
                to_read.append(pair)
            else:
                self._note(pair, same=same)
        self._context.observer.bytes_planned(sum(map(_bytes, to_read)))
        await run_each(to_read, AT_ONCE, self._read_pair)

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
                self._failures.append(_failure(pair, error))
            else:
                self._read += 1
                self._proven.append((pair, same))
                self._note(pair, same=same)

    def _note(self, pair: Pair, *, same: bool) -> None:
        self._compared += 1
        if not same:
            self._differing.append(pair)
            log.warning(
                "asset.differs",
                source=self._mirror.name,
                release=pair.release.tag,
                asset=pair.asset.name,
            )

    async def _same_bytes(self, pair: Pair) -> bool:
        """Read both sides completely, and compare their digests."""
        number, done = next(_numbers), [0, 0]
        observer = self._context.observer
        asset, tag = pair.asset, pair.release.tag
        observer.transfer_started(number, self._mirror.name, tag, asset.name, _bytes(pair))

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

    async def _digest_of_copy(self, pair: Pair, moved: Callable[[int], None]) -> str:
        try:
            return await self._digest(self._target, self._mirror.target, pair.copy, None, moved)
        except (SourceChanged, ShortRead) as error:
            self._warnings.append(
                f"{pair.release.tag}: the copy of {pair.asset.name} cannot be read to its end ({error})"
            )
            return UNREADABLE

    async def _digest(
        self,
        side: Endpoint,
        repo: RepoRef,
        asset: Asset,
        sha256: str | None,
        moved: Callable[[int], None],
    ) -> str:
        """The SHA-256 of an asset's bytes; transient failures are retried."""
        context, bandwidth = self._context, self._context.bandwidth
        source = side.store.read_asset(repo, asset)

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

        return await retrying(attempt, context.retry, context.clock, lambda error: error.retryable)

    # -- repairing ----------------------------------------------------------------------------

    async def _repair_damaged(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        damaged: Collection[int],
    ) -> tuple[RepositoryReport, set[int]]:
        """Upload again what differs, as a pass would that knew; then read and compare it again.

        The planner is shown the digests that were found by reading, and so comes to replace what
        it would have believed.
        """
        seen_source = doctored(source, self._source_digests)
        seen_target = doctored(target, self._target_digests) if target else None
        policy = verifying(self._mirror.policy)
        plan = await self._session.plan(seen_source, seen_target, ledger, policy)
        results = await self._session.repair(repairs(plan, damaged), ledger, source, target)
        arrived = [_as_sent(outcome) for outcome in results.arrived()]
        before, compared, read = len(self._differing), self._compared, self._read
        await self._compare(pair for pair in arrived if pair is not None)
        await self._keep_proofs(ledger)
        still = {pair.asset.id for pair in self._differing[before:]}
        del self._differing[before:]
        self._compared, self._read = compared, read
        failed = {(failure.release, failure.asset) for failure in self._failures}
        repaired = {
            pair.asset.id
            for pair in arrived
            if pair and (pair.release.tag, pair.asset.name) not in failed
        }
        return results.report(ledger), (repaired - still) | results.renamed()

    async def _keep_proofs(self, ledger: Ledger) -> None:
        """Record what was read; only a repair holds the lock for writing."""
        if not self._repair:
            return
        for pair, same in self._proven:
            note_proof(ledger, pair, self._target_digests[pair.copy.id], same=same)
        self._proven.clear()
        await self._session.save(ledger)


class _Discard:
    """A sink that discards the bytes."""

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> None:
        """Take all chunks."""
        del size
        async for _ in chunks:
            pass


def _as_sent(outcome: Outcome) -> Pair | None:
    """An asset that was uploaded again, to be compared with the digest of the bytes sent."""
    asset, release = getattr(outcome.action, "asset", None), outcome.source
    if asset is None or release is None or outcome.asset is None:
        return None
    copy = replace(outcome.asset, sha256=None)  # what a host says of it is not believed
    return Pair(0, release, asset, copy, outcome.sha256, against_source=outcome.sha256 is None)


def _bytes(pair: Pair) -> int:
    return pair.copy.size + (pair.asset.size if pair.against_source else 0)


def _failure(pair: Pair, error: MirrorError) -> Failure:
    return Failure.of(error, "verify-asset", release=pair.release.tag, asset=pair.asset.name)
