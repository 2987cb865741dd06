"""The clock of the machine, and waits on the event loop."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """Implements :class:`mirror.core.clock.Clock`."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for 0 or less."""
        if seconds > 0:
            await asyncio.sleep(seconds)
