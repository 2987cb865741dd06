"""Records in the ledger what is done at the target, and saves it while a plan is carried out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mirror.concurrency import first_error
from mirror.core.execution import ledger_updates as record
from mirror.core.text.timestamps import iso
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.outcome import Outcome
    from mirror.core.ledger.document import Ledger

SAVE_EVERY = 1.0
"""Minimum seconds between two background saves of one document."""

REST_FACTOR = 3
"""After a save, a checkpoint waits this many times the save's duration before the next save: at
most a quarter of the time goes into saving, and small documents delay no publication."""


class Journal:
    """Records each answered write at once, and saves the document within a second.

    Args:
        ledger: The document.
        save: Saves it.
    """

    def __init__(self, ledger: Ledger, save: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._ledger = ledger
        self._save = save
        self._clock = clock
        self._saved_at = float("-inf")
        self._save_seconds = 0.0
        self._noted = asyncio.Event()
        self._saving = asyncio.Lock()

    def done(self, outcome: Outcome) -> None:
        """Record the outcome of an action."""
        record.record(self._ledger, outcome, self._clock.now())
        self._noted.set()

    def arrived(self, source: Release, asset: Asset, copy: Asset, sha256: str | None) -> None:
        """Record that an upload was answered; nothing is verified yet.

        Args:
            source: The source's release.
            asset: The source's asset.
            copy: The target's.
            sha256: Of the bytes that went through.
        """
        record.record_arrival(self._ledger, source, asset, copy, sha256)
        self._noted.set()

    def deleted(self, source: Release, copy: Asset) -> None:
        """Record that an asset of the target was deleted."""
        record.forget_asset(self._ledger, source, copy)
        self._noted.set()

    def renaming(self, source: Release, asset: Asset, copy: Asset) -> None:
        """Record that a copy is about to be renamed to an asset's name."""
        record.record_renaming(self._ledger, source, asset, copy)
        self._noted.set()

    async def replacing_in_place(self, source: Release, name: str) -> None:
        """Record that an asset is about to be uploaded under a public name; saved on return."""
        record.record_in_place(self._ledger, source, name)
        self._noted.set()
        await self.checkpoint()

    def not_in_place(self, source: Release, name: str) -> None:
        """Record that the asset under a public name is not this mirror's."""
        record.forget_in_place(self._ledger, source, name)
        self._noted.set()

    def repository_refused(self) -> None:
        """Record that the target repository was not created: a later one of its name may be anybody's."""
        self._ledger.creating_repository = False
        self._noted.set()

    async def begin(self, host_time: datetime, *, creating_repository: bool) -> None:
        """Record that the target is about to be changed; saved on return.

        Args:
            host_time: The target's.
            creating_repository: Its repository is about to be created.
        """
        # Keep the time of an earlier run that was killed: its leftovers are still to be found.
        self._ledger.working_since = self._ledger.working_since or iso(host_time)
        self._ledger.creating_repository |= creating_repository
        self._noted.set()
        await self.checkpoint()

    async def checkpoint(self) -> None:
        """Return once everything recorded so far is saved; one save serves all callers."""
        async with self._saving:
            if not self._noted.is_set():
                return
            await self._rest(min(SAVE_EVERY, REST_FACTOR * self._save_seconds))
            self._noted.clear()
            started_at = self._clock.monotonic()
            await self._save()
            self._saved_at = self._clock.monotonic()
            self._save_seconds = self._saved_at - started_at

    async def _rest(self, seconds: float) -> None:
        """Sleep until ``seconds`` have passed since the last save ended."""
        pause = self._saved_at + seconds - self._clock.monotonic()
        if pause > 0:
            await self._clock.sleep(pause)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Save in the background while the block runs; at its end the latest records may be unsaved.

        Raises:
            LedgerError: A save failed; the block was cancelled.
        """
        try:
            async with asyncio.TaskGroup() as group:
                saver = group.create_task(self._keep())
                try:
                    yield
                finally:
                    saver.cancel()
        except* MirrorError as failed:
            raise first_error(failed) from None

    async def _keep(self) -> None:
        while True:
            await self._noted.wait()
            await self._rest(SAVE_EVERY)
            await self.checkpoint()
