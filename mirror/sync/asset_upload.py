"""The upload side of a copy: sends one asset into a release, and settles what a failure left."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.core.domain.asset_names import guessed_name, is_temporary, label_of
from mirror.core.execution.settlement import (
    Accept,
    Fail,
    Sent,
    UploadFailure,
    is_conclusive,
    settle_reply,
    settle_upload,
)
from mirror.core.retry import LAG, polling
from mirror.errors import GitHubError, MirrorError, NotFound
from mirror.storage.spool import SpoolFile
from mirror.sync.permission_gate import ADMITTED, refuse_if_there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.settlement import Destination
    from mirror.core.host import AssetReader
    from mirror.sync.context import MirrorContext


@dataclass(frozen=True, slots=True)
class Copied:
    """An asset that arrived.

    Attributes:
        asset: The copy, as the target describes it.
        sha256: SHA-256 of the bytes that were sent; ``None`` where they were found there.
        attempts: Attempts made.
        size: In bytes, where more is known than the source lists.
    """

    asset: Asset
    sha256: str | None
    attempts: int = 1
    size: int | None = None


class AssetUpload:
    """One asset's way into a release of the target, over all attempts.

    Args:
        asset: The source's asset.
        release: The target's release.
        destination: The name, and what else the release has.
        context: The mirror.
        limited: The rate limit that ended an earlier call for the same asset.
        may_end: Asked before the last bytes of an attempt are handed to the target.
    """

    def __init__(
        self,
        asset: Asset,
        release: Release,
        destination: Destination,
        context: MirrorContext,
        limited: MirrorError | None,
        may_end: Callable[[], bool],
    ) -> None:
        client, name = context.target.store.client, destination.name
        self._release = release
        self._destination = destination
        self._context = context
        self._may_end = may_end
        self._target = context.target.store
        self._started_at = client.host_time().replace(microsecond=0)
        self._sink = self._target.write_asset(
            context.mirror.target,
            release,
            asset,
            name,
            asset.label if is_temporary(name) else label_of(asset, guessed_name(name)),
            repeated=isinstance(limited, GitHubError) and limited.host == client.name,
        )

    async def send(
        self, asset: Asset, origin: AssetReader | SpoolFile, moved: Callable[[int], None]
    ) -> Copied:
        """Upload the asset once, from its source or from the spool.

        Args:
            asset: Size and digest, as far as they are known.
            origin: Where the bytes come from.
            moved: Called with the number of bytes that the target has accepted.

        Raises:
            DigestMismatch: The target stored other bytes; they were deleted.
            MirrorError: The upload failed.
        """
        source, target, session = self._context.source, self._context.target, self._context.session
        spooled = origin if isinstance(origin, SpoolFile) else None
        bandwidth = session.bandwidth

        def move(clients: Mapping[str, Any]) -> None:
            if not isinstance(origin, SpoolFile):
                origin.client = clients[origin.client.name]
            self._sink.client = clients[self._sink.client.name]

        async with self._gated(moved) as taken:
            piped = await session.workers.pipe(
                origin,
                self._sink,
                sha256=asset.sha256,
                clock=session.clock,
                retry=session.retry,
                stall_timeout=min(source.stall_timeout, target.stall_timeout),
                response_timeout=target.response_timeout,
                moved=taken,
                last_out=self._may_end,
                pace=bandwidth.lane().pace if bandwidth.piece else None,
                piece=bandwidth.piece,
                hashed=spooled.sha256 if spooled else None,
                move=move,
            )
        verdict = settle_reply(piped.reply, asset.size, piped.sha256)
        if isinstance(verdict, Fail):
            await self._delete(verdict.remove)
            if spooled:
                spooled.doubt()
            raise verdict.error
        return Copied(verdict.asset, piped.sha256, size=piped.size)

    @asynccontextmanager
    async def _gated(self, moved: Callable[[int], None]) -> AsyncIterator[Callable[[int], None]]:
        """Pass the gate; others follow once the upload is admitted, or has ended."""
        async with self._context.gate.write() as admitted:

            def taken(count: int) -> None:
                moved(count)
                if count >= ADMITTED:
                    admitted()

            try:
                yield taken
            except NotFound as error:
                repo, number = self._context.mirror.target, self._release.id
                await refuse_if_there(error, self._target, repo, number)
                raise

    async def settle(self, error: MirrorError, asset: Asset) -> Copied | None:
        """Read what a failed attempt left at the target, and delete what blocks the next one.

        Args:
            error: How the attempt failed.
            asset: Size and digest, as far as they are known.

        Returns:
            The copy, if it arrived all the same.

        Raises:
            NameTaken: The target has another asset of this name.
        """
        context, destination = self._context, self._destination
        failure = UploadFailure.of(error, context.source.store.client.name)
        if failure is None:
            return None
        observed = await polling(
            lambda: self._target.assets(context.mirror.target, self._release.id),
            lambda assets: is_conclusive(destination, failure, assets),
            LAG,
            context.session.clock,
        )
        sent = Sent(asset.size, asset.sha256, self._started_at)
        verdict = settle_upload(destination, sent, failure, observed)
        if isinstance(verdict, Accept):
            return Copied(verdict.asset, verdict.sha256, size=asset.size)
        await self._delete(verdict.remove)
        if isinstance(verdict, Fail):
            raise verdict.error from error
        return None

    async def _delete(self, assets: Sequence[Asset]) -> None:
        for asset in assets:
            await self._target.delete_asset(self._context.mirror.target, asset.id)
