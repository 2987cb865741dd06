"""Laws of a source that is opened before its turn."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mirror.errors import ConnectionLost
from mirror.transfer.opened_ahead import OpenedAhead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONTENT = b"0123456789"


class Source:
    """Tells what is opened, and when it is closed again."""

    def __init__(self) -> None:
        self.client: Any = "client"
        self.size = len(CONTENT)
        self.etag = ""
        self.opened: list[int] = []
        self.located = 0
        self.open_now = 0
        self.failures = 0

    async def locate(self) -> bool:
        self.located += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionLost("broken")
        return True

    @asynccontextmanager
    async def open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        self.opened.append(offset)
        if self.failures:
            self.failures -= 1
            raise ConnectionLost("broken")
        self.open_now += 1
        try:
            yield _chunks(CONTENT[offset:])
        finally:
            self.open_now -= 1


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def read(source: OpenedAhead, offset: int = 0) -> bytes:
    async with source.open(offset) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_its_first_reader_gets_what_was_opened() -> None:
    """It is opened once, and again only for a second reading; closed after each."""
    source = Source()
    async with OpenedAhead(source) as ahead:
        assert not ahead.used
        await ahead.begin()
        assert ahead.used
        assert (source.opened, source.open_now) == ([0], 1)
        assert await read(ahead) == CONTENT
        assert (source.opened, source.open_now) == ([0], 0)
        assert await read(ahead, 4) == CONTENT[4:]
    assert (source.opened, source.open_now) == ([0, 4], 0)


async def test_what_nobody_read_is_closed() -> None:
    """Whether its turn never came, it waited for too long, or only a part was wanted."""
    source = Source()
    async with OpenedAhead(source) as ahead:
        await ahead.begin()
    async with OpenedAhead(source) as ahead:
        await ahead.begin()
        await ahead.close()
        assert (ahead.used, source.open_now) == (False, 0)
    async with OpenedAhead(source) as ahead:
        await ahead.begin()
        assert await read(ahead, 3) == CONTENT[3:]
    assert (source.opened, source.open_now) == ([0, 0, 0, 3], 0)


async def test_a_failure_is_its_readers() -> None:
    """Whoever transfers the asset decides about another attempt, which opens it again."""
    source = Source()
    source.failures = 1
    async with OpenedAhead(source) as ahead:
        await ahead.begin()
        assert ahead.used
        with pytest.raises(ConnectionLost):
            await read(ahead)
        assert await read(ahead) == CONTENT
    assert (source.opened, source.open_now) == ([0, 0], 0)


async def test_where_it_is_may_be_found_out_before() -> None:
    """Its reader uses that; a failure is the reader's, and nothing is opened after it."""
    source = Source()
    async with OpenedAhead(source) as ahead:
        await ahead.locate()
        assert ahead.used
        assert (source.located, source.opened) == (1, [])
        assert await read(ahead) == CONTENT
        source.failures = 1
        await ahead.locate()
        await ahead.begin()
        assert source.opened == [0]
        with pytest.raises(ConnectionLost):
            await read(ahead)
