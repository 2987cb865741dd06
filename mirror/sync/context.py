"""What sessions are given: the two hosts, and what all sessions of a pass share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.core.clock import Clock
    from mirror.core.ledger.document import Index, LedgerStore
    from mirror.core.reporting.report import Observer
    from mirror.core.retry import RetryPolicy
    from mirror.git.tag_pusher import GitRemote, TagPusher
    from mirror.github import ReleaseStore
    from mirror.storage.spool import Spool
    from mirror.sync.stop import Stop
    from mirror.transfer.bandwidth import Bandwidth
    from mirror.transfer.priority_queue import TransferSlots
    from mirror.transfer.workers import Workers


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host, as a session needs to know it.

    Attributes:
        name: As configured; ``target`` for the target.
        url: Its web address.
        api_url: The address of its API.
        credential: A fingerprint of the credential: ETags differ by it.
        response_timeout: Seconds from an upload's last byte to its answer.
        stall_timeout: Seconds without a byte moved.
        git: The same host, as git reaches it.
    """

    name: str
    url: str
    api_url: str
    credential: str
    store: ReleaseStore
    stall_timeout: float = 60.0
    response_timeout: float = 900.0
    git: GitRemote | None = None


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What all sessions of a pass share.

    Attributes:
        spool: Room on disk for assets in flight.
        spooled: All assets go over the disk, not only those whose length nobody knows.
        bandwidth: The budget of all transfers.
        workers: Move the bytes of assets.
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
    workers: Workers
    spooled: bool = False
    full: bool = False
    git: TagPusher | None = None
