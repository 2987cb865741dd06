"""The clock that everything takes as an argument, so that tests need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The source of time and of every wait; tests pass one that does not wait."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        ...

    def boottime(self) -> float:
        """Seconds since an arbitrary moment, those for which the machine was suspended included.

        For what ends at a time that other machines know, such as a claim.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for 0 or less."""
        ...
