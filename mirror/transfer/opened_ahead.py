"""A source that is opened before its turn to be transferred, so that its host's delay has passed by then."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from mirror.core.host import AssetReader


class OpenedAhead:
    """An asset whose first reader gets what was opened before; unused, it is closed with the block.

    Args:
        source: The asset.

    Attributes:
        failure: Why it could not be opened; raised to its first reader.
    """

    def __init__(self, source: AssetReader) -> None:
        self._source = source
        self._connection = AsyncExitStack()
        self._chunks: AsyncIterator[bytes] | None = None
        self._located = False
        self.failure: MirrorError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def used(self) -> bool:
        """It was located, opened, or failed to: its first reader does not do that again."""
        return self._located or self._chunks is not None or self.failure is not None

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

    async def locate(self) -> bool:
        """As the source's; a failure is kept for the first reader."""
        try:
            self._located = await self._source.locate()
        except MirrorError as error:
            self.failure = error
        return self._located

    async def begin(self) -> None:
        """Open the source; a failure is kept for the first reader."""
        if self.failure:
            return
        self._located = False
        try:
            self._chunks = await self._connection.enter_async_context(self._source.open(0))
        except MirrorError as error:
            self.failure = error

    async def close(self) -> None:
        """Close what was opened and not read."""
        self._chunks = None
        await self._connection.aclose()

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
            if chunks and not offset:
                yield chunks
                return
        async with self._source.open(offset) as chunks:
            yield chunks
