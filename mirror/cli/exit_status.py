"""Exit statuses: one table, which ``--help`` shows, and one switch."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from mirror.errors import ConfigError, LedgerLocked, LedgerTooNew, MirrorError, NoDaemon, UsageError

if TYPE_CHECKING:
    from mirror.core.reporting.report import Report

OK = 0
FAILED = 1
USAGE = 2
PENDING = 3
NO_DAEMON = 69
LOCKED = 75

MEANINGS = {
    OK: "everything selected is in sync, or there was nothing to do",
    FAILED: "finished, and something failed, waits, is blocked or quarantined",
    USAGE: "usage or configuration error; nothing was changed",
    PENDING: "plan --detailed-exit-code: changes are pending",
    NO_DAEMON: "trigger: no daemon is running there",
    LOCKED: "another run holds the ledger's lock",
    128 + signal.SIGINT: "stopped by Ctrl-C, after a clean stop",
    128 + signal.SIGTERM: "stopped by SIGTERM, after a clean stop",
}


def of_error(error: BaseException) -> int:
    """The exit status of a command that an error ended."""
    match first_known(error):
        case KeyboardInterrupt():
            return 128 + signal.SIGINT
        case UsageError() | ConfigError() | LedgerTooNew():
            return USAGE
        case NoDaemon():
            return NO_DAEMON
        case LedgerLocked():
            return LOCKED
    return FAILED


def of_report(report: Report | None, *, detailed: bool) -> int:
    """The exit status of a pass that ended without an error.

    Args:
        report: ``None`` if the pass never began.
        detailed: Return :data:`PENDING` if a plan holds work.
    """
    if report is None or report.failed or report.interrupted:
        return FAILED
    return PENDING if detailed and report.pending else OK


def first_known(error: BaseException) -> BaseException:
    """The first ``MirrorError`` in a group of errors, else the first error of any kind."""
    if not isinstance(error, ExceptionGroup):
        return error
    found = [first_known(inner) for inner in error.exceptions]
    return next((inner for inner in found if isinstance(inner, MirrorError)), found[0])
