"""A pass: every selected mirror once, so many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from mirror.core.ledger import IndexEntry
from mirror.core.report import Failure, Report, RepositoryReport
from mirror.errors import GitHubError, HostStopped, MirrorError
from mirror.sync.discovery import discover
from mirror.sync.session import Session
from mirror.sync.verify import Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.expansion import Mirror, Rule
    from mirror.sync.side import Side, Tools

log = structlog.get_logger()

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
        sources: Mapping[str, Side],
        target: Side,
        tools: Tools,
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
            await self._save_index()
        return self.report()

    def report(self) -> Report:
        """What has been done so far; what has not been begun is told as interrupted."""
        waiting = [
            RepositoryReport(mirror.name, str(mirror.target), "interrupted")
            for mirror in self._queue
        ]
        repositories = (*self._undiscovered, *self._reports.values(), *waiting)
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
            self._reports[mirror.key] = RepositoryReport(
                mirror.name, str(mirror.target), "interrupted"
            )
            self._tools.observer.mirror_started(mirror.name)
            report = await self._session(mirror)
            self._reports[mirror.key] = report
            self._tools.observer.mirror_finished(report)
            if self._tools.clock.monotonic() - self._saved_at >= SAVE_INDEX_EVERY:
                await self._save_index()

    async def _session(self, mirror: Mirror) -> RepositoryReport:
        try:
            source = self._sources[mirror.source_name]
            if self._command == "verify":
                verification = Verification(
                    mirror, source, self._target, self._tools, repair=self._repair
                )
                return await verification.run()
            session = Session(mirror, source, self._target, self._tools)
            if self._command == "plan":
                return await session.preview()
            return await session.sync()
        except HostStopped as error:
            self._note_error(mirror, error)
            return _failed(mirror, warnings=(f"not tried: {error}",))
        except MirrorError as error:
            log.warning("mirror.failed", source=mirror.name, error=str(error))
            self._note_error(mirror, error)
            status = error.status if isinstance(error, GitHubError) else None
            failure = Failure(str(error), "sync", status_code=status, attempts=error.attempts)
            return _failed(mirror, failures=(failure,))
        except Exception as error:
            log.exception("mirror.crashed", source=mirror.name)
            text = f"internal error, please report it: {type(error).__name__}: {error}"
            return _failed(mirror, failures=(Failure(text, "sync"),))

    def _note_error(self, mirror: Mirror, error: MirrorError) -> None:
        blank = IndexEntry(mirror.name, str(mirror.target))
        self._tools.index.mirrors.setdefault(mirror.key, blank).error = str(error)

    async def _save_index(self) -> None:
        if self._command != "sync":
            return
        self._saved_at = self._tools.clock.monotonic()
        self._tools.index.finished_at = self._tools.clock.now().timestamp()
        await self._tools.ledgers.save_index(self._tools.index)


def _failed(
    mirror: Mirror, *, failures: tuple[Failure, ...] = (), warnings: tuple[str, ...] = ()
) -> RepositoryReport:
    return RepositoryReport(
        mirror.name, str(mirror.target), "failed", failures=failures, warnings=warnings
    )
