"""Bodies that are streamed: what is downloaded, and what is uploaded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.errors import ShortRead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True, slots=True)
class Stream:
    """An open download.

    Attributes:
        status: 200, 206 or 416.
        headers: A mapping that ignores case.
        url: Where the bytes come from, after redirects; it may hold a signature.
        chunks: The body as it is stored, nothing decompressed.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    chunks: AsyncIterator[bytes]


class Body:
    """The body of an upload: exactly ``size`` bytes, and what became of them.

    A plain iterator and no generator: the sending may end at any chunk, and nothing is left to be
    finalized later.

    Attributes:
        handed: Bytes that were handed over so far.
        failure: What the source of the chunks raised, which ended the sending.
    """

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self.size = size
        self.handed = 0
        self.failure: Exception | None = None
        self._chunks = chunks
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def complete(self) -> bool:
        """All bytes were handed over: the host may have them, whatever happens then."""
        return self.handed >= self.size

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        self._idle.clear()
        try:
            chunk = await anext(self._chunks, None)
            self._check(chunk)
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._idle.set()
        if chunk is None:
            raise StopAsyncIteration
        self.handed += len(chunk)
        return chunk

    def _check(self, chunk: bytes | None) -> None:
        """Refuse a body of another length than announced: the host would wait, or take half of it."""
        if chunk is None and self.handed < self.size:
            raise ShortRead(f"the source ended after {self.handed} of {self.size} bytes")
        if chunk is not None and self.handed + len(chunk) > self.size:
            raise ShortRead(f"the source sends more than {self.size} bytes")

    async def left_alone(self) -> None:
        """Wait until nobody pulls from the chunks: their owner may close them then."""
        await self._idle.wait()
