"""Time, as a value that is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The time and every wait; tests hand in one that does not wait."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; nothing below 0 is waited for."""
        ...
