"""What stands for a bundle where a server has its connection: never busy, never limited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.circuit_breaker import CircuitBreaker
from mirror.core.domain.capabilities import Capabilities
from mirror.core.ledger.index import HostRecord
from mirror.core.reporting.report import RequestCount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from mirror.core.circuit_breaker import Lane
    from mirror.core.clock import Clock
    from mirror.core.domain.release import RepoRef
    from mirror.core.host import Quota
    from mirror.errors import MirrorError

CAPABILITIES = Capabilities(
    make_latest=False,
    immutable_releases=False,
    max_asset_size=None,
    max_assets=None,
    empty_assets=True,
    tags=False,
    packed_history=True,
    rewritten_texts=False,
)
"""Of a bundle: what its readers cannot take is for them to leave out."""


class BundleClient:
    """A :class:`~mirror.core.host.HostClient`.

    Args:
        name: The bundle's configured name.
        api_url: What tells it from every other host.
        clock: The time.
        ping: Reads the index.

    Attributes:
        stopped: Why the bundle is not read; the next pass tries again.
        rate_limit, paused_until: A bundle has none.
    """

    rate_limit: Quota | None = None
    paused_until: datetime | None = None

    def __init__(
        self, name: str, api_url: str, clock: Clock, ping: Callable[[], Awaitable[object]]
    ) -> None:
        self.name = name
        self.api_url = api_url
        self.clock = clock
        self.counts = RequestCount()
        self.stopped: MirrorError | None = None
        self._ping = ping
        self._breakers: dict[Lane, CircuitBreaker] = {}

    def reset(self) -> None:
        """Begin a new pass."""
        self.stopped = None

    def revive(self) -> None:
        """Read it again, whatever failed before."""
        self.stopped = None

    def revive_if_due(self) -> None:
        """Read it again: nothing is gained by waiting."""
        self.stopped = None

    def paused_for(self) -> float:
        """No limit, no pause."""
        return 0.0

    def paced_for(self) -> float:
        """No limit, no wait."""
        return 0.0

    def closed_for(self) -> float:
        """It is never closed."""
        return 0.0

    def lane(self, lane: Lane) -> CircuitBreaker:
        """The circuit breaker of a lane."""
        return self._breakers.setdefault(lane, CircuitBreaker(self.name, lane))

    def host_time(self) -> datetime:
        """This machine's time."""
        return self.clock.now()

    def record(self, before: HostRecord | None = None) -> HostRecord:
        """Nothing is kept of it."""
        del before
        return HostRecord()

    def restore(self, record: HostRecord) -> None:
        """Nothing was kept of it."""

    async def capabilities(self) -> Capabilities:
        """What a bundle can do."""
        return CAPABILITIES

    async def ping(self) -> None:
        """See whether it can be read."""
        await self._ping()

    async def prove(self, repo: RepoRef, since: float) -> None:
        """Do nothing: a directory has no credential."""
