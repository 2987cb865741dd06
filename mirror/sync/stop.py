"""A request to stop: nothing new is started, work in progress may finish."""

from __future__ import annotations


class Stop:
    """Set by a signal, and checked before anything new is started."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        """Start nothing new from now on."""
        self.requested = True
