"""Hands that only pretend to work, for the scheduler: they see whether a mirror ever overlaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.core.domain.expansion import Mirror
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef
from mirror.core.reporting.report import Failure, RepositoryReport, RequestCount
from mirror.daemon.hosts import HostGate
from mirror.sync.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.daemon.passes import Group, PassEnd
    from mirror.errors import GitHubError


class FakeClient:
    """A host's client that a test stops and pauses."""

    def __init__(self) -> None:
        self.stopped: GitHubError | None = None
        self.paused_until: datetime | None = None
        self.requests = 0
        self.revived: list[float] = []
        self.clock: Clock | None = None

    @property
    def counts(self) -> RequestCount:
        return RequestCount(self.requests)

    def revive(self) -> None:
        self.stopped = None
        self.revived.append(self.clock.monotonic() if self.clock else 0.0)


def a_mirror(name: str, *, source: str = "github", interval: float = 0.0) -> Mirror:
    """The mirror of ``owner/NAME``."""
    return Mirror(
        source,
        RepoRef("owner", name),
        RepoRef("mirrors", f"{source}-{name}"),
        Policy(),
        "settings",
        interval,
    )


def a_report(mirror: Mirror, status: str = "ok", *, stopped: str = "") -> RepositoryReport:
    """What a session came to; ``failed`` holds a failure."""
    failures = (Failure("it failed", "sync"),) if status == "failed" and not stopped else ()
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


@dataclass(slots=True)
class Told:
    """What a watcher was told."""

    sessions: list[tuple[Mirror, RepositoryReport, float]] = field(default_factory=list)
    passes: list[PassEnd] = field(default_factory=list)

    def on_session(self, mirror: Mirror, report: RepositoryReport, seconds: float) -> None:
        self.sessions.append((mirror, report, seconds))

    def on_pass(self, end: PassEnd) -> None:
        self.passes.append(end)


class FakeHands:
    """Mirrors that are done as a test says.

    Args:
        mirrors: What discovery finds.
        work: One session; one that is well, at once, by default.
        share: Other hands whose sessions are looked at for overlaps, too.
    """

    def __init__(
        self,
        clock: Clock,
        mirrors: Iterable[Mirror],
        work: Callable[[Mirror], Awaitable[RepositoryReport]] | None = None,
        *,
        share: FakeHands | None = None,
        sources: Iterable[str] = ("github",),
    ) -> None:
        self.clock = clock
        self.mirrors = list(mirrors)
        self.unknown: set[str] = set()
        self.failed: tuple[RepositoryReport, ...] = ()
        self.work = work
        self.listed: list[tuple[float, str, bool]] = []
        self.listing: Callable[[Group, str], Awaitable[None]] | None = None
        self.sessions: list[Session] = share.sessions if share else []
        self.open: Counter[str] = share.open if share else Counter()
        self.most: Counter[str] = share.most if share else Counter()
        self.clients = {name: FakeClient() for name in (*sources, "target")}
        for client in self.clients.values():
            client.clock = clock
        self._gates = {name: HostGate(name, client, clock) for name, client in self.clients.items()}

    @property
    def gates(self) -> Mapping[str, HostGate]:
        return self._gates

    def known(self) -> list[Mirror]:
        return [mirror for mirror in self.mirrors if mirror.key not in self.unknown]

    def may_hold(self, group: Group, source: str, repo: str) -> bool:
        return repo.casefold().startswith("owner/") and source in group.sources

    async def discover(self, group: Group, source: str, *, full: bool) -> Discovery:
        self.listed.append((self.clock.monotonic(), source, full))
        if self.listing:
            await self.listing(group, source)
        found = [
            mirror
            for mirror in self.mirrors
            if mirror.interval == group.interval and mirror.source_name == source
        ]
        return Discovery(tuple(found), self.failed)

    async def sync(self, mirror: Mirror, *, full: bool) -> RepositoryReport:
        self.sessions.append(Session(mirror.key, self.clock.monotonic(), full))
        for key in (mirror.key, ""):
            self.open[key] += 1
            self.most[key] = max(self.most[key], self.open[key])
        try:
            if self.work is None:
                return a_report(mirror)
            return await self.work(mirror)
        finally:
            for name in (mirror.source_name, "target"):
                self.clients[name].requests += 1
            for key in (mirror.key, ""):
                self.open[key] -= 1

    def times(self, mirror: Mirror) -> list[float]:
        """When a mirror's sessions began."""
        return [session.at for session in self.sessions if session.key == mirror.key]

    @property
    def overlapped(self) -> list[str]:
        """Mirrors that ran twice at a time."""
        return [key for key, most in self.most.items() if key and most > 1]
