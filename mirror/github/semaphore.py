"""A semaphore for tasks that run in event loops of different threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class ThreadSafeSemaphore:
    """As :class:`asyncio.Semaphore`, first come, first served, from any thread.

    Args:
        value: How many may hold it at once.
    """

    def __init__(self, value: int) -> None:
        self._lock = threading.Lock()
        self._free = value
        self._waiting: deque[_Turn] = deque()

    async def acquire(self) -> None:
        """Wait for a turn; a task that is cancelled while it waits holds nothing."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = _Turn()
            self._waiting.append(turn)
        try:
            await turn.begun
        except asyncio.CancelledError:
            with self._lock:
                if waiting := turn in self._waiting:
                    self._waiting.remove(turn)
            if not waiting:  # the turn came at the same moment
                self.release()
            raise

    def acquire_at_once(self) -> bool:
        """Take a turn if one is free; whether it was."""
        with self._lock:
            if not self._free:
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        """Hand over to the task that has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            turn = self._waiting.popleft()
        turn.begin()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


class _Turn:
    """What one task waits for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.begun: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        """Wake the task, from any thread."""
        if self._thread == threading.get_ident():  # spares the loop a wake-up through its socket
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)
