"""The entrance: signals before anything runs, and what an error means for the exit status.

====  =====================================================================
0     everything selected is in sync, or there was nothing to do
1     finished, and something failed, waits or is quarantined
2     usage or configuration error; nothing was changed
3     ``plan --detailed-exit-code``: changes are pending
75    another run holds the ledger's lock
130   stopped by SIGINT, after a clean stop
143   stopped by SIGTERM, after a clean stop
====  =====================================================================

Nothing heavy is imported here: a Ctrl-C in the first moments shall end it without a word.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

OK = 0
FAILED = 1
USAGE = 2
PENDING = 3
LOCKED = 75


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    leave_on_signals()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from mirror.cli.parser import parser  # noqa: PLC0415 - see above

    parser(arguments, prog_name="release-mirror")
    sys.exit(OK)


def leave_on_signals() -> None:
    """Before anything runs, and after all is done, a signal ends the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def guarded(work: Callable[[], int]) -> int:
    """Run a command; an error becomes a sentence on standard error and an exit status."""
    from mirror.errors import MirrorError  # noqa: PLC0415

    try:
        return work()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (MirrorError, ExceptionGroup) as error:
        return told(error)
    except Exception as error:  # noqa: BLE001 - the last fence: no traceback for people
        return told(error)


def told(error: Exception) -> int:
    """Tell an error on standard error.

    Returns:
        The exit status that it means.
    """
    from mirror.cli.render.terminal import say  # noqa: PLC0415
    from mirror.errors import ConfigError, LedgerLocked, MirrorError, UsageError  # noqa: PLC0415

    known = first_known(error)
    if not isinstance(known, MirrorError):
        _tell_unexpected(known)
        return FAILED
    if isinstance(known, ConfigError):
        for line in config_lines(known):
            say(line)
        return USAGE
    say(sentence(known))
    if isinstance(known, UsageError):
        return USAGE
    return LOCKED if isinstance(known, LedgerLocked) else FAILED


def first_known(error: Exception) -> Exception:
    """The error of this program in a group of errors; else the first of them."""
    from mirror.errors import MirrorError  # noqa: PLC0415

    if not isinstance(error, ExceptionGroup):
        return error
    found = [first_known(inner) for inner in error.exceptions if isinstance(inner, Exception)]
    ours = [inner for inner in found if isinstance(inner, MirrorError)]
    return (ours or found or [error])[0]


def sentence(error: Exception) -> str:
    """An error for people: one line, nothing secret, nothing that a terminal acts on."""
    from mirror.cli.redaction import redact  # noqa: PLC0415
    from mirror.core.text.sanitise import clean  # noqa: PLC0415
    from mirror.errors import LedgerLocked, MirrorError  # noqa: PLC0415

    text = " ".join(str(error).split("\n"))
    if isinstance(error, LedgerLocked) and error.pid and str(error.pid) not in text:
        text += f" (process {error.pid})"
    if not isinstance(error, MirrorError):
        text = f"unexpected {type(error).__name__}: {text}"
    return clean(redact(text))


def config_lines(error: Exception) -> list[str]:
    """Every mistake of a configuration: ``FILE:LINE: key: what is wrong and what is allowed``."""
    from mirror.cli.redaction import redact  # noqa: PLC0415
    from mirror.core.text.sanitise import clean  # noqa: PLC0415
    from mirror.errors import ConfigError  # noqa: PLC0415

    if not isinstance(error, ConfigError):
        return []
    return [
        clean(redact(f"{error.file}{f':{found.line}' if found.line else ''}: {found}"))
        for found in error.problems
    ]


def _tell_unexpected(error: Exception) -> None:
    from mirror.cli.render.terminal import say  # noqa: PLC0415

    say(f"{sentence(error)}; run again with --log-level debug to see where")
    if (log := sys.modules.get("structlog")) is not None:
        log.get_logger().debug("command.crashed", exc_info=error)
