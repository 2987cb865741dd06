"""Runs every selected mirror once, several at a time: one pass of ``sync``, ``plan`` or ``verify``."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.concurrency import together
from mirror.core.reporting.host_notices import expiring
from mirror.core.reporting.report import Report
from mirror.core.text.timestamps import iso
from mirror.sync.discovery import Catalogue, discover
from mirror.sync.mirror_runner import interrupted
from mirror.sync.shared_work import BUSY_EVERY, SharedWork

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.reporting.report import RepositoryReport
    from mirror.sync.discovery import Relist
    from mirror.sync.mirror_runner import MirrorRunner
    from mirror.sync.shared_work import Sharing

log = structlog.get_logger(__name__)

SAVE_INDEX_EVERY = 10.0
"""Seconds between two saves of the index during a pass. A crash in between costs requests only."""


class Batch:
    """One pass over the selected mirrors; its report is available at any time, also after a cancel.

    Args:
        command: ``sync``, ``plan`` or ``verify``, for the report. Only ``sync`` saves the index.
        rules: All configured mirrors.
        patterns: Those of the command line; none selects all.
        runner: Runs each mirror.
        at_once: Mirrors at the same time. More may be asked at the same time whether they changed,
            where the runner's context bounds those that are compared.
        sharing: With other processes; ``None`` if the ledger's lock keeps them out, or nothing is
            written.
        paced: Set when requests begin to wait for a limit for longer than :data:`SAVE_INDEX_EVERY`.
    """

    def __init__(
        self,
        command: str,
        rules: Sequence[Rule],
        patterns: Sequence[str],
        runner: MirrorRunner,
        *,
        at_once: int,
        sharing: Sharing | None = None,
        paced: asyncio.Event | None = None,
    ) -> None:
        self._command = command
        self._rules = rules
        self._patterns = patterns
        self._runner = runner
        self._context = runner.context
        self._at_once = at_once
        self._paced = paced or asyncio.Event()
        self._started = self._context.clock.now()
        self._saved_at = self._began = self._context.clock.monotonic()
        self._saved_after = -1  # requests
        self._undiscovered: tuple[RepositoryReport, ...] = ()
        # By the mirror's key: a source may have several targets.
        self._reports: dict[str, RepositoryReport] = {}
        self._mirrors: Sequence[Mirror] = ()
        self._elsewhere: deque[Mirror] = deque()
        counts = command == "sync"
        self._shared = sharing and SharedWork(
            sharing, runner, accepts=counts and not self._context.full, counts=counts
        )

    async def run(self) -> Report:
        """Run every selected mirror once.

        Raises:
            UsageError: A pattern of the command line matches nothing.
            LedgerError: The index could not be saved.
        """
        for host in self._runner.hosts.values():
            host.store.client.reset()
        self._runner.begin_pass(self._began)
        context = self._context
        context.interrupted.clear()
        catalogue = Catalogue(self._rules, self._runner.sources, context.index)
        relist: Relist = catalogue.relist
        if self._shared:
            await self._shared.begin(catalogue)
            relist = partial(self._shared.relist, catalogue)
        found = await discover(catalogue, self._patterns, full=context.full, relist=relist)
        if self._shared:
            await self._shared.publish_missing(catalogue, found.mirrors)
        self._undiscovered = found.failed
        self._mirrors = found.mirrors
        context.observer.mirrors_found(len(found.mirrors))
        try:
            async with asyncio.TaskGroup() as group:
                saving = group.create_task(self._save_when_paced())
                async with asyncio.TaskGroup() as work:
                    work.create_task(self._warm())
                    for queue, at_once in self._queues(found.mirrors):
                        for _ in range(min(at_once, len(queue))):
                            work.create_task(self._worker(queue))
                saving.cancel()
        finally:
            await self._save_index(ended=True)
        return self.report()

    def report(self) -> Report:
        """What was done so far; mirrors without a report count as interrupted."""
        repositories = (
            *self._undiscovered,
            *(
                self._reports.get(mirror.key)
                or self._context.interrupted.get(mirror.key)
                or interrupted(mirror)
                for mirror in self._mirrors
            ),
        )
        return Report(
            self._command,
            self._started,
            self._context.clock.now(),
            repositories,
            requests={name: host.store.client.counts for name, host in self._runner.hosts.items()},
            interrupted=any(repo.status == "interrupted" for repo in repositories),
        )

    async def _warm(self) -> None:
        """Open connections for new mirrors, whose first requests wait for one that proves the host."""
        known = self._context.index.mirrors
        new = {mirror.source_name for mirror in self._mirrors if mirror.key not in known}
        if self._command == "sync" and new:
            count = self._context.transfers_per_release
            hosts = self._runner.hosts
            ends = [hosts[name] for name in (*new, "target")]
            await together(*(end.warm(count) for end in ends if end.warm))

    def _queues(self, mirrors: Sequence[Mirror]) -> Iterable[tuple[deque[Mirror], int]]:
        """The mirrors in one queue, or in one for each source, and how many of each run at once.

        Each source is asked on all of its connections which of its mirrors changed, so that one
        that is slow or closed delays no other. A mirror that is shared with other processes is
        claimed first: none is claimed for longer than this process needs it.
        """
        if self._shared or not self._context.comparing:
            return [(deque(mirrors), self._at_once)]
        queues: dict[str, deque[Mirror]] = {}
        for mirror in mirrors:
            queues.setdefault(mirror.source_name, deque()).append(mirror)
        sources = self._runner.sources
        return [
            (queue, max(self._at_once, sources[name].max_connections))
            for name, queue in queues.items()
        ]

    async def _worker(self, queue: deque[Mirror]) -> None:
        clock = self._context.clock
        while (queue or self._elsewhere) and not self._context.stop.requested:
            if not queue:
                await clock.sleep(BUSY_EVERY)
                queue.extend(self._elsewhere)
                self._elsewhere.clear()
                continue
            mirror = queue.popleft()
            run = self._shared.run if self._shared else self._runner.run
            report = await run(mirror, since=self._began)
            if report is None:  # another process has it
                self._elsewhere.append(mirror)
                continue
            self._reports[mirror.key] = report
            if clock.monotonic() - self._saved_at >= SAVE_INDEX_EVERY:
                await self._save_index()

    async def _save_when_paced(self) -> None:
        """Save what was sent when a long wait for a limit begins: a run may be killed during it.

        A long wait is noticed every half a minute; as long as nothing is sent, it is saved once.
        """
        while True:
            await self._paced.wait()
            self._paced.clear()
            if self._requests() != self._saved_after:
                await self._save_index()

    def _requests(self) -> int:
        """How many requests were sent to all hosts."""
        return sum(host.store.client.counts.total for host in self._runner.hosts.values())

    async def _save_index(self, *, ended: bool = False) -> None:
        if self._command != "sync":
            return
        self._saved_at = self._context.clock.monotonic()
        self._saved_after = self._requests()
        index, hosts = self._context.index, self._runner.hosts
        index.hosts = {n: h.store.client.record(index.hosts.get(n)) for n, h in hosts.items()}
        if ended:
            for name, expires_at in expiring(index.hosts, self._context.clock.now()):
                log.warning("token.expires_soon", host=name, expires_at=iso(expires_at))
            index.remember(self.report().pass_record())
        await self._context.ledgers.save_shared(index)
