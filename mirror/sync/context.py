"""What a session is given: its source, its target, and what all sessions share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from mirror.core.claims import Claim
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.host import ReleaseReader, ReleaseWriter
    from mirror.core.ledger.document import Index, LedgerStore
    from mirror.core.reporting.report import Observer, RepositoryReport
    from mirror.core.retry import RetryPolicy
    from mirror.git.tag_pusher import GitRemote, TagPusher
    from mirror.storage.spool import Spool
    from mirror.sync.permission_gate import PermissionGate
    from mirror.sync.stop import Stop
    from mirror.transfer.bandwidth import Bandwidth
    from mirror.transfer.priority_queue import TransferSlots
    from mirror.transfer.workers import Workers


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host that a session reads from or writes to.

    Attributes:
        name: Its configured name; ``target`` for the target.
        url: Its web address.
        api_url: The address of its API.
        credential: A fingerprint of the credential, since ETags depend on it.
        store: Reads releases there.
        stall_timeout: Seconds without a byte moved until a transfer fails.
        response_timeout: Seconds from an upload's last byte to its response.
        git: How git reaches the host; ``None`` if it does not.
        counted: Requests to it count, so that plans estimate them.
        warm: Opens idle connections to it, given how many; ``None`` if there is no need.
        max_connections: To it at the same time; 0 for no limit.
        places_ahead: How many of its assets may be opened before their turn at the same time.
        warnings: What every report about a mirror of it says.
    """

    name: str
    url: str
    api_url: str
    credential: str
    store: ReleaseReader
    stall_timeout: float = 60.0
    response_timeout: float = 900.0
    git: GitRemote | None = None
    counted: bool = True
    warm: Callable[[int], Coroutine[Any, Any, None]] | None = None
    max_connections: int = 0
    places_ahead: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetEndpoint(Endpoint):
    """A host that a session writes to.

    Attributes:
        store: Reads and writes releases there.
    """

    store: ReleaseWriter


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What all sessions share.

    Attributes:
        ledgers: Loads and saves the ledger's documents.
        index: What is known of each mirror; kept in memory.
        slots: Permissions to transfer an asset.
        clock: The time and every wait.
        observer: Watches the work.
        stop: Once it is requested, nothing new is started.
        retry: How often, and how soon, failed operations are attempted again.
        transfers_per_release: Transfers into one release at the same time.
        audit_interval: Seconds after which both sides are compared although nothing changed.
        spool: Disk space for assets in flight.
        bandwidth: The limit for all transfers together.
        workers: Move the bytes of assets, in threads with clients of their own, by host.
        spooled: Every asset goes through the spool, not only those of unknown length.
        comparing: Permissions to compare a mirror that may have changed, and to carry out its plan;
            ``None`` if whoever runs the mirrors bounds how many there are.
        full: Trust no stored ETag and no quarantine.
        since: When the pass began, monotonic.
        explicit: Somebody asked for these mirrors: what failed is tried again at once.
        announced: Somebody says that this mirror has changed: it is looked at as a whole at once.
        git: Pushes tags; ``None`` if git is not available.
        claim: The right to work on the mirror, where several processes share the work.
        interrupted: What sessions that were cancelled or crashed had done, by the mirror's key.
    """

    ledgers: LedgerStore
    index: Index
    slots: TransferSlots
    clock: Clock
    observer: Observer
    stop: Stop
    retry: RetryPolicy
    transfers_per_release: int
    audit_interval: float
    spool: Spool
    bandwidth: Bandwidth
    workers: Workers[Mapping[str, Any]]
    spooled: bool = False
    comparing: asyncio.Semaphore | None = None
    full: bool = False
    since: float = 0.0
    explicit: bool = False
    announced: bool = False
    git: TagPusher | None = None
    claim: Claim | None = None
    interrupted: dict[str, RepositoryReport] = field(default_factory=dict)

    def check_claim(self) -> None:
        """Before something is changed at the target, see that the mirror is still this process's.

        Raises:
            ClaimLost: Another process may work on it now, or soon.
        """
        if self.claim:
            self.claim.check()


@dataclass(frozen=True, slots=True)
class MirrorContext:
    """One mirror in a pass.

    Attributes:
        source: The host of the source.
        target: The host of the target.
        session: What all sessions of the pass share.
        gate: Stops the writes once the target refused one for want of a permission.
    """

    mirror: Mirror
    source: Endpoint
    target: TargetEndpoint
    session: SessionContext
    gate: PermissionGate


def circumstances(mirror: Mirror, source: Endpoint, target: Endpoint) -> str:
    """A fingerprint of what a mirror that cannot be looked at depends on, its hosts aside."""
    facts = (mirror.settings, source.api_url, source.credential, target.api_url, target.credential)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
