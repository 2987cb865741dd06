"""Runs a mirror under a claim, or waits for the process that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.claims import FinishedElsewhere
from mirror.core.reporting.report import RepositoryReport, with_earlier
from mirror.errors import ClaimLost
from mirror.sync.mirror_runner import interrupted

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.claims import Claim, Claims
    from mirror.core.domain.mirror import Mirror
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
            report = others.pop() if taken.report and others else _unchanged(mirror, taken)
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
        context, report = self._runner.context, None
        try:
            async with claim.held():
                report = await self._runner.run(mirror, since=since, claim=claim)
        except ClaimLost:
            pass
        finally:
            done = report or context.interrupted.get(mirror.key)
            saved = await self._claims.release(
                claim,
                context.index.mirrors.get(mirror.key),
                done if done and _is_news(done) else None,
                finished=self._counts and report is not None and report.status != "interrupted",
            )
        if saved and not claim.lost:
            return report
        if done:
            self._earlier.setdefault(mirror.key, []).append(done)
        return interrupted(mirror) if context.stop.requested else None


def _is_news(report: RepositoryReport) -> bool:
    return report.status != "unchanged" or bool(report.actions)


def _unchanged(mirror: Mirror, finished: FinishedElsewhere) -> RepositoryReport:
    entry = finished.entry
    return RepositoryReport(
        mirror.name,
        str(mirror.target),
        "unchanged",
        warnings=entry.warnings if entry else (),
        target_checked_at=entry.checked if entry else None,
    )
