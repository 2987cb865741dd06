"""``sync``, ``plan`` and ``verify``: from the configuration file to a report that is printed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mirror.cli.event_loop import run as run_loop
from mirror.cli.main import FAILED, OK, PENDING, USAGE, first_known, sentence, told
from mirror.cli.render.progress import Live, Silent
from mirror.cli.render.terminal import is_terminal, print_text
from mirror.cli.signals import Stopper
from mirror.core.reporting.report import Report
from mirror.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.app import App
    from mirror.cli.logs import Level
    from mirror.cli.options import Common
    from mirror.cli.render.progress import Watcher
    from mirror.config import Config, Secrets
    from mirror.notify import Notifications

SECRETS = frozenset({"target", "sources"})
"""The tables whose secrets every pass needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for.

    Attributes:
        command: ``sync``, ``plan`` or ``verify``.
        repair: Of ``verify``: send again what differs.
        wait: Seconds to wait for the lock.
        detailed: Exit with 3 where a plan holds work.
    """

    command: str
    patterns: tuple[str, ...] = ()
    as_json: bool = False
    full: bool = False
    progress: bool = True
    quiet: bool = False
    wait: float = 0.0
    detailed: bool = False
    repair: bool = False

    @property
    def level(self) -> Level:
        """Of the log, where nobody sets one: nothing is told twice, and never nothing at all."""
        if self.quiet:
            return "error"
        return "warning" if self.shown or self.command == "plan" else "info"

    @property
    def telling(self) -> bool:
        """Whether people are told what came of it: only of what writes."""
        return self.command == "sync" or self.repair

    @property
    def secrets(self) -> frozenset[str]:
        """The tables whose secrets it needs."""
        return SECRETS | {"notify"} if self.telling else SECRETS

    @property
    def title(self) -> str:
        """What the progress display begins with."""
        return "Comparing" if self.command == "verify" else ""

    @property
    def shown(self) -> bool:
        """Whether progress is drawn."""
        return self.progress and not self.quiet and is_terminal(sys.stderr)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a pass ended.

    Attributes:
        report: As far as it came; ``None`` where it never began.
        error: What ended it early.
        signal: The number of the signal that stopped it.
    """

    report: Report | None
    error: Exception | None = None
    signal: int | None = None


def run(common: Common, wish: Wish, environ: Mapping[str, str] = os.environ) -> int:
    """Carry out a wish and print what came of it.

    Returns:
        The exit status.

    Raises:
        ConfigError: Before anything was contacted.
    """
    from mirror.config import resolve_secrets  # noqa: PLC0415 - takes its time

    started = datetime.now(UTC)
    config = common.load(environ)
    common.log(config, wish.level)
    secrets = resolve_secrets(config, environ, only=wish.secrets)
    common.warn(secrets)
    notifications = _notifications(config, secrets) if wish.telling else None
    watcher = Live(wish.title) if wish.shown else Silent()
    ended = run_loop(_pass(config, secrets, wish, watcher, notifications))
    return conclude(ended, wish, started)


def _notifications(config: Config, secrets: Secrets) -> Notifications | None:
    if not config.notify.urls and config.notify.heartbeat_url is None:
        return None
    from mirror.notify import Notifications  # noqa: PLC0415 - takes its time
    from mirror.system_clock import SystemClock  # noqa: PLC0415

    return Notifications.of(config, secrets, SystemClock())


async def _pass(
    config: Config,
    secrets: Secrets,
    wish: Wish,
    watcher: Watcher,
    notifications: Notifications | None,
) -> Ended:
    from mirror.app import open_app  # noqa: PLC0415 - takes its time

    async with open_app(config, secrets, observer=watcher.progress) as app:
        planning = wish.command == "plan"
        stopper = Stopper(
            None if planning else app.stop,
            watcher.progress,
            drain=config.daemon.drain_timeout.total_seconds(),
        )
        error: Exception | None = None
        report: Report | None = None
        with watcher:
            try:
                report = await stopper.run(_begin(app, wish))
            except Exception as failure:  # noqa: BLE001 - told by whoever concludes
                error = failure
        report = report or app.report()
        if stopper.signal and report and not report.interrupted and stopper.cancelled:
            report = replace(report, interrupted=True)
        number = stopper.signal
        # Who was stopped says nothing more: what there is to tell is told after the next pass.
        if notifications and report and number is None and not isinstance(error, UsageError):
            telling = Stopper()
            good = error is None
            await telling.run(app.tell(notifications, report, wish.patterns, good=good))
            number = telling.signal
        return Ended(report, error, number)


async def _begin(app: App, wish: Wish) -> Report:
    if wish.command == "plan":
        return await app.plan(wish.patterns, full=wish.full)
    if wish.command == "verify":
        return await app.verify(wish.patterns, full=wish.full, repair=wish.repair, wait=wish.wait)
    return await app.sync(wish.patterns, full=wish.full, wait=wish.wait)


def conclude(ended: Ended, wish: Wish, started: datetime) -> int:
    """Print what came of a pass; the exit status."""
    status, report = OK, ended.report
    if ended.error is not None:
        status = told(ended.error)
    if status != USAGE:
        if wish.as_json:
            _print_document(ended, wish, started)
        elif report is not None and (ended.error is None or report.repositories):
            _print_tables(report, wish)
    if ended.signal is not None:
        return 128 + ended.signal
    if status:
        return status
    if report is None or report.failed:
        return FAILED
    return PENDING if wish.detailed and report.pending else OK


def _print_document(ended: Ended, wish: Wish, started: datetime) -> None:
    now = datetime.now(UTC)
    report = ended.report or Report(
        wish.command, started, now, (), interrupted=ended.signal is not None
    )
    document = report.to_json()
    if ended.error is not None:
        document["status"] = "failed"
        document["error"] = sentence(first_known(ended.error))
    print_text(json.dumps(document, indent=2) + "\n")


def _print_tables(report: Report, wish: Wish) -> None:
    from mirror.cli.render.plan import plan_tables  # noqa: PLC0415
    from mirror.cli.render.tables import news, summary  # noqa: PLC0415
    from mirror.cli.render.terminal import show  # noqa: PLC0415

    if wish.command == "verify":
        from mirror.cli.render.verify import verify_tables  # noqa: PLC0415

        show(*verify_tables(report, quiet=wish.quiet))
    elif wish.quiet:
        show(*news(report))
    elif wish.command == "plan":
        show(*plan_tables(report))
    else:
        show(*summary(report))
