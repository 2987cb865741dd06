"""The gauges of one scrape, made from the state of the service at that moment.

Nothing is kept by mirror: a mirror that was removed from the configuration is not exported.
"""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from mirror.core.reporting.status import proofs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from mirror.core.host import Quota
    from mirror.core.reporting.status import MirrorStatus
    from mirror.core.reporting.workers import Worker

    Row = tuple[tuple[str, ...], float | None]

PREFIX = "release_mirror"
"""What every metric's name begins with."""

_STATES = ("ok", "failed", "never")


@dataclass(frozen=True, slots=True)
class HostState:
    """One host, now.

    Attributes:
        name: As the configuration calls it.
        up: Requests are sent to it; ``False`` while it is disabled (a bad token, maintenance).
        limit: The rate limit that it last reported; ``None`` if it never did.
        retried: Requests sent again since the service started.
        token_expires_at: Seconds since the epoch; 0 where the host told no time.
    """

    name: str
    up: bool = True
    limit: Quota | None = None
    retried: int = 0
    token_expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Processes that share the mirrors, now.

    Attributes:
        waiting: Mirrors and listings that are due, and that nobody has begun.
        longest: Seconds for which one of them has been due.
        failures: That any process reported, by source.
    """

    workers: Sequence[Worker]
    waiting: int
    longest: float
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Present:
    """The service at one moment; immutable, so that another thread may read it.

    Attributes:
        ready: As ``/readyz`` says it.
        interval: Seconds between passes; ``None`` for a ``schedule``.
        moved: Bytes that were handed to the target.
        in_flight: Transfers whose bytes move now.
        cluster: ``None`` where no other process shares the mirrors.
    """

    now: datetime
    ready: bool
    statuses: Sequence[MirrorStatus] = ()
    hosts: Sequence[HostState] = ()
    interval: float | None = None
    moved: int = 0
    in_flight: int = 0
    cluster: ClusterState | None = None


def gauges(present: Present, failures: Mapping[str, int]) -> Iterator[Metric]:
    """Make the metrics of the moment.

    Args:
        present: The service at that moment.
        failures: Failures that this process reported so far, by source.
    """
    yield _counter(
        "transferred_bytes",
        "Bytes that were handed to the target, also those of transfers that failed.",
        (),
        [((), present.moved)],
    )
    moving = [((), present.in_flight)]
    yield _gauge("transfers_in_flight", "Assets in transfer.", (), moving)
    yield _gauge("ready", "Whether /readyz answers 200: 1 or 0.", (), [((), int(present.ready))])
    if present.interval:
        text = "Time between passes; none with a schedule."
        yield _gauge("interval_seconds", text, (), [((), present.interval)])
    yield from _of_hosts(present.hosts)
    yield from _of_mirrors(present.statuses, present.now)
    if present.cluster:
        yield from _of_cluster(present.cluster)
        failures = present.cluster.failures
    reported = {**dict.fromkeys((one.source for one in present.statuses), 0), **failures}
    rows = (((source,), number) for source, number in reported.items())
    yield _counter("failures", "Failures reported.", ("source",), rows)


def _of_cluster(cluster: ClusterState) -> Iterator[Metric]:
    labels, workers = ("worker",), [((one.name,), one) for one in cluster.workers]
    beats = ((key, one.last_heartbeat.timestamp()) for key, one in workers)
    text = "When a worker last told that it is alive."
    yield _gauge("worker_last_heartbeat_timestamp_seconds", text, labels, beats)
    mirrors = ((key, one.mirrors) for key, one in workers)
    yield _gauge("worker_mirrors", "Mirrors that a worker works on.", labels, mirrors)
    speeds = ((key, one.bytes_per_second) for key, one in workers)
    text = "Bytes a second that a worker moves."
    yield _gauge("worker_bytes_per_second", text, labels, speeds)
    outdated = ((key, int(one.outdated)) for key, one in workers)
    text = "Whether another worker has newer settings: 1 or 0."
    yield _gauge("worker_outdated", text, labels, outdated)
    text = "Mirrors and listings that are due, and that no worker has begun."
    yield _gauge("queue_length", text, (), [((), cluster.waiting)])
    text = "How long one of them has been due."
    yield _gauge("queue_oldest_seconds", text, (), [((), cluster.longest)])


def _of_hosts(hosts: Sequence[HostState]) -> Iterator[Metric]:
    labels = ("host",)
    up = (((host.name,), int(host.up)) for host in hosts)
    yield _gauge("host_up", "0 while a host is disabled, else 1.", labels, up)
    limits = [((host.name,), host.limit) for host in hosts]
    most = ((key, limit.limit if limit else None) for key, limit in limits)
    yield _gauge("rate_limit_limit", "Requests allowed per rate limit window.", labels, most)
    left = ((key, limit.remaining if limit else None) for key, limit in limits)
    yield _gauge(
        "rate_limit_remaining", "Requests left in the current rate limit window.", labels, left
    )
    reset = ((key, limit.reset if limit else None) for key, limit in limits)
    text = "When the rate limit window ends, by the host's clock."
    yield _gauge("rate_limit_reset_timestamp_seconds", text, labels, reset)
    expiries = (((host.name,), host.token_expires_at or None) for host in hosts)
    text = "When the token expires; none where the host does not say."
    yield _gauge("token_expiry_timestamp_seconds", text, labels, expiries)
    retried = (((host.name,), host.retried) for host in hosts)
    yield _counter("retries", "Requests that were sent again after a failure.", labels, retried)


def _of_mirrors(statuses: Sequence[MirrorStatus], now: datetime) -> Iterator[Metric]:
    states = Counts(status.state for status in statuses)
    counts = (((state,), states[state]) for state in _STATES)
    yield _gauge("mirrors", "Mirrors, by state.", ("state",), counts)
    proofs = (((proof,), number) for proof, number in proofs_of(statuses)._asdict().items())
    text = "Assets at the target, by what proves their bytes."
    yield _gauge("mirrored_assets", text, ("proof",), proofs)
    labels = ("source", "target")
    mirrors = [((one.source, one.target), one) for one in statuses]
    successes = ((key, one.last_success) for key, one in mirrors)
    times = ((key, when.timestamp() if when else None) for key, when in successes)
    text = "When a pass last left nothing failed, blocked, waiting or quarantined."
    yield _gauge("last_success_timestamp_seconds", text, labels, times)
    lags = ((key, one.lag(now)) for key, one in mirrors)
    seconds = ((key, None if lag is None else lag.total_seconds()) for key, lag in lags)
    text = (
        "Time from publication of the newest release to its arrival, or until now if it is pending."
    )
    yield _gauge("lag_seconds", text, labels, seconds)
    failed = ((key, int(one.failure is not None)) for key, one in mirrors)
    yield _gauge("mirror_failed", "Whether the last pass failed for it: 1 or 0.", labels, failed)
    quarantined = ((key, len(one.quarantined)) for key, one in mirrors)
    yield _gauge("quarantined", "Quarantined items.", labels, quarantined)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value or 0)
    return family
