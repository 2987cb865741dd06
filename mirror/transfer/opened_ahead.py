"""A source that is opened before its turn to be transferred, so that its host's delay has passed by then."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from mirror.core.clock import Clock
    from mirror.core.host import AssetReader

FRESH = 10.0
"""Seconds for which an open source may wait for its turn: hosts close a download that nobody reads
after a minute or so (nginx: ``send_timeout``)."""


class OpenedAhead:
    """An asset that is opened when the block is entered, and whose first reader gets what came.

    A failure to open it is kept for that reader. Whatever was not used is closed with the block.

    Args:
        source: The asset.
        clock: Tells how long the open source has waited.

    Attributes:
        failure: Why it could not be opened, for its first reader.
    """

    def __init__(self, source: AssetReader, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._connection = AsyncExitStack()
        self._chunks: AsyncIterator[bytes] | None = None
        self.failure: MirrorError | None = None
        self._opened_at = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._chunks = await self._connection.enter_async_context(self._source.open(0))
        except MirrorError as error:
            self.failure = error
        self._opened_at = self._clock.monotonic()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.aclose()

    @property
    def client(self) -> Any:
        """The source's; see :class:`~mirror.core.host.AssetReader`."""
        return self._source.client

    @client.setter
    def client(self, client: Any) -> None:
        self._source.client = client

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._source.size

    @property
    def etag(self) -> str:
        """A strong validator of what was opened first; empty for none."""
        return self._source.etag

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """As the source's; the first reader of the whole asset gets what was opened ahead.

        Raises:
            MirrorError: As the source's, also where it was opened ahead.
        """
        return self._open(offset)

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._connection.pop_all():
            chunks, self._chunks = self._chunks, None
            failure, self.failure = self.failure, None
            if failure:
                raise failure
            fresh = self._clock.monotonic() - self._opened_at < FRESH
            if chunks and fresh and not offset:
                yield chunks
                return
        async with self._source.open(offset) as chunks:
            yield chunks
