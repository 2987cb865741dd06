"""How the service is doing: for the page, ``/api/status``, metrics, health checks and systemd."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mirror import __version__
from mirror.build import build
from mirror.core.ledger.index import merged_passes
from mirror.core.reporting.host_notices import host_notices, token_expiry
from mirror.core.reporting.status import mirror_statuses
from mirror.core.text.wording import count, size
from mirror.daemon.metrics import HostState, Present
from mirror.page import (
    Document,
    HostView,
    Query,
    RunningView,
    ServiceView,
    TransferView,
    page_data,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mirror.config.model import Host
    from mirror.core.clock import Clock
    from mirror.core.ledger.index import HostRecord
    from mirror.core.reporting.progress import Progress
    from mirror.core.reporting.status import MirrorStatus
    from mirror.daemon.metrics import Metrics
    from mirror.daemon.runtime import Runtime
    from mirror.daemon.scheduler import Scheduler
    from mirror.daemon.shared_scheduler import SharedScheduler
    from mirror.github import RequestSeen

HANGS_AFTER = 30.0
"""Seconds without a turn of the scheduler's loop after which it no longer counts as alive; a wait for the
database is none."""

QUIET = 3.0
"""Seconds without a response of any host after which runs that wait for closed ones do nothing else."""

_SHARE = 20
"""At most a twentieth of the time goes into statuses: there may be ten thousand mirrors."""

_DOCUMENTS = 16
"""Pages that are kept for a moment: as many different queries at once are rare."""


@dataclass(slots=True)
class ServiceState:
    """What the service is at, and what people should know about it.

    Attributes:
        rejected: Why the configuration file is not the one in force; empty if it is.
        unsaved: Why the index could not be saved; empty if it was.
    """

    phase: Literal["starting", "running", "draining"] = "starting"
    rejected: str = ""
    unsaved: str = ""


class Traffic:
    """The requests to all hosts, for the metrics, and which hosts have answered.

    Attributes:
        answered: Names of the hosts that have answered since the start.
        heard_at: When a host last answered or failed to, monotonic.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self.answered: set[str] = set()
        self.heard_at = clock.monotonic()

    def on_request(self, seen: RequestSeen) -> None:
        """Count a request that was answered, or failed."""
        self._metrics.on_request(seen)
        self.heard_at = self._clock.monotonic()
        if seen.status is not None and seen.status < 500:  # maintenance is no answer
            self.answered.add(seen.host)


@dataclass(slots=True)
class Status:
    """Answers at once how the service is doing.

    Attributes:
        state: What the service is at.
        runtime: The configuration in force.
        scheduler: What runs and waits.
        progress: The transfers in flight.
        traffic: The requests to hosts.
        counters: The metrics that are counted.
        clock: The time.
        started: When the service started (aware, UTC).
    """

    state: ServiceState
    runtime: Runtime
    scheduler: Scheduler | SharedScheduler
    progress: Progress
    traffic: Traffic
    counters: Metrics
    clock: Clock
    started: datetime
    _retried: Counter[str] = field(default_factory=Counter)  # by clients of former configurations
    _statuses: Sequence[MirrorStatus] = ()
    _stale_at: float = float("-inf")
    _documents: dict[Query, tuple[float, Document]] = field(default_factory=dict)

    def replace(self, runtime: Runtime) -> None:
        """Show another configuration from now on."""
        before, now = self.runtime.config.hosts, runtime.config.hosts
        self.traffic.answered -= {n for n in now if not _same_host(before.get(n), now[n])}
        for name, host in self.runtime.hosts.items():
            self._retried[name] += host.store.client.counts.retried
        self.runtime = runtime
        self._stale_at = float("-inf")
        self._documents = {}

    def silent_hosts(self) -> list[str]:
        """Hosts that have not answered yet."""
        return [name for name in self.runtime.hosts if name not in self.traffic.answered]

    def all_ok(self) -> bool:
        """Whether no mirror has failed."""
        return not any(status.state == "failed" for status in self.statuses(fresh=True))

    def waits_in_vain(self, seconds: float) -> bool:
        """Whether no run makes progress, and none can within so many seconds."""
        if self.progress.transfers or self.runtime.app.shared.pusher.at_work:
            return False
        quiet = self.clock.monotonic() - self.traffic.heard_at >= QUIET
        return quiet and (self.scheduler.waits_for(seconds) or self.progress.waits_for(seconds))

    def line(self) -> str:
        """A summary in one line, for ``systemctl status``."""
        states = Counter(status.state for status in self.statuses())
        parts = [f"{count(sum(states.values()), 'mirror')}: {states['ok']} healthy"]
        if states["failed"]:
            parts.append(f"{states['failed']} failed")
        if states["never"]:
            parts.append(f"{states['never']} not yet mirrored")
        text = ", ".join(parts)
        if moving := len(self.progress.transfers):
            speed = size(self.progress.speed.at(self.clock.monotonic()))
            text += f"; {count(moving, 'transfer')} in flight, {speed}/s"
        if self.state.phase != "running":
            return f"{self.state.phase.capitalize()}. {text}"
        if following := self.scheduler.next_tick():
            text += f"; next pass {following.astimezone():%H:%M:%S}"
        return text

    def statuses(self, *, fresh: bool = False) -> Sequence[MirrorStatus]:
        """Those of all mirrors, at most a moment old, or fresh."""
        began = self.clock.monotonic()
        if fresh or began >= self._stale_at:
            self._statuses = mirror_statuses(self.runtime.index, self.runtime.rules)
            self._stale_at = began + _SHARE * (self.clock.monotonic() - began)
        return self._statuses

    # -- the web pages ----------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the scheduler's loop has turned lately."""
        return self.clock.monotonic() - self.scheduler.alive_at <= HANGS_AFTER

    def not_ready(self) -> str:
        """Why the service is not ready; empty when it is."""
        if self.state.phase != "running":
            return self.state.phase
        if not self.alive():
            return "the scheduler does not respond"
        if self.scheduler.trouble:
            return self.scheduler.trouble
        if silent := self.silent_hosts():
            return f"no answer yet from {', '.join(silent)}"
        return ""

    def document(self, query: Mapping[str, str]) -> Document:
        """The page for its query, at most a moment old: viewers share the work."""
        asked, began = Query.of(query), self.clock.monotonic()
        stale_at, document = self._documents.get(asked, (began, None))
        if document is not None and began < stale_at:
            return document
        if len(self._documents) >= _DOCUMENTS:
            self._documents = {}
        data = self._data(asked)
        document = document.later(data) if document else Document.of(data)
        cost = self.clock.monotonic() - began
        self._documents[asked] = began + _SHARE * cost, document
        return document

    def _data(self, query: Query) -> dict[str, Any]:
        config = self.runtime.config
        rejected, unsaved, cluster = self.state.rejected, self.state.unsaved, self.scheduler.cluster
        if unsaved:
            unsaved = f"What was done since then is not kept after a restart: {unsaved}"
        return page_data(
            now=self.clock.now(),
            statuses=self.statuses(),
            links={name: host.url for name, host in config.hosts.items() if host.url},
            passes=merged_passes(self.runtime.index.passes),
            version=__version__,
            build=build(),
            service=ServiceView(
                self.state.phase, not self.not_ready(), self.started, self.scheduler.next_tick()
            ),
            hosts=[self._host(name) for name in config.hosts],
            workers=cluster.workers if cluster else (),
            running=self._running(),
            # No two mirrors have one target.
            next_run=lambda _, target: self.scheduler.next_run(target.casefold()),
            queued=lambda _, target: self.scheduler.is_queued(target.casefold()),
            notices=[
                *(text for text in (rejected, unsaved) if text),
                *host_notices({n: self._record(n) for n in config.hosts}, self.clock.now()),
            ],
            query=query,
        )

    def metrics(self) -> Callable[[], bytes]:
        """The metrics of this moment, whose text another thread may make."""
        clients = {name: host.store.client for name, host in self.runtime.hosts.items()}
        intervals = [table.interval for table in self.runtime.timetables.values()]
        cluster = self.scheduler.cluster
        present = Present(
            now=self.clock.now(),
            ready=not self.not_ready(),
            statuses=tuple(self.statuses()),
            hosts=[
                HostState(
                    name,
                    up=client.stopped is None,
                    limit=client.rate_limit,
                    retried=self._retried[name] + client.counts.retried,
                    token_expires_at=self._record(name).token_expires_at,
                )
                for name, client in clients.items()
            ],
            interval=min((one for one in intervals if one), default=None),
            moved=self.progress.moved,
            in_flight=len(self.progress.transfers),
            cluster=cluster.state() if cluster else None,
        )
        return self.counters.scrape(present)

    def hostnames(self) -> Collection[str]:
        """The configured names under which the service is reached, besides its addresses."""
        return self.runtime.config.daemon.hosts

    def _host(self, name: str) -> HostView:
        client = self.runtime.hosts[name].store.client
        limit, stopped, record = client.rate_limit, client.stopped, self._record(name)
        return HostView(
            name,
            self.runtime.config.hosts[name].address,
            limit=limit.limit if limit else None,
            remaining=limit.remaining if limit else None,
            resets_at=_moment(limit.reset) if limit else None,
            paused_until=client.paused_until,
            stopped=str(stopped) if stopped else "",
            token_expires_at=token_expiry(record),
            paced_by=record.paced_by,
            paced_until=_moment(record.paced_until),
        )

    def _record(self, name: str) -> HostRecord:
        """What is known of a host now."""
        before = self.runtime.index.hosts.get(name)
        return self.runtime.hosts[name].store.client.record(before)

    def _running(self) -> dict[tuple[str, str], RunningView]:
        now = self.clock.monotonic()
        moving: dict[tuple[str, str], list[TransferView]] = defaultdict(list)
        for one in self.progress.transfers.values():
            moving[one.source, one.target].append(
                TransferView(one.release, one.asset, one.size, one.done, one.speed.at(now))
            )
        running = {}
        for run in self.scheduler.running:
            pair = run.mirror.name, str(run.mirror.target)
            since = self.clock.now() - timedelta(seconds=now - run.since)
            running[pair] = RunningView(since, moving[pair], self.scheduler.name)
        cluster = self.scheduler.cluster
        for mirror, owner, since in cluster.elsewhere() if cluster else ():
            pair = mirror.name, str(mirror.target)
            running.setdefault(pair, RunningView(since, worker=owner))
        return running


def _same_host(one: Host | None, other: Host) -> bool:
    """Whether two settings lead to one host."""
    return one is not None and (one.address, one.api_url) == (other.address, other.api_url)


def _moment(seconds: float | None) -> datetime | None:
    """A time that a host sent; ``None`` if it is invalid."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None
