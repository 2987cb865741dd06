"""What a running service adds to the page: its state, its hosts, and sessions under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class TransferView:
    """One asset that is being transferred; sizes in bytes."""

    release: str
    asset: str
    size: int
    done: int
    bytes_per_second: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The transfer in the page's data."""
        return {
            "release": self.release,
            "asset": self.asset,
            "size": self.size,
            "done": self.done,
            "bytes_per_second": round(self.bytes_per_second),
        }


@dataclass(frozen=True, slots=True)
class RunningView:
    """A session that is under way.

    Attributes:
        worker: The process that runs it, where several share the work.
    """

    since: datetime
    transfers: Sequence[TransferView] = ()
    worker: str = ""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The service itself; ``state`` is ``starting``, ``running`` or ``draining``."""

    state: str
    ready: bool
    started_at: datetime
    next_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostView:
    """One host, and whether it is available.

    Attributes:
        name: Of a source, or ``target``.
        url: Its web address.
        limit, remaining: Requests an hour, and what is left of them; ``None`` if it has no limit.
        resets_at: When ``remaining`` is ``limit`` again.
        paused_until: When requests resume after a limit was reached.
        stopped: Why it is disabled for now; empty if it is not.
        token_expires_at: ``None`` where the host told no time.
        paced_by: The limit of ours that requests wait for: ``900 points a minute``.
        paced_until: When that wait ends; ``None`` if there is none.
    """

    name: str
    url: str
    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None
    paused_until: datetime | None = None
    stopped: str = ""
    token_expires_at: datetime | None = None
    paced_by: str = ""
    paced_until: datetime | None = None
