"""The service: start, ready, run, drain, stop, in one TaskGroup."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from mirror.app import hold_ledger
from mirror.core.reporting.report import Report
from mirror.core.text.wording import duration
from mirror.daemon.facts import Facts
from mirror.daemon.generation import Generation
from mirror.daemon.scheduler import Scheduler
from mirror.daemon.web import make_web_app, serve
from mirror.errors import ConfigError, LedgerError, MirrorError, Problem
from mirror.notify import Notifications, wildcards
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.config import Config, Secrets
    from mirror.core.clock import Clock
    from mirror.core.domain.expansion import Mirror
    from mirror.core.ledger.document import Index
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.passes import PassEnd
    from mirror.daemon.systemd import SdNotify
    from mirror.storage.json_ledger import FileLedgerStore

log = structlog.get_logger()

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAVE_EVERY = 10.0
"""Seconds between two saves of the index; what is lost with a crash costs requests only."""

TELL_EVERY = 2.0
"""Seconds between two looks at how things stand, for the service manager."""

SWEEP_EVERY = 3600.0
"""Seconds between two looks for rests in the spool that nobody came back for."""

GREET_AGAIN = (1.0, 30.0)
"""Seconds until a host that did not answer is asked again: at first, and at most."""


class Service:
    """The daemon.

    Args:
        load: Reads the configuration and its secrets, and sets the log up; raises
            :class:`~mirror.errors.ConfigError` and changes nothing where they are wrong.
        manager: The service manager, or the silence where there is none.
        clock: The time, and every wait but the drain's.
    """

    def __init__(
        self,
        load: Callable[[], tuple[Config, Secrets]],
        manager: SdNotify,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._manager = manager
        self._clock = clock or SystemClock()
        self._facts = Facts(self._clock)
        self._generations: list[Generation] = []
        self._signal: int | None = None
        self._scheduler: Scheduler | None = None
        self._deadline: asyncio.Timeout | None = None
        self._cut = False
        self._in_vain = False
        self._hangup = asyncio.Event()
        self._news = asyncio.Event()
        self._dirty = asyncio.Event()
        self._good_pass = False
        self._ended: list[PassEnd] = []

    async def run(self) -> int:
        """Mirror until a signal asks to stop.

        Returns:
            The exit status: 0 after a clean drain, 128 and the signal's number where something
            was not left to finish.

        Raises:
            ConfigError: Nothing was contacted, nothing was changed.
            LedgerLocked: Another run holds the ledger.
            MirrorError: The ledger cannot be written, or the address cannot be listened on.
        """
        self._heed_signals()
        config, secrets = self._load()
        async with hold_ledger(config, clock=self._clock) as ledgers:
            self._ledgers: FileLedgerStore = ledgers
            self._index: Index = await ledgers.load_index()
            generation = await self._open(config, secrets)
            try:
                await self._serve(generation)
            finally:
                _ignore_signals()
                for one in list(self._generations):
                    await one.close()
                await self._save()
        number = self._signal
        log.info("service.stopped", clean=not self._cut)
        return 128 + number if number is not None and self._cut else 0

    async def _open(self, config: Config, secrets: Secrets) -> Generation:
        before = self._generations[-1] if self._generations else None
        notifications = Notifications.of(config, secrets, self._clock)
        generation = await Generation.open(
            config,
            secrets,
            ledgers=self._ledgers,
            index=self._index,
            clock=self._clock,
            observer=self._facts.observer,
            on_request=self._facts.on_request,
            before=before,
        )
        self._generations.append(generation)
        self._notifications = notifications
        return generation

    async def _serve(self, generation: Generation) -> None:
        config = generation.config
        if self._signal is not None:
            return
        self._scheduler = scheduler = Scheduler(
            generation,
            self._clock,
            generation.groups(),
            watcher=self,
            at_once=config.sync.repositories,
        )
        self._facts.take(generation, scheduler)
        await generation.app.shared.spool.sweep()
        async with AsyncExitStack() as stack:
            address = ""
            if listen := config.daemon.listen:
                app = make_web_app(self._facts, self._clock, listen=listen.host)
                bound = await stack.enter_async_context(serve(app, listen.host, listen.port))
                address = bound.url
            log.info(
                "service.started",
                address=address,
                mirrors=len(config.mirrors),
                timetable=config.daemon.schedule
                or f"every {duration(config.daemon.interval.total_seconds())}",
            )
            await self._live(scheduler)

    async def _live(self, scheduler: Scheduler) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            works = (
                self._tell(),
                self._heed_hangups(scheduler),
                self._keep(),
                self._sweep(),
                self._notify(),
            )
            tasks = [group.create_task(work) for work in works]
            self._greeting = group.create_task(self._greet())
            try:
                if self._signal is None:
                    self._facts.state = "running"
                    self._manager.ready()
                await self._mirror(scheduler)
            finally:
                self._facts.state = "draining"
                for task in (*tasks, self._greeting):
                    task.cancel()

    async def _mirror(self, scheduler: Scheduler) -> None:
        """Run the scheduler to its end, or to the end of the drain."""
        try:
            async with asyncio.timeout(None) as self._deadline:
                await scheduler.run()
        except TimeoutError:
            if self._signal is None:
                raise
            self._cut = not self._in_vain
        finally:
            self._deadline = None

    # -- signals ----------------------------------------------------------------------------------

    def _heed_signals(self) -> None:
        """From the first moment: one that comes during the start ends it, or waits for its turn."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        loop.add_signal_handler(signal.SIGUSR1, self._start_all)

    def _stop(self, number: int) -> None:
        """The first time: start nothing new. The second: at once. The third: whatever it costs."""
        if self._cut:
            os._exit(128 + number)
        loop, deadline = asyncio.get_running_loop(), self._deadline
        if self._signal is not None:
            log.warning("service.stopping_at_once", signal=signal.Signals(number).name)
            self._cut = True
            if deadline is not None and not deadline.expired():
                deadline.reschedule(loop.time())
            return
        self._signal = number
        self._facts.state = "draining"
        if self._scheduler is None:
            log.info("service.draining", signal=signal.Signals(number).name, transfers=0)
            return  # nothing was begun
        drain = self._generations[-1].config.daemon.drain_timeout.total_seconds()
        log.info(
            "service.draining",
            signal=signal.Signals(number).name,
            transfers=len(self._facts.progress.transfers),
            at_most=f"{drain:g}s",
        )
        self._manager.stopping(within=drain + SAVE_EVERY)
        for generation in self._generations:
            generation.app.stop.request()
        self._scheduler.stop()
        if deadline is not None:
            deadline.reschedule(loop.time() + drain)

    def _start_all(self) -> None:
        if self._scheduler is not None:  # else all that is due is about to be started
            log.info("service.asked", by="SIGUSR1", what="every mirror")
            self._scheduler.request()

    # -- reload -----------------------------------------------------------------------------------

    async def _heed_hangups(self, scheduler: Scheduler) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            if self._signal is not None:
                continue  # nothing new is begun any more
            self._manager.reloading()
            try:
                await self._reload(scheduler)
            finally:
                self._manager.ready()

    async def _reload(self, scheduler: Scheduler) -> None:
        """Take over what the file says now; what is in flight goes on as it began."""
        before = self._generations[-1]
        try:
            config, secrets = self._load()
            _check_unmoved(before.config, config)
            generation = await self._open(config, secrets)
        except MirrorError as error:
            problems = [str(one) for one in getattr(error, "problems", ())] or [str(error)]
            log.error("config.rejected", problems=problems)  # noqa: TRY400 - told in full
            self._facts.on_reload(
                "The configuration file is not the one in use: it was read again and has mistakes ("
                + "; ".join(problems)
                + ")."
            )
            return
        if config.daemon.listen != before.config.daemon.listen:
            log.warning("config.needs_restart", key="daemon.listen", kept="the former address")
        self._facts.take(generation, scheduler)
        self._facts.on_reload()
        scheduler.replace(generation.groups(), generation, at_once=config.sync.repositories)
        self._group.create_task(self._retire(before))
        self._greeting.cancel()
        self._greeting = self._group.create_task(self._greet())
        log.info("config.reloaded", mirrors=len(config.mirrors), sources=len(config.sources))

    async def _retire(self, generation: Generation) -> None:
        try:
            await generation.close()
        finally:
            self._generations.remove(generation)

    # -- what goes on meanwhile -------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell the service manager how things stand, and that the loop turns."""
        every = min(TELL_EVERY, self._manager.watchdog_interval or TELL_EVERY)
        told = float("-inf")
        while True:
            now = self._clock.monotonic()
            if self._facts.alive():
                self._manager.watchdog()
            self._shorten_drain()
            if now - told >= TELL_EVERY:
                told = now
                self._manager.status(self._facts.line())
            await self._clock.sleep(every)

    def _shorten_drain(self) -> None:
        """End it where all that is left waits for hosts that are closed for longer: it is no loss."""
        deadline = self._deadline
        end = deadline.when() if deadline is not None else None
        if self._signal is None or self._cut or deadline is None or end is None:
            return
        now = asyncio.get_running_loop().time()
        if end > now and self._facts.in_vain(end - now):
            self._in_vain = True
            deadline.reschedule(now)

    async def _greet(self) -> None:
        """Ask each host for a sign of life: an idle pass asks the target nothing."""
        wait, longest = GREET_AGAIN
        generation = self._generations[-1]
        while silent := self._facts.silent_hosts():
            for name in silent:
                try:
                    await generation.greet(name)
                except MirrorError as error:
                    log.debug("host.silent", host=name, error=str(error))
            await self._clock.sleep(wait)
            wait = min(2 * wait, longest)

    async def _keep(self) -> None:
        """Save the index now and then."""
        while True:
            await self._dirty.wait()
            await self._save()
            await self._clock.sleep(SAVE_EVERY)

    async def _save(self) -> None:
        self._dirty.clear()
        try:
            await self._ledgers.save_index(self._index)
        except LedgerError as error:
            if not self._facts.unsaved:  # once, not with every try
                log.error("ledger.not_saved", error=str(error))  # noqa: TRY400 - no fault of ours
            self._facts.unsaved = str(error)
            self._dirty.set()
        else:
            if self._facts.unsaved:
                log.info("ledger.saved_again")
            self._facts.unsaved = ""

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_EVERY)
            await self._generations[-1].app.shared.spool.sweep()

    async def _notify(self) -> None:
        """Tell people what a pass changed, and the dead man's switch that it was good."""
        while True:
            await self._news.wait()
            self._news.clear()
            good, self._good_pass = self._good_pass, False
            ended, self._ended = self._ended, []
            rules = self._generations[-1].app.rules
            listed = [
                name
                for name in wildcards(rules)
                if any(name.partition(":")[0] in end.group.sources for end in ended)
            ]
            reports = [report for end in ended for report in end.reports]
            if await self._notifications.tell(self._index, rules, reports, listed=listed):
                self._dirty.set()
            # All mirrors are looked at for this alone: not where nobody listens.
            if good and self._notifications.beats and self._facts.all_well():
                await self._notifications.heartbeat()

    # -- what the scheduler tells -----------------------------------------------------------------

    def on_session(self, mirror: Mirror, report: RepositoryReport, seconds: float) -> None:
        """One mirror had its turn."""
        self._facts.on_session(mirror, report, seconds)
        self._dirty.set()

    def on_pass(self, end: PassEnd) -> None:
        """One pass ended."""
        report = Report(
            "sync",
            end.started_at,
            self._clock.now(),
            end.reports,
            requests=self._facts.requests_since_last_pass(),
        )
        self._index.remember(report)
        self._facts.on_pass(end)
        totals = report.totals()
        done = sum(action.status == "done" for repo in end.reports for action in repo.actions)
        tell = log.info if done else log.debug
        tell(
            "pass.finished",
            seconds=round(end.seconds, 1),
            mirrors=end.asked,
            unchanged=totals["unchanged"],
            failures=totals["failures"],
            uploaded=totals["assets_uploaded"] + totals["assets_replaced"],
            bytes=totals["bytes_uploaded"],
        )
        self._ended.append(end)
        self._good_pass = self._good_pass or end.good
        self._dirty.set()
        self._news.set()


def _ignore_signals() -> None:
    """What comes now comes too late to matter: the last files are being saved."""
    loop = asyncio.get_running_loop()
    for number in (*STOP_SIGNALS, signal.SIGHUP, signal.SIGUSR1):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _check_unmoved(before: Config, after: Config) -> None:
    """Refuse what cannot change while the service runs.

    Raises:
        ConfigError: The ledger is somewhere else now.
    """
    if before.ledger.directory != after.ledger.directory:
        path = ("ledger", "directory")
        text = (
            f"cannot change while the service runs: restart it (it uses {before.ledger.directory})"
        )
        problem = Problem(".".join(path), text, after.lines.find(path))
        raise ConfigError(str(after.file), [problem])
