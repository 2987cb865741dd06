"""What signals do outside the event loop: before a command runs, and after it has ended."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def exit_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process at once, without a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)


def ignore_until_handled() -> None:
    """Ignore SIGHUP and SIGUSR1, whose default would end a daemon that is still starting."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
