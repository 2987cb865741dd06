"""Requests through the database, and clients of this process that wait for what any process runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from mirror.cluster.queue import Finished, SharedQueue
    from mirror.core.clock import Clock
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.passes import Pass

ASK_EVERY = 1.0
"""Seconds between two looks at what other processes did for clients."""


@dataclass(slots=True, eq=False)
class WaitingClient:
    """A client that waits for mirrors, whichever process runs them.

    Attributes:
        since: When its request was made, by the database's clock; ``None`` while it is not.
        earlier: What runs of this process did that lost their claims, by the mirror's key.
    """

    opened: Pass
    since: datetime | None = None
    earlier: dict[str, list[RepositoryReport]] = field(default_factory=lambda: defaultdict(list))

    def waits_for(self, key: str) -> bool:
        """Whether a run that begins now is for this client."""
        return self.since is not None and key in self.opened.awaited


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request that is not in the database yet; no keys stand for all."""

    keys: Sequence[str] | None
    full: bool = False
    urgent: bool = False
    client: WaitingClient | None = None


class SharedRequests:
    """What this process requests of the cluster.

    Attributes:
        clients: Those that wait.
    """

    def __init__(self, queue: SharedQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._wanted: list[_Wanted] = []
        self._asked_at = float("-inf")
        self.clients: list[WaitingClient] = []

    def want(
        self,
        keys: Sequence[str] | None,
        *,
        full: bool,
        urgent: bool = False,
        client: WaitingClient | None = None,
    ) -> None:
        """Request mirrors and listings with the next :meth:`send`; ``None`` for all."""
        self._wanted.append(_Wanted(keys, full, urgent, client))

    async def send(self) -> None:
        """Tell the database what is requested.

        Raises:
            LedgerError: It is unavailable, or refused a statement; what was not sent is kept.
        """
        while self._wanted:
            wanted = self._wanted[0]
            when = await self._queue.request(wanted.keys, full=wanted.full, urgent=wanted.urgent)
            self._wanted.pop(0)
            if wanted.client and wanted.client.since is None:
                wanted.client.since = when

    def of(self, passes: Iterable[Pass]) -> list[WaitingClient]:
        """The clients that wait for these passes."""
        wanted = set(passes)
        return [one for one in self.clients if one.opened in wanted]

    async def finished_elsewhere(
        self, here: Collection[str]
    ) -> list[tuple[WaitingClient, str, Finished, list[RepositoryReport]]]:
        """What other processes finished that clients wait for, at most once a second.

        Args:
            here: The keys of what this process has in hand.

        Returns:
            The client, the key, the run, and what runs that were cut short did before.

        Raises:
            LedgerError: The database is unavailable, or refused a statement.
        """
        now = self._clock.monotonic()
        if now - self._asked_at < ASK_EVERY:
            return []
        self._asked_at = now
        found = []
        for client in self.clients:
            keys = client.opened.awaited.difference(here)
            if client.since is not None and keys:
                for key, run in (await self._queue.finished(keys, client.since)).items():
                    found.append((client, key, run, [*run.earlier, *client.earlier[key]]))
        return found

    async def earlier(self, passes: Iterable[Pass], key: str) -> list[RepositoryReport]:
        """What runs of a mirror that were cut short did for clients before.

        Raises:
            LedgerError: The database is unavailable, or refused a statement.
        """
        clients = self.of(passes)
        since = min((one.since for one in clients if one.since), default=None)
        told = await self._queue.claims.reports(key, since) if since else []
        return [*told, *(report for one in clients for report in one.earlier[key])]

    def ended(self) -> list[Pass]:
        """The passes of clients that wait for nothing any more; they are forgotten."""
        ended = [one.opened for one in self.clients if not one.opened.awaited]
        self.clients = [one for one in self.clients if one.opened.awaited]
        return ended
