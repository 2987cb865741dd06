"""Copies one asset from source to target: transfer slots, circuit breakers, retries, the spool."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.source_archives import SourceArchive
from mirror.core.execution.transfer_failures import (
    download_lane,
    gives_slot_back,
    is_gone,
    lane_at_fault,
    may_retry,
    not_tried,
    settle_gone,
)
from mirror.core.retry import LONGEST_WAIT, retrying
from mirror.errors import MirrorError, RateLimited
from mirror.storage.spool import SpoolFile
from mirror.sync.asset_upload import AssetUpload, Copied
from mirror.transfer.opened_ahead import OpenedAhead
from mirror.transfer.priority_queue import Preparation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mirror.core.circuit_breaker import CircuitBreaker, Lane
    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.settlement import Destination
    from mirror.core.host import AssetReader
    from mirror.sync.asset_download import AssetDownloader
    from mirror.sync.context import MirrorContext
    from mirror.transfer.priority_queue import Group

log = structlog.get_logger()

POLL_INTERVAL = 5.0
"""Seconds between checks for a disabled host or a requested stop during a pause."""

FRESH = 10.0
"""Seconds for which an asset that was opened ahead stays open: hosts close a download that nobody
reads after a minute or so (nginx: ``send_timeout``)."""

_numbers = itertools.count(1)


class AssetCopier:
    """Copies assets of one mirror.

    Args:
        context: The mirror.
        downloader: Downloads to disk what has to be spooled.
    """

    def __init__(self, context: MirrorContext, downloader: AssetDownloader) -> None:
        self._context = context
        self._mirror = context.mirror
        self._source = context.source.store
        self._target = context.target.store
        self._session = context.session
        self._downloader = downloader
        # Source assets, by id: the target has all bytes of the former; the latter are to get no
        # further. Bytes may move in another thread.
        self._answers_due: set[int] = set()
        self._broken_off: set[int] = set()
        self._lock = threading.Lock()

    @property
    def places_ahead(self) -> int:
        """How many assets may be opened at the source before their turn at the same time."""
        return self._context.source.places_ahead

    async def copy(
        self,
        release: Release,
        asset: Asset,
        destination: Destination,
        rank: int,
        group: Group,
        *,
        despite_stop: bool = False,
    ) -> Copied | None:
        """Copy an asset into a release of the target when a transfer slot is free.

        A small asset whose turn is near is opened at the source before that.

        A rate limit, or a host that says when to come back, gives the slot back, so that assets of
        other hosts can be transferred.

        Args:
            release: The target's release.
            asset: The source's asset.
            destination: The name to request, and what else the release has.
            rank: The release's place, the newest first; then the largest asset is first.
            group: The transfers of this release.
            despite_stop: Start the copy although a stop was requested.

        Returns:
            The copy; ``None`` if a stop was requested before it started.

        Raises:
            Unmirrorable: The target can never accept it.
            Waiting: It vanished or changed at the source; the next pass looks again.
            SpoolError: It has to be spooled, and there is no space on disk.
            NotTried: The circuit breaker of one of its lanes is open.
            MirrorError: The last attempt failed.
        """
        session = self._session
        limits: list[MirrorError] = []

        async def with_slot() -> Copied | None:
            while True:
                while (seconds := self._paused_for()) and not session.stop.requested:
                    await session.clock.sleep(min(seconds, POLL_INTERVAL))
                limited = limits[-1] if limits else None
                async with (
                    self._ahead(asset, limited) as (ahead, preparation),
                    session.slots.take((rank, -asset.size), group, preparation),
                ):
                    if session.stop.requested and not despite_stop:
                        return None
                    opened = ahead if ahead and ahead.used else None
                    failed = opened and opened.failure
                    if self._paused_for() and not (session.stop.requested or failed):
                        continue  # paused while this waited for the slot
                    return await self._copy_now(release, asset, destination, limited, opened)

        def comes_back(error: MirrorError) -> bool:
            if not gives_slot_back(error, session.clock.now()):
                return False
            return isinstance(error, RateLimited) or self._may_retry(asset, error)

        def note(error: MirrorError) -> None:
            limits.append(error)
            log.info("asset.retried", asset=asset.name, attempts=len(limits), error=str(error))

        copied = await retrying(with_slot, session.retry, session.clock, comes_back, on_retry=note)
        if not (copied and limits):
            return copied
        return replace(copied, attempts=copied.attempts + len(limits))

    @asynccontextmanager
    async def _ahead(
        self, asset: Asset, limited: MirrorError | None
    ) -> AsyncIterator[tuple[OpenedAhead | None, Preparation | None]]:
        """An asset that may be opened at the source before its turn, and how.

        A large asset takes much longer than its opening, and is opened in another thread.
        """
        session, places = self._session, self.places_ahead
        plain = not (isinstance(asset, SourceArchive) or session.spooled or session.bandwidth.piece)
        if not (places and plain and 0 < asset.size < session.workers.large):
            yield None, None
            return
        reader = self._source.read_asset(self._mirror.source, asset, repeated=limited is not None)
        async with OpenedAhead(reader) as ahead:
            run = partial(self._open_ahead, asset, ahead)
            early = partial(self._before_its_turn, asset, ahead.locate)
            yield ahead, Preparation(self._source_name, places, run, early)

    async def _open_ahead(
        self, asset: Asset, ahead: OpenedAhead, turn: asyncio.Future[None]
    ) -> None:
        """Open an asset before its turn, and close it if its turn does not come soon."""
        if await self._before_its_turn(asset, ahead.begin, turn):
            await asyncio.wait([turn], timeout=FRESH)
            if not turn.done():
                await ahead.close()

    async def _before_its_turn(
        self, asset: Asset, do: Callable[[], Awaitable[object]], turn: asyncio.Future[None]
    ) -> bool:
        """Request something of an asset before its turn; where something is wrong, nothing.

        If its turn comes meanwhile, the rest is awaited in the slot, as if it had begun there; but
        a slot is not held for a host that pauses.

        Returns:
            Whether it was done.
        """
        clients = (self._source.client, self._target.client)
        stopped = self._session.stop.requested or any(client.stopped for client in clients)
        lanes: tuple[Lane, ...] = (download_lane(asset), "upload")
        suspect = any(self._breaker(lane).suspect for lane in lanes)
        if stopped or suspect or self._paused_for() or self._context.gate.refused:
            return False
        waiting = True
        try:
            async with asyncio.timeout(None) as limit:

                def turn_came(_: object) -> None:
                    if waiting and self._paused_for():
                        limit.reschedule(asyncio.get_running_loop().time())

                turn.add_done_callback(turn_came)
                try:
                    await do()
                finally:
                    waiting = False
        except TimeoutError:
            return False
        return True

    async def _copy_now(
        self,
        release: Release,
        asset: Asset,
        destination: Destination,
        limited: MirrorError | None,
        ahead: OpenedAhead | None,
    ) -> Copied:
        """Copy an asset, unless its lanes are suspended; their circuit breakers learn the result.

        Args:
            release: The target's release.
            asset: The source's asset.
            destination: The name to request, and what else the release has.
            limited: The rate limit, or the like, that ended an earlier call for the same asset.
            ahead: The asset, if it was opened at the source before its turn.
        """
        clock = self._session.clock
        breakers = (self._breaker(download_lane(asset)), self._breaker("upload"))
        for breaker in breakers:
            if not breaker.allows(clock.monotonic()):
                raise not_tried(breaker)
        try:
            async with self._downloader.reserve(asset) as spooled:
                origin = spooled or ahead
                copied = await self._copy(release, asset, destination, origin, limited)
        except MirrorError as error:
            if lane := lane_at_fault(error, asset, self._source_name):
                subject = (self._mirror.source.key, asset.id)
                self._breaker(lane).failed(clock.monotonic(), subject, error)
            raise
        for breaker in breakers:
            breaker.succeeded()
        return copied

    def break_off(self, asset: Asset) -> bool:
        """Send no last bytes of an asset any more.

        Returns:
            Whether they are sent: the target may store the asset, and its answer is due.
        """
        with self._lock:
            self._broken_off.add(asset.id)
            return asset.id in self._answers_due

    def _hand_over(self, asset_id: int) -> bool:
        """Note that the last bytes of an asset are sent; false if they are not to be."""
        with self._lock:
            if asset_id in self._broken_off:
                return False
            self._answers_due.add(asset_id)
            return True

    def _paused_for(self) -> float:
        """Seconds until both hosts accept a copy's requests; 0 if they do, or if that takes too long.

        The source is not opened before its upload fits into the target's limits: it might have to
        wait for an hour.
        """
        source, target = self._source.client, self._target.client
        if source.stopped or target.stopped:
            return 0.0
        seconds = max(source.paused_for(), target.paused_for(), target.paced_for())
        return seconds if seconds <= LONGEST_WAIT else 0.0

    async def _copy(
        self,
        release: Release,
        asset: Asset,
        destination: Destination,
        origin: SpoolFile | OpenedAhead | None,
        limited: MirrorError | None,
    ) -> Copied:
        attempts = 0
        spooled = origin if isinstance(origin, SpoolFile) else None
        reader = origin or self._source.read_asset(
            self._mirror.source, asset, repeated=limited is not None
        )
        may_end = partial(self._hand_over, asset.id)
        upload = AssetUpload(asset, release, destination, self._context, limited, may_end)

        async def attempt() -> Copied:
            nonlocal attempts
            attempts += 1
            again = limited is not None or attempts > 1
            try:
                return await self._transfer(release.tag, asset, reader, upload, repeated=again)
            except MirrorError as failure:
                error = await self._check_source(failure, asset)
                known = _as_fetched(asset, spooled)
                copied = await upload.settle(error, known) if known else None
                if copied is None:
                    raise error from error.__cause__
                return copied
            finally:
                with self._lock:
                    self._answers_due.discard(asset.id)

        def in_this_slot(error: MirrorError) -> bool:
            late = gives_slot_back(error, self._session.clock.now())
            return not late and self._may_retry(asset, error)

        copied = await retrying(
            attempt,
            self._session.retry,
            self._session.clock,
            in_this_slot,
            on_retry=lambda error: log.info(
                "asset.retried", asset=asset.name, attempts=error.attempts, error=str(error)
            ),
        )
        return replace(copied, attempts=attempts)

    async def _transfer(
        self,
        tag: str,
        asset: Asset,
        origin: AssetReader | SpoolFile,
        upload: AssetUpload,
        *,
        repeated: bool,
    ) -> Copied:
        """Move an asset's bytes once."""
        number, observer = next(_numbers), self._session.observer
        mirror = self._mirror
        observer.transfer_started(
            number, mirror.name, str(mirror.target), tag, asset.name, asset.size
        )
        moved = partial(observer.transfer_moved, number)
        good = False
        try:
            if not isinstance(origin, SpoolFile):
                copied = await upload.send(asset, origin, moved)
            else:
                # Spooled bytes move twice: each way is half of the transfer.
                if origin.sha256 is None:
                    await self._downloader.fetch(
                        asset, origin, lambda done: moved(done // 2), repeated=repeated
                    )
                asset = _as_fetched(asset, origin) or asset
                size = asset.size
                copied = await upload.send(asset, origin, lambda done: moved((size + done) // 2))
            good = True
            return copied
        finally:
            observer.transfer_finished(number, good=good)

    def _may_retry(self, asset: Asset, error: MirrorError) -> bool:
        lane = lane_at_fault(error, asset, self._source_name)
        return may_retry(error, lane_suspect=lane is not None and self._breaker(lane).suspect)

    async def _check_source(self, error: MirrorError, asset: Asset) -> MirrorError:
        """If an asset seems to be gone, read it again: a proxy or a storage host may be wrong."""
        if not is_gone(error, self._source_name):
            return error
        observed = None
        if not isinstance(asset, SourceArchive):
            observed = await self._source.asset(self._mirror.source, asset.id)
        settled = settle_gone(asset, observed, error, self._source_name)
        settled.__cause__ = error
        return settled

    def _breaker(self, lane: Lane) -> CircuitBreaker:
        host = self._target if lane == "upload" else self._source
        return host.client.lane(lane)

    @property
    def _source_name(self) -> str:
        return self._source.client.name


def _as_fetched(asset: Asset, spooled: SpoolFile | None) -> Asset | None:
    """The asset with what its download has shown; ``None`` until it is complete."""
    if spooled is None:
        return asset
    if spooled.sha256 is None:
        return None
    return replace(asset, size=spooled.size, sha256=asset.sha256 or spooled.sha256)
