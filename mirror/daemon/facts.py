"""How things stand: what the page, the metrics, the service manager and health checks are told."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mirror import __version__
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import RequestCount
from mirror.core.reporting.status import mirror_statuses
from mirror.core.text.wording import count, size
from mirror.daemon.metrics import HostState, Metrics, Present
from mirror.page import (
    HostView,
    Query,
    RunningView,
    ServiceView,
    TransferView,
    page_data,
    policy,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mirror.config.model import Host
    from mirror.core.clock import Clock
    from mirror.core.domain.expansion import Mirror
    from mirror.core.reporting.report import Observer, RepositoryReport
    from mirror.core.reporting.status import MirrorStatus
    from mirror.daemon.generation import Generation
    from mirror.daemon.passes import PassEnd
    from mirror.daemon.scheduler import Scheduler
    from mirror.github import RequestSeen

HANGS_AFTER = 30.0
"""Seconds without a turn of the scheduler's loop after which it is not called alive any more."""

QUIET = 3.0
"""Seconds without an answer of any host after which what waits for closed ones does nothing else."""

_SHARE = 20
"""All statuses are made anew for at most a twentieth of the time: there may be ten thousand."""


class Facts:
    """Watches everything and answers at once; the backend of the web pages.

    Attributes:
        state: ``starting``, ``running`` or ``draining``.
        unsaved: Why the index could not be saved; empty if it was.
        progress: What is in flight.
        observer: To be told of all work.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.now()
        self._answered: set[str] = set()
        self._requests: Counter[str] = Counter()
        self._not_modified: Counter[str] = Counter()
        self._retried: Counter[str] = Counter()  # by generations of the past
        self._rejected = ""
        self._heard_at = clock.monotonic()
        self._statuses: Sequence[MirrorStatus] = ()
        self._stale_at = float("-inf")
        self._generation: Generation | None = None
        self._scheduler: Scheduler | None = None
        self._metrics = Metrics(__version__)
        self.state = "starting"
        self.unsaved = ""
        self.progress = Progress(clock.monotonic)
        self.observer: Observer = Both(self.progress, self._metrics)

    # -- what happens -----------------------------------------------------------------------------

    def take(self, generation: Generation, scheduler: Scheduler) -> None:
        """From now on, speak of another configuration."""
        if self._generation is not None:
            before, now = self._generation.config.hosts, generation.config.hosts
            self._answered -= {name for name in now if not _same_host(before.get(name), now[name])}
            for name, side in self._generation.runner.hosts.items():
                self._retried[name] += side.store.client.counts.retried
        self._generation, self._scheduler = generation, scheduler
        self._stale_at = float("-inf")

    def on_request(self, seen: RequestSeen) -> None:
        """A request was answered, or not."""
        self._metrics.on_request(seen)
        self._heard_at = self._clock.monotonic()
        self._requests[seen.host] += 1
        self._not_modified[seen.host] += seen.status == 304
        if seen.status is not None and seen.status < 500:  # maintenance is no answer
            self._answered.add(seen.host)

    def on_session(self, mirror: Mirror, report: RepositoryReport, seconds: float) -> None:
        """One mirror had its turn."""
        del mirror
        self._metrics.on_session(report, seconds)

    def on_pass(self, end: PassEnd) -> None:
        """One pass ended."""
        self._metrics.on_pass(end)

    def on_webhook(self, outcome: str) -> None:
        """A delivery was answered."""
        self._metrics.on_webhook(outcome)

    def on_reload(self, error: str = "") -> None:
        """The configuration was read again; why it was not taken, if it was not."""
        self._rejected = error
        self._metrics.on_reload(good=not error)

    def requests_since_last_pass(self) -> dict[str, RequestCount]:
        """Requests to each host since this was last asked."""
        counts = {
            name: RequestCount(total, self._not_modified[name])
            for name, total in self._requests.items()
        }
        self._requests.clear()
        self._not_modified.clear()
        return counts

    # -- how things stand -------------------------------------------------------------------------

    def silent_hosts(self) -> list[str]:
        """Hosts that have not answered yet."""
        generation = self._generation
        hosts = generation.runner.hosts if generation else {}
        return [name for name in hosts if name not in self._answered]

    def all_well(self) -> bool:
        """Whether no mirror is in trouble."""
        return not any(status.state == "failed" for status in self.statuses(fresh=True))

    def in_vain(self, seconds: float) -> bool:
        """Whether nothing is in flight, and nothing can come of waiting for so many seconds."""
        generation, scheduler = self._generation, self._scheduler
        if generation is None or scheduler is None or self.progress.transfers:
            return False
        quiet = self._clock.monotonic() - self._heard_at >= QUIET
        return quiet and not generation.app.shared.pusher.at_work and scheduler.waits_for(seconds)

    def line(self) -> str:
        """How things stand, in one line for the service manager."""
        states = Counter(status.state for status in self.statuses())
        parts = [f"{count(sum(states.values()), 'mirror')}: {states['ok']} up to date"]
        if states["failed"]:
            parts.append(f"{states['failed']} failed")
        if states["never"]:
            parts.append(f"{states['never']} not yet mirrored")
        text = ", ".join(parts)
        if moving := len(self.progress.transfers):
            speed = size(self.progress.speed.at(self._clock.monotonic()))
            text += f"; {count(moving, 'transfer')} in flight, {speed}/s"
        if self.state != "running":
            return f"{self.state.capitalize()}. {text}"
        following = self._scheduler.next_tick() if self._scheduler else None
        if following is not None:
            text += f"; next pass {following.astimezone():%H:%M:%S}"
        return text

    def statuses(self, *, fresh: bool = False) -> Sequence[MirrorStatus]:
        """Of all mirrors, a moment old at most, unless they are wanted fresh."""
        generation = self._generation
        began = self._clock.monotonic()
        if generation is not None and (fresh or began >= self._stale_at):
            index = generation.runner.context.index
            self._statuses = mirror_statuses(index, generation.app.rules)
            self._stale_at = began + _SHARE * (self._clock.monotonic() - began)
        return self._statuses

    # -- the backend of the web pages -------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the scheduler's loop has turned lately."""
        scheduler = self._scheduler
        return scheduler is not None and self._clock.monotonic() - scheduler.alive_at <= HANGS_AFTER

    def not_ready(self) -> str:
        """Why the service is not ready; empty when it is."""
        if self.state != "running":
            return self.state
        if not self.alive():
            return "the scheduler stands still"
        if silent := self.silent_hosts():
            return f"no answer yet from {', '.join(silent)}"
        return ""

    def data(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What the page shows."""
        generation, scheduler = self._generation, self._scheduler
        assert generation is not None  # noqa: S101 - the web begins later
        assert scheduler is not None  # noqa: S101
        config, index = generation.config, generation.runner.context.index
        return page_data(
            now=self._clock.now(),
            statuses=self.statuses(),
            links={name: host.url for name, host in config.hosts.items()},
            passes=index.passes,
            version=__version__,
            service=ServiceView(
                self.state, not self.not_ready(), self._started, scheduler.next_tick()
            ),
            hosts=[self._host(name) for name in config.hosts],
            running=self._running(scheduler),
            next_run=self._next_run,
            notices=self._notices(),
            query=Query.of(query),
        )

    def render(self, data: dict[str, Any]) -> str:
        """The page."""
        return render(data)

    def policy(self, page: str) -> str:
        """The page's ``Content-Security-Policy``."""
        return policy(page)

    def metrics(self) -> Callable[[], bytes]:
        """The metrics of this moment, whose text another thread may make."""
        generation = self._generation
        assert generation is not None  # noqa: S101 - it listens later
        clients = {name: side.store.client for name, side in generation.runner.hosts.items()}
        intervals = [table.interval for table in generation.timetables().values()]
        present = Present(
            now=self._clock.now(),
            ready=not self.not_ready(),
            statuses=tuple(self.statuses()),
            hosts=[
                HostState(
                    name,
                    up=client.stopped is None,
                    limit=client.rate_limit,
                    retried=self._retried[name] + client.counts.retried,
                )
                for name, client in clients.items()
            ],
            interval=min((one for one in intervals if one), default=None),
        )
        return self._metrics.scrape(present)

    def known_as(self) -> Collection[str]:
        """The names besides its addresses under which the service is reached, as they are now."""
        return self._generation.config.daemon.hosts if self._generation else ()

    def webhook_secret(self) -> str | None:
        """The secret as it is now; ``None`` for no webhook."""
        return self._generation.webhook_secret() if self._generation else None

    def release_changed(self, host: str | None, repository: str) -> bool:
        """Ask for a sync; ``False`` where nothing mirrors that repository."""
        generation, scheduler = self._generation, self._scheduler
        if generation is None or scheduler is None:
            return False
        asked = [
            scheduler.request(name, repository, full=True) for name in generation.sources_at(host)
        ]
        return any(asked)

    def _host(self, name: str) -> HostView:
        generation = self._generation
        assert generation is not None  # noqa: S101 - the caller has one
        client = generation.runner.hosts[name].store.client
        limit, stopped = client.rate_limit, client.stopped
        return HostView(
            name,
            generation.config.hosts[name].url,
            limit=limit.limit if limit else None,
            remaining=limit.remaining if limit else None,
            resets_at=_moment(limit.reset) if limit else None,
            paused_until=client.paused_until,
            stopped=str(stopped) if stopped else "",
        )

    def _notices(self) -> list[str]:
        unsaved = self.unsaved and f"What was done is not kept for after a restart: {self.unsaved}"
        return [text for text in (self._rejected, unsaved) if text]

    def _next_run(self, source: str, target: str) -> datetime | None:
        del source  # no two mirrors have one target
        scheduler = self._scheduler
        mirror = scheduler.mirror(target.casefold()) if scheduler else None
        return scheduler.next_run(mirror) if scheduler and mirror else None

    def _running(self, scheduler: Scheduler) -> dict[tuple[str, str], RunningView]:
        now = self._clock.monotonic()
        moving: dict[str, list[TransferView]] = defaultdict(list)
        for one in self.progress.transfers.values():
            moving[one.source].append(
                TransferView(one.release, one.asset, one.size, one.done, one.speed.at(now))
            )
        return {
            (session.mirror.name, str(session.mirror.target)): RunningView(
                session.since, moving[session.mirror.name]
            )
            for session in scheduler.running.values()
        }


def _same_host(one: Host | None, other: Host) -> bool:
    """Whether two settings lead to one host."""
    return one is not None and (one.url, one.api_url) == (other.url, other.api_url)


def _moment(seconds: int | None) -> datetime | None:
    """A moment that a host tells; ``None`` where it is none."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


class Both:
    """Two who watch; implements :class:`~mirror.core.reporting.report.Observer`."""

    def __init__(self, *watchers: Observer) -> None:
        self._watchers = watchers

    def mirrors_found(self, count: int) -> None:
        """This many more mirrors are part of the pass."""
        for watcher in self._watchers:
            watcher.mirrors_found(count)

    def mirror_started(self, source: str) -> None:
        """A session began."""
        for watcher in self._watchers:
            watcher.mirror_started(source)

    def mirror_finished(self, report: RepositoryReport) -> None:
        """A session ended."""
        for watcher in self._watchers:
            watcher.mirror_finished(report)

    def bytes_planned(self, count: int) -> None:
        """This many more bytes are to be transferred."""
        for watcher in self._watchers:
            watcher.bytes_planned(count)

    def transfer_started(
        self, number: int, source: str, release: str, asset: str, size: int
    ) -> None:
        """An asset's bytes begin to move."""
        for watcher in self._watchers:
            watcher.transfer_started(number, source, release, asset, size)

    def transfer_moved(self, number: int, done: int) -> None:
        """So many bytes in all have been handed to the target."""
        for watcher in self._watchers:
            watcher.transfer_moved(number, done)

    def transfer_finished(self, number: int, *, good: bool) -> None:
        """No more bytes move."""
        for watcher in self._watchers:
            watcher.transfer_finished(number, good=good)
