"""A pass: every selected mirror once, so many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from mirror.core.reporting.report import Report, RepositoryReport
from mirror.sync.discovery import discover
from mirror.sync.session import Session
from mirror.sync.standing import attempt, log_change, trouble_of
from mirror.verify.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from mirror.core.domain.expansion import Mirror, Rule
    from mirror.sync.context import Endpoint, SessionContext

SAVE_INDEX_EVERY = 10.0
"""Seconds between two saves of the index while a pass runs; what is lost costs requests only."""


class Pass:
    """One pass over the selected mirrors.

    Args:
        command: ``sync``, ``plan`` or ``verify``.
        sources: By name.
        at_once: Mirrors at the same time.
        repair: Of ``verify``: send again what differs.

    Its report can be had at any time, also after it was cancelled.
    """

    def __init__(
        self,
        command: str,
        rules: Sequence[Rule],
        patterns: Sequence[str],
        sources: Mapping[str, Endpoint],
        target: Endpoint,
        tools: SessionContext,
        *,
        at_once: int,
        repair: bool = False,
    ) -> None:
        self._command = command
        self._rules = rules
        self._patterns = patterns
        self._sources = sources
        self._target = target
        self._tools = tools
        self._at_once = at_once
        self._repair = repair
        self._started = tools.clock.now()
        self._saved_at = tools.clock.monotonic()
        self._undiscovered: tuple[RepositoryReport, ...] = ()
        # By the mirror's key: a source may have several targets.
        self._reports: dict[str, RepositoryReport] = {}
        self._begun: list[Mirror] = []
        self._queue: deque[Mirror] = deque()

    async def run(self) -> Report:
        """Bring every selected mirror up to date, or tell what that would do.

        Raises:
            UsageError: A pattern of the command line matches nothing.
        """
        for side in (*self._sources.values(), self._target):
            side.store.client.reset()
        tools = self._tools
        found = await discover(
            self._rules, self._patterns, self._sources, tools.index, full=tools.full
        )
        self._undiscovered = found.failed
        self._queue.extend(found.mirrors)
        tools.observer.mirrors_found(len(found.mirrors))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(found.mirrors))):
                    group.create_task(self._work_off())
        finally:
            await self._save_index(ended=True)
        return self.report()

    def report(self) -> Report:
        """What has been done so far; what has not been begun is told as interrupted."""
        repositories = (
            *self._undiscovered,
            *(
                self._reports.get(mirror.key)
                or RepositoryReport(mirror.name, str(mirror.target), "interrupted")
                for mirror in (*self._begun, *self._queue)
            ),
        )
        stores = [(side.name, side.store) for side in (*self._sources.values(), self._target)]
        return Report(
            self._command,
            self._started,
            self._tools.clock.now(),
            repositories,
            requests={name: store.client.counts for name, store in stores},
            interrupted=any(repo.status == "interrupted" for repo in repositories),
        )

    async def _work_off(self) -> None:
        while self._queue and not self._tools.stop.requested:
            mirror = self._queue.popleft()
            self._begun.append(mirror)
            self._tools.observer.mirror_started(mirror.name)
            report = await attempt(mirror, partial(self._session, mirror), self._tools.index)
            self._reports[mirror.key] = report
            log_change(report, "", trouble_of(self._tools.index, mirror) if report.failures else "")
            self._tools.observer.mirror_finished(report)
            if self._tools.clock.monotonic() - self._saved_at >= SAVE_INDEX_EVERY:
                await self._save_index()

    def _session(self, mirror: Mirror) -> Awaitable[RepositoryReport]:
        source = self._sources[mirror.source_name]
        if self._command == "verify":
            return Verifier(mirror, source, self._target, self._tools, repair=self._repair).run()
        session = Session(mirror, source, self._target, self._tools)
        return session.preview() if self._command == "plan" else session.sync()

    async def _save_index(self, *, ended: bool = False) -> None:
        if self._command != "sync":
            return
        self._saved_at = self._tools.clock.monotonic()
        if ended:
            self._tools.index.remember(self.report())
        await self._tools.ledgers.save_index(self._tools.index)
