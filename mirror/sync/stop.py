"""The wish to stop: nothing new is started, what is under way may finish."""

from __future__ import annotations


class Stop:
    """Asked for by a signal, looked at before anything new is started."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        """Start nothing new from now on."""
        self.requested = True
