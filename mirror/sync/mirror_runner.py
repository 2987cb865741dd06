"""Runs one mirror once: whatever happens ends up in its report and in the index."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.failure import Failure
from mirror.core.ledger.backoff import after_pass, with_next_attempts
from mirror.core.ledger.document import IndexEntry
from mirror.core.reporting.history import new_events, with_events, with_result
from mirror.core.reporting.report import Observers, RepositoryReport
from mirror.core.reporting.request_tally import tallied
from mirror.errors import HostStopped, MirrorError
from mirror.sync.context import circumstances

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mirror.core.claims import Claim
    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import RepoRef
    from mirror.core.reporting.report import Observer
    from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint

    Work = Callable[[Mirror, Endpoint, TargetEndpoint, SessionContext], Awaitable[RepositoryReport]]

log = structlog.get_logger()


class MirrorRunner:
    """Runs the mirrors of one configuration, each call one mirror once.

    Args:
        sources: The source hosts, by name.
        target: The host that all mirrors write to.
        context: What all sessions share; errors are recorded in its index.
        work: What to do with a mirror, given its source and target: sync, plan or verify it.

    Attributes:
        hosts: Every source by its name, and ``target``.
    """

    def __init__(
        self,
        sources: Mapping[str, Endpoint],
        target: TargetEndpoint,
        context: SessionContext,
        work: Work,
    ) -> None:
        self.hosts: Mapping[str, Endpoint] = {**sources, "target": target}
        self.sources = sources
        self.context = context
        self._target = target
        self._work = work

    def begin_pass(self, since: float) -> None:
        """Let all mirrors of a pass share one context: to copy it costs more than to use it.

        Args:
            since: When the pass began, monotonic.
        """
        self.context = replace(self.context, since=since)

    async def run(
        self,
        mirror: Mirror,
        *,
        since: float,
        full: bool = False,
        explicit: bool = False,
        announced: bool = False,
        observers: Sequence[Observer] = (),
        claim: Claim | None = None,
    ) -> RepositoryReport:
        """Run one mirror; a failure of any kind is part of the report, only cancellation is raised.

        Args:
            mirror: Which.
            since: When the pass that it is a part of began, monotonic.
            full: Trust no stored ETag and no quarantine, whatever the context says.
            explicit: Somebody asked for this mirror: what failed is tried again at once.
            announced: Somebody says that it has changed.
            observers: Watch this run, besides the context's observer.
            claim: The right to work on the mirror, where several processes share the work.
        """
        context = self.context
        if full or explicit or announced or observers or claim or since != context.since:
            context = replace(
                context,
                since=since,
                full=full or context.full,
                explicit=explicit or context.explicit,
                announced=announced,
                observer=Observers(context.observer, *observers),
                claim=claim,
            )
        before = _trouble(context.index.mirrors.get(mirror.key))
        context.observer.mirror_started(mirror.name)
        with tallied() as requests:
            report = await self._attempt(mirror, context)
        if report.requests != requests:
            report = report.but(requests=requests)
        entry = context.index.mirrors.get(mirror.key)
        if report.target_checked_at is None and entry:
            report = report.but(target_checked_at=entry.checked)
        source = self.sources[mirror.source_name]
        if source.warnings:
            report = report.but(warnings=(*source.warnings, *report.warnings))
        if entry:
            self._record_history(entry, report, before, _trouble(entry))
        context.observer.mirror_finished(report)
        return report

    async def _attempt(self, mirror: Mirror, context: SessionContext) -> RepositoryReport:
        started = context.clock.now().timestamp()
        source = self.sources[mirror.source_name]
        try:
            return await self._work(mirror, source, self._target, context)
        except HostStopped as error:
            self._entry(mirror).failure = Failure.of(error)
            report = self._failed(mirror, context)
            return report.but(warnings=(f"not tried: {error}",), stopped=str(error))
        except Exception as error:
            if not isinstance(error, MirrorError):
                log.exception("mirror.crashed", source=mirror.name)
            facts = circumstances(mirror, source, self._target)
            failure = Failure.of(error, "sync", facts=facts)
            if failure.kind == "not-found" and not failure.hint:
                failure = replace(failure, hint="find-repository")
            failure = self._record_failure(mirror, source, failure, started)
            return self._failed(mirror, context, failure)

    def _failed(
        self, mirror: Mirror, context: SessionContext, *failures: Failure
    ) -> RepositoryReport:
        """The report of a mirror that failed, with what was done before."""
        done = context.interrupted.pop(mirror.key, None) or _failed(mirror)
        return done.but(status="failed", failures=(*done.failures, *failures))

    def _record_failure(
        self, mirror: Mirror, source: Endpoint, failure: Failure, started: float
    ) -> Failure:
        """Record that a mirror could not be looked at; the failure, with its next attempt."""
        entry = self._entry(mirror)
        if not any(end.store.client.stopped for end in (source, self._target)):
            entry.failed = after_pass(
                entry.failed,
                [failure],
                now=started,
                last_pass=entry.passed_at,
                longest=self.context.audit_interval,
                finished=False,
            )
        entry.passed_at = started
        (entry.failure,) = with_next_attempts([failure], entry.failed)
        return entry.failure

    def _entry(self, mirror: Mirror) -> IndexEntry:
        blank = IndexEntry(mirror.name, str(mirror.target))
        return self.context.index.mirrors.setdefault(mirror.key, blank)

    def _record_history(
        self, entry: IndexEntry, report: RepositoryReport, before: str, now: str
    ) -> None:
        """Record what happened; log the first failure and the recovery, and no repeats of either."""
        entry.history = with_result(entry.history, report)
        if not (report.actions or before or now):
            return
        at = self.context.clock.now().timestamp()
        new = new_events(entry.events, report, at=at, before=before, now=now)
        if not new:
            return
        entry.events = with_events(entry.events, new)
        if new[-1].kind == "failed":
            log.warning("mirror.failed", source=report.source, error=now)
        elif new[-1].kind == "recovered":
            log.info("mirror.recovered", source=report.source, was=before)


def _trouble(entry: IndexEntry | None) -> str:
    """What is wrong with a mirror according to the index; empty if nothing is."""
    if entry is None:
        return ""
    if entry.failure:
        return entry.failure.line
    return entry.quarantined[0].error if entry.quarantined else ""


def crashed(mirror: Mirror, error: BaseException) -> RepositoryReport:
    """The report of a mirror whose run ended with an error of this program."""
    return _failed(mirror, Failure.of(error, "sync"))


def interrupted(mirror: Mirror) -> RepositoryReport:
    """The report of a mirror that had not begun, or had done nothing, when the pass was stopped."""
    return RepositoryReport(mirror.name, str(mirror.target), "interrupted")


def not_tried(source: str, target: str | None, error: MirrorError) -> RepositoryReport:
    """The report of what was not tried, because its host is disabled; the failure is reported once.

    Args:
        source: ``NAME:OWNER/REPO``.
        target: ``OWNER/REPO``; ``None`` for a listing.
        error: Why the host is disabled.
    """
    warnings = (f"not tried: {error}",)
    return RepositoryReport(source, target, "failed", warnings=warnings, stopped=str(error))


def superseded(source: str, target: RepoRef | None, *, removed: bool = False) -> RepositoryReport:
    """The report of what is left to processes with newer settings.

    Args:
        source: ``NAME:OWNER/REPO``.
        target: ``None`` for a listing.
        removed: They have no such mirror.
    """
    what = "without this mirror" if removed else "with other settings of this mirror"
    text = f"a process that started or was reloaded later has a configuration {what}"
    failure = Failure("policy", text, "sync", hint="newer-settings")
    return RepositoryReport(source, str(target) if target else None, "failed", failures=(failure,))


def _failed(mirror: Mirror, *failures: Failure) -> RepositoryReport:
    return RepositoryReport(mirror.name, str(mirror.target), "failed", failures=failures)
