"""The listings that patterns need: each of one owner's repositories, never made twice at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mirror.core.failure import Failure
from mirror.core.reporting.report import RepositoryReport
from mirror.sync.discovery import Discovery
from mirror.waiting import unless_stray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mirror.core.domain.mirror import Rule
    from mirror.daemon.passes import Pass, Request
    from mirror.daemon.workload import Workload

log = structlog.get_logger()


async def list_repositories(workload: Workload, listing: str, *, full: bool) -> Discovery:
    """Make a listing; whatever is raised is a failure of it."""
    try:
        return await unless_stray(workload.discover(listing, full=full))
    except Exception as error:
        log.exception("discovery.crashed", source=listing)
        failure = Failure.of(error, "list-repositories")
        return Discovery(
            (), (RepositoryReport(f"{listing}/*", None, "failed", failures=(failure,)),)
        )


@dataclass(slots=True, eq=False)
class _Listing:
    """An owner's repositories at a source.

    Attributes:
        source: Its name.
        waiting: The next listing that is requested.
        running: What the current one was requested for.
        task: Makes the current one.
    """

    source: str
    waiting: Request | None = None
    running: Request | None = None
    task: asyncio.Task[None] | None = None


class Listings:
    """The listings of a configuration, by :attr:`Rule.listing`; requests for one of them merge.

    Args:
        on_listed: Called when one was made, with its key, its request, and what was found.
        wake: Set when one ended.
    """

    def __init__(
        self, on_listed: Callable[[str, Request, Discovery], None], wake: asyncio.Event
    ) -> None:
        self._on_listed = on_listed
        self._wake = wake
        self._listings: dict[str, _Listing] = {}

    def update(self, patterns: Mapping[str, Sequence[Rule]]) -> set[str]:
        """Know the listings of these patterns and no others; the keys of those that are gone."""
        before, self._listings = self._listings, {}
        for key, rules in patterns.items():
            self._listings[key] = before.get(key) or _Listing(rules[0].source_name)
        return before.keys() - self._listings.keys()

    @property
    def running(self) -> set[str]:
        """Those in progress."""
        return {key for key, listing in self._listings.items() if listing.task}

    def awaiting(self, key: str) -> list[Pass]:
        """The passes that wait for the next listing."""
        waiting = self._listings[key].waiting
        return [one for one in waiting.passes if key in one.awaited] if waiting else []

    def request(self, key: str, request: Request) -> None:
        """Request a listing; one that is in progress does not count, since it may miss news."""
        self._listings[key].waiting = request.merged(self._listings[key].waiting)

    def start(self, tasks: asyncio.TaskGroup, workload: Workload) -> None:
        """Make those that are requested and whose host is open."""
        for key, listing in self._listings.items():
            request = listing.waiting
            if request is None or listing.task is not None:
                continue
            if not workload.gates[listing.source].closed_for():
                listing.running, listing.waiting = request, None
                listing.task = tasks.create_task(self._list(key, listing, request, workload))

    def cancel(self) -> None:
        """Give up those in progress; they are still requested."""
        for listing in self._listings.values():
            if listing.task is not None and listing.running is not None:
                listing.task.cancel()
                listing.waiting = listing.running.merged(listing.waiting)
                listing.task = listing.running = None

    async def _list(
        self, key: str, listing: _Listing, request: Request, workload: Workload
    ) -> None:
        found = await list_repositories(workload, key, full=request.full)
        if listing.task is not asyncio.current_task():
            return  # cancelled, and the cancellation was lost
        listing.running = listing.task = None
        stopped = workload.gates[listing.source].stopped
        if found.failed and stopped:
            for one in request.clients:
                one.end_listing(key, found.failed, found.requests, stopped)
            listing.waiting = request.merged(listing.waiting)  # once more, when it is open
        else:
            self._on_listed(key, request, found)
        self._wake.set()
