from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import ProofCounts
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import (
    ActionReport,
    RepositoryReport,
    Status,
)
from mirror.core.reporting.status import MirrorStatus
from mirror.daemon.metrics import CONTENT_TYPE, WEBHOOK_OUTCOMES, HostState, Metrics, Present
from mirror.github import RateLimit, RequestSeen

if TYPE_CHECKING:
    from mirror.core.execution.outcome import ActionStatus

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ITEM = Quarantined("too large", "2026-11-20T00:00:00Z", "v1", "a.iso")
STATUS = MirrorStatus(
    source="github:acme/tools",
    target="mirrors/tools",
    state="ok",
    last_success=NOW - timedelta(seconds=60),
    releases=1,
    assets=2,
    bytes=3,
    failure=None,
    quarantined=(),
    warnings=(),
    newest=NOW - timedelta(seconds=100),
    visible=NOW - timedelta(seconds=70),
    since=NOW - timedelta(days=1),
)


def report(
    status: Status = "ok",
    *actions: tuple[str, ActionStatus, int],
    source: str = "github:acme/tools",
    target: str | None = "mirrors/tools",
    failures: int = 0,
    quarantined: int = 0,
) -> RepositoryReport:
    return RepositoryReport(
        source,
        target,
        status,
        tuple(ActionReport(action, done, "v1", bytes=size) for action, done, size in actions),
        (Failure("rejected", "no"),) * failures,
        quarantined=(ITEM,) * quarantined,
    )


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(metrics: Metrics, *statuses: MirrorStatus, **facts: object) -> Samples:
    """All samples by name (without the prefix) and labels, as the library's own parser reads them."""
    present = replace(Present(NOW, ready=True, statuses=statuses), **facts)  # type: ignore[arg-type]
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.scrape(present)().decode()):
        for sample in family.samples:
            key = sample.name.removeprefix("release_mirror_"), tuple(sorted(sample.labels.items()))
            assert key not in found, "a series twice"
            found[key] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


MIRROR = {"source": "github:acme/tools", "target": "mirrors/tools"}


def test_at_the_beginning_everything_is_told_with_0() -> None:
    """What first appears with 1 has no increase, and an alert would miss it."""
    found = read(Metrics("1.2.3"), STATUS, hosts=(HostState("github"),))
    assert of(found, "build_info", version="1.2.3") == 1
    for status in ("ok", "unchanged", "failed", "interrupted"):
        assert of(found, "passes_total", status=status) == 0
    for outcome in WEBHOOK_OUTCOMES:
        assert of(found, "webhooks_total", outcome=outcome) == 0
    for result in ("success", "failure"):
        assert of(found, "config_reloads_total", result=result) == 0
    for name in ("transferred_bytes_total", "uploaded_bytes_total", "transfers_in_flight"):
        assert of(found, name) == 0
    assert of(found, "pass_duration_seconds_count") == 0
    assert of(found, "session_duration_seconds_count") == 0
    assert of(found, "failures_total", source="github:acme/tools") == 0
    assert of(found, "retries_total", host="github") == 0
    assert of(found, "config_last_reload_successful") == 1
    assert not [name for name, _ in found if name.endswith("_created")]
    assert any(name == "process_open_fds" for name, _ in found)
    assert any(name.startswith("python_gc_") for name, _ in found)


def test_requests_are_counted_by_host_and_status() -> None:
    """304 is one of them; where no answer came, the status is none."""
    metrics = Metrics("1")
    for status in (200, 304, 304, 503, None):
        metrics.on_request(RequestSeen("github", "GET", status, 0.3))
    metrics.on_request(RequestSeen("target", "POST", 201, 7.0))
    found = read(metrics)
    assert of(found, "requests_total", host="github", status="304") == 2
    assert of(found, "requests_total", host="github", status="none") == 1
    assert of(found, "requests_total", host="target", status="201") == 1
    assert of(found, "request_duration_seconds_count", host="github") == 5
    assert of(found, "request_duration_seconds_bucket", host="target", le="5.0") == 0
    assert of(found, "request_duration_seconds_bucket", host="target", le="10.0") == 1


def test_work_is_counted_by_action_and_outcome() -> None:
    """Once, although the pass reports it again; bytes only of what arrived."""
    metrics = Metrics("1")
    one = report(
        "failed",
        ("create-release", "done", 0),
        ("upload-asset", "done", 100),
        ("replace-asset", "done", 20),
        ("upload-asset", "failed", 1000),
        ("publish-release", "skipped", 0),
        ("create-repository", "done", 0),
        failures=2,
    )
    metrics.on_session(one, 3.0)
    metrics.on_pass((one,), 4.0)
    found = read(metrics, STATUS)
    assert of(found, "assets_total", action="upload-asset", outcome="done") == 1
    assert of(found, "assets_total", action="upload-asset", outcome="failed") == 1
    assert of(found, "assets_total", action="replace-asset", outcome="done") == 1
    assert of(found, "releases_total", action="create-release", outcome="done") == 1
    assert of(found, "releases_total", action="publish-release", outcome="skipped") == 1
    assert of(found, "uploaded_bytes_total") == 120
    assert of(found, "failures_total", source="github:acme/tools") == 2
    assert of(found, "session_duration_seconds_sum") == 3
    assert of(found, "pass_duration_seconds_sum") == 4
    assert of(found, "passes_total", status="failed") == 1


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ((), "unchanged"),
        ((report("unchanged"), report("unchanged")), "unchanged"),
        ((report("unchanged"), report("ok")), "ok"),
        ((report("ok"), report("failed", failures=1)), "failed"),
        ((report("unchanged", quarantined=1),), "failed"),
        ((report("failed"), report("interrupted")), "interrupted"),
    ],
)
def test_a_pass_has_the_status_of_its_report(
    reports: tuple[RepositoryReport, ...], status: str
) -> None:
    """The words are those of ``sync --json``."""
    metrics = Metrics("1")
    metrics.on_pass(reports, 1.0)
    assert of(read(metrics), "passes_total", status=status) == 1


def test_transfers_are_counted_while_they_run() -> None:
    """A transfer that begins again counts what it moves again; nothing is taken back."""
    progress = Progress(lambda: 0.0)

    def present() -> Samples:
        moved, in_flight = progress.moved, len(progress.transfers)
        return read(Metrics("1"), moved=moved, in_flight=in_flight)

    progress.transfer_started(1, "github:acme/tools", "m/tools", "v1", "a", 100)
    progress.transfer_started(2, "github:acme/tools", "m/tools", "v1", "b", 100)
    progress.transfer_moved(1, 60)
    progress.transfer_moved(2, 10)
    assert of(present(), "transfers_in_flight") == 2
    progress.transfer_moved(1, 0)
    progress.transfer_moved(1, 100)
    progress.transfer_finished(1, good=True)
    progress.transfer_finished(1, good=True)
    progress.transfer_finished(9, good=False)
    found = present()
    assert of(found, "transferred_bytes_total") == 60 + 10 + 100
    assert of(found, "transfers_in_flight") == 1


def test_mirrors_are_told_as_they_are_now() -> None:
    """Lag, last success, failure, quarantine: from the statuses of the moment."""
    waiting = replace(STATUS, source="github:a/w", target="m/w", state="failed", visible=None)
    waiting = replace(waiting, failure=Failure("internal", "no"), last_success=None)
    held = replace(STATUS, source="github:a/q", target="m/q", state="failed", quarantined=(ITEM,))
    never = replace(STATUS, source="github:a/n", target="m/n", state="never", newest=None)
    found = read(Metrics("1"), STATUS, waiting, held, replace(never, last_success=None))
    assert of(found, "mirrors", state="ok") == 1
    assert of(found, "mirrors", state="failed") == 2
    assert of(found, "mirrors", state="never") == 1
    assert of(found, "last_success_timestamp_seconds", **MIRROR) == NOW.timestamp() - 60
    assert of(found, "lag_seconds", **MIRROR) == 30
    assert of(found, "lag_seconds", source="github:a/w", target="m/w") == 100
    assert of(found, "mirror_failed", **MIRROR) == 0
    assert of(found, "mirror_failed", source="github:a/w", target="m/w") == 1
    # What is quarantined has a metric of its own: nothing fails that could succeed.
    assert of(found, "mirror_failed", source="github:a/q", target="m/q") == 0
    assert of(found, "quarantined", source="github:a/q", target="m/q") == 1
    assert of(found, "last_success_timestamp_seconds", source="github:a/n", target="m/n") is None
    assert of(found, "lag_seconds", source="github:a/n", target="m/n") is None


def test_assets_are_counted_by_what_proves_them() -> None:
    """Over all mirrors, so that ten thousand of them are three series; 0 is told as well."""
    other = replace(STATUS, target="others/tools", proof=ProofCounts(3, 0, 2))
    found = read(Metrics("1"), replace(STATUS, proof=ProofCounts(1, 4, 0)), other)
    assert [of(found, "mirrored_assets", proof=p) for p in ("bytes", "sent", "assumed")] == [
        4,
        4,
        2,
    ]
    assert of(read(Metrics("1")), "mirrored_assets", proof="assumed") == 0


def test_a_mirror_that_is_gone_is_gone() -> None:
    """A year of changes leaves no series behind; what came back begins again with 0."""
    metrics = Metrics("1")
    metrics.on_session(report("failed", failures=3), 1.0)
    pattern = report("failed", source="github:acme/*", target=None, failures=1)
    metrics.on_pass((pattern,), 1.0)
    assert of(read(metrics, STATUS), "failures_total", source="github:acme/tools") == 3
    found = read(metrics)
    assert not [labels for _, labels in found if ("source", "github:acme/tools") in labels]
    assert of(found, "failures_total", source="github:acme/*") == 1
    assert of(read(metrics, STATUS), "failures_total", source="github:acme/tools") == 0


def test_a_source_with_two_targets_is_told_for_each() -> None:
    """And its failures, which are by source, once."""
    found = read(Metrics("1"), STATUS, replace(STATUS, target="others/tools"))
    assert of(found, "mirror_failed", source=STATUS.source, target="others/tools") == 0
    assert of(found, "failures_total", source=STATUS.source) == 0


def test_hosts_are_told_as_they_are_now() -> None:
    """A server without rate limits has no series of them: absent is not 0."""
    limit = RateLimit(limit=5000, remaining=0, reset=1795000000)
    hosts = (
        HostState("github", limit=limit, retried=7, token_expires_at=1796000000.0),
        HostState("target", up=False),
    )
    found = read(Metrics("1"), hosts=hosts)
    assert of(found, "host_up", host="github") == 1
    assert of(found, "host_up", host="target") == 0
    assert of(found, "rate_limit_limit", host="github") == 5000
    assert of(found, "rate_limit_remaining", host="github") == 0
    assert of(found, "rate_limit_reset_timestamp_seconds", host="github") == 1795000000
    assert of(found, "rate_limit_remaining", host="target") is None
    assert of(found, "retries_total", host="github") == 7
    assert of(found, "token_expiry_timestamp_seconds", host="github") == 1796000000
    assert of(found, "token_expiry_timestamp_seconds", host="target") is None


def test_the_service_is_told_as_it_is_now() -> None:
    """Ready or not, its interval where it has one, and what became of reloads and webhooks."""
    metrics = Metrics("1")
    found = read(metrics, ready=False, interval=900.0)
    assert of(found, "ready") == 0
    assert of(found, "interval_seconds") == 900
    assert of(read(metrics), "ready") == 1
    assert of(read(metrics), "interval_seconds") is None
    metrics.on_reload(good=False)
    metrics.on_webhook("queued")
    found = read(metrics)
    assert of(found, "config_reloads_total", result="failure") == 1
    assert of(found, "config_last_reload_successful") == 0
    assert of(found, "webhooks_total", outcome="queued") == 1
    metrics.on_reload(good=True)
    assert of(read(metrics), "config_last_reload_successful") == 1


def test_hostile_names_stay_within_their_labels() -> None:
    """Quotes, backslashes and line ends are escaped: nobody writes a metric into another's line."""
    name = 'x"} 1\nrelease_mirror_ready 0\\'
    found = read(Metrics("1"), replace(STATUS, source=name), hosts=(HostState(name),))
    assert of(found, "ready") == 1
    assert of(found, "mirror_failed", source=name, target="mirrors/tools") == 0
    assert of(found, "host_up", host=name) == 1


def test_the_text_is_made_in_another_thread() -> None:
    """The present is taken at once: what changes while the text is made does no harm."""
    metrics = Metrics("1")
    metrics.on_session(report("failed", failures=1), 1.0)
    scrape = metrics.scrape(Present(NOW, ready=True, statuses=(STATUS,)))
    texts: list[bytes] = []
    thread = threading.Thread(target=lambda: texts.append(scrape()))
    for number in range(100):
        metrics.on_session(report(source=f"github:a/{number}", failures=1), 1.0)
        metrics.on_request(RequestSeen(f"host{number}", "GET", 200, 0.1))
    thread.start()
    for number in range(1000):
        metrics.on_session(report(source=f"github:b/{number}", failures=1), 1.0)
        metrics.on_request(RequestSeen(f"late{number}", "GET", 200, 0.1))
    thread.join()
    assert b'release_mirror_failures_total{source="github:acme/tools"} 1.0\n' in texts[0]
    assert b"github:a/1" not in texts[0]


def test_two_services_in_one_process_share_nothing() -> None:
    """Each has its own registry."""
    one, other = Metrics("1"), Metrics("2")
    one.on_webhook("ping")
    assert of(read(other), "webhooks_total", outcome="ping") == 0
    assert CONTENT_TYPE.startswith("text/plain; version=")
