"""The clock of the machine, and waits on the event loop."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial

# Linux's CLOCK_MONOTONIC stands still while the machine is suspended, as virtual machines are when
# they are moved or saved. Source: clock_gettime(2)
_boottime = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


class SystemClock:
    """Implements :class:`mirror.core.clock.Clock`."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds since an arbitrary moment, those for which the machine was suspended included."""
        return _boottime()

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for 0 or less."""
        if seconds > 0:
            await asyncio.sleep(seconds)
