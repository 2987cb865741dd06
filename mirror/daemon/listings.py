"""The listings that patterns need: each of one owner's repositories, never made twice at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from mirror.core.domain.selection import could_match
from mirror.core.failure import Failure
from mirror.core.reporting.report import RepositoryReport
from mirror.sync.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mirror.core.domain.mirror import Rule
    from mirror.daemon.passes import Pass, Request
    from mirror.daemon.workload import Workload

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Listing:
    """An owner's repositories at a source.

    Attributes:
        rules: The patterns that it is made for.
        waiting: The next listing that is requested.
        running: What the current one was requested for.
        task: Makes the current one.
    """

    rules: Sequence[Rule]
    waiting: Request | None = None
    running: Request | None = None
    task: asyncio.Task[None] | None = None

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.rules[0].source_name


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

    def __contains__(self, key: str) -> bool:
        return key in self._listings

    def update(self, patterns: Mapping[str, Sequence[Rule]]) -> set[str]:
        """Know the listings of these patterns and no others; the keys of those that are gone."""
        before, self._listings = self._listings, {}
        for key, rules in patterns.items():
            listing = self._listings[key] = before.get(key) or _Listing(rules)
            listing.rules = rules
        return before.keys() - self._listings.keys()

    def of(self, interval: float, source: str | None) -> list[str]:
        """The listings of a timetable, or those of them that one source makes."""
        return [
            key
            for key, listing in self._listings.items()
            if source in {None, listing.source}
            and any(rule.interval == interval for rule in listing.rules)
        ]

    def selected(self, patterns: Sequence[str]) -> list[str]:
        """The listings that could find what a client's patterns select; all without a pattern."""
        return [
            key
            for key, listing in self._listings.items()
            if not patterns
            or any(
                could_match(p, listing.source, r.source) for p in patterns for r in listing.rules
            )
        ]

    def matching(self, source: str, repo: str) -> list[str]:
        """The listings that could find a repository (``OWNER/REPO``)."""
        return [
            key
            for key, listing in self._listings.items()
            if listing.source == source
            and any(could_match(repo, source, rule.source) for rule in listing.rules)
        ]

    def source(self, key: str) -> str:
        """The name of the source that a listing is made at."""
        return self._listings[key].source

    def waiting(self, key: str) -> tuple[Pass, ...]:
        """The passes that wait for the next listing."""
        waiting = self._listings[key].waiting
        return waiting.passes if waiting else ()

    def give_up(self, key: str) -> tuple[Pass, ...]:
        """Let no client wait for the next listing; it stays requested. Those that waited."""
        listing = self._listings[key]
        if listing.waiting is None:
            return ()
        clients = listing.waiting.clients
        listing.waiting = listing.waiting.without_clients()
        return clients

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
        try:
            found = await unless_stray(workload.discover(key, full=request.full))
        except Exception as error:
            log.exception("discovery.crashed", source=key)
            failure = Failure.of(error, "list-repositories")
            report = RepositoryReport(f"{key}/*", None, "failed", failures=(failure,))
            found = Discovery((), (report,))
        if listing.task is not asyncio.current_task():
            return  # cancelled, and the cancellation was lost
        listing.running = listing.task = None
        if found.failed and workload.gates[listing.source].stopped:
            for one in request.clients:
                one.listed.append(found.requests)
                one.end_listing(key, found.failed, workload.gates[listing.source].stopped)
            # Once more, when it is open.
            listing.waiting = request.without_clients().merged(listing.waiting)
        else:
            self._on_listed(key, request, found)
        self._wake.set()


async def unless_stray(work: Awaitable[T]) -> T:
    """Await work; a cancellation that nobody requested is an error of the work."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it was cancelled from within") from error
