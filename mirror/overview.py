"""What the ledger knows of the configured mirrors; no host is contacted.

It is not in ``app``, so that ``status`` loads no HTTP client, and for files no event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.config.to_domain import rules_of
from mirror.core.domain.patterns import check_patterns
from mirror.core.ledger.index import Index, merged_passes
from mirror.core.reporting.status import mirror_statuses
from mirror.errors import LedgerCorrupt, LedgerError, UsageError
from mirror.storage.ledger_files import LedgerFiles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from mirror.config import Config, Secrets
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Rule
    from mirror.core.ledger.document import Ledger
    from mirror.core.ledger.index import HostRecord, PassRecord
    from mirror.core.reporting.status import MirrorStatus
    from mirror.core.reporting.workers import Worker


class CorruptFile(NamedTuple):
    """An index that could not be read, and why; it was rebuilt from the documents."""

    path: Path
    reason: str


class Overview(NamedTuple):
    """What the ledger knows of mirrors, the last passes (the newest at the end), hosts, workers."""

    statuses: list[MirrorStatus]
    passes: tuple[PassRecord, ...]
    hosts: Mapping[str, HostRecord]
    workers: Sequence[Worker] = ()
    corrupt: CorruptFile | None = None


def read_file_overview(config: Config, patterns: Sequence[str] = ()) -> Overview:
    """Read what a ledger of files knows, without an event loop; nothing is written.

    Raises:
        UsageError: A pattern matches nothing.
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    rules = rules_of(config)
    check_patterns(rules, patterns)
    ledger, corrupt, index = LedgerFiles(config.ledger.directory), None, None
    if not ledger.exists():
        raise LedgerError(_none(config))
    try:
        index = ledger.read_index()
    except LedgerCorrupt as error:
        corrupt = CorruptFile(ledger.index, str(error))
    found = _overview(config, rules, patterns, ledger.rebuild_index() if index is None else index)
    return found._replace(corrupt=corrupt)


async def read_overview(
    config: Config,
    secrets: Secrets,
    patterns: Sequence[str] = (),
    *,
    clock: Clock | None = None,
) -> Overview:
    """Read what a ledger of any kind knows; nothing is written.

    Raises:
        UsageError: A pattern matches nothing.
        LedgerError: There is no ledger, or it cannot be read; the path is named.
    """
    # It takes what `status` must not load: an event loop.
    from mirror.open_ledger import open_ledger  # noqa: PLC0415

    rules = rules_of(config)
    check_patterns(rules, patterns)
    async with open_ledger(config, secrets, clock) as opened:
        if not await opened.store.exists():
            raise LedgerError(_none(config))
        index = await opened.store.load_index()
        workers = await opened.cluster.queue.workers() if opened.cluster else ()
    return _overview(config, rules, patterns, index)._replace(workers=workers)


def _overview(
    config: Config, rules: Sequence[Rule], patterns: Sequence[str], index: Index
) -> Overview:
    statuses = mirror_statuses(index, rules, patterns)
    if patterns and not statuses:
        raise UsageError(f"nothing matches {', '.join(patterns)}")
    hosts = {name: index.hosts[name] for name in config.hosts if name in index.hosts}
    return Overview(statuses, merged_passes(index.passes), hosts)


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
    from mirror.open_ledger import open_ledger  # noqa: PLC0415 - as above

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
