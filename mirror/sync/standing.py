"""One mirror at a time, on an index that is kept: what a pass and the service run on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from mirror.core.ledger.document import IndexEntry
from mirror.core.reporting.report import Failure, RepositoryReport
from mirror.errors import GitHubError, HostStopped, MirrorError, told
from mirror.sync.discovery import discover, known_mirrors
from mirror.sync.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mirror.core.domain.expansion import Mirror, Rule
    from mirror.core.ledger.document import Index
    from mirror.core.reporting.report import Report
    from mirror.sync.context import Endpoint, SessionContext
    from mirror.sync.discovery import Discovery

log = structlog.get_logger()


class Standing:
    """The mirrors of a configuration, brought up to date one by one for as long as it is in force.

    Args:
        rules: All configured mirrors.
        sources: By name.
        target: Where all of them are mirrored to.
        tools: What all sessions share; their index is kept in memory and saved by :meth:`save`.

    Attributes:
        hosts: Every source by its name, and ``target``.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        sources: Mapping[str, Endpoint],
        target: Endpoint,
        tools: SessionContext,
    ) -> None:
        self.rules = rules
        self.hosts: Mapping[str, Endpoint] = {**sources, "target": target}
        self._sources = sources
        self._target = target
        self._tools = tools

    @property
    def index(self) -> Index:
        """What is known of each mirror."""
        return self._tools.index

    def known(self) -> tuple[Mirror, ...]:
        """The mirrors that can be told without asking a host."""
        return known_mirrors(self.rules, self._tools.index)

    async def discover(self, wanted: Callable[[Rule], bool], *, full: bool = False) -> Discovery:
        """Find the mirrors of all rules; only wildcards that are wanted are listed anew.

        Of the others, what they held last time is told again, and no failure.

        Args:
            wanted: Which rules to ask a host for.
            full: Trust no stored listing.
        """
        return await discover(
            self.rules, (), self._sources, self._tools.index, full=full, wanted=wanted
        )

    async def sync(self, mirror: Mirror, *, full: bool = False) -> RepositoryReport:
        """Bring one mirror up to date; what fails is in its report.

        Args:
            mirror: One that was discovered.
            full: Trust no stored ETag and no quarantine.
        """
        tools = replace(self._tools, full=True) if full else self._tools
        source = self._sources[mirror.source_name]
        before = trouble_of(tools.index, mirror)
        tools.observer.mirror_started(mirror.name)
        session = Session(mirror, source, self._target, tools)
        report = await attempt(mirror, session.sync, tools.index)
        stopped = source.store.client.stopped or self._target.store.client.stopped
        if stopped and not report.stopped and report.status == "failed":
            report = replace(report, stopped=str(stopped))
        log_change(report, before, trouble_of(tools.index, mirror))
        tools.observer.mirror_finished(report)
        return report

    async def save(self, report: Report | None = None) -> None:
        """Save the index.

        Args:
            report: Of a pass that ended: it is remembered.

        Raises:
            LedgerError: It could not be saved.
        """
        if report is not None:
            self._tools.index.remember(report)
        await self._tools.ledgers.save_index(self._tools.index)


async def attempt(
    mirror: Mirror, session: Callable[[], Awaitable[RepositoryReport]], index: Index
) -> RepositoryReport:
    """Run one mirror's session; whatever fails becomes its report.

    Args:
        mirror: For its names.
        session: What is run.
        index: Where the error is noted.
    """
    try:
        return await session()
    except HostStopped as error:
        _note(index, mirror, error)
        return _failed(mirror, warnings=(f"not tried: {error}",), stopped=str(error))
    except MirrorError as error:
        _note(index, mirror, error)
        status = error.status if isinstance(error, GitHubError) else None
        failure = Failure(str(error), "sync", status_code=status, attempts=error.attempts)
        return _failed(mirror, failures=(failure,))
    except Exception as error:
        log.exception("mirror.crashed", source=mirror.name)
        text = told(f"internal error, please report it: {type(error).__name__}: {error}")
        _note(index, mirror, text)
        return _failed(mirror, failures=(Failure(text, "sync"),))


def trouble_of(index: Index, mirror: Mirror) -> str:
    """What is wrong with a mirror, as the index knows it; empty if nothing is."""
    entry = index.mirrors.get(mirror.key)
    if entry is None:
        return ""
    return entry.error or (entry.quarantined[0].error if entry.quarantined else "")


def _note(index: Index, mirror: Mirror, error: MirrorError | str) -> None:
    blank = IndexEntry(mirror.name, str(mirror.target))
    index.mirrors.setdefault(mirror.key, blank).error = str(error)


def _failed(
    mirror: Mirror,
    *,
    failures: tuple[Failure, ...] = (),
    warnings: tuple[str, ...] = (),
    stopped: str = "",
) -> RepositoryReport:
    return RepositoryReport(
        mirror.name,
        str(mirror.target),
        "failed",
        failures=failures,
        warnings=warnings,
        stopped=stopped,
    )


def log_change(report: RepositoryReport, before: str, now: str) -> None:
    """Log the first failure and the recovery; repeats are in the status, not in the log.

    Args:
        report: What the session came to.
        before: What was wrong until now; empty for nothing.
        now: What is wrong now.
    """
    if report.stopped:
        return  # the host's gate tells
    if now and not before:
        log.warning("mirror.failed", source=report.source, error=now)
    elif before and not now:
        log.info("mirror.recovered", source=report.source, was=before)
