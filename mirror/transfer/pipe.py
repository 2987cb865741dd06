"""One asset's bytes: out of its source, through SHA-256, into its target.

Nothing is stored on the way. The target's side pulls: a chunk is read from the source when the
target has taken the one before, so that memory is bounded by the buffers of the two connections
and two chunks, whatever the size of the asset and the speed of either side.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from mirror.core.retry import retrying
from mirror.core.stream import LocalSource
from mirror.errors import (
    BadAnswer,
    ConnectionLost,
    DigestMismatch,
    GitHubError,
    MirrorError,
    ServerError,
    ShortRead,
    Stalled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
    from types import AsyncGeneratorType

    from mirror.core.clock import Clock
    from mirror.core.retry import RetryPolicy
    from mirror.core.stream import ByteSink, ByteSource

Reply = TypeVar("Reply")
T = TypeVar("T")

WORTH_A_THREAD = 64 * 1024
"""Bytes from which a chunk is hashed in a worker thread; below, the hop costs more than it saves."""

WORTH_ANOTHER_TRY = 1024 * 1024
"""Bytes after which a source that broke counts as working again; fewer for small assets."""

_MAY_PASS = (ConnectionLost, ServerError, BadAnswer, Unreachable, ShortRead, Stalled)


@dataclass(frozen=True, slots=True)
class Piped(Generic[Reply]):
    """An asset that was handed over whole.

    Attributes:
        reply: What the target answered.
        sha256: Of the bytes that went through, hexadecimal.
        size: In bytes.
        resumed: How many times the source broke and was opened again.
    """

    reply: Reply
    sha256: str
    size: int
    resumed: int


async def pipe(
    source: ByteSource,
    sink: ByteSink[Reply],
    *,
    sha256: str | None,
    clock: Clock,
    retry: RetryPolicy,
    stall_timeout: float,
    response_timeout: float,
    moved: Callable[[int], None] | None = None,
    last_out: Callable[[], bool] = lambda: True,
    pace: Callable[[int], Awaitable[None]] | None = None,
    piece: int = 0,
    hashed: str | None = None,
    beside: Callable[[], bool] = lambda: True,
    jitter: Callable[[], float] = random.random,
) -> Piped[Reply]:
    """Copy an asset once.

    The source is opened before the target hears of the asset, so that a source that is gone
    leaves no trace there; an error before its first byte is raised at once. A source that breaks
    or stalls after that is opened again where it broke, into the same upload: at most
    ``retry.attempts`` failures in a row with next to nothing between them, counting the first. The
    last chunk is held back until all bytes are counted and hashed: the target never gets a
    complete asset that is wrong.

    A source may be opened in one task, and read and closed in another.

    Args:
        source: Where the bytes come from. Opening it the first time has no time-out here (its
            host may be waiting for a rate limit to pass); every later wait for it has.
        sink: Where they go to. Time runs from its first pull on: what it waits for before, a
            connection or its turn, is its own to bound.
        sha256: The digest that the source promises, hexadecimal; ``None`` for none.
        clock: For the waits before the source is opened again.
        retry: How often the source is opened again, and after which waits.
        stall_timeout: Seconds in which at least one byte must move while bytes are left to move.
        response_timeout: Seconds from the last byte to the target's answer.
        moved: Told, whenever the target took a chunk, how many bytes it has taken in all.
        last_out: Asked before the last chunk is handed to the target, which from then on may store
            the asset, whatever becomes of this side; if the answer is no, the transfer breaks off.
        pace: Awaited with a chunk's length before the chunk is handed on, for a bandwidth limit.
            This wait is nobody's stall.
        piece: The most bytes that are paced and handed on at a time; 0 for as they come.
        hashed: The SHA-256 that was taken when these bytes were stored, hexadecimal: they are
            not hashed once more.
        beside: Whether a core is idle, for a large chunk to be hashed while others move.
        jitter: A random number from 0 to 1.

    Raises:
        DigestMismatch: The bytes are not those that ``sha256`` promises; a source that is a
            :class:`~mirror.core.stream.LocalSource` has an error of its own for that.
        ShortRead: The source holds more or fewer bytes than it says.
        Stalled: No byte moved; the text names the side that was waited for.
        SourceChanged: The asset was replaced while it was read.
        ConnectionLost: ``ambiguous`` where the target may have taken the asset; also when there
            was no answer for ``response_timeout``.
        GitHubError: What the source's or the target's host answered.
    """
    feed = _Feed(
        _Reader(source, clock, retry, stall_timeout, jitter),
        size=source.size,
        sha256=sha256,
        stall_timeout=stall_timeout,
        response_timeout=response_timeout,
        moved=moved,
        last_out=last_out,
        pace=pace,
        piece=piece,
        hashed=hashed,
        beside=beside,
    )
    chunks = cast("AsyncGeneratorType[bytes, None]", feed.chunks())
    try:
        if source.size:
            await feed.reader.begin()
        try:
            async with feed.watch.timeout:
                reply = await sink.send(chunks, source.size)
        except Exception as error:
            verdict = feed.verdict(error)
            if verdict is error:
                raise
            raise verdict from error
    finally:
        await feed.close(chunks)
    if feed.error:
        raise feed.error
    if not feed.complete:
        raise BadAnswer(
            f"the target answered after {feed.handed} of {source.size} bytes", ambiguous=True
        )
    return Piped(reply, feed.digest, source.size, feed.reader.resumed)


class _BrokenOff(Exception):
    """The transfer is over; whoever still pulls is told so. Never leaves this module's sinks."""


class _Reader:
    """An asset's bytes in order, from as many connections as it takes.

    Attributes:
        offset: Bytes read so far.
        resumed: How many times the source was opened again.
    """

    def __init__(
        self,
        source: ByteSource,
        clock: Clock,
        retry: RetryPolicy,
        stall_timeout: float,
        jitter: Callable[[], float],
    ) -> None:
        self.offset = 0
        self.resumed = 0
        self._source = source
        self._clock = clock
        self._retry = retry
        self._stall_timeout = stall_timeout
        self._jitter = jitter
        self._failures = 0
        self._failed_at = 0
        self._worth = min(WORTH_ANOTHER_TRY, source.size // 8)
        self._connection = AsyncExitStack()
        self._chunks: AsyncIterator[bytes] | None = None
        self._at_hand: Callable[[], bytes] = _nothing
        self._first = b""
        self._wait: asyncio.Timeout | None = None
        self._over = False

    async def begin(self) -> None:
        """Open the source and wait for its first bytes.

        Raises:
            MirrorError: As it came: nothing is in flight yet that a second try would save.
        """
        self._chunks = await self._open()
        self._first = await self._pull()

    async def read(self) -> bytes:
        """The next bytes, never none.

        Raises:
            MirrorError: The source cannot go on, or failed too often in a row (``attempts``).
        """
        chunk, self._first = self._first, b""
        if not chunk:
            try:
                chunk = await self._advance()
            except _MAY_PASS as error:
                chunk = await self._resume(error)
        self.offset += len(chunk)
        if self._failures and self.offset - self._failed_at > self._worth:
            self._failures = 0
        return chunk

    async def expect_end(self) -> None:
        """See that nothing follows.

        Raises:
            ShortRead: More bytes follow.
            MirrorError: What else is certain to be wrong with the source.
        """
        try:
            more = await self._next() if self._chunks else None
        except _MAY_PASS:
            return  # All bytes are here; how the connection ended says nothing about them.
        if more:
            raise ShortRead(f"the source sent more than its {self._source.size} bytes")

    def mismatch(self, found: str, expected: str) -> MirrorError:
        """The error of wrong bytes; another attempt is worth while unless they are on a disk here."""
        if isinstance(self._source, LocalSource):
            return self._source.damaged(found)
        return DigestMismatch(f"the source's SHA-256 is {found}, but should be {expected}")

    async def leave(self) -> None:
        """Close the connection; another one may be opened."""
        self._chunks = None
        self._at_hand = _nothing
        await self._connection.aclose()

    async def patiently(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait for something without a time-out, but not longer than the transfer lasts."""
        await self._bounded(wait, None)

    def stop(self) -> None:
        """End the wait that is in progress, and every later one, with :class:`_BrokenOff`."""
        self._over = True
        if self._wait and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def _advance(self) -> bytes:
        return self._at_hand() or await self._pull()

    async def _pull(self) -> bytes:
        chunk = await self._next()
        if chunk is None:
            raise ShortRead(f"the source ended after {self.offset} of {self._source.size} bytes")
        return chunk

    async def _next(self) -> bytes | None:
        if self._chunks is None:
            # An upload is in flight, and its host will not wait for ever: hence the bound.
            self._chunks = await self._bounded(self._open, self._stall_timeout)
        pull: Callable[[], Awaitable[bytes | None]] = partial(anext, self._chunks, None)
        while (chunk := await self._bounded(pull, self._stall_timeout)) == b"":
            pass
        return chunk

    async def _open(self) -> AsyncIterator[bytes]:
        chunks = await self._connection.enter_async_context(self._source.open(self.offset))
        if close := getattr(chunks, "aclose", None):
            self._connection.push_async_callback(close)
        self._at_hand = getattr(chunks, "at_hand", _nothing)
        return chunks

    async def _resume(self, error: MirrorError) -> bytes:
        """Open the source again where it broke, until it yields bytes or has failed too often."""
        self._failed_at = self.offset
        await self._failed()

        async def again() -> bytes:
            self.resumed += 1
            try:
                return await self._advance()
            except _MAY_PASS:
                await self._failed()
                raise

        return await retrying(
            again,
            self._retry,
            self._clock,
            lambda failure: (
                failure.retryable and isinstance(failure, _MAY_PASS) and self._is_soon(failure)
            ),
            failed=error,
            made=self._failures,
            sleep=lambda seconds: self.patiently(partial(self._clock.sleep, seconds)),
            jitter=self._jitter,
        )

    def _is_soon(self, error: MirrorError) -> bool:
        """Whether its host is back before the target's gives up the upload that is in flight."""
        retry_at = getattr(error, "retry_at", None)
        wait = (retry_at - self._clock.now()).total_seconds() if retry_at else 0.0
        return wait <= self._stall_timeout

    async def _failed(self) -> None:
        self._failures += 1
        await self.leave()

    async def _bounded(self, wait: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        if self._over:
            raise _BrokenOff
        self._wait = limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await wait()
        except TimeoutError as error:
            if self._over:
                raise _BrokenOff from None
            if limit.expired():
                raise Stalled(
                    f"the source sent no byte for {_span(self._stall_timeout)},"
                    f" after {self.offset} of {self._source.size}"
                ) from error
            raise
        finally:
            self._wait = None


class _Watch:
    """A time-out that is moved with every chunk: its timer is set anew when it rings, not before.

    Attributes:
        timeout: To be entered where it is to strike.
    """

    def __init__(self) -> None:
        self.timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def expired(self) -> bool:
        return self.timeout.expired()

    def within(self, seconds: float | None) -> None:
        """Strike after so many seconds; ``None`` for never."""
        if seconds is None:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._ring)
        elif deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._ring)

    def end(self) -> None:
        """Never strike again."""
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        elif not self.expired:
            self.timeout.reschedule(self._deadline)


class _Feed:
    """What the sink pulls: counted, hashed, watched.

    The sink may pull from a task of its own, which turns an error raised here into one of its
    own; hence the error is also kept.

    Attributes:
        watch: The time-out of the target; it counts only while the target's move is awaited.
        error: What this side failed with; ``None`` while it did not, and where it was only told
            to stop.
        handed: Bytes that the target took.
        complete: The target took all of them.
        digest: Their SHA-256, hexadecimal, once they are complete.
    """

    def __init__(
        self,
        reader: _Reader,
        *,
        size: int,
        sha256: str | None,
        stall_timeout: float,
        response_timeout: float,
        moved: Callable[[int], None] | None,
        last_out: Callable[[], bool],
        pace: Callable[[int], Awaitable[None]] | None,
        piece: int,
        hashed: str | None,
        beside: Callable[[], bool],
    ) -> None:
        self.reader = reader
        self.watch = _Watch()
        self.error: Exception | None = None
        self.handed = 0
        self.complete = False
        self.digest = ""
        self._size = size
        self._expected = sha256.lower() if sha256 else None
        self._stall_timeout = stall_timeout
        self._response_timeout = response_timeout
        self._moved = moved
        self._on_last_out = last_out
        self._pace = pace
        self._piece = piece
        self._hashed = hashed
        self._beside = beside
        self._hash = hashlib.sha256()
        self._hashing: asyncio.Future[None] | None = None
        self._last_out = False
        self._over = False
        self._ended = asyncio.Event()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """All bytes, and then the end; anything else ends in an exception."""
        try:
            read = 0
            while read < self._size:
                chunk = await self.reader.read()
                read += len(chunk)
                await self._count(chunk, read)
                for part in _parts(chunk, self._piece):
                    if self._pace:
                        await self.reader.patiently(partial(self._pace, len(part)))
                    self._await_target(self._stall_timeout)
                    self._last_out = self.handed + len(part) == self._size
                    if self._last_out:
                        self._ask_for_the_end()
                    yield part
                    self._await_target(None)
                    self.handed += len(part)
                    if self._moved:
                        self._moved(self.handed)
            if not self._size:
                await self._finish()
            self.complete = True
            self._await_target(self._response_timeout)
        except _BrokenOff:
            raise
        except Exception as error:
            if not self._over:
                self.error = error
            raise
        finally:
            await self._rest()
            await self.reader.leave()
            self._ended.set()

    def _ask_for_the_end(self) -> None:
        if not self._on_last_out():
            raise ConnectionLost("the transfer was broken off before its last bytes were sent")

    def verdict(self, error: Exception) -> Exception:
        """What a sink's failure was: this side's, when it failed first; time; or the sink's own."""
        if self.error:
            return self.error
        if isinstance(error, TimeoutError) and self.watch.expired:
            if self.complete:
                waited = _span(self._response_timeout)
                lost = ConnectionLost(f"no answer for {waited} after the last byte", ambiguous=True)
                lost.sent_sha256 = self.digest
                return lost
            return Stalled(
                f"the target took no byte for {_span(self._stall_timeout)},"
                f" after {self.handed} of {self._size}",
                at_target=True,
            )
        if self._last_out and isinstance(error, GitHubError):
            error.ambiguous = error.ambiguous or error.status is None
            error.sent_sha256 = self.digest
        return error

    async def close(self, chunks: AsyncGeneratorType[bytes, None]) -> None:
        """Stop whoever still pulls, and close the source."""
        self._over = True
        self.watch.end()
        if chunks.ag_running:
            # A task of the sink's is inside: it is woken up, and leaves by itself.
            self.reader.stop()
            await self._ended.wait()
        else:
            await chunks.aclose()
        await self.reader.leave()

    async def _count(self, chunk: bytes, read: int) -> None:
        if read > self._size:
            raise ShortRead(f"the source sent more than its {self._size} bytes")
        # In order, and one at a time: this chunk's hash runs while it is sent and the next awaited.
        await self._rest()
        if self._hashed:
            pass
        elif len(chunk) < WORTH_A_THREAD or not self._beside():
            self._hash.update(chunk)
        else:
            loop = asyncio.get_running_loop()
            self._hashing = loop.run_in_executor(_hashers(), self._hash.update, chunk)
        if read == self._size:
            await self.reader.expect_end()
            await self.reader.leave()
            await self._finish()

    async def _finish(self) -> None:
        await self._rest()
        self.digest = self._hashed or self._hash.hexdigest()
        if self._expected and self.digest != self._expected:
            raise self.reader.mismatch(self.digest, self._expected)

    async def _rest(self) -> None:
        """Wait until no thread works on the hash, also when this is cancelled meanwhile."""
        if self._hashing:
            if not self._hashing.done():
                await asyncio.wait([self._hashing])
            self._hashing.result()
            self._hashing = None

    def _await_target(self, seconds: float | None) -> None:
        if self._over or self.watch.expired:
            raise _BrokenOff
        self.watch.within(seconds)


@cache
def _hashers() -> ThreadPoolExecutor:
    # Two: a copy's hash keeps one core busy at most, and the event loop needs one as well.
    return ThreadPoolExecutor(2, thread_name_prefix="sha256")


def _nothing() -> bytes:
    return b""


def _parts(chunk: bytes, piece: int) -> Iterator[bytes]:
    if not piece or len(chunk) <= piece:
        yield chunk
        return
    for start in range(0, len(chunk), piece):
        yield chunk[start : start + piece]


def _span(seconds: float) -> str:
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}m"
    return f"{seconds:g}s"
