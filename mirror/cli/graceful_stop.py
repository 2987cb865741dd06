"""SIGINT and SIGTERM: the first stops gracefully, the second cancels, the third exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, TypeVar

from mirror.cli.output import print_error_line
from mirror.cli.signals import exit_on_signals
from mirror.core.text.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from mirror.core.reporting.progress import Progress
    from mirror.sync.stop import Stop

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LOOK = 1.0
"""Seconds between two looks at whether the work in flight can still finish."""


class GracefulStop:
    """Runs one awaitable, and stops it on a signal.

    Args:
        stop: Requested by the first signal; without it, the first signal cancels.
        progress: Shows whether anything is in flight that is worth waiting for.
        drain: Seconds that work in flight has to finish.
        text: Printed where the first signal cancels.
        signals: Those that stop it.
        insist: A signal after the one that cancelled ends the process at once. Otherwise it is
            ignored: the work cleans up, which takes it a bounded time.

    Attributes:
        signal: The number of the first signal received, or ``None``.
        cancelled: The work was cancelled before it finished.
    """

    def __init__(
        self,
        stop: Stop | None = None,
        progress: Progress | None = None,
        *,
        drain: float = 60.0,
        text: str = "Stopping.",
        signals: Sequence[signal.Signals] = SIGNALS,
        insist: bool = True,
    ) -> None:
        self._stop = stop
        self._progress = progress
        self._drain = drain
        self._text = text
        self._signals = signals
        self._insist = insist
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.cancelled = False
        self.signal: int | None = None

    async def run(self, work: Awaitable[T]) -> T | None:
        """Await the work; ``None`` if a signal cancelled it."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in self._signals:
            loop.add_signal_handler(number, self._received, number)
        try:
            return await work
        except (asyncio.CancelledError, BaseExceptionGroup):
            if not self.cancelled:
                raise
            if self._task is not None:
                self._task.uncancel()
            return None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number in self._signals:
                loop.remove_signal_handler(number)
            exit_on_signals()

    def _received(self, number: int) -> None:
        if self.cancelled and not self._insist:
            return
        if self.cancelled:
            os._exit(128 + number)  # the third signal: do not wait for anything that hangs
        if self.signal is not None:
            self._cancel("Stopping at once.")
            return
        self.signal = number
        progress = self._progress
        if self._stop is None or progress is None or not progress.begun:
            self._cancel(self._text)
            return
        self._stop.request()
        moving = len(progress.transfers)
        what = f"{count(moving, 'transfer')} in flight" if moving else "work in progress"
        print_error_line(
            f"Stopping: {what} may finish within {duration(self._drain)};"
            " press Ctrl-C again to stop at once."
        )
        self._watch(asyncio.get_running_loop().time() + self._drain)

    def _watch(self, end: float) -> None:
        """Cancel when the drain ends, or before if all that is left waits for longer than that."""
        loop, progress = asyncio.get_running_loop(), self._progress
        left = end - loop.time()
        if left <= 0:
            self._cancel("Drain time-out reached; stopping now.")
        elif progress and not progress.transfers and progress.waits_for(left):
            self._cancel("A limit has to be waited for; stopping now.")
        else:
            self._timer = loop.call_later(min(left, _LOOK), self._watch, end)

    def _cancel(self, text: str) -> None:
        self.cancelled = True
        print_error_line(text)
        if self._task is not None:
            self._task.cancel()
