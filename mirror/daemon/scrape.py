"""One answer to Prometheus: the counters, and gauges made of the present.

What is known by mirror is never kept but taken from the statuses of the moment: a mirror that is
gone from the configuration is gone from the gauges.
"""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from mirror.core.reporting.status import proofs_of
from mirror.github import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from mirror.core.reporting.status import MirrorStatus

PREFIX = "release_mirror"
"""What every name of ours begins with."""

_STATES = ("ok", "failed", "never")


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
        moved: Bytes that were handed to the target.
        in_flight: Transfers whose bytes move now.
    """

    now: datetime
    ready: bool
    statuses: Sequence[MirrorStatus] = ()
    hosts: Sequence[HostState] = ()
    interval: float | None = None
    moved: int = 0
    in_flight: int = 0


class Scrape:
    """The metrics of a moment; calling it gives their text, also in another thread.

    Args:
        registry: The counters.
        present: The service, now.
        failures: Those that were reported, by source.
    """

    def __init__(
        self, registry: CollectorRegistry, present: Present, failures: Mapping[str, int]
    ) -> None:
        self._registry = registry
        self._present = present
        self._failures = failures

    def __call__(self) -> bytes:
        """Their text."""
        return generate_latest(self._registry) + generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """All that is made of the present; the library asks for it."""
        yield from self._service()
        yield from self._hosts()
        yield from self._mirrors()

    def _service(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            f"{PREFIX}_transferred_bytes",
            "Bytes that were handed to the target, also those of transfers that failed.",
            value=self._present.moved,
        )
        yield _gauge("transfers_in_flight", "Assets whose bytes move now.", self._present.in_flight)
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
            f"{PREFIX}_retries", "Requests that were sent again after a failure.", labels=["host"]
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
        held = _family(
            "mirrored_assets", "Assets at the target, by what proves their bytes.", "proof"
        )
        for proof, number in proofs_of(statuses)._asdict().items():
            held.add_metric([proof], number)
        yield held
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
            f"{PREFIX}_failures", "Failures that were reported.", labels=["source"]
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
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
