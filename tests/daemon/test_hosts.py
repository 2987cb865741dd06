from __future__ import annotations

from datetime import timedelta

import pytest
import structlog.testing

from mirror.daemon.hosts import HostGate
from mirror.errors import AuthError, ServerError
from support.clock import VirtualClock
from support.workload import FakeClient

DOWN = ServerError("github: 503 maintenance", status=503)
REFUSED = AuthError("github: 401 Bad credentials", status=401)


def a_gate() -> tuple[HostGate, FakeClient, VirtualClock]:
    clock, client = VirtualClock(), FakeClient()
    client.clock = clock
    return HostGate("github", client, clock), client, clock


def revivals(gate: HostGate, client: FakeClient, clock: VirtualClock, count: int) -> list[float]:
    """The waits before each of so many tries of a host that stays bad."""
    waits = []
    for _ in range(count):
        gate.look()
        waits.append(gate.closed_for())
        clock.advance(gate.closed_for() - 0.5)
        gate.look()
        assert gate.given_up
        clock.advance(0.5)
        gate.look()
        assert not gate.given_up
        assert gate.closed_for() == 0
        client.requests += 1
        client.stopped = DOWN if waits[0] < 300 else REFUSED
    return waits


def test_a_host_that_stays_bad_is_tried_less_and_less() -> None:
    """After 30 s, doubling up to a quarter of an hour."""
    gate, client, clock = a_gate()
    client.stopped = DOWN
    assert revivals(gate, client, clock, 7) == [30, 60, 120, 240, 480, 900, 900]


def test_a_credential_that_is_refused_is_tried_rarely() -> None:
    """A 401 first after five minutes, at last every hour: more would lock good ones out."""
    gate, client, clock = a_gate()
    client.stopped = REFUSED
    assert revivals(gate, client, clock, 6) == [300, 600, 1200, 2400, 3600, 3600]


def test_a_success_starts_from_the_beginning() -> None:
    """Only one that asked the host, and began after it was tried again."""
    gate, client, clock = a_gate()
    client.stopped = DOWN
    revivals(gate, client, clock, 3)
    client.stopped = None
    gate.look()
    began = clock.monotonic()
    gate.answered(began - 1000)  # it was under way before
    client.requests -= 1
    gate.answered(began)  # it did not ask the host
    client.stopped = DOWN
    gate.look()
    assert gate.closed_for() == 240
    clock.advance(240)
    gate.look()
    client.requests += 1
    gate.answered(clock.monotonic())
    client.stopped = DOWN
    gate.look()
    assert gate.closed_for() == 30


def test_somebody_who_says_that_it_is_well_is_believed() -> None:
    """A revival by hand opens at once; if it was wrong, the waits begin anew."""
    gate, client, clock = a_gate()
    client.stopped = DOWN
    revivals(gate, client, clock, 3)
    gate.look()
    assert gate.closed_for() > 0
    gate.revive()
    assert gate.closed_for() == 0
    assert not gate.given_up
    client.stopped = DOWN
    gate.look()
    assert gate.closed_for() == 30


def test_a_limit_is_waited_for() -> None:
    """Until the moment that was announced; it is not asked to try again before."""
    gate, client, clock = a_gate()
    client.paused_until = clock.now() + timedelta(seconds=100)
    assert gate.closed_for() == 100
    clock.advance(60)
    assert gate.closed_for() == 40
    client.paused_until = clock.now() + timedelta(seconds=600)
    assert gate.closed_for() == 600
    clock.advance(601)
    gate.look()
    assert gate.closed_for() == 0
    assert client.revived == []


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_a_clock_that_is_set_does_not_prolong_a_limit(jump: timedelta) -> None:
    """The end of a limit is a time of day, but nobody waits longer than when it was seen."""
    gate, client, clock = a_gate()
    client.paused_until = clock.now() + timedelta(seconds=100)
    assert gate.closed_for() == 100
    clock.start += jump
    assert gate.closed_for() == (100 if jump < timedelta(0) else 0)
    clock.advance(100)
    assert gate.closed_for() == 0


def test_only_what_changes_is_logged() -> None:
    """One line when it closes and one when it is well again, none for the tries in between."""
    gate, client, clock = a_gate()
    with structlog.testing.capture_logs() as logs:
        gate.look()
        client.stopped = DOWN
        revivals(gate, client, clock, 5)
        gate.look()
        clock.advance(gate.closed_for())
        gate.look()
        client.requests += 1
        gate.answered(clock.monotonic())
        gate.answered(clock.monotonic())
        client.paused_until = clock.now() + timedelta(seconds=50)
        for _ in range(10):
            gate.look()
            clock.advance(10)
    assert [(line["event"], line["host"]) for line in logs] == [
        ("host.paused", "github"),
        ("host.resumed", "github"),
        ("host.paused", "github"),
        ("host.resumed", "github"),
    ]
    assert logs[0]["reason"] == "github: 503 maintenance"
