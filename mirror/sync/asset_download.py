"""Downloads assets to disk and verifies them before anything is uploaded."""

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
"""Possible failures of a resumed download whose remainder belongs to another asset."""


class AssetDownloader:
    """Downloads assets of one source to disk.

    Args:
        source: The source's host.
        repo: The repository to read from.
        whom: Identifies the mirror, so that two mirrors do not share a file.
        spool: Space on disk.
        everything: Spool all assets; otherwise only those of unknown size.
        bandwidth: The limit shared by all transfers.
        archive_limit: The largest source archive that is of use, in bytes.
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
        """Reserve space for an asset while the block runs; ``None`` if it needs none.

        After success, and if the asset can never be mirrored as it is, its bytes are deleted; after
        any other failure they are kept for the next pass.

        Raises:
            SpoolError: There is not enough space.
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
        """Download all bytes of an asset to disk and verify them.

        Args:
            asset: The source's asset.
            held: Its file in the spool.
            moved: Called with the number of bytes that have arrived.
            repeated: An earlier attempt failed.

        Raises:
            DigestMismatch: The bytes do not match the digest of the source.
            Unmirrorable: It is an archive and too large.
            SpoolError: It cannot be written to disk.
            MirrorError: The download failed.
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
            raise ShortRead(f"the downloaded {archive.form} is incomplete: {wrong}")
        held.seal(sha256)

    def _pace(self, here: int) -> Callable[[int], Awaitable[None]] | None:
        """Limit the bandwidth, except for the first ``here`` bytes, which are read from disk."""
        if not self._bandwidth.piece:
            return None
        lane, left = self._bandwidth.lane(), here

        async def pace(n: int) -> None:
            nonlocal left
            free = min(left, n)
            left -= free
            await lane.pace(n - free)

        return pace
