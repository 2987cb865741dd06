"""A semaphore for tasks that run in event loops of different threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class ThreadSafeSemaphore:
    """As :class:`asyncio.Semaphore`, first come, first served, from any thread.

    Args:
        value: How many may hold it at once.
    """

    def __init__(self, value: int) -> None:
        self._lock = threading.Lock()
        self._free = value
        self._waiting: deque[Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a turn; whoever is cancelled meanwhile holds nothing."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel():  # it came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Hand over to whoever waits longest."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._free += 1
                return
        turn.set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()
