"""The objects of one loaded configuration: hosts, clients, mirrors, timetables, notifications.

A reload opens the next runtime beside this one: runs in progress keep what they began with, and
what nobody uses any more is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mirror.app import open_app
from mirror.core.reporting.request_tally import tallied
from mirror.core.timetable import Timetable
from mirror.errors import ConfigError
from mirror.notify import Notifications
from mirror.sync.discovery import Catalogue, Discovery
from mirror.sync.mirror_runner import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mirror.app import App
    from mirror.config import Config, Secrets
    from mirror.core.claims import Claim, JobSettings
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.host import HostClient
    from mirror.core.ledger.index import Index
    from mirror.core.reporting.report import Observer, RepositoryReport
    from mirror.daemon.passes import Request
    from mirror.github import RequestSeen
    from mirror.open_ledger import OpenLedger
    from mirror.sync.context import SessionContext


class Runtime:
    """One configuration in force; the scheduler's :class:`~mirror.daemon.workload.Workload`.

    Attributes:
        config: The settings.
        app: The objects that they ask for.
        index: What is known of each mirror; every runtime of a service has the same.
        hosts: Every source by its name, and ``target``.
        rules: All configured mirrors.
        limit: Mirrors that run at the same time.
        gates: The clients of the hosts.
        timetables: By the interval that mirrors are configured with; 0 for the service's own.
        notifications: Whom to notify.
    """

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        app: App,
        notifications: Notifications,
        index: Index,
        stack: AsyncExitStack,
        clock: Clock,
    ) -> None:
        runner = app.runner(index)
        self.config = config
        self.app = app
        self.index = index
        self.hosts = runner.hosts
        self.rules = app.rules
        self.limit = config.sync.repositories
        self.gates: Mapping[str, HostClient] = {
            name: host.store.client for name, host in self.hosts.items()
        }
        self.timetables = self._timetables()
        self.notifications = notifications
        self._secrets = secrets
        self._runner = runner
        self._stack = stack
        self._clock = clock
        self._catalogue = Catalogue(self.rules, runner.sources, index)
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(
        cls,
        config: Config,
        secrets: Secrets,
        *,
        ledger: OpenLedger,
        index: Index,
        clock: Clock,
        observer: Observer,
        on_request: Callable[[RequestSeen], None],
        before: Runtime | None = None,
    ) -> Runtime:
        """Open what a configuration asks for; no host is contacted.

        Args:
            config: The settings.
            secrets: What they refer to.
            ledger: If it is files, its lock is held.
            index: The ledger's index, which is kept in memory.
            clock: The time and every wait.
            observer: Watches the work.
            on_request: Called after every request to a host.
            before: The runtime that this one takes over from.

        Raises:
            ConfigError: An App's private key or a notification address is invalid.
        """
        notifications = Notifications.of(config, secrets, clock)
        async with AsyncExitStack() as stack:
            opened = open_app(
                config,
                secrets,
                clock=clock,
                observer=observer,
                on_request=on_request,
                ledger=ledger,
                before=before.app.shared if before else None,
            )
            app = await stack.enter_async_context(opened)
            return cls(config, secrets, app, notifications, index, stack.pop_all(), clock)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Wait for the runs in progress, then close all connections."""
        try:
            await self._idle.wait()
        finally:
            await self._stack.aclose()

    async def ping(self, host: str) -> None:
        """Send a request to a host, a source or ``target``, to see whether it answers.

        Raises:
            MirrorError: It does not.
        """
        with self._used():
            await self.hosts[host].store.client.ping()

    def webhook_secret(self) -> str | None:
        """The secret of webhooks as it is now; ``None`` if webhooks are off."""
        reference = self.config.daemon.webhook_secret
        if reference is None:
            return None
        try:
            return self._secrets.reread(reference)
        except ConfigError:
            return self._secrets[reference]

    def sources_at(self, host: str | None) -> list[str]:
        """The names of the sources at a host.

        Args:
            host: As a webhook names it; ``None`` for github.com, or the only source.
        """
        sources = self.config.sources
        found = [
            name
            for name, source in sources.items()
            if (urlsplit(source.url).hostname or "").casefold() == (host or "github.com")
        ]
        return list(sources) if not found and host is None and len(sources) == 1 else found

    # -- the scheduler's workload -----------------------------------------------------------------

    @property
    def patterns(self) -> Mapping[str, Sequence[Rule]]:
        """The patterns that are enabled, by their listing."""
        return self._catalogue.patterns

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """The mirrors that are known without asking a host: by what listings held last."""
        return self._catalogue.mirrors

    def last_success(self, interval: float) -> float:
        """When the mirror of a timetable that is most behind was last settled (epoch; 0 for never).

        A mirror without proof was in the middle of something when the service last stopped.
        """
        entries = (
            self.index.mirrors.get(mirror.key)
            for mirror in self._catalogue.mirrors
            if mirror.interval == interval
        )
        settled = (entry.settled_at if entry and entry.pages else 0.0 for entry in entries)
        return min(settled, default=0.0)

    async def discover(self, listing: str, *, full: bool) -> Discovery:
        """List an owner's repositories; all mirrors that there are then, and what failed."""
        with self._used(), tallied() as requests:
            failed = await self._catalogue.relist(listing, full=full)
        failed += self._catalogue.impossible
        return Discovery(self._catalogue.mirrors, failed, requests)

    async def sync(
        self, mirror: Mirror, request: Request, claim: Claim | None = None
    ) -> RepositoryReport:
        """Bring one mirror up to date, as requested.

        Args:
            mirror: Which.
            request: Why.
            claim: The right to work on it, where several processes share the work.
        """
        with self._used():
            return await self._runner.run(
                mirror,
                since=request.at,
                full=request.full,
                explicit=request.explicit,
                announced=request.announced,
                observers=request.observers,
                claim=claim,
            )

    def done_by(self, mirror: Mirror) -> RepositoryReport:
        """What a run that was cancelled had done."""
        return self._runner.context.interrupted.get(mirror.key) or interrupted(mirror)

    @property
    def context(self) -> SessionContext:
        """What all sessions share."""
        return self._runner.context

    def expand(self) -> None:
        """Find the mirrors by the listings as the index has them now."""
        self._catalogue.expand()

    def jobs(self, now: datetime, listing: str | None = None) -> list[JobSettings]:
        """The mirrors and listings as rows of a shared queue.

        Args:
            now: By the clock that all processes share, in the zone of schedules.
            listing: Only this one, and the mirrors that it found.
        """
        ticks = {one: self.next_tick(one, now) for one in self.timetables}
        return self._catalogue.jobs(self.hosts["target"], listing, ticks.__getitem__)

    def next_tick(self, interval: float, now: datetime) -> datetime | None:
        """When a timetable has its mirrors due next, in every process; ``None`` for never."""
        return self.timetables[interval].shared_tick(
            now, f"{self.config.target.address} {interval}"
        )

    def _timetables(self) -> dict[float, Timetable]:
        daemon = self.config.daemon
        jitter = daemon.jitter.total_seconds()
        common = None if daemon.schedule else daemon.interval.total_seconds()
        return {
            own: Timetable(own, None, jitter) if own else Timetable(common, daemon.schedule, jitter)
            for own in sorted({rule.interval for rule in self.rules if rule.enabled})
        }

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._in_use += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()
