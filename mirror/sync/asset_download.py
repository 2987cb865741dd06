"""Assets on their way over the disk: fetched whole and proven before anything is uploaded."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.source_archives import SourceArchive
from mirror.errors import BadAnswer, DigestMismatch, MirrorError, ShortRead, SourceChanged, Waiting
from mirror.github import AssetSource
from mirror.github.assets import open_archive
from mirror.transfer.archive_check import take_archive, zip_fault
from mirror.transfer.pipe import pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, RepoRef
    from mirror.core.retry import RetryPolicy
    from mirror.github import ReleaseStore
    from mirror.storage.spool import Spool, SpoolFile
    from mirror.transfer.bandwidth import Bandwidth

log = structlog.get_logger()

_ANOTHER = (BadAnswer, DigestMismatch, ShortRead, SourceChanged)
"""What it may come to when the rest of an asset does not belong to its beginning."""


class AssetDownloader:
    """Brings assets of one source to disk.

    Args:
        source: The host of the source.
        repo: Where assets are read.
        whom: What they are fetched for, so that two mirrors do not share a file.
        spool: Room on disk.
        everything: All assets go over the disk; else only those of unknown length.
        bandwidth: The budget of all transfers.
        archive_limit: Bytes from which on an archive is of no use.
    """

    def __init__(
        self,
        source: ReleaseStore,
        repo: RepoRef,
        whom: str,
        spool: Spool,
        bandwidth: Bandwidth,
        *,
        everything: bool,
        archive_limit: int | None,
        clock: Clock,
        retry: RetryPolicy,
        stall_timeout: float,
    ) -> None:
        self._client = source.client
        self._repo = repo
        self._whom = whom
        self._spool = spool
        self._bandwidth = bandwidth
        self._everything = everything
        self._archive_limit = archive_limit
        self._clock = clock
        self._retry = retry
        self._stall_timeout = stall_timeout

    @asynccontextmanager
    async def hold(self, asset: Asset) -> AsyncIterator[SpoolFile | None]:
        """Room for an asset while the block runs; ``None`` where it needs none.

        When the block ends well, or the asset can never arrive as it is, its bytes go; after any
        other failure they stay for the next pass.

        Raises:
            SpoolError: There is no room.
        """
        archive = isinstance(asset, SourceArchive)
        if not (archive or self._everything):
            yield None
            return
        what = (self._client.api_url, self._repo.key, asset.id, self._whom)
        size = None if archive else asset.size
        async with self._spool.hold(what, size, asset.sha256) as held:
            try:
                yield held
            except MirrorError as error:
                if error.final or isinstance(error, Waiting):
                    held.discard()
                raise
            held.discard()

    async def fetch(
        self, asset: Asset, held: SpoolFile, moved: Callable[[int], None], *, repeated: bool
    ) -> None:
        """Bring all bytes of an asset to disk and prove them.

        Args:
            asset: The source's.
            held: Where they go.
            moved: Told how many have arrived.
            repeated: An earlier attempt failed.

        Raises:
            DigestMismatch: The bytes are not those that the source promises.
            Unmirrorable: It is an archive, and too large.
            SpoolError: The disk cannot take it.
            MirrorError: It cannot be fetched.
        """
        if isinstance(asset, SourceArchive):
            await self._archive(asset, held, moved, repeated=repeated)
        else:
            await self._asset(asset, held, moved, repeated=repeated)

    async def _asset(
        self, asset: Asset, held: SpoolFile, moved: Callable[[int], None], *, repeated: bool
    ) -> None:
        while True:
            origin = AssetSource(self._client, self._repo, asset, etag=held.etag, repeated=repeated)
            source = await held.continued(origin)
            here = held.have
            if here:
                log.info("asset.continued", asset=asset.name, bytes=here)
            try:
                piped = await pipe(
                    source,
                    held,
                    sha256=asset.sha256,
                    clock=self._clock,
                    retry=self._retry,
                    stall_timeout=self._stall_timeout,
                    response_timeout=self._stall_timeout,
                    moved=moved,
                    pace=self._pace(here),
                    piece=self._bandwidth.piece,
                )
            except _ANOTHER as error:
                if here or isinstance(error, DigestMismatch | SourceChanged):
                    await held.restart()
                if not here:
                    raise
                log.info("asset.begun_again", asset=asset.name, error=str(error))
                repeated = True
            else:
                held.seal(piped.sha256)
                return

    async def _archive(
        self,
        archive: SourceArchive,
        held: SpoolFile,
        moved: Callable[[int], None],
        *,
        repeated: bool,
    ) -> None:
        await held.restart()
        opening = open_archive(self._client, self._repo, archive, repeated=repeated)
        async with opening as chunks:
            sha256 = await take_archive(
                chunks,
                held.send,
                archive.form,
                limit=self._archive_limit,
                moved=moved,
                pace=self._pace(0),
            )
        if archive.form == "zipball" and (wrong := await held.examined(zip_fault)):
            raise ShortRead(f"what came is no whole {archive.form}: {wrong}")
        held.seal(sha256)

    def _pace(self, here: int) -> Callable[[int], Awaitable[None]] | None:
        """What comes from the disk, the first ``here`` bytes, needs no bandwidth."""
        if not self._bandwidth.piece:
            return None
        lane, left = self._bandwidth.lane(), here

        async def pace(n: int) -> None:
            nonlocal left
            free = min(left, n)
            left -= free
            await lane.pace(n - free)

        return pace
