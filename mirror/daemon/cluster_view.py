"""What one process knows of the cluster: the state of all mirrors, the workers, and newer settings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog

from mirror.daemon.gauges import ClusterState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from mirror.cluster.queue import Row, SharedQueue
    from mirror.core.claims import JobSettings
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.workers import Worker
    from mirror.daemon.workload import SharedWorkload

log = structlog.get_logger()


class ClusterView:
    """The rows of all mirrors and listings, and the workers, as they were a few seconds ago.

    Attributes:
        jobs: The mirrors and listings of this process's configuration, by key.
        workers: All processes, this one included.
        other_settings: The keys of what another process has newer settings of.
    """

    def __init__(self, queue: SharedQueue) -> None:
        self._queue = queue
        self._rows: dict[str, Row] = {}
        self.jobs: Mapping[str, JobSettings] = {}
        self.workers: Sequence[Worker] = ()
        self.other_settings: set[str] = set()
        self._told_outdated = False

    async def look(self, bytes_per_second: float) -> None:
        """Tell that this process is alive, and learn what others did.

        Raises:
            LedgerError: The database is unavailable, or refused a statement.
        """
        before = bool(self.other_settings)
        for row in await self._queue.look():
            self._rows[row.key] = row
            self._judge(row)
        self._log_outdated(before=before)
        outdated = bool(self.other_settings)
        await self._queue.heartbeat(bytes_per_second, outdated=outdated)
        self.workers = await self._queue.workers()

    def judge_afresh(self) -> None:
        """See which settings are other ones, now that those of this process were published."""
        self.other_settings.clear()
        for row in self._rows.values():
            self._judge(row)

    def _judge(self, row: Row) -> None:
        mine = self.jobs.get(row.key)
        if row.settings == (mine.settings if mine else None):
            self.other_settings.discard(row.key)
        else:
            self.other_settings.add(row.key)

    def _log_outdated(self, *, before: bool) -> None:
        """Log it once; what a single look shows may be a listing that is being published."""
        if self.other_settings and before and not self._told_outdated:
            self._told_outdated = True
            log.warning("settings.outdated", mirrors=len(self.other_settings))
        elif self._told_outdated and not self.other_settings:
            self._told_outdated = False
            log.info("settings.current")

    def is_due(self, key: str) -> bool:
        """Whether a mirror or a listing of this configuration is due, and nobody has begun it."""
        row = self._rows.get(key)
        return key in self.jobs and row is not None and self._waits(row)

    def next_due(self, key: str) -> datetime | None:
        """When a mirror is due that does not run; ``None`` for never, and if it is due already."""
        row = self._rows.get(key)
        if row is None or row.settings is None or row.next_due <= self._queue.now():
            return None
        return row.next_due

    def is_running(self, key: str) -> bool:
        """Whether any process runs it."""
        row = self._rows.get(key)
        return row is not None and row.settings is not None and row.owner is not None

    def elsewhere(
        self, mirrors: Mapping[str, Mirror], here: Collection[str]
    ) -> list[tuple[Mirror, str, datetime]]:
        """The runs of other processes: the mirror, the worker's name, and when it began."""
        names = {worker.id: worker.name for worker in self.workers}
        return [
            (mirror, names.get(row.owner, row.owner), row.began_at)
            for row in self._rows.values()
            if row.owner and row.began_at and row.key not in here
            if (mirror := mirrors.get(row.key))
        ]

    def state(self, mirrors: Mapping[str, Mirror], workload: SharedWorkload) -> ClusterState:
        """The workers and the queue, and how many failures there were in all processes."""
        now = self._queue.now()
        waits = [
            (now - row.next_due).total_seconds()
            for row in self._rows.values()
            if row.settings is not None and self._waits(row)
        ]
        failures: Counter[str] = Counter()
        for row in self._rows.values():
            if mirror := mirrors.get(row.key):
                failures[mirror.name] += row.failures
            for rule in workload.patterns.get(row.key, ()):
                failures[f"{rule.source_name}:{rule.source}"] += row.failures
        return ClusterState(self.workers, len(waits), max(waits, default=0.0), failures)

    def _waits(self, row: Row) -> bool:
        return row.owner is None and row.next_due <= self._queue.now()
