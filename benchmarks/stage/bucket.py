"""A rate limiter shared by all connections of a link."""

from __future__ import annotations

import threading
import time

BURST = 0.004
"""Maximum burst, in seconds."""


class Bucket:
    """A byte rate over all threads.

    Args:
        rate: Bytes per second; 0 for no limit.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Wait until this many bytes may pass."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now - BURST) + size / self._rate
            wait = self._paid_until - now
        if wait > 0:
            time.sleep(wait)
