"""The processes of a cluster, as people see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that shares the work.

    Attributes:
        name: Of its machine, and its process id: ``host:4711``.
        since: When it started.
        last_heartbeat: Long ago if it died.
        mirrors: How many it works on now.
        outdated: Another process has newer settings of a mirror: it leaves that alone.
        id: New for each process; empty where nobody asks for it.
    """

    name: str
    version: str
    since: datetime
    last_heartbeat: datetime
    mirrors: int = 0
    bytes_per_second: float = 0.0
    outdated: bool = False
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``status --json`` and the page's data hold it."""
        return {
            "name": self.name,
            "version": self.version,
            "since": iso(self.since),
            "last_heartbeat": iso(self.last_heartbeat),
            "mirrors": self.mirrors,
            "bytes_per_second": round(self.bytes_per_second),
            "outdated": self.outdated,
        }
