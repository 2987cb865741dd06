"""The real time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock and the event loop's waits."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; nothing below 0 is waited for."""
        if seconds > 0:
            await asyncio.sleep(seconds)
