"""Requests, and the passes that wait for them: one tick of a timetable each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import matches_source
from mirror.core.failure import Failure
from mirror.core.reporting.report import RequestCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.report import Observer, RepositoryReport
    from mirror.errors import MirrorError


Answer = Literal["queued", "running", "busy", "held"]
"""What became of a request; see :meth:`mirror.daemon.job_queue.JobQueue.request`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to run a mirror, or to list the repositories of an owner.

    Attributes:
        at: When it was due; for a timetable, before jitter was added.
        full: Trust no stored ETag and no quarantine.
        explicit: Somebody asked for it: what failed is tried again at once.
        urgent: It goes before mirrors that are merely due.
        announced: Somebody says that this very mirror has changed.
        passes: The passes that wait for it.
    """

    at: float
    full: bool = False
    explicit: bool = False
    urgent: bool = False
    announced: bool = False
    passes: tuple[Pass, ...] = ()

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who watches the run, for the clients that wait for it."""
        return tuple(one.client.observer for one in self.passes if one.client)

    @property
    def clients(self) -> tuple[Pass, ...]:
        """Those of its passes that a client waits for."""
        return tuple(one for one in self.passes if one.client)

    def merged(self, other: Request | None) -> Request:
        """One request that satisfies both."""
        if other is None:
            return self
        return Request(
            max(self.at, other.at),
            self.full or other.full,
            self.explicit or other.explicit,
            self.urgent or other.urgent,
            self.announced or other.announced,
            self.passes + other.passes,
        )


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who requested a pass and waits for its end.

    Attributes:
        patterns: Which mirrors; none for all.
        observer: Watches their runs.
    """

    patterns: tuple[str, ...]
    observer: Observer


@dataclass(slots=True, eq=False)
class Pass:
    """The mirrors of one timetable, or those that a client selects, once.

    It ends when :attr:`awaited` is empty. A run that several timetables request belongs to the
    first of their passes alone; a client's pass waits for all of its mirrors.

    Attributes:
        interval: The interval that its mirrors are configured with, seconds; 0 for the service's;
            ``None`` for mirrors of any interval.
        request: What is requested of each of its mirrors.
        started_at: When it was requested (aware, UTC).
        began: The same, monotonic.
        seconds: From there to its end.
        awaited: Keys of the mirrors and listings that it waits for.
        listings: The listings that were made for it (``github:hashicorp``).
        late: Keys of the mirrors that were running already when it began.
        reports: Of its runs, and of what could not be listed.
        asked: Mirrors that it is about.
        held: Of these, those left out because their host is closed and an earlier pass waits for
            them.
        busy: Of these, those that were running already, or that an earlier pass waits for.
        client: Who waits for it; ``None`` for a timetable.
        interrupted: The service stopped before it ended.
        listed: The requests of its listings, by host.
    """

    interval: float | None
    request: Request
    started_at: datetime
    began: float
    seconds: float = 0.0
    awaited: set[str] = field(default_factory=set)
    listings: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    reports: list[RepositoryReport] = field(default_factory=list)
    asked: int = 0
    held: int = 0
    busy: int = 0
    client: Client | None = None
    interrupted: bool = False
    listed: list[Mapping[str, RequestCount]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing failed, is quarantined, was interrupted, or was left out after trouble.

        A pass over selected mirrors proves nothing of the others.
        """
        return not (self.held or (self.client and self.client.patterns)) and all(
            report.status in {"ok", "unchanged"} and not report.failures and not report.quarantined
            for report in self.reports
        )

    @property
    def has_news(self) -> bool:
        """Whether it did something or had nothing to do; not if other passes did all of it."""
        return bool(self.reports or self.client) or not self.asked

    @property
    def empty(self) -> bool:
        """Whether a client's patterns match nothing."""
        return bool(self.client and self.client.patterns) and not (self.asked or self.reports)

    def covers(self, mirror: Mirror) -> bool:
        """Whether a mirror is one of its own."""
        if self.interval is not None and mirror.interval != self.interval:
            return False
        patterns = self.client.patterns if self.client else ()
        return not patterns or any(
            matches_source(pattern, mirror.source_name, mirror.source) for pattern in patterns
        )

    def note(self, key: str, answer: Answer) -> None:
        """Count a mirror that was requested."""
        self.asked += 1
        if answer == "queued":
            self.awaited.add(key)
        elif answer == "held":
            self.held += 1
        else:
            self.busy += 1
            if answer == "running":
                self.late.append(key)

    def skip(self, count: int, *, held: bool) -> None:
        """Count mirrors that an earlier pass waits for."""
        self.asked += count
        if held:
            self.held += count
        else:
            self.busy += count

    def end_run(
        self, key: str, report: RepositoryReport, disabled: MirrorError | None = None
    ) -> None:
        """Record the end of a mirror's run, if the pass still waits for that.

        Args:
            key: The mirror's.
            report: Of the run.
            disabled: Why a host of the mirror is disabled. A client is told once, also where the
                host was disabled before it came.
        """
        if key in self.awaited:
            self.awaited.discard(key)
            self.reports.append(self._explained(report, disabled))

    def _explained(
        self, report: RepositoryReport, disabled: MirrorError | None
    ) -> RepositoryReport:
        if not (self.client and report.stopped and disabled):
            return report
        failure = Failure.of(disabled, "sync")
        known = (one for repository in self.reports for one in repository.failures)
        if failure in (replace(one, facts="", next_attempt=None) for one in known):
            return report
        return report.but(failures=(*report.failures, failure), warnings=())

    @property
    def requests(self) -> dict[str, RequestCount]:
        """The requests of its runs and listings, by host: not those of what runs beside it."""
        sums: dict[str, RequestCount] = {}
        for counts in (*self.listed, *(report.requests for report in self.reports)):
            for host, count in counts.items():
                sums[host] = sums.get(host, RequestCount()).plus(count)
        return sums

    def end_listing(
        self,
        key: str,
        failed: Iterable[RepositoryReport],
        requests: Mapping[str, RequestCount],
        disabled: MirrorError | None = None,
    ) -> None:
        """Record the end of a listing, if the pass still waits for that.

        Args:
            key: The listing's.
            failed: What could not be listed or mirrored; several listings may report one failure.
            requests: Sent for it, by host.
            disabled: Why its host is disabled.
        """
        if key not in self.awaited:
            return
        self.awaited.discard(key)
        self.listings.add(key)
        self.listed.append(requests)
        for report in failed:
            if report not in self.reports and self._reports(report):
                self.reports.append(self._explained(report, disabled))

    def _reports(self, report: RepositoryReport) -> bool:
        """Whether what could not be listed or mirrored is about its mirrors."""
        if report.target is None or self.client is None or not self.client.patterns:
            return True
        name, _, source = report.source.partition(":")
        ref = RepoRef.parse(source)
        return any(matches_source(pattern, name, ref) for pattern in self.client.patterns)

    def follow(self, keys: set[str]) -> None:
        """Wait for the next runs of mirrors that were running."""
        self.awaited |= keys
        self.busy -= len(keys)
        self.late = []
