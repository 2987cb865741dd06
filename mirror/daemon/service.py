"""The service: start, ready, run, reload, drain, stop, in one TaskGroup."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror import __version__
from mirror.app import hold_ledger
from mirror.core.claims import TIMES
from mirror.core.domain.patterns import check_patterns
from mirror.core.ledger.index import Index
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import Observers, Report, RequestCount
from mirror.core.text.wording import duration
from mirror.daemon.control import Stopping, only_daemon, serve_control
from mirror.daemon.control_messages import control_directories
from mirror.daemon.metrics import Metrics
from mirror.daemon.runtime import Runtime
from mirror.daemon.scheduler import Scheduler
from mirror.daemon.shared_scheduler import SharedScheduler
from mirror.daemon.status import ServiceState, Status, Traffic
from mirror.daemon.web import make_web_app, serve
from mirror.errors import ConfigError, LedgerError, MirrorError, Problem, UsageError
from mirror.notify import wildcards
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mirror.config import Config, Secrets
    from mirror.core.claims import ClaimTimes
    from mirror.core.clock import Clock
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.passes import Client, Pass
    from mirror.daemon.systemd import SdNotify
    from mirror.open_ledger import OpenLedger

log = structlog.get_logger()

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAVE_EVERY = 10.0
"""Seconds between two saves of the index. A crash in between costs requests only."""

REPORT_EVERY = 2.0
"""Seconds between two status reports to systemd."""

SWEEP_EVERY = 3600.0
"""Seconds between two removals of abandoned files in the spool."""

PING_AGAIN = (1.0, 30.0)
"""Seconds until a host that did not answer is asked again: at first, and at most."""


class Service:
    """The daemon: one ledger, held for its whole life, and one runtime after another.

    Args:
        load: Reads the configuration and its secrets, and sets logging up; raises
            :class:`~mirror.errors.ConfigError` and changes nothing if they are invalid.
        systemd: The service manager; silent if there is none.
        clock: The time, and every wait but the drain's.
        claim_times: How long a claim is valid, where several processes share the work.
    """

    def __init__(
        self,
        load: Callable[[], tuple[Config, Secrets]],
        systemd: SdNotify,
        clock: Clock | None = None,
        claim_times: ClaimTimes = TIMES,
    ) -> None:
        self._load = load
        self._systemd = systemd
        self._clock = clock or SystemClock()
        self._claim_times = claim_times
        self._started = self._clock.now()
        self._progress = Progress(self._clock.monotonic)
        self._metrics = Metrics(__version__)
        self._traffic = Traffic(self._metrics, self._clock)
        self._ledger: OpenLedger
        self._runtimes: list[Runtime] = []  # the last one is in force, the others are closing
        self._scheduler: Scheduler | SharedScheduler | None = None
        self._stop_signal: int | None = None
        self._deadline: asyncio.Timeout | None = None
        self._waits_in_vain = False
        self._forced = False
        self._reload_requested = asyncio.Event()
        self._index_changed = asyncio.Event()
        self._passes_ended: asyncio.Queue[Pass] = asyncio.Queue()
        self._triggered: dict[Pass, asyncio.Future[Report]] = {}
        self._state = ServiceState()

    async def run(self) -> int:
        """Mirror until a signal asks to stop.

        Returns:
            The exit status: 0 after a clean drain, 128 plus the signal's number where work was cut.

        Raises:
            ConfigError: Nothing was contacted, nothing was changed.
            LedgerLocked: Another run holds the ledger.
            MirrorError: The ledger cannot be written, or the address cannot be listened on.
        """
        self._handle_signals()
        config, secrets = self._load()
        async with hold_ledger(
            config, secrets, clock=self._clock, times=self._claim_times
        ) as ledger:
            self._ledger = ledger
            # That of a database is read when there is a connection; until then the page waits.
            self._index = Index() if ledger.cluster else await ledger.store.load_index()
            runtime = await self._open(config, secrets)
            try:
                if self._stop_signal is None:
                    await self._serve(runtime)
            finally:
                _ignore_signals()
                for one in list(self._runtimes):
                    await one.close()
                await self._save_index()
        log.info("service.stopped", clean=not self._forced)
        return 128 + self._stop_signal if self._stop_signal is not None and self._forced else 0

    @property
    def _runtime(self) -> Runtime:
        return self._runtimes[-1]

    async def _open(self, config: Config, secrets: Secrets) -> Runtime:
        loop = asyncio.get_running_loop()
        save = partial(loop.call_soon_threadsafe, self._index_changed.set)
        runtime = await Runtime.open(
            config,
            secrets,
            ledger=self._ledger,
            index=self._index,
            clock=self._clock,
            observer=Observers(self._progress, _Pacing(self._triggered, save)),
            on_request=self._traffic.on_request,
            before=self._runtime if self._runtimes else None,
        )
        self._runtimes.append(runtime)
        return runtime

    async def _serve(self, runtime: Runtime) -> None:
        config = runtime.config
        scheduler = self._scheduler = self._make_scheduler(runtime)
        self._status = Status(
            self._state,
            runtime,
            scheduler,
            self._progress,
            self._traffic,
            self._metrics,
            self._clock,
            self._started,
        )
        directory = control_directories(config, os.environ)[0]
        async with AsyncExitStack() as stack:
            if self._ledger.cluster:
                stack.enter_context(only_daemon(directory))
            await runtime.app.shared.spool.sweep()
            await stack.enter_async_context(serve_control(directory, self))
            address = ""
            if listen := config.daemon.listen:
                app = make_web_app(self._status, self, self._clock, listen=listen.host)
                bound = await stack.enter_async_context(serve(app, listen.host, listen.port))
                address = bound.url
            log.info(
                "service.started",
                address=address,
                mirrors=len(config.mirrors),
                timetable=config.daemon.schedule
                or f"every {duration(config.daemon.interval.total_seconds())}",
            )
            await self._run(scheduler)

    def _speed(self) -> float:
        """Bytes a second; the average of the last seconds says little once nothing moves."""
        moving = self._progress.transfers
        return self._progress.speed.at(self._clock.monotonic()) if moving else 0.0

    def _make_scheduler(self, runtime: Runtime) -> Scheduler | SharedScheduler:
        if cluster := self._ledger.cluster:
            return SharedScheduler(runtime, cluster, self._clock, self, speed=self._speed)
        return Scheduler(runtime, self._clock, self)

    async def _run(self, scheduler: Scheduler | SharedScheduler) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            works = (
                self._report_to_systemd(),
                self._reload_on_request(scheduler),
                self._save_changes(),
                self._sweep_spool(),
                self._notify(),
            )
            tasks = [group.create_task(work) for work in works]
            self._pinging = group.create_task(self._ping_silent_hosts())
            try:
                if self._stop_signal is None:
                    self._state.phase = "running"
                    self._systemd.ready()
                async with asyncio.timeout(None) as self._deadline:
                    await scheduler.run()
            except TimeoutError:
                if self._stop_signal is None:
                    raise
                self._forced = not self._waits_in_vain
            finally:
                self._deadline = None
                self._state.phase = "draining"
                for task in (*tasks, self._pinging):
                    task.cancel()

    # -- signals ----------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        """From the first moment: a signal during the start ends it, or waits for its turn."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload_requested.set)
        loop.add_signal_handler(signal.SIGUSR1, self._sync_all)

    def _stop(self, number: int) -> None:
        """The first time: start nothing new. The second: cancel. The third: exit at once."""
        if self._forced:
            os._exit(128 + number)
        loop, name = asyncio.get_running_loop(), signal.Signals(number).name
        if self._stop_signal is not None:
            log.warning("service.stopping_at_once", signal=name)
            self._forced = True
            self._end_drain_at(loop.time())
            return
        self._stop_signal = number
        drain = self._runtime.config.daemon.drain_timeout.total_seconds() if self._scheduler else 0
        transfers = len(self._progress.transfers)
        log.info("service.draining", signal=name, transfers=transfers, at_most=f"{drain:g}s")
        self._state.phase = "draining"
        if self._scheduler is None:
            return  # nothing was begun
        self._systemd.stopping(within=drain + SAVE_EVERY)
        for runtime in self._runtimes:
            runtime.app.stop.request()
        self._scheduler.stop()
        self._end_drain_at(loop.time() + drain)

    def _end_drain_at(self, moment: float) -> None:
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(moment)
            if self._ledger.cluster:
                asyncio.get_running_loop().call_at(moment, self._ledger.cluster.hurry)

    def _shorten_drain(self) -> None:
        """End it if all that is left waits for hosts that are closed for longer: nothing is lost."""
        end = self._deadline.when() if self._deadline is not None else None
        if self._stop_signal is None or self._forced or end is None:
            return
        now = asyncio.get_running_loop().time()
        if end > now and self._status.waits_in_vain(end - now):
            self._waits_in_vain = True
            self._end_drain_at(now)

    def _sync_all(self) -> None:
        if self._scheduler is not None:  # else all that is due is about to start
            log.info("sync.requested", trigger="SIGUSR1", scope="all")
            self._scheduler.request()

    # -- reload -----------------------------------------------------------------------------------

    async def _reload_on_request(self, scheduler: Scheduler | SharedScheduler) -> None:
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            if self._stop_signal is not None:
                continue  # nothing new is begun any more
            self._systemd.reloading()
            try:
                await self._reload(scheduler)
            finally:
                self._systemd.ready()

    async def _reload(self, scheduler: Scheduler | SharedScheduler) -> None:
        """Put the file as it is now into force; runs in progress go on with the old configuration."""
        before = self._runtime
        try:
            config, secrets = self._load()
            _check_unmoved(before.config, config)
            runtime = await self._open(config, secrets)
        except MirrorError as error:
            problems = [str(one) for one in getattr(error, "problems", ())] or [str(error)]
            log.error("config.rejected", problems=problems)  # noqa: TRY400 - the problems say it
            self._metrics.on_reload(good=False)
            self._state.rejected = (
                "The configuration file was changed and has errors; the previous configuration is"
                f" still in use ({'; '.join(problems)})."
            )
            return
        if config.daemon.listen != before.config.daemon.listen:
            log.warning("config.needs_restart", key="daemon.listen", kept="the former address")
        self._metrics.on_reload(good=True)
        self._state.rejected = ""
        self._status.replace(runtime)
        scheduler.replace(runtime)
        self._group.create_task(self._close(before))
        self._pinging.cancel()
        self._pinging = self._group.create_task(self._ping_silent_hosts())
        log.info("config.reloaded", mirrors=len(config.mirrors), sources=len(config.sources))

    async def _close(self, runtime: Runtime) -> None:
        try:
            await runtime.close()
        finally:
            self._runtimes.remove(runtime)

    # -- periodic work ----------------------------------------------------------------------------

    async def _report_to_systemd(self) -> None:
        """Prove to be alive, and report the status."""
        every = min(REPORT_EVERY, self._systemd.watchdog_interval or REPORT_EVERY)
        reported = float("-inf")
        while True:
            now = self._clock.monotonic()
            if self._status.alive():
                self._systemd.watchdog()
            self._shorten_drain()
            if now - reported >= REPORT_EVERY:
                reported = now
                self._systemd.status(self._status.line())
            await self._clock.sleep(every)

    async def _ping_silent_hosts(self) -> None:
        """Ask each host until it has answered once: an idle pass sends the target no request."""
        wait, longest = PING_AGAIN
        while silent := self._status.silent_hosts():
            for name in silent:
                try:
                    await self._runtime.ping(name)
                    self._traffic.answered.add(name)
                except MirrorError as error:
                    log.debug("host.silent", host=name, error=str(error))
            await self._clock.sleep(wait)
            wait = min(2 * wait, longest)

    async def _save_changes(self) -> None:
        while True:
            await self._index_changed.wait()
            await self._save_index()
            await self._clock.sleep(SAVE_EVERY)

    async def _save_index(self) -> None:
        self._index_changed.clear()
        cluster = self._scheduler.cluster if self._scheduler else None
        if cluster and not cluster.joined:
            return
        before = self._state.unsaved
        if self._runtimes:
            index, hosts = self._index, self._runtime.hosts
            index.hosts = {n: h.store.client.record(index.hosts.get(n)) for n, h in hosts.items()}
        try:
            await self._ledger.store.save_shared(self._index)
        except LedgerError as error:
            self._state.unsaved = str(error)
            self._index_changed.set()
            if not before:  # once, not with every try
                log.error("ledger.not_saved", error=str(error))  # noqa: TRY400 - no fault of ours
        else:
            self._state.unsaved = ""
            if before:
                log.info("ledger.saved_again")

    async def _sweep_spool(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_EVERY)
            await self._runtime.app.shared.spool.sweep()

    async def _notify(self) -> None:
        """After passes, notify people of what changed, and call the heartbeat if all is well."""
        while True:
            ended = [await self._passes_ended.get()]
            while not self._passes_ended.empty():
                ended.append(self._passes_ended.get_nowait())
            runtime = self._runtime
            try:
                await self._tell(runtime, ended)
                # All mirrors are looked at for this alone: not where nobody listens.
                good = [one.started_at for one in ended if one.good]
                if good and runtime.notifications.beats and await self._is_well(min(good)):
                    await runtime.notifications.heartbeat()
            except LedgerError as error:
                log.warning("notify.failed", reason=str(error))

    async def _tell(self, runtime: Runtime, ended: Sequence[Pass]) -> None:
        """Notify people of what is new; of several processes one at a time."""
        listings = {key for one in ended for key in one.listings}
        patterns = [rule for key in listings for rule in runtime.patterns.get(key, ())]
        reports = [report for one in ended for report in one.reports]
        about = self._index, runtime.rules, reports
        listed = wildcards(patterns)
        notifications = runtime.notifications
        cluster = self._scheduler.cluster if self._scheduler else None
        if cluster is None:
            if await notifications.tell(*about, listed=listed):
                self._index_changed.set()
        elif notifications.has_news(*about, listed=listed, others=cluster.other_settings):
            async with self._ledger.store.notifying():
                await cluster.refresh_told(self._runtime)
                others = cluster.other_settings
                if await notifications.tell(*about, listed=listed, others=others):
                    await self._ledger.store.save_shared(self._index)

    async def _is_well(self, until: datetime) -> bool:
        """Whether no mirror has failed, and all processes have done what was due until then."""
        cluster = self._scheduler.cluster if self._scheduler else None
        if cluster and not await cluster.is_done(self._runtime, until):
            return False
        return self._status.all_ok()

    # -- what the scheduler reports, and what webhooks request ------------------------------------

    def on_session(self, report: RepositoryReport, seconds: float) -> None:
        """A mirror's run ended."""
        self._metrics.on_session(report, seconds)
        self._index_changed.set()

    def on_pass(self, ended: Pass) -> None:
        """A pass ended."""
        waiting = self._triggered.pop(ended, None)
        if waiting and ended.client and ended.empty:
            nothing = f"nothing matches {', '.join(ended.client.patterns)}"
            waiting.set_exception(UsageError(nothing))
            waiting.exception()  # looked at: the client may have left
            return
        reports = tuple(ended.reports)
        report = Report(
            "sync",
            ended.started_at,
            self._clock.now(),
            reports,
            requests=dict.fromkeys(self._runtime.hosts, RequestCount()) | ended.requests,
            interrupted=ended.interrupted or any(r.status == "interrupted" for r in reports),
        )
        if waiting:
            waiting.set_result(report)
        if ended.asked or not self._ledger.cluster:  # else other processes run what it listed
            self._index.remember(report.pass_record())
        self._metrics.on_pass(reports, ended.seconds)
        totals = report.totals()
        done = sum(action.status == "done" for repo in reports for action in repo.actions)
        tell = log.info if done else log.debug
        tell(
            "pass.finished",
            seconds=round(ended.seconds, 1),
            mirrors=ended.asked,
            unchanged=totals["unchanged"],
            failures=totals["failures"],
            uploaded=totals["assets_uploaded"] + totals["assets_replaced"],
            bytes=totals["bytes_uploaded"],
        )
        self._passes_ended.put_nowait(ended)
        self._index_changed.set()

    def trigger(self, client: Client, *, full: bool) -> tuple[Pass, asyncio.Future[Report]]:
        """Sync what a client selects; see :class:`mirror.daemon.control.Triggers`."""
        runtime, scheduler = self._runtime, self._scheduler
        check_patterns(runtime.rules, client.patterns)
        opened = scheduler.trigger(client, full=full) if scheduler else None
        if opened is None:
            raise Stopping("the daemon is stopping and starts nothing new")
        scope = ", ".join(client.patterns) or "all"
        log.info("sync.requested", trigger="client", scope=scope, full=full)
        self._triggered[opened] = asyncio.get_running_loop().create_future()
        return opened, self._triggered[opened]

    def on_webhook(self, outcome: str) -> None:
        """A webhook delivery was answered."""
        self._metrics.on_webhook(outcome)

    def webhook_secret(self) -> str | None:
        """The secret of webhooks as it is now; ``None`` if webhooks are off."""
        return self._runtime.webhook_secret()

    def release_changed(self, host: str | None, repository: str) -> list[str]:
        """Sync a repository; the names that it is mirrored under (``github:cli/cli``)."""
        names = self._runtime.sources_at(host) if self._scheduler else []
        return [
            f"{name}:{repository}"
            for name in names
            if self._scheduler and self._scheduler.request(name, repository, full=True)
        ]


class _Pacing(Observers):
    """Tells waiting clients which limit holds requests back: it is that of a host, of no mirror."""

    def __init__(self, triggered: Mapping[Pass, object], save: Callable[[], object]) -> None:
        super().__init__()
        self._triggered = triggered
        self._save = save

    def paced(self, host: str, limit: str, seconds: float) -> None:
        if seconds > SAVE_EVERY:  # what was sent must not be forgotten if the service is killed
            self._save()
        for one in list(self._triggered):  # another thread may call
            if one.client:
                one.client.observer.paced(host, limit, seconds)


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
    place = before.ledger.url or before.ledger.directory
    if place != (after.ledger.url or after.ledger.directory):
        path = ("ledger", "url" if after.ledger.url else "directory")
        text = f"cannot change while the service runs: restart it (it uses {place})"
        problem = Problem(".".join(path), text, after.lines.find(path))
        raise ConfigError(str(after.file), [problem])
