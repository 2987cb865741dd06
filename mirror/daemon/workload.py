"""What the scheduler needs of a loaded configuration; :mod:`mirror.daemon.runtime` provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mirror.core.claims import Claim, JobSettings
    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.ledger.index import Index
    from mirror.core.reporting.report import RepositoryReport
    from mirror.core.timetable import Timetable
    from mirror.daemon.host_gates import HostGate
    from mirror.daemon.passes import Request
    from mirror.sync.context import SessionContext
    from mirror.sync.discovery import Discovery


class Workload(Protocol):
    """What one loaded configuration gives the scheduler to do; replaced on reload."""

    @property
    def limit(self) -> int:
        """Mirrors that run at the same time."""

    @property
    def patterns(self) -> Mapping[str, Sequence[Rule]]:
        """The patterns that are enabled, by :attr:`Rule.listing`."""

    @property
    def gates(self) -> Mapping[str, HostGate]:
        """Of every source by its name, and of ``target``."""

    @property
    def timetables(self) -> Mapping[float, Timetable]:
        """By the interval that mirrors are configured with; 0 for the service's own."""

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """The mirrors that are known without asking a host: by what listings held last."""

    def last_success(self, interval: float) -> float:
        """When the mirror of a timetable that is most behind last succeeded (epoch; 0 for never)."""

    async def discover(self, listing: str, *, full: bool) -> Discovery:
        """List an owner's repositories; all mirrors that there are then, and what failed."""

    async def sync(
        self, mirror: Mirror, request: Request, claim: Claim | None = None
    ) -> RepositoryReport:
        """Bring one mirror up to date, as requested, under a claim where others share the work."""

    def done_by(self, mirror: Mirror) -> RepositoryReport:
        """What a run that was cancelled had done."""

    # --- where several processes share the work ---

    @property
    def index(self) -> Index:
        """What is known of each mirror."""

    @property
    def context(self) -> SessionContext:
        """What all sessions share."""

    def expand(self) -> None:
        """Find the mirrors by the listings as the index has them now."""

    def jobs(self, now: datetime, listing: str | None = None) -> Sequence[JobSettings]:
        """The mirrors and listings as rows of a shared queue.

        Args:
            now: By the clock that all processes share, in the zone of schedules.
            listing: Only this one, and the mirrors that it found.
        """

    def next_tick(self, interval: float, now: datetime) -> datetime | None:
        """When a timetable has its mirrors due next, in every process; ``None`` for never."""
