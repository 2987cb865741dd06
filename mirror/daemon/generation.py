"""One configuration in force, and what was opened for it.

A reload opens the next generation beside this one: sessions that run keep what they began with,
and what nobody uses any more is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mirror.app import open_app
from mirror.core.domain.selection import could_match
from mirror.core.timetable import Timetable
from mirror.daemon.hosts import HostGate
from mirror.daemon.passes import Group
from mirror.errors import ConfigError
from mirror.sync.discovery import Discovery, discover, known_mirrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mirror.app import App
    from mirror.config import Config, Secrets
    from mirror.core.clock import Clock
    from mirror.core.domain.expansion import Mirror, Rule
    from mirror.core.ledger.document import Index
    from mirror.core.reporting.report import Observer, RepositoryReport
    from mirror.github import RequestSeen
    from mirror.storage.json_ledger import FileLedgerStore
    from mirror.sync.mirror_runner import MirrorRunner


class Generation:
    """A configuration in force; implements the scheduler's hands.

    Attributes:
        config: The settings.
        secrets: What they refer to.
        app: What was opened.
        runner: Runs its mirrors.
        gates: Of every source by its name, and of ``target``.
    """

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        app: App,
        runner: MirrorRunner,
        clock: Clock,
        stack: AsyncExitStack,
    ) -> None:
        self.config = config
        self.secrets = secrets
        self.app = app
        self.runner = runner
        self.gates: Mapping[str, HostGate] = {
            name: HostGate(name, side.store.client, clock) for name, side in runner.hosts.items()
        }
        self._stack = stack
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(
        cls,
        config: Config,
        secrets: Secrets,
        *,
        ledgers: FileLedgerStore,
        index: Index,
        clock: Clock,
        observer: Observer,
        on_request: Callable[[RequestSeen], None],
        before: Generation | None = None,
    ) -> Generation:
        """Open what a configuration asks for; no host is contacted.

        Args:
            config: The settings.
            secrets: What they refer to.
            ledgers: Whose lock is held.
            index: Kept in memory.
            clock: The time and every wait.
            observer: Who watches the work.
            on_request: Told of every request to a host.
            before: The generation that this one takes over from.

        Raises:
            ConfigError: An App's private key is none.
        """
        async with AsyncExitStack() as stack:
            opened = open_app(
                config,
                secrets,
                clock=clock,
                observer=observer,
                on_request=on_request,
                ledgers=ledgers,
                before=before.app.shared if before else None,
            )
            app = await stack.enter_async_context(opened)
            return cls(config, secrets, app, app.runner(index), clock, stack.pop_all())
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Wait for the sessions that run, then close what was opened."""
        try:
            await self._idle.wait()
        finally:
            await self._stack.aclose()

    async def greet(self, name: str) -> None:
        """Ask a host, a source or ``target``, for a sign of life.

        Raises:
            MirrorError: It gave none.
        """
        with self._in_use():
            await self.runner.hosts[name].store.client.get("meta")

    def timetables(self) -> dict[float, Timetable]:
        """Those that some mirror follows, by the interval that it is set to; 0 for none of its own."""
        daemon = self.config.daemon
        jitter = daemon.jitter.total_seconds()
        common = None if daemon.schedule else daemon.interval.total_seconds()
        return {
            own: Timetable(own, None, jitter) if own else Timetable(common, daemon.schedule, jitter)
            for own in sorted({rule.interval for rule in self._rules()})
        }

    def groups(self) -> list[Group]:
        """The mirrors by their timetables."""
        behind = self._successes()
        return [
            Group(own, timetable, self._sources_of(own), behind.get(own, 0.0))
            for own, timetable in self.timetables().items()
        ]

    def _rules(self) -> Iterable[Rule]:
        return (rule for rule in self.app.rules if rule.enabled)

    def _sources_of(self, interval: float) -> tuple[str, ...]:
        found = (rule.source_name for rule in self._rules() if rule.interval == interval)
        return tuple(dict.fromkeys(found))

    def _successes(self) -> dict[float, float]:
        """When the mirror of each interval that is most behind last succeeded; 0 for never.

        One without proof was in the middle of something when the last run ended.
        """
        behind: dict[float, float] = {}
        for mirror in self.known():
            entry = self.runner.context.index.mirrors.get(mirror.key)
            success = entry.succeeded_at if entry and entry.pages else 0.0
            behind[mirror.interval] = min(success, behind.get(mirror.interval, success))
        return behind

    def webhook_secret(self) -> str | None:
        """The secret that GitHub signs with, as it is now; ``None`` for no webhook."""
        reference = self.config.daemon.webhook_secret
        if reference is None:
            return None
        try:
            return self.secrets.reread(reference)
        except ConfigError:
            return self.secrets[reference]

    def sources_at(self, host: str | None) -> list[str]:
        """The names of the sources at a host.

        Args:
            host: As a webhook tells it; ``None`` for github.com, or the only source.
        """
        sources = self.config.sources
        found = [
            name
            for name, source in sources.items()
            if (urlsplit(source.url).hostname or "").casefold() == (host or "github.com")
        ]
        return list(sources) if not found and host is None and len(sources) == 1 else found

    # -- the scheduler's hands --------------------------------------------------------------------

    def known(self) -> Iterable[Mirror]:
        """The mirrors that can be told without asking a host."""
        return known_mirrors(self.app.rules, self.runner.context.index)

    def may_hold(self, group: Group, source: str, repo: str) -> bool:
        """Whether a listing of a group and source could find a repository."""
        return any(
            rule.wildcard
            and rule.interval == group.interval
            and rule.source_name == source
            and could_match(repo, source, rule.source)
            for rule in self._rules()
        )

    async def discover(self, group: Group, source: str, *, full: bool) -> Discovery:
        """Find the mirrors of a group that are read from one source."""

        def wanted(rule: Rule) -> bool:
            return rule.source_name == source and rule.interval == group.interval

        with self._in_use():
            found = await discover(
                self.app.rules,
                (),
                self.runner.sources,
                self.runner.context.index,
                full=full,
                wanted=wanted,
            )
        return Discovery(
            tuple(
                mirror
                for mirror in found.mirrors
                if mirror.source_name == source and mirror.interval == group.interval
            ),
            tuple(report for report in found.failed if report.source.startswith(f"{source}:")),
        )

    async def sync(self, mirror: Mirror, *, full: bool) -> RepositoryReport:
        """Bring one mirror up to date."""
        with self._in_use():
            return await self.runner.run(mirror, full=full)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
