"""Whether the hosts that a mirror needs accept work, and when those that are disabled are tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.report import RepositoryReport
    from mirror.errors import MirrorError


class Gate(Protocol):
    """Whether a host accepts work."""

    def closed_for(self) -> float:
        """Seconds until it may accept work; 0 while it does."""
        ...


class HostGate(Gate, Protocol):
    """A host's client, as the scheduler needs it."""

    @property
    def stopped(self) -> MirrorError | None:
        """Why nothing is sent to the host for now, or ``None``."""

    def revive(self) -> None:
        """Send requests again, whatever has failed before."""

    def revive_if_due(self) -> None:
        """Send requests again if the host was disabled for long enough."""


Gates = tuple[HostGate, ...]


def gates_of(mirror: Mirror, gates: Mapping[str, HostGate]) -> Gates:
    """Those of the hosts that a mirror needs."""
    return gates[mirror.source_name], gates["target"]


def closed_for(gates: Iterable[Gate]) -> float:
    """Seconds until all of these hosts may accept work; 0 while they do."""
    return max((gate.closed_for() for gate in gates), default=0.0)


def disabled(gates: Iterable[HostGate]) -> MirrorError | None:
    """Why one of these hosts is disabled; ``None`` if none is."""
    return next((gate.stopped for gate in gates if gate.stopped), None)


def stopped_by_host(report: RepositoryReport, gates: Iterable[HostGate]) -> bool:
    """Whether a run ended because one of its hosts is disabled."""
    return bool(report.stopped or (report.status == "failed" and disabled(gates)))


def revive(gates: Iterable[HostGate], *, blocked: bool = False) -> None:
    """Try hosts again that are disabled.

    Args:
        gates: Of the hosts.
        blocked: Only those whose credential was refused: each pass tries it again.
    """
    for gate in gates:
        if not blocked or (gate.stopped and gate.stopped.blocked):
            gate.revive()
