"""The download side of a copy: spools an asset to disk, whole and verified, before its upload."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.source_archives import SourceArchive
from mirror.errors import BadAnswer, DigestMismatch, MirrorError, ShortRead, SourceChanged, Waiting
from mirror.transfer.archive_check import take_archive, zip_fault
from mirror.transfer.pipe import pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mirror.core.domain.release import Asset
    from mirror.storage.spool import SpoolFile
    from mirror.sync.context import MirrorContext

log = structlog.get_logger()

_NOT_A_CONTINUATION = (BadAnswer, DigestMismatch, ShortRead, SourceChanged)
"""Possible failures when the rest of an asset does not belong to its spooled beginning."""


class AssetDownloader:
    """Spools assets of one mirror.

    Args:
        context: The mirror.
        archive_limit: Maximum size of a source archive in bytes; ``None`` for no limit.
    """

    def __init__(self, context: MirrorContext, archive_limit: int | None) -> None:
        self._source = context.source.store
        self._repo = context.mirror.source
        # Two mirrors do not share a file.
        self._consumer = f"{context.target.api_url} {context.mirror.key}"
        self._session = context.session
        self._stall_timeout = context.source.stall_timeout
        self._archive_limit = archive_limit

    @asynccontextmanager
    async def reserve(self, asset: Asset) -> AsyncIterator[SpoolFile | None]:
        """Reserve disk space for an asset; ``None`` where it is not spooled.

        If the block succeeds, or the asset can never arrive as it is, its bytes are deleted; after
        any other failure they stay for the next pass.

        Raises:
            SpoolError: There is no space.
        """
        archive = isinstance(asset, SourceArchive)
        if not (archive or self._session.spooled):
            yield None
            return
        key = (self._source.client.api_url, self._repo.key, asset.id, self._consumer)
        size = None if archive else asset.size
        async with self._session.spool.hold(key, size, asset.sha256) as spooled:
            try:
                yield spooled
            except MirrorError as error:
                if error.final or isinstance(error, Waiting):
                    spooled.discard()
                raise
            spooled.discard()

    async def fetch(
        self, asset: Asset, spooled: SpoolFile, moved: Callable[[int], None], *, repeated: bool
    ) -> None:
        """Download all bytes of an asset and verify them.

        Args:
            asset: The source's.
            spooled: Where they go.
            moved: Called with the number of bytes that have arrived.
            repeated: An earlier attempt failed.

        Raises:
            DigestMismatch: The bytes are not those that the source promises.
            Unmirrorable: It is an archive, and too large.
            SpoolError: The disk cannot take it.
            MirrorError: The download failed.
        """
        if isinstance(asset, SourceArchive):
            await self._archive(asset, spooled, moved, repeated=repeated)
        else:
            await self._asset(asset, spooled, moved, repeated=repeated)

    async def _asset(
        self, asset: Asset, spooled: SpoolFile, moved: Callable[[int], None], *, repeated: bool
    ) -> None:
        session = self._session
        while True:
            origin = self._source.read_asset(
                self._repo, asset, etag=spooled.etag, repeated=repeated
            )
            source = await spooled.continued(origin)
            present = spooled.have
            if present:
                log.info("asset.resumed", asset=asset.name, bytes=present)
            try:
                piped = await pipe(
                    source,
                    spooled,
                    sha256=asset.sha256,
                    clock=session.clock,
                    retry=session.retry,
                    stall_timeout=self._stall_timeout,
                    response_timeout=self._stall_timeout,
                    moved=moved,
                    pace=self._pace(present),
                    piece=session.bandwidth.piece,
                )
            except _NOT_A_CONTINUATION as error:
                if present or isinstance(error, DigestMismatch | SourceChanged):
                    await spooled.restart()
                if not present:
                    raise
                log.info("asset.restarted", asset=asset.name, error=str(error))
                repeated = True
            else:
                spooled.seal(piped.sha256)
                return

    async def _archive(
        self,
        archive: SourceArchive,
        spooled: SpoolFile,
        moved: Callable[[int], None],
        *,
        repeated: bool,
    ) -> None:
        await spooled.restart()
        opening = self._source.read_archive(self._repo, archive, repeated=repeated)
        async with opening as chunks:
            sha256 = await take_archive(
                chunks,
                spooled.send,
                archive.form,
                limit=self._archive_limit,
                moved=moved,
                pace=self._pace(0),
            )
        if archive.form == "zipball" and (problem := await spooled.examined(zip_fault)):
            raise ShortRead(f"the downloaded {archive.form} is incomplete: {problem}")
        spooled.seal(sha256)

    def _pace(self, present: int) -> Callable[[int], Awaitable[None]] | None:
        """The bandwidth limit; the first ``present`` bytes come from the disk and are free."""
        bandwidth = self._session.bandwidth
        if not bandwidth.piece:
            return None
        lane, left = bandwidth.lane(), present

        async def pace(n: int) -> None:
            nonlocal left
            free = min(left, n)
            left -= free
            await lane.pace(n - free)

        return pace
