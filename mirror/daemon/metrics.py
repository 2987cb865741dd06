"""The metrics for Prometheus: counters, which are kept here; gauges are made for each scrape."""

from __future__ import annotations

from collections import Counter as Counts
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from mirror.daemon.gauges import PREFIX, HostState, Present, gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mirror.core.reporting.report import RepositoryReport
    from mirror.github import RequestSeen

__all__ = ["CONTENT_TYPE", "WEBHOOK_OUTCOMES", "HostState", "Metrics", "Present"]

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

_PASS_STATUSES = ("ok", "unchanged", "failed", "interrupted")
_PASS_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 180, 600, 1800, 3600, 7200, 21600)
_SESSION_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200)
_REQUEST_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts what happens in the service.

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
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, registry=self._registry, buckets=buckets)

    def on_request(self, seen: RequestSeen) -> None:
        """A request was answered, or not."""
        self._requests.labels(seen.host, seen.status or "none").inc()
        self._request_seconds.labels(seen.host).observe(seen.seconds)

    def on_session(self, report: RepositoryReport, seconds: float) -> None:
        """Count the work of a mirror's run."""
        self._session_seconds.observe(seconds)
        self._failures[report.source] += len(report.failures)
        for action in report.actions:
            if action.action.endswith("-asset"):
                self._assets.labels(action.action, action.status).inc()
            elif action.action.endswith("-release"):
                self._releases.labels(action.action, action.status).inc()
            if action.status == "done" and action.action in {"upload-asset", "replace-asset"}:
                self._uploaded.inc(action.bytes or 0)

    def on_pass(self, reports: Sequence[RepositoryReport], seconds: float) -> None:
        """Count a pass; of its reports only those of patterns are new."""
        self._passes.labels(_status(reports)).inc()
        self._pass_seconds.observe(seconds)
        for report in reports:
            if report.target is None:
                self._failures[report.source] += len(report.failures)

    def on_webhook(self, outcome: str) -> None:
        """A delivery was answered; one of :data:`WEBHOOK_OUTCOMES`."""
        self._webhooks.labels(outcome).inc()

    def on_reload(self, *, good: bool) -> None:
        """The configuration was read again, and taken or not."""
        self._reloads.labels("success" if good else "failure").inc()
        self._reloaded.set(1 if good else 0)

    def scrape(self, present: Present) -> Callable[[], bytes]:
        """Take a snapshot; a call of the result makes its text, also in another thread.

        Failures of mirrors that were removed are forgotten; those of patterns stay.
        """
        gone = self._failures.keys() - {status.source for status in present.statuses}
        for source in gone:
            if not _is_pattern(source):
                del self._failures[source]
        failures = dict(self._failures)

        def text() -> bytes:
            # All that the library asks of a registry.
            moment = SimpleNamespace(collect=lambda: gauges(present, failures))
            return generate_latest(self._registry) + generate_latest(
                cast("CollectorRegistry", moment)
            )

        return text


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
