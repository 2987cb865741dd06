"""``trigger``: have the running daemon sync mirrors now."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import event_loop, exit_status, startup
from mirror.cli.graceful_stop import GracefulStop
from mirror.cli.options import Full, Json, NoProgress, Patterns, Quiet
from mirror.cli.output import print_error_line, print_text
from mirror.cli.pass_runner import PassResult, RunOptions, conclude
from mirror.cli.render.progress_bars import live_display
from mirror.core.reporting.progress import Progress
from mirror.daemon.control_client import call_daemon
from mirror.daemon.control_messages import PROTOCOL, SOCKET, Call, control_directories
from mirror.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mirror.daemon.control_messages import Accepted


def trigger(
    context: typer.Context,
    patterns: Patterns = None,
    json: Json = False,
    full: Full = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return as soon as the daemon has accepted.")
    ] = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
) -> int:
    r"""Have the running daemon sync the selected mirrors now, and wait for the end.

    Mirrors that back off after failures, and hosts that are disabled, are tried
    at once. Prints the report of sync, and exits like it. Ctrl-C ends the
    waiting; the daemon goes on. Without a daemon, run sync instead.

    \b
    Examples:
      release-mirror trigger
      release-mirror trigger cli/cli --full
      release-mirror trigger --no-wait 'hashicorp/*'
    """
    if no_wait and json:
        raise UsageError("--json prints the report at the end; it does not go with --no-wait")
    options = RunOptions(
        command="sync",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
    )
    started = datetime.now(UTC)
    config = startup.load(context.obj)
    startup.set_up_log(context.obj, config, "warning")
    progress = Progress(time.monotonic)
    draws = options.draws_progress and not no_wait
    display = live_display(progress) if draws else nullcontext()
    call = Call(PROTOCOL, "sync", options.patterns, full, progress=draws, wait=not no_wait)
    places = control_directories(config, os.environ)
    directory = next((one for one in places if _has_socket(one)), places[0])
    result = event_loop.run(_call(directory, call, progress, display, quiet=quiet))
    if no_wait and result.error is None and result.signal is None:
        return exit_status.OK
    return conclude(result, options, started)


def _has_socket(directory: Path) -> bool:
    try:
        return (directory / SOCKET).exists()
    except OSError:  # no permission to look
        return False


async def _call(
    directory: Path,
    call: Call,
    progress: Progress,
    display: AbstractContextManager[object],
    *,
    quiet: bool,
) -> PassResult:
    accepted: list[Accepted] = []
    stopper = GracefulStop(text="Stopped waiting. The daemon goes on with what was requested.")
    report, error = None, None
    with display:
        try:
            report = await stopper.run(call_daemon(directory, call, progress, accepted.append))
        except Exception as failure:  # noqa: BLE001 - printed after the report
            error = failure
    if report is not None and report.interrupted:
        print_error_line("the daemon stopped before the end; it continues when it is started again")
    if accepted and not call.wait and not quiet:
        print_text(f"The daemon (process {accepted[0].pid}) syncs them now.\n")
    return PassResult(report, error, stopper.signal)
