"""How often and how long to wait before the same thing is tried again: one policy for all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter, and an end.

    Attributes:
        attempts: Tries in all, the first included.
        first: The longest wait before the second try, in seconds.
        longest: The longest wait of all, in seconds.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after this many failures (from 1).

        Args:
            failures: Tries that have failed so far.
            jitter: A random number from 0 to 1; half of the wait follows it, so that clients
                that failed together do not come back together.
        """
        ceiling = min(self.longest, self.first * 2.0 ** (min(failures, 32) - 1))
        return ceiling * (0.5 + jitter / 2)
