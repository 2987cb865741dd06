"""A workload that only pretends to work, for the scheduler: it sees whether a mirror overlaps."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from mirror.core.circuit_breaker import CircuitBreaker
from mirror.core.claims import JobSettings
from mirror.core.domain.mirror import Mirror, Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef
from mirror.core.failure import Failure
from mirror.core.ledger.index import Index
from mirror.core.reporting.report import RepositoryReport
from mirror.sync.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from mirror.core.claims import Claim
    from mirror.core.clock import Clock
    from mirror.core.timetable import Timetable
    from mirror.daemon.host_gates import HostGate
    from mirror.daemon.passes import Pass, Request
    from mirror.errors import MirrorError
    from mirror.sync.context import SessionContext


class FakeClient:
    """A host's client that a test stops and pauses."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.breaker = CircuitBreaker("github", "api")
        self.paused_until: datetime | None = None

    @property
    def stopped(self) -> MirrorError | None:
        return self.breaker.reason if self.breaker.is_open else None

    def stop(self, error: MirrorError) -> None:
        self.breaker.trip(self.clock.monotonic(), error)

    def closed_for(self) -> float:
        paused = 0.0
        if self.paused_until is not None:
            paused = (self.paused_until - self.clock.now()).total_seconds()
        return max(0.0, paused, self.breaker.retry_in(self.clock.monotonic()))

    def revive(self) -> None:
        self.breaker.half_open(afresh=True)

    def revive_if_due(self) -> None:
        if self.stopped and not self.breaker.retry_in(self.clock.monotonic()):
            self.breaker.half_open()


def a_mirror(
    name: str, *, source: str = "github", interval: float = 0.0, fixed: bool = False
) -> Mirror:
    """The mirror of ``owner/NAME``, found by the pattern ``owner/*`` unless it is fixed."""
    target = "mirrors/" + source + "-{repo}"
    found_by = f"owner/{name}" if fixed else "owner/*"
    rule = Rule(source, found_by, target, Policy(), "settings", interval=interval)
    ref = RepoRef("owner", name)
    return Mirror(rule, ref, RepoRef.parse(rule.target_of(ref)))


def a_report(mirror: Mirror, status: str = "ok", *, stopped: str = "") -> RepositoryReport:
    """What a session came to; ``failed`` holds a failure."""
    failures = (
        (Failure("rejected", "it failed", "sync"),) if status == "failed" and not stopped else ()
    )
    return RepositoryReport(
        mirror.name,
        str(mirror.target),
        status,  # type: ignore[arg-type]  # tests say it in short
        failures=failures,
        stopped=stopped,
    )


@dataclass(frozen=True, slots=True)
class Session:
    """A session that began."""

    key: str
    at: float
    full: bool
    explicit: bool


@dataclass(slots=True)
class Told:
    """What a watcher was told."""

    sessions: list[tuple[RepositoryReport, float]] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)

    def on_session(self, report: RepositoryReport, seconds: float) -> None:
        self.sessions.append((report, seconds))

    def on_pass(self, ended: Pass) -> None:
        self.passes.append(ended)


@dataclass(frozen=True, slots=True)
class Group:
    """The mirrors of one timetable: patterns ``owner/*`` at some sources, and when one succeeded."""

    interval: float
    timetable: Timetable
    sources: tuple[str, ...]
    succeeded_at: float = 0.0


class FakeWorkload:
    """Mirrors that are done as a test says.

    Args:
        mirrors: What discovery finds.
        work: One session; one that is well, at once, by default.
        share: Another workload whose sessions are looked at for overlaps, too.

    Attributes:
        groups: The timetables.
        settings: The fingerprint of every mirror's.
        limit: Sessions at a time.
    """

    def __init__(
        self,
        clock: Clock,
        mirrors: Iterable[Mirror],
        work: Callable[[Mirror], Awaitable[RepositoryReport]] | None = None,
        *,
        share: FakeWorkload | None = None,
        sources: Iterable[str] = ("github",),
    ) -> None:
        self.clock = clock
        self.found = list(mirrors)
        self.failed: tuple[RepositoryReport, ...] = ()
        self.work = work
        self.listed: list[tuple[float, str, bool]] = []
        self.listing: Callable[[str], Awaitable[None]] | None = None
        self.groups: tuple[Group, ...] = ()
        self.limit = 8
        self.sessions: list[Session] = share.sessions if share else []
        self.open: Counter[str] = share.open if share else Counter()
        self.most: Counter[str] = share.most if share else Counter()
        self.index = Index()
        self.settings = "1"
        self.context = cast("SessionContext", SimpleNamespace(index=self.index, interrupted={}))
        self.clients = {name: FakeClient(clock) for name in (*sources, "target")}

    @property
    def gates(self) -> Mapping[str, HostGate]:
        return self.clients

    @property
    def patterns(self) -> dict[str, list[Rule]]:
        found: dict[str, list[Rule]] = {}
        for group in self.groups:
            for source in group.sources:
                rule = Rule(source, "owner/*", "m/{repo}", Policy(), "", interval=group.interval)
                found.setdefault(rule.listing, []).append(rule)
        return found

    @property
    def timetables(self) -> dict[float, Timetable]:
        return {group.interval: group.timetable for group in self.groups}

    def last_success(self, interval: float) -> float:
        (group,) = (group for group in self.groups if group.interval == interval)
        return group.succeeded_at

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        return tuple(self.found)

    async def discover(self, listing: str, *, full: bool) -> Discovery:
        source, _, _ = listing.partition(":")
        self.listed.append((self.clock.monotonic(), source, full))
        if self.listing:
            await self.listing(source)
        return Discovery(tuple(self.found), self.failed)

    async def sync(
        self, mirror: Mirror, request: Request, claim: Claim | None = None
    ) -> RepositoryReport:
        del claim
        now = self.clock.monotonic()
        self.sessions.append(Session(mirror.key, now, request.full, request.explicit))
        hosts = [self.clients[name].breaker for name in (mirror.source_name, "target")]
        probed = [breaker for breaker in hosts if breaker.state == "half-open"]
        for key in (mirror.key, ""):
            self.open[key] += 1
            self.most[key] = max(self.most[key], self.open[key])
        try:
            if self.work is None:
                return a_report(mirror)
            return await self.work(mirror)
        except asyncio.CancelledError:
            self.context.interrupted[mirror.key] = a_report(mirror, "interrupted")
            raise
        finally:
            for breaker in probed:
                if breaker.state == "half-open":
                    breaker.succeeded()
            for key in (mirror.key, ""):
                self.open[key] -= 1

    def expand(self) -> None:
        """The mirrors are those that a test says."""

    def jobs(self, now: datetime, listing: str | None = None) -> Sequence[JobSettings]:
        mirrors = [
            JobSettings(
                mirror.key,
                self.settings,
                mirror.source_name,
                mirror.listing,
                self.next_tick(mirror.interval, now),
            )
            for mirror in self.mirrors
            if listing in {None, mirror.listing}
        ]
        listings = [
            JobSettings(key, "1", rules[0].source_name, "", self.next_tick(rules[0].interval, now))
            for key, rules in self.patterns.items()
            if listing in {None, key}
        ]
        return [*mirrors, *listings]

    def next_tick(self, interval: float, now: datetime) -> datetime | None:
        return self.timetables[interval].shared_tick(now, "the cluster")

    def done_by(self, mirror: Mirror) -> RepositoryReport:
        return a_report(mirror, "interrupted")

    def times(self, mirror: Mirror) -> list[float]:
        """When a mirror's sessions began."""
        return [session.at for session in self.sessions if session.key == mirror.key]

    @property
    def overlapped(self) -> list[str]:
        """Mirrors that ran twice at a time."""
        return [key for key, most in self.most.items() if key and most > 1]
