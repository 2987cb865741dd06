"""Runs a mirror under a claim, or waits for the process that has it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mirror.core.claims import FinishedElsewhere
from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.errors import ClaimLost
from mirror.sync.mirror_runner import interrupted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from mirror.core.claims import Claim, Claims
    from mirror.core.domain.mirror import Mirror
    from mirror.sync.context import SessionContext
    from mirror.sync.mirror_runner import MirrorRunner

BUSY_EVERY = 1.0
"""Seconds between two looks at the mirrors that other processes have."""


class SharedWork:
    """The mirrors of one pass, some of which other processes may run.

    Args:
        claims: Who may work on a mirror.
        runner: Runs a mirror.
        accepts: A run of another process that began during the pass counts as one of this pass.
        counts: The runs of this pass count for others.
    """

    def __init__(
        self, claims: Claims, runner: MirrorRunner, *, accepts: bool, counts: bool
    ) -> None:
        self._claims = claims
        self._runner = runner
        self._accepts = accepts
        self._counts = counts
        self._since: datetime | None = None
        self._earlier: dict[str, list[RepositoryReport]] = {}
        self._seen_elsewhere: set[str] = set()

    async def begin(self) -> None:
        """Note when the pass begins, by the clock that all processes share."""
        self._since = await self._claims.now()

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
        taken = await self._claims.take(key, self._since if self._accepts else None)
        if taken is None:
            self._seen_elsewhere.add(key)
            return None
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
            done = replace(done, claim=claim.number)
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
