"""Requests through the database, and clients of this process that wait for what any process runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.reporting.report import with_earlier
from mirror.sync.mirror_runner import superseded
from mirror.sync.shared_work import unchanged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from mirror.cluster.queue import Finished, SharedQueue
    from mirror.core.clock import Clock
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.known_mirrors import KnownMirrors
    from mirror.daemon.passes import Pass

ASK_EVERY = 1.0
"""Seconds between two looks at what other processes did for clients."""


@dataclass(slots=True, eq=False)
class _Client:
    """A client that waits for mirrors, whichever process runs them.

    Attributes:
        since: When its request was made, by the database's clock; ``None`` while it is not.
        earlier: What runs of this process did that lost their claims, by the mirror's key.
    """

    opened: Pass
    since: datetime | None = None
    earlier: dict[str, list[RepositoryReport]] = field(default_factory=lambda: defaultdict(list))


class _Wanted(NamedTuple):
    """A request that is not in the database yet; no keys stand for all."""

    keys: Sequence[str] | None
    full: bool = False
    urgent: bool = False
    client: _Client | None = None


class SharedRequests:
    """What this process requests of the cluster, and for whom.

    Every coroutine raises :class:`~mirror.errors.LedgerError` if the database is unavailable or
    refuses a statement; what was not sent is kept.

    Args:
        queue: The database.
        clock: The time.
        known: The mirrors and patterns of the configuration.
    """

    def __init__(self, queue: SharedQueue, clock: Clock, known: KnownMirrors) -> None:
        self._queue = queue
        self._clock = clock
        self._known = known
        self._wanted: list[_Wanted] = []
        self._clients: list[_Client] = []
        self._asked_at = float("-inf")

    @property
    def passes(self) -> list[Pass]:
        """Those that clients wait for."""
        return [client.opened for client in self._clients]

    def want(self, keys: Sequence[str] | None, *, full: bool, urgent: bool = False) -> None:
        """Request mirrors and listings with the next :meth:`send`; ``None`` for all."""
        self._wanted.append(_Wanted(keys, full, urgent))

    def begin(self, opened: Pass, patterns: Sequence[str]) -> None:
        """Request what a client selects."""
        client = _Client(opened)
        self._clients.append(client)
        listings = self._known.listings(patterns)
        opened.awaited.update(listings)
        self._want_mirrors(client, "", listings)

    def want_listed(self, passes: Collection[Pass], listing: str) -> None:
        """Request the mirrors of clients' passes that a listing found, now or before."""
        for client in self._clients:
            if client.opened in passes:
                self._want_mirrors(client, listing)

    def _want_mirrors(self, client: _Client, listing: str, more: Iterable[str] = ()) -> None:
        opened, keys = client.opened, list(more)
        for key, mirror in self._known.mirrors.items():
            if mirror.listing == listing and opened.covers(mirror):
                opened.note(key, "queued")
                keys.append(key)
        if keys:
            self._wanted.append(_Wanted(keys, opened.request.full, urgent=True, client=client))

    async def send(self) -> None:
        """Tell the database what is requested."""
        while self._wanted:
            keys, full, urgent, client = self._wanted[0]
            when = await self._queue.request(keys, full=full, urgent=urgent)
            self._wanted.pop(0)
            if client and client.since is None:
                client.since = when

    def give_up(self, keys: Collection[str], here: Collection[str]) -> None:
        """Tell clients what no daemon will run before one is reloaded: they do not wait for it.

        Args:
            keys: Of mirrors and listings.
            here: The keys of what this process has in hand.
        """
        for opened in self.passes if keys else ():
            for key in opened.awaited.difference(here).intersection(keys):
                if mirror := self._known.mirrors.get(key):
                    report = superseded(mirror.name, mirror.target)
                    opened.end_run(key, with_earlier(report, self.lost_runs([opened], key)))
                else:
                    opened.end_listing(key, [superseded(f"{key}/*", None)], {})

    def waiting_for(self, key: str) -> list[Pass]:
        """The clients' passes that a run answers which begins now."""
        return [
            one.opened
            for one in self._clients
            if one.since is not None and key in one.opened.awaited
        ]

    async def earlier(self, passes: Collection[Pass], key: str) -> list[RepositoryReport]:
        """What runs of a mirror that were cut short did for clients before."""
        waiting = [one.since for one in self._clients if one.since and one.opened in passes]
        told = await self._queue.claims.reports(key, min(waiting)) if waiting else []
        return [*told, *self.lost_runs(passes, key)]

    def lost_runs(self, passes: Collection[Pass], key: str) -> list[RepositoryReport]:
        """What runs of this process did for clients that lost their claims."""
        clients = [one for one in self._clients if one.opened in passes]
        return [report for one in clients for report in one.earlier[key]]

    def lost(self, passes: Collection[Pass], key: str, done: RepositoryReport) -> None:
        """Keep what a run did that lost its claim, for the reports of clients."""
        for client in self._clients:
            if client.opened in passes:
                client.earlier[key].append(done)

    async def ask(self, here: Collection[str], refresh: Callable[[], Awaitable[None]]) -> None:
        """Learn what other processes did for clients, at most once a second.

        Args:
            here: The keys of what this process has in hand.
            refresh: Learns what other processes saved.
        """
        now = self._clock.monotonic()
        if now - self._asked_at < ASK_EVERY:
            return
        self._asked_at = now
        for client in self._clients:
            keys = client.opened.awaited.difference(here)
            if client.since is not None and keys:
                for key, finished in (await self._queue.finished(keys, client.since)).items():
                    if key in self._known.patterns:
                        await refresh()
                        self._end_listing(client, key, finished)
                    elif key in client.opened.awaited:
                        self._end_run(client, key, finished)

    def _end_run(self, client: _Client, key: str, finished: Finished) -> None:
        run, mirror, opened = finished.run, self._known.mirrors.get(key), client.opened
        if run is None or mirror is None:
            opened.awaited.discard(key)  # it was removed
            return
        earlier = [*finished.earlier, *client.earlier[key]]
        report = with_earlier(run.report or unchanged(mirror, run), earlier)
        if opened.client:
            opened.client.observer.mirror_started(mirror.name)
            opened.client.observer.mirror_finished(report)
        opened.end_run(key, report)

    def _end_listing(self, client: _Client, key: str, finished: Finished) -> None:
        failed = finished.run.report if finished.run else None
        names = [f"{rule.source_name}:{rule.source}" for rule in self._known.patterns[key]]
        reports = [failed.but(source=name) for name in names] if failed else []
        client.opened.end_listing(key, reports, {})
        self._want_mirrors(client, key)

    def ended(self) -> list[Pass]:
        """The clients' passes that wait for nothing any more; they are forgotten."""
        ended = [opened for opened in self.passes if not opened.awaited]
        self._clients = [one for one in self._clients if one.opened.awaited]
        return ended
