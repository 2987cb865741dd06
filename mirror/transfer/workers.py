"""Event loops in separate threads, which transfer the bytes of large assets.

One event loop transfers and hashes as many bytes per second as one core can. Most of that time is
spent in ``recv``, ``send``, TLS and SHA-256, which release the GIL, so a second loop nearly doubles
the throughput; more than two contend for the GIL. The main loop stays responsive meanwhile.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from mirror.transfer.event_loops import ask, finish
from mirror.transfer.pipe import Piped, pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from mirror.core.clock import Clock
    from mirror.core.retry import RetryPolicy
    from mirror.core.stream import ByteSink, ByteSource

Reply = TypeVar("Reply")
Clients = TypeVar("Clients")

LARGE = 8 * 1024**2
"""Bytes from which a worker transfers an asset; for smaller ones the handover costs more than it saves."""

THREADS = 2

OFTEN = 0.1
"""Seconds between two reports of a transfer's progress: each wakes the caller's loop."""


@asynccontextmanager
async def _none() -> AsyncIterator[Any]:
    yield None


class Workers(Generic[Clients]):
    """Copies assets: large ones in the loops of other threads, small ones in the caller's.

    The threads are started by the first large asset, and shared by the whole process. In each, the
    first one opens clients of its own, which are closed at the end of the ``async with`` block.

    Args:
        clients: Opens the clients of one thread, in its event loop.
        large: Bytes from which an asset is large; :data:`LARGE` by default.
        threads: How many; 0 keeps everything in the caller's loop.

    Attributes:
        large: As given.
    """

    def __init__(
        self,
        clients: Callable[[], AbstractAsyncContextManager[Clients]] = _none,
        *,
        large: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.large = LARGE if large is None else large
        # With one core there is nothing to gain.
        self._threads = (THREADS if _cores() > 1 else 0) if threads is None else threads
        self._clients = clients
        self._opened: dict[_Worker, _Opened[Clients]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:  # every one, also if closing another fails
            while self._opened:
                worker, opened = self._opened.popitem()
                stack.push_async_callback(finish, worker.loop, opened.close)

    async def pipe(
        self,
        source: ByteSource,
        sink: ByteSink[Reply],
        *,
        sha256: str | None,
        clock: Clock,
        retry: RetryPolicy,
        stall_timeout: float,
        response_timeout: float,
        moved: Callable[[int], None],
        last_out: Callable[[], bool] = lambda: True,
        pace: Callable[[int], Awaitable[None]] | None = None,
        piece: int = 0,
        hashed: str | None = None,
        move: Callable[[Clients], None] = lambda _: None,
    ) -> Piped[Reply]:
        """As :func:`~mirror.transfer.pipe.pipe`.

        ``moved`` is called in the caller's loop; source, sink, clock and ``last_out`` are used in the
        one that transfers the bytes. If that is another thread's, ``move`` makes source and sink use that
        thread's clients first. Under a bandwidth limit (``pace``), and for bytes from the disk
        (``hashed``), one loop is fast enough.
        """
        copy = partial(
            pipe,
            source,
            sink,
            sha256=sha256,
            retry=retry,
            stall_timeout=stall_timeout,
            response_timeout=response_timeout,
            last_out=last_out,
        )
        small = source.size < self.large
        if small or pace or hashed or not self._threads:
            return await copy(clock=clock, moved=moved, pace=pace, piece=piece, hashed=hashed)
        here = asyncio.get_running_loop()
        pool = _pool(type(here), self._threads)
        worker = min(pool, key=lambda worker: worker.busy)
        opened = self._opened.setdefault(worker, _Opened(self._clients))

        def core_left() -> bool:
            return sum(worker.busy for worker in pool) < _cores()

        async def copy_there() -> Piped[Reply]:
            move(await opened.clients())
            return await copy(
                clock=clock,
                moved=_Progress(here, moved, source.size),
                beside=core_left,
            )

        worker.busy += 1
        try:
            return await ask(worker.loop, copy_there)
        finally:
            worker.busy -= 1


class _Worker:
    """A thread with a loop that runs until the process ends.

    Attributes:
        busy: Transfers that run in it.
    """

    def __init__(self, number: int, kind: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.busy = 0
        self.loop = kind()
        # A daemon thread: a process that has to exit at once does not wait for it.
        self._thread = threading.Thread(
            target=self.loop.run_forever, name=f"bytes-{number}", daemon=True
        )
        self._thread.start()
        atexit.register(self._end)

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)
        if not self._thread.is_alive() and not asyncio.all_tasks(self.loop):
            self.loop.close()


class _Opened(Generic[Clients]):
    """The clients of one thread, opened when they are needed first; used in its loop alone."""

    def __init__(self, open_them: Callable[[], AbstractAsyncContextManager[Clients]]) -> None:
        self._open = open_them
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._clients: list[Clients] = []

    async def clients(self) -> Clients:
        async with self._opening:
            if not self._clients:
                self._clients.append(await self._stack.enter_async_context(self._open()))
            return self._clients[0]

    async def close(self) -> None:
        await self._stack.aclose()


class _Progress:
    """Reports progress to the caller's loop, often enough for a progress bar."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, moved: Callable[[int], None], size: int
    ) -> None:
        self._loop = loop
        self._moved = moved
        self._size = size
        self._reported_at = float("-inf")

    def __call__(self, handed: int) -> None:
        now = time.monotonic()
        if handed == self._size or now - self._reported_at >= OFTEN:
            self._reported_at = now
            self._loop.call_soon_threadsafe(self._moved, handed)


_pools: dict[tuple[type, int], tuple[_Worker, ...]] = {}


def _pool(kind: type[asyncio.AbstractEventLoop], threads: int) -> tuple[_Worker, ...]:
    """The workers for one kind of event loop: if uvloop is in use, the workers use it too."""
    key = (kind, threads)
    if key not in _pools:
        _pools[key] = tuple(_Worker(number, kind) for number in range(1, threads + 1))
    return _pools[key]


@cache
def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
