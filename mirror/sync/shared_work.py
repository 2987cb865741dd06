"""Runs a mirror under a claim, or waits for the process that has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.claims import FinishedElsewhere, Superseded
from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.errors import ClaimLost
from mirror.sync.mirror_runner import interrupted, superseded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from mirror.core.claims import Claim, Claims, JobSettings, SharedSettings
    from mirror.core.domain.mirror import Mirror
    from mirror.sync.context import SessionContext
    from mirror.sync.discovery import Catalogue
    from mirror.sync.mirror_runner import MirrorRunner

log = structlog.get_logger()

PATIENCE = 40.0
"""Seconds to wait for an unavailable database when settings are published."""

BUSY_EVERY = 1.0
"""Seconds between two looks at the mirrors that other processes have."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a pass needs to share its mirrors with other processes.

    Attributes:
        claims: Who may work on a mirror.
        settings: Where the settings of all mirrors are published.
        generation: Of this start; drawn before the index was read.
    """

    claims: Claims
    settings: SharedSettings
    generation: int


class SharedWork:
    """The mirrors of one pass, some of which other processes may run.

    The pass begins by publishing the settings of all mirrors, as every start and reload does. A mirror
    that a later start or reload has other settings of is left to that.

    Args:
        sharing: With whom.
        runner: Runs a mirror.
        accepts: A run of another process that began during the pass counts as one of this pass.
        counts: The runs of this pass count for others.
    """

    def __init__(
        self, sharing: Sharing, runner: MirrorRunner, *, accepts: bool, counts: bool
    ) -> None:
        self._claims = sharing.claims
        self._settings = sharing.settings
        self._generation = sharing.generation
        self._jobs: dict[str, JobSettings] = {}
        self._superseded = False
        self._runner = runner
        self._accepts = accepts
        self._counts = counts
        self._since: datetime | None = None
        self._earlier: dict[str, list[RepositoryReport]] = {}
        self._seen_elsewhere: set[str] = set()

    async def begin(self, catalogue: Catalogue) -> None:
        """Publish the settings, then note when the pass begins, by the clock that all processes share.

        Raises:
            DatabaseUnavailable: The database was unavailable for :data:`PATIENCE` seconds.
        """
        await self._publish(catalogue, self._generation)
        self._since = await self._claims.now()

    async def relist(
        self, catalogue: Catalogue, listing: str, *, full: bool
    ) -> tuple[RepositoryReport, ...]:
        """List an owner's repositories, and publish the settings of their mirrors.

        Raises:
            DatabaseUnavailable: The database was unavailable for :data:`PATIENCE` seconds.
        """
        generation = await self._settings.next_generation(patience=PATIENCE)
        failed = await catalogue.relist(listing, full=full)
        if not failed:
            context = self._runner.context
            await context.ledgers.save_shared(context.index)
            await self._publish(catalogue, generation, listing)
        return failed

    async def publish_missing(self, catalogue: Catalogue, mirrors: Sequence[Mirror]) -> None:
        """Publish mirrors that became possible by the listing of another owner, which had their target.

        Raises:
            DatabaseUnavailable: The database was unavailable for :data:`PATIENCE` seconds.
        """
        if any(mirror.key not in self._jobs for mirror in mirrors):
            await self._publish(catalogue, self._generation)

    async def _publish(
        self, catalogue: Catalogue, generation: int, listing: str | None = None
    ) -> None:
        jobs = catalogue.jobs(self._runner.hosts["target"], listing)
        await self._settings.publish(generation, jobs, listing=listing, patience=PATIENCE)
        self._jobs |= {job.key: job for job in jobs}

    async def run(self, mirror: Mirror, since: float) -> RepositoryReport | None:
        """Run a mirror.

        Args:
            mirror: Which.
            since: When the pass began, monotonic.

        Returns:
            ``None`` if another process has it, or took it over: try again later.
        """
        assert self._since  # noqa: S101 - begin was called
        key, context = mirror.key, self._runner.context
        settings = self._jobs[key].settings
        taken = await self._claims.take(key, settings, self._since, accepts=self._accepts)
        if taken is None:
            self._seen_elsewhere.add(key)
            return None
        if isinstance(taken, Superseded):
            return await self._leave(mirror, taken)
        if taken.entry:
            context.index.mirrors[key] = taken.entry
        others: list[RepositoryReport] = []
        if isinstance(taken, FinishedElsewhere):
            others = await self._claims.reports(key, self._since)
            report = others.pop() if taken.report and others else unchanged(mirror, taken)
            context.observer.mirror_started(mirror.name)
            context.observer.mirror_finished(report)
        else:
            if taken.overlapped or key in self._seen_elsewhere:
                others = await self._claims.reports(key, self._since)
            mine = await self._run(mirror, taken, since)
            if mine is None:
                self._seen_elsewhere.add(key)
                return None
            report = mine
        return with_earlier(report, [*others, *self._earlier.get(key, [])])

    async def _leave(self, mirror: Mirror, found: Superseded) -> RepositoryReport:
        """The report of a mirror that is left to processes with newer settings."""
        assert self._since  # noqa: S101 - begin was called
        if not self._superseded:
            log.warning("settings.superseded", source=mirror.name)
            self._superseded = True
        observer = self._runner.context.observer
        observer.mirror_started(mirror.name)
        others = await self._claims.reports(mirror.key, self._since)
        done = [*others, *self._earlier.get(mirror.key, [])]
        report = with_earlier(superseded(mirror.name, mirror.target, removed=found.removed), done)
        observer.mirror_finished(report)
        return report

    async def _run(self, mirror: Mirror, claim: Claim, since: float) -> RepositoryReport | None:
        """Run a mirror under a claim; ``None`` if that was lost."""
        context = self._runner.context
        run = partial(
            self._runner.run,
            mirror,
            since=since,
            full=claim.full,
            explicit=claim.requested,
            claim=claim,
        )
        report, done = await run_claimed(
            run, self._claims, claim, context, lambda end: self._counts and _is_finished(end)
        )
        if report:
            return report
        if done:
            self._earlier.setdefault(mirror.key, []).append(done)
        return interrupted(mirror) if context.stop.requested else None


async def run_claimed(
    run: Callable[[], Awaitable[RepositoryReport]],
    claims: Claims,
    claim: Claim,
    context: SessionContext,
    finished: Callable[[RepositoryReport], bool],
    next_due: Callable[[], datetime | None] = lambda: None,
) -> tuple[RepositoryReport | None, RepositoryReport | None]:
    """Run a mirror under a claim, and give that back at the end, also of a run that is cancelled.

    Args:
        run: The run.
        claims: Where the claim came from.
        claim: The right to work on the mirror.
        context: Of the run.
        finished: Whether a run that ended counts for others.
        next_due: When the mirror is due again; asked at the end of a run that counts.

    Returns:
        The report, or ``None`` if the claim was lost; and what is known to have been done.
    """
    report = None
    try:
        async with claim.held():
            report = await run()
    except ClaimLost:
        pass
    finally:
        done = report or context.interrupted.get(claim.key)
        if done:
            done = done.but(claim=claim.number)
        counts = report is not None and finished(report)
        saved = await claims.release(
            claim,
            context.index.mirrors.get(claim.key),
            done if done and _is_news(done) else None,
            finished=counts,
            next_due=next_due() if counts else None,
        )
    return (done if report and saved and not claim.lost else None), done


def _is_finished(report: RepositoryReport) -> bool:
    return report.status != "interrupted"


def _is_news(report: RepositoryReport) -> bool:
    return report.status != "unchanged" or bool(report.actions)


def unchanged(mirror: Mirror, finished: FinishedElsewhere) -> RepositoryReport:
    """The report of a run of another process that changed nothing."""
    entry = finished.entry
    return RepositoryReport(
        mirror.name,
        str(mirror.target),
        "unchanged",
        warnings=entry.warnings if entry else (),
        target_checked_at=entry.checked if entry else None,
    )
