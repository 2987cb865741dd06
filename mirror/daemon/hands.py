"""What the scheduler works with, and whom it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mirror.core.domain.expansion import Mirror
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.hosts import HostGate
    from mirror.daemon.passes import Group, PassEnd
    from mirror.sync.discovery import Discovery


class Hands(Protocol):
    """What does the work; handed in anew with each configuration."""

    @property
    def gates(self) -> Mapping[str, HostGate]:
        """Of every source by its name, and of ``target``."""
        ...

    def known(self) -> Iterable[Mirror]:
        """The mirrors that can be told without asking a host: by what listings held last."""
        ...

    def may_hold(self, group: Group, source: str, repo: str) -> bool:
        """Whether a listing of a group and source could find a repository (``OWNER/REPO``)."""
        ...

    async def discover(self, group: Group, source: str, *, full: bool) -> Discovery:
        """Find the mirrors of a group that are read from one source, and no others."""
        ...

    async def sync(self, mirror: Mirror, *, full: bool) -> RepositoryReport:
        """Bring one mirror up to date."""
        ...


class Watcher(Protocol):
    """Someone who is told what the service did; every call returns at once."""

    def on_session(self, mirror: Mirror, report: RepositoryReport, seconds: float) -> None:
        """A session ended; one that its host stopped is run again."""
        ...

    def on_pass(self, end: PassEnd) -> None:
        """A pass ended."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """A session that is under way.

    Attributes:
        since: When it began (aware, UTC).
    """

    mirror: Mirror
    since: datetime


def gates_of(hands: Hands, mirror: Mirror) -> tuple[HostGate, HostGate]:
    """The gates of the hosts that a mirror needs."""
    return hands.gates[mirror.source_name], hands.gates["target"]
