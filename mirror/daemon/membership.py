"""This process as a member of the cluster: its settings, its heartbeat, and what others do."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from mirror.daemon.gauges import ClusterState
from mirror.daemon.listings import list_repositories
from mirror.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, tzinfo

    from mirror.cluster.queue import Row
    from mirror.core.claims import JobSettings
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.workers import Worker
    from mirror.daemon.known_mirrors import KnownMirrors
    from mirror.daemon.workload import Workload
    from mirror.open_ledger import Cluster
    from mirror.sync.discovery import Discovery

log = structlog.get_logger()

SILENT = 60.0
"""Seconds without a heartbeat after which a worker counts as dead."""


class Membership:
    """Publishes settings, and knows the rows of all mirrors and listings, a few seconds late.

    Every coroutine but :meth:`leave` raises :class:`~mirror.errors.LedgerError` if the database is
    unavailable or refuses a statement.

    Args:
        cluster: The database.
        known: Kept up to date: the mirrors and patterns of the configuration.
        zone: The time zone of schedules.

    Attributes:
        jobs: The mirrors and listings of this process's configuration, by key.
        workers: All processes, this one included.
        other_settings: The keys of what another process has newer settings of.
        joined: The ledger was read, and settings were published.
    """

    def __init__(self, cluster: Cluster, known: KnownMirrors, zone: tzinfo) -> None:
        self._queue = cluster.queue
        self._store = cluster.store
        self._known = known
        self._zone = zone
        self._rows: dict[str, Row] = {}
        self.jobs: Mapping[str, JobSettings] = {}
        self.workers: Sequence[Worker] = ()
        self.other_settings: set[str] = set()
        self.joined = False
        self._told_outdated = False

    def now(self) -> datetime:
        """By the database's clock, in the zone of schedules."""
        return self._queue.now().astimezone(self._zone)

    def learn(self, workload: Workload) -> None:
        """Know the mirrors of a workload as they are now."""
        self._known.update(workload.mirrors, workload.patterns)
        self.jobs = {job.key: job for job in workload.jobs(self.now())}

    async def refresh(self, workload: Workload) -> None:
        """Learn what other processes saved."""
        if await self._store.refresh(workload.index):
            workload.expand()
            self.learn(workload)

    async def refresh_told(self, workload: Workload) -> None:
        """Learn what other processes saved, and whom they notified."""
        await self.refresh(workload)
        await self._store.refresh_told(workload.index)

    async def is_done(self, workload: Workload, until: datetime) -> bool:
        """Whether all processes have done what was due until then; never if this one is outdated.

        What they saved is known afterwards.
        """
        done = not self.other_settings and await self._queue.is_done(until)
        await self.refresh(workload)
        return done

    async def publish(self, workload: Workload, bytes_per_second: float) -> None:
        """Have the whole cluster use the settings of a workload."""
        generation = await self._queue.next_generation()
        await self._store.refresh(workload.index)
        workload.expand()
        self.learn(workload)
        await self._queue.publish(generation, list(self.jobs.values()))
        await self.look(bytes_per_second)
        self.other_settings.clear()
        for row in self._rows.values():
            self._judge(row)
        if not self.joined:
            self.joined = True
            log.info("cluster.joined", workers=len(self.workers), mirrors=len(self._known.mirrors))

    async def leave(self) -> None:
        """Take this process off the list of workers."""
        try:
            await self._queue.leave()
        except LedgerError as error:  # it is removed when it has been silent for long
            log.debug("queue.not_left", error=str(error))

    async def discover(self, workload: Workload, listing: str, *, full: bool) -> Discovery:
        """Make a listing, and have the whole cluster run what it found, unless it failed."""
        generation = await self._queue.next_generation()
        found = await list_repositories(workload, listing, full=full)
        if not found.failed_listings:
            await self._store.save_shared(workload.index)
            await self._queue.publish(
                generation, workload.jobs(self.now(), listing), listing=listing
            )
        return found

    async def look(self, bytes_per_second: float) -> None:
        """Tell that this process is alive, and learn what others did."""
        before = bool(self.other_settings)
        for row in await self._queue.look():
            self._rows[row.key] = row
            self._judge(row)
        self._log_outdated(before=before)
        outdated = bool(self.other_settings)
        await self._queue.heartbeat(bytes_per_second, outdated=outdated)
        self.workers = await self._queue.workers()

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

    @property
    def abandoned(self) -> Collection[str]:
        """The keys of what no daemon works on: whoever has their settings has ended or died."""
        oldest = self._queue.now() - timedelta(seconds=SILENT)
        current = any(
            not worker.outdated and worker.last_heartbeat > oldest for worker in self.workers
        )
        return self.other_settings if self._told_outdated and not current else ()

    def row(self, key: str) -> Row | None:
        """A mirror or a listing that is in a configuration of the cluster."""
        row = self._rows.get(key)
        return row if row and row.settings is not None else None

    def waiting(self) -> dict[str, float]:
        """The seconds for which mirrors and listings have been due that nobody has begun, by key."""
        now = self._queue.now()
        return {
            key: (now - row.next_due).total_seconds()
            for key, row in self._rows.items()
            if row.settings is not None and row.owner is None and row.next_due <= now
        }

    def elsewhere(self) -> list[tuple[Mirror, str, datetime]]:
        """The runs of other processes: the mirror, the worker's name, and when it began."""
        names = {worker.id: worker.name for worker in self.workers}
        return [
            (mirror, names.get(row.owner, row.owner), row.began_at)
            for row in self._rows.values()
            if row.owner and row.began_at and row.owner != self._queue.claims.owner
            if (mirror := self._known.mirrors.get(row.key))
        ]

    def state(self) -> ClusterState:
        """The workers and the queue, and how many failures there were in all processes."""
        failures: Counter[str] = Counter()
        for row in self._rows.values():
            if mirror := self._known.mirrors.get(row.key):
                failures[mirror.name] += row.failures
            for rule in self._known.patterns.get(row.key, ()):
                failures[f"{rule.source_name}:{rule.source}"] += row.failures
        waits = self.waiting().values()
        return ClusterState(self.workers, len(waits), max(waits, default=0.0), failures)
