"""Opens a ledger of either kind several times, each as a process of its own would."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.database.connection import Database
from mirror.storage.json_ledger import FileLedgerStore
from mirror.storage.postgres_ledger import PostgresLedgerStore
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mirror.core.ledger.document import LedgerStore


class Stores:
    """One ledger: a directory, or the URL of a database."""

    def __init__(self, place: Path | str) -> None:
        self.place = place

    @asynccontextmanager
    async def open(self, claimed: Mapping[str, int] | None = None) -> AsyncIterator[LedgerStore]:
        """Open it, with the numbers of claims by key."""
        if isinstance(self.place, Path):
            yield FileLedgerStore(self.place, VirtualClock())
            return
        url = self.place
        async with Database(lambda: url, VirtualClock()) as database:
            yield PostgresLedgerStore(database, claimed or {})
