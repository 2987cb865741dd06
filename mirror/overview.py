"""What the ledger knows of the configured mirrors; no host is contacted.

It is not in ``app``, so that ``status`` loads no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.config.to_domain import rules_of
from mirror.core.reporting.status import mirror_statuses
from mirror.errors import LedgerError, UsageError
from mirror.storage.json_ledger import FileLedgerStore
from mirror.sync.discovery import check_patterns
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mirror.config import Config
    from mirror.core.clock import Clock
    from mirror.core.ledger.document import Ledger
    from mirror.core.ledger.index import HostRecord, PassRecord
    from mirror.core.reporting.status import MirrorStatus


class Overview(NamedTuple):
    """What the ledger knows: of each mirror, the last passes (the newest at the end), the hosts."""

    statuses: list[MirrorStatus]
    passes: tuple[PassRecord, ...]
    hosts: Mapping[str, HostRecord]


async def read_overview(
    config: Config, patterns: Sequence[str] = (), *, clock: Clock | None = None
) -> Overview:
    """Read what the ledger knows; nothing is written.

    Raises:
        UsageError: A pattern matches nothing.
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    clock = clock or SystemClock()
    rules = rules_of(config)
    check_patterns(rules, patterns)
    ledgers = FileLedgerStore(config.ledger.directory, clock)
    if not ledgers.exists():
        raise LedgerError(
            f"there is no ledger at {config.ledger.directory}: no sync has run yet, or it ran with"
            " another [ledger] directory, or you may not read it"
        )
    index = await ledgers.load_index()
    statuses = mirror_statuses(index, rules, patterns)
    if patterns and not statuses:
        raise UsageError(f"nothing matches {', '.join(patterns)}")
    hosts = {name: index.hosts[name] for name in config.hosts if name in index.hosts}
    return Overview(statuses, index.passes, hosts)


async def read_ledgers(config: Config, sources: Collection[str]) -> list[list[Ledger | None]]:
    """The ledger's documents of the mirrors of some hosts, those of one source repository together.

    Args:
        config: The configuration.
        sources: Names of hosts.

    Returns:
        ``None`` for a mirror without a document.

    Raises:
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    ledgers = FileLedgerStore(config.ledger.directory, SystemClock())
    found: dict[str, list[Ledger | None]] = {}
    for status in (await read_overview(config)).statuses:
        if status.source.partition(":")[0] in sources:
            ledger = await ledgers.load(status.target)
            if ledger and ledger.source.casefold() != status.source.casefold():
                ledger = None
            found.setdefault(status.source.casefold(), []).append(ledger)
    return list(found.values())
