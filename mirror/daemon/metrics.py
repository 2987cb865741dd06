"""What Prometheus is told: counters that watch, and gauges made of the present when it asks.

What is known by mirror is never kept here but taken from the statuses of the moment: a mirror that
is gone from the configuration is gone from the gauges. Counters are cheap, since some are moved
with every chunk of a transfer.
"""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from mirror.github import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from mirror.core.report import RepositoryReport
    from mirror.core.status import MirrorStatus
    from mirror.github import RequestSeen

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

WEBHOOK_OUTCOMES = (
    "queued",
    "unknown",
    "ignored",
    "ping",
    "unauthorized",
    "malformed",
    "too_large",
    "timeout",
    "busy",
)
"""What may become of a delivery; ``unknown`` is a repository that nothing mirrors."""

_PREFIX = "release_mirror"
_STATES = ("ok", "failed", "never")
_PASS_STATUSES = ("ok", "unchanged", "failed", "interrupted")
_PASS_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 180, 600, 1800, 3600, 7200, 21600)
_SESSION_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200)
_REQUEST_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class PassEnded(Protocol):
    """What is counted of a pass that ended: its time in seconds, and its reports."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def reports(self) -> Sequence[RepositoryReport]:
        """Of its sessions, and of the wildcards whose listing failed."""
        ...


@dataclass(frozen=True, slots=True)
class HostState:
    """One host, now.

    Attributes:
        name: As the configuration calls it.
        up: It is asked; ``False`` while it was given up (a bad token, maintenance).
        limit: What it last said of its rate limit; ``None`` where it never did.
        retried: Requests sent again since the service has known it.
    """

    name: str
    up: bool = True
    limit: RateLimit | None = None
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Present:
    """The service, now; nothing of it changes any more, so that another thread may read it.

    Attributes:
        ready: As ``/readyz`` says it.
        interval: Seconds between passes; ``None`` for a ``schedule``.
    """

    now: datetime
    ready: bool
    statuses: Sequence[MirrorStatus] = ()
    hosts: Sequence[HostState] = ()
    interval: float | None = None


class Metrics:
    """Watches the service; an :class:`~mirror.core.report.Observer` and more.

    Args:
        version: Of this program.
    """

    def __init__(self, version: str) -> None:
        # No series beside each counter that tells when it began.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._failures: Counts[str] = Counts()
        self._transfers: dict[int, int] = {}
        self._moved = 0
        self._passes = self._counter("passes", "Passes that ended, by status.", "status")
        self._pass_seconds = self._histogram(
            "pass_duration_seconds", "How long a pass took.", _PASS_SECONDS
        )
        self._session_seconds = self._histogram(
            "session_duration_seconds", "How long one mirror took in a pass.", _SESSION_SECONDS
        )
        self._requests = self._counter(
            "requests",
            "Requests to a host, by HTTP status; none where no answer came.",
            "host",
            "status",
        )
        self._request_seconds = self._histogram(
            "request_duration_seconds",
            "Time from a request to the head of its answer.",
            _REQUEST_SECONDS,
            "host",
        )
        self._uploaded = self._counter("uploaded_bytes", "Bytes of assets that arrived whole.")
        self._assets = self._counter(
            "assets", "Work on assets, by action and outcome.", "action", "outcome"
        )
        self._releases = self._counter(
            "releases", "Work on releases, by action and outcome.", "action", "outcome"
        )
        self._webhooks = self._counter("webhooks", "Webhook deliveries, by outcome.", "outcome")
        self._reloads = self._counter(
            "config_reloads", "Times the configuration was read again, by result.", "result"
        )
        self._reloaded = self._gauge(
            "config_last_reload_successful",
            "Whether the configuration in use is the file's: 1 or 0.",
        )
        self._reloaded.set(1)
        self._gauge("build_info", "1, with the version.", "version").labels(version).set(1)
        _begin(self._passes, _PASS_STATUSES)
        _begin(self._webhooks, WEBHOOK_OUTCOMES)
        _begin(self._reloads, ("success", "failure"))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"{_PREFIX}_{name}", text, labels, registry=self._registry, buckets=buckets
        )

    # --- what is told while it happens ----------------------------------------------------------

    def on_request(self, seen: RequestSeen) -> None:
        """A request was answered, or not."""
        self._requests.labels(seen.host, seen.status or "none").inc()
        self._request_seconds.labels(seen.host).observe(seen.seconds)

    def on_session(self, report: RepositoryReport, seconds: float) -> None:
        """A mirror had its turn.

        Its work is counted here, and not in :meth:`mirror_finished`: once is enough.
        """
        self._session_seconds.observe(seconds)
        self._failures[report.source] += len(report.failures)
        for action in report.actions:
            if action.action.endswith("-asset"):
                self._assets.labels(action.action, action.status).inc()
            elif action.action.endswith("-release"):
                self._releases.labels(action.action, action.status).inc()
            if action.status == "done" and action.action in {"upload-asset", "replace-asset"}:
                self._uploaded.inc(action.bytes or 0)

    def on_pass(self, end: PassEnded) -> None:
        """A pass ended; of its reports only those of wildcards are news."""
        self._passes.labels(_status(end.reports)).inc()
        self._pass_seconds.observe(end.seconds)
        for report in end.reports:
            if report.target is None:
                self._failures[report.source] += len(report.failures)

    def on_webhook(self, outcome: str) -> None:
        """A delivery was answered; one of :data:`WEBHOOK_OUTCOMES`."""
        self._webhooks.labels(outcome).inc()

    def on_reload(self, *, good: bool) -> None:
        """The configuration was read again, and taken or not."""
        self._reloads.labels("success" if good else "failure").inc()
        self._reloaded.set(1 if good else 0)

    def mirrors_found(self, count: int) -> None:
        """Not counted: the statuses tell it."""

    def mirror_started(self, source: str) -> None:
        """Not counted."""

    def mirror_finished(self, report: RepositoryReport) -> None:
        """Counted in :meth:`on_session`."""

    def bytes_planned(self, count: int) -> None:
        """Not counted."""

    def transfer_started(
        self, number: int, source: str, release: str, asset: str, size: int
    ) -> None:
        """One more transfer is in flight."""
        del source, release, asset, size
        self._transfers[number] = 0

    def transfer_moved(self, number: int, done: int) -> None:
        """Bytes moved; a transfer that begins again counts what it moves again."""
        before = self._transfers.get(number, 0)
        self._transfers[number] = done
        self._moved += max(0, done - before)

    def transfer_finished(self, number: int, *, good: bool) -> None:
        """It is in flight no more."""
        del good
        self._transfers.pop(number, None)

    # --- what is asked for ----------------------------------------------------------------------

    def scrape(self, present: Present) -> _Scrape:
        """The metrics of this moment; calling it gives their text, also in another thread.

        What is counted for mirrors that are gone is forgotten; for wildcards it stays.
        """
        gone = self._failures.keys() - {status.source for status in present.statuses}
        for source in gone:
            if not _is_pattern(source):
                del self._failures[source]
        return _Scrape(
            self._registry, present, dict(self._failures), self._moved, len(self._transfers)
        )


def _begin(metric: Counter, labels: tuple[str, ...]) -> None:
    """Tell of 0: what first appears with 1 has no increase."""
    for label in labels:
        metric.labels(label)


def _is_pattern(source: str) -> bool:
    return any(c in source for c in "*?[")


def _status(reports: Sequence[RepositoryReport]) -> str:
    """Of a pass, as its report tells it."""
    if any(report.status == "interrupted" for report in reports):
        return "interrupted"
    if any(
        report.status == "failed" or report.failures or report.quarantined for report in reports
    ):
        return "failed"
    return "unchanged" if all(report.status == "unchanged" for report in reports) else "ok"


class _Scrape:
    """One answer to Prometheus."""

    def __init__(
        self,
        registry: CollectorRegistry,
        present: Present,
        failures: Mapping[str, int],
        moved: int,
        in_flight: int,
    ) -> None:
        self._registry = registry
        self._present = present
        self._failures = failures
        self._moved = moved
        self._in_flight = in_flight

    def __call__(self) -> bytes:
        return generate_latest(self._registry) + generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """All that is made of the present; the library asks for it."""
        yield from self._service()
        yield from self._hosts()
        yield from self._mirrors()

    def _service(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            f"{_PREFIX}_transferred_bytes",
            "Bytes that were handed to the target, also those of transfers that failed.",
            value=self._moved,
        )
        yield _gauge("transfers_in_flight", "Assets whose bytes move now.", self._in_flight)
        yield _gauge("ready", "Whether /readyz says so: 1 or 0.", int(self._present.ready))
        if self._present.interval:
            yield _gauge(
                "interval_seconds",
                "Time between passes; none with a schedule.",
                self._present.interval,
            )

    def _hosts(self) -> Iterator[Metric]:
        up = _family("host_up", "0 while a host is given up, else 1.", "host")
        most = _family("rate_limit_limit", "Requests of a window.", "host")
        remaining = _family("rate_limit_remaining", "Requests left in this window.", "host")
        reset = _family(
            "rate_limit_reset_timestamp_seconds", "When a window ends, by the host's clock.", "host"
        )
        retries = CounterMetricFamily(
            f"{_PREFIX}_retries", "Requests that were sent again after a failure.", labels=["host"]
        )
        for host in self._present.hosts:
            up.add_metric([host.name], int(host.up))
            retries.add_metric([host.name], host.retried)
            limit = host.limit or RateLimit()
            for family, value in (
                (most, limit.limit),
                (remaining, limit.remaining),
                (reset, limit.reset),
            ):
                if value is not None:
                    family.add_metric([host.name], value)
        yield from (up, most, remaining, reset, retries)

    def _mirrors(self) -> Iterator[Metric]:
        statuses, now = self._present.statuses, self._present.now
        states = Counts(status.state for status in statuses)
        count = _family("mirrors", "Mirrors, by state.", "state")
        for state in _STATES:
            count.add_metric([state], states[state])
        yield count
        success = _family(
            "last_success_timestamp_seconds",
            "When a pass last left nothing undone; none before the first.",
            *_MIRROR,
        )
        lag = _family(
            "lag_seconds", "How long the newest release took, or has been waited for.", *_MIRROR
        )
        failed = _family("mirror_failed", "Whether the last pass failed for it: 1 or 0.", *_MIRROR)
        quarantined = _family("quarantined", "What failed for good.", *_MIRROR)
        failures = CounterMetricFamily(
            f"{_PREFIX}_failures", "Failures that were reported.", labels=["source"]
        )
        for status in statuses:
            labels = [status.source, status.target]
            failed.add_metric(labels, int(bool(status.error)))
            quarantined.add_metric(labels, len(status.quarantined))
            if status.last_success is not None:
                success.add_metric(labels, status.last_success.timestamp())
            behind = status.lag(now)
            if behind is not None:
                lag.add_metric(labels, behind.total_seconds())
        known = dict.fromkeys((status.source for status in statuses), 0)
        for source, number in {**known, **self._failures}.items():
            failures.add_metric([source], number)
        yield from (success, lag, failed, quarantined, failures)


_MIRROR = ("source", "target")


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
