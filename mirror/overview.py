"""What the ledger knows of the configured mirrors; no host is contacted.

It is not in ``app``, so that ``status`` loads no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.config.to_domain import rules_of
from mirror.core.ledger.index import merged_passes
from mirror.core.reporting.status import mirror_statuses
from mirror.errors import LedgerError, UsageError
from mirror.open_ledger import open_ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mirror.config import Config, Secrets
    from mirror.core.clock import Clock
    from mirror.core.ledger.document import Ledger
    from mirror.core.ledger.index import HostRecord, PassRecord
    from mirror.core.reporting.status import MirrorStatus
    from mirror.core.reporting.workers import Worker


class Overview(NamedTuple):
    """What the ledger knows of mirrors, the last passes (the newest at the end), hosts, workers."""

    statuses: list[MirrorStatus]
    passes: tuple[PassRecord, ...]
    hosts: Mapping[str, HostRecord]
    workers: Sequence[Worker] = ()


async def read_overview(
    config: Config,
    secrets: Secrets,
    patterns: Sequence[str] = (),
    *,
    clock: Clock | None = None,
) -> Overview:
    """Read what the ledger knows; nothing is written.

    Raises:
        UsageError: A pattern matches nothing.
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    rules = rules_of(config)
    if patterns:
        # The modules of a pass would take a tenth of the start-up of `status`.
        from mirror.sync.discovery import check_patterns  # noqa: PLC0415

        check_patterns(rules, patterns)
    async with open_ledger(config, secrets, clock) as opened:
        ledgers = opened.store
        if not await ledgers.exists():
            raise LedgerError(_none(config))
        index = await ledgers.load_index()
        workers = await opened.cluster.queue.workers() if opened.cluster else ()
    statuses = mirror_statuses(index, rules, patterns)
    if patterns and not statuses:
        raise UsageError(f"nothing matches {', '.join(patterns)}")
    hosts = {name: index.hosts[name] for name in config.hosts if name in index.hosts}
    return Overview(statuses, merged_passes(index.passes), hosts, workers)


def _none(config: Config) -> str:
    if config.ledger.url:
        return "there is no ledger in the database of [ledger] url: no sync has run yet"
    return (
        f"there is no ledger at {config.ledger.directory}: no sync has run yet, or it ran with"
        " another [ledger] directory, or you may not read it"
    )


async def read_ledgers(
    config: Config, secrets: Secrets, sources: Collection[str]
) -> list[list[Ledger | None]]:
    """The ledger's documents of the mirrors of some hosts, those of one source repository together.

    Args:
        config: The configuration.
        secrets: Of `[ledger] url`.
        sources: Names of hosts.

    Returns:
        ``None`` for a mirror without a document.

    Raises:
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    found: dict[str, list[Ledger | None]] = {}
    statuses = (await read_overview(config, secrets)).statuses
    async with open_ledger(config, secrets) as opened:
        for status in statuses:
            if status.source.partition(":")[0] in sources:
                ledger = await opened.store.load(status.target)
                if ledger and ledger.source.casefold() != status.source.casefold():
                    ledger = None
                found.setdefault(status.source.casefold(), []).append(ledger)
    return list(found.values())
