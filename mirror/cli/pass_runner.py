"""One pass of ``sync``, ``plan`` or ``verify``, from the configuration file to what is printed."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from mirror.cli import event_loop, exit_status, startup
from mirror.cli.exit_status import first_known
from mirror.cli.graceful_stop import GracefulStop
from mirror.cli.output import is_terminal, print_text
from mirror.cli.render.error_text import print_error, sentence
from mirror.cli.render.plan_text import plan_tables
from mirror.cli.render.progress_bars import live_display
from mirror.cli.render.sync_text import news, summary
from mirror.cli.render.terminal import show
from mirror.cli.render.verify_text import verify_tables
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import Report
from mirror.errors import UsageError
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mirror.app import App
    from mirror.cli.logs import Level
    from mirror.cli.options import GlobalOptions
    from mirror.config import Config, Secrets
    from mirror.notify import Notifications


IN_THE_REPORT = frozenset(
    {
        "asset.differs",
        "circuit.closed",
        "circuit.opened",
        "discovery.failed",
        "mirror.failed",
        "mirror.recovered",
    }
)
"""Log events that tell what the tables of a pass tell as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of a pass.

    Attributes:
        wait: Seconds to wait for the ledger lock.
        detailed: Exit with 3 if a plan holds work.
        repair: Only with ``verify``: upload again what differs.
    """

    command: Literal["sync", "plan", "verify"]
    patterns: tuple[str, ...] = ()
    as_json: bool = False
    full: bool = False
    progress: bool = True
    quiet: bool = False
    wait: float = 0.0
    detailed: bool = False
    repair: bool = False

    @property
    def draws_progress(self) -> bool:
        """Whether to show the live display."""
        return self.progress and not self.quiet and is_terminal(sys.stderr)

    @property
    def log_level(self) -> Level:
        """The default level: the log adds what the display and the tables do not show."""
        if self.quiet:
            return "error"
        return "warning" if self.draws_progress or self.command == "plan" else "info"

    @property
    def told(self) -> frozenset[str]:
        """Log events that the report repeats: a person reads both in one place."""
        return IN_THE_REPORT if self.draws_progress or self.quiet else frozenset()

    @property
    def notifies(self) -> bool:
        """Whether to send notifications: only about a pass that writes."""
        return self.command == "sync" or self.repair


@dataclass(frozen=True, slots=True)
class PassResult:
    """How a pass ended.

    Attributes:
        report: What was done; ``None`` if the pass never began.
        error: What ended it early.
        signal: The number of the signal that stopped it.
    """

    report: Report | None
    error: Exception | None = None
    signal: int | None = None


def run_pass(global_options: GlobalOptions, options: RunOptions) -> int:
    """Run a pass and print the result.

    Returns:
        The exit status.

    Raises:
        ConfigError: The configuration or a secret is wrong; no host was contacted.
    """
    started = datetime.now(UTC)
    tables = {"target", "sources", "ledger"} | ({"notify"} if options.notifies else set())
    config, secrets = startup.load_with_secrets(global_options, only=tables)
    startup.set_up_log(global_options, config, options.log_level, told=options.told)
    startup.log_secret_warnings(secrets)
    notifications = None
    if options.notifies and (config.notify.urls or config.notify.heartbeat_url is not None):
        from mirror.notify import Notifications  # noqa: PLC0415 - see _run

        notifications = Notifications.of(config, secrets, SystemClock())
    progress = Progress(time.monotonic)
    compares = options.command == "verify"
    display = live_display(progress, compares=compares) if options.draws_progress else nullcontext()
    result = event_loop.run(_run(config, secrets, options, progress, display, notifications))
    return conclude(result, options, started)


async def _run(
    config: Config,
    secrets: Secrets,
    options: RunOptions,
    progress: Progress,
    display: AbstractContextManager[object],
    notifications: Notifications | None,
) -> PassResult:
    # Help and configuration errors must not wait for aiohttp to load.
    from mirror.app import open_app  # noqa: PLC0415

    async with open_app(config, secrets, observer=progress) as app:
        stopper = GracefulStop(
            None if options.command == "plan" else app.stop,
            progress,
            drain=config.daemon.drain_timeout.total_seconds(),
        )
        error: Exception | None = None
        report: Report | None = None
        with display:
            try:
                report = await stopper.run(_begin(app, options))
            except Exception as failure:  # noqa: BLE001 - printed after the report
                error = failure
        report = report or app.report()
        if stopper.signal and report and not report.interrupted and stopper.cancelled:
            report = replace(report, interrupted=True)
        number = stopper.signal
        # After a signal nothing is sent: the next pass notifies of what is still true then.
        if notifications and report and number is None and not isinstance(error, UsageError):
            sending = GracefulStop()
            await sending.run(app.tell(notifications, report, options.patterns, good=error is None))
            number = sending.signal
        return PassResult(report, error, number)


async def _begin(app: App, options: RunOptions) -> Report:
    patterns, full = options.patterns, options.full
    match options.command:
        case "plan":
            return await app.plan(patterns, full=full)
        case "verify":
            return await app.verify(patterns, full=full, repair=options.repair, wait=options.wait)
    return await app.sync(patterns, full=full, wait=options.wait)


def conclude(result: PassResult, options: RunOptions, started: datetime) -> int:
    """Print the result; the exit status."""
    status, report = exit_status.OK, result.report
    if result.error is not None:
        print_error(result.error)
        status = exit_status.of_error(result.error)
    if status != exit_status.USAGE:
        if options.as_json:
            _print_document(result, options, started)
        elif report is not None and (result.error is None or report.repositories):
            _print_tables(report, options)
    if result.signal is not None:
        return 128 + result.signal
    return status or exit_status.of_report(report, detailed=options.detailed)


def _print_document(result: PassResult, options: RunOptions, started: datetime) -> None:
    now = datetime.now(UTC)
    report = result.report or Report(
        options.command, started, now, (), interrupted=result.signal is not None
    )
    document = report.to_json()
    if result.error is not None:
        document["status"] = "failed"
        document["error"] = sentence(first_known(result.error))
    print_text(json.dumps(document, indent=2) + "\n")


def _print_tables(report: Report, options: RunOptions) -> None:
    if options.command == "verify":
        show(*verify_tables(report, quiet=options.quiet))
    elif options.quiet:
        show(*news(report))
    elif options.command == "plan":
        show(*plan_tables(report))
    else:
        show(*summary(report))
