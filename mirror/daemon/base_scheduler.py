"""What both schedulers do: take requests, tell clients what is not run, and try hosts again."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

import structlog

from mirror.core.reporting.report import with_earlier
from mirror.daemon.host_gates import closed_for, disabled, gates_of, revive
from mirror.daemon.known_mirrors import KnownMirrors
from mirror.daemon.local_zone import LocalZone
from mirror.daemon.passes import Pass, Request
from mirror.sync.mirror_runner import crashed, interrupted, not_tried
from mirror.waiting import unless_stray

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from datetime import tzinfo

    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror
    from mirror.core.reporting.report import RepositoryReport
    from mirror.daemon.job_queue import Run
    from mirror.daemon.passes import Client
    from mirror.daemon.workload import Workload

log = structlog.get_logger()


class Watcher(Protocol):
    """Receives what the scheduler did."""

    def on_session(self, report: RepositoryReport, seconds: float) -> None:
        """A mirror's run ended, which took so many seconds."""

    def on_pass(self, ended: Pass) -> None:
        """A pass ended."""


class BaseScheduler(ABC):
    """Runs mirrors when they are due or requested.

    Args:
        workload: What there is to do.
        clock: The time and every wait.
        watcher: Receives what ended.
        zone: The time zone of schedules; the machine's by default.
    """

    def __init__(
        self,
        workload: Workload,
        clock: Clock,
        watcher: Watcher,
        zone: tzinfo | None = None,
    ) -> None:
        self._workload = workload
        self._clock = clock
        self._watcher = watcher
        self._zone = zone or LocalZone()
        self._wake = asyncio.Event()
        self._stopping = False
        self._known = KnownMirrors()
        self._step()

    def stop(self) -> None:
        """Start nothing new; runs in progress go on."""
        self._stopping = True
        self._wake.set()

    def replace(self, workload: Workload) -> None:
        """Go on with another configuration; runs in progress go on with theirs.

        Mirrors that were removed are not started any more; what is due under the new configuration
        runs at once. Hosts are tried again.
        """
        self._workload = workload
        revive(workload.gates.values())
        self._load()
        self._wake.set()

    # --- requests --------------------------------------------------------------------------------

    def request(
        self, source: str | None = None, repo: str | None = None, *, full: bool = False
    ) -> bool:
        """Run mirrors at once, whatever their timetable says and whether they failed before.

        Args:
            source: The name of a repository's source; ``None`` for every mirror, and then hosts
                that were stopped are tried again.
            repo: ``OWNER/REPO``. If it is not known, the patterns that match it are listed.
            full: Trust no stored ETag and no quarantine.

        Returns:
            Whether something was requested.
        """
        if self._stopping:
            return False
        self._wake.set()
        if source is None or repo is None:
            revive(self._workload.gates.values())
            return self._request_all(full=full)
        return self._request_repository(source, repo, full=full)

    def trigger(self, client: Client, *, full: bool = False) -> Pass | None:
        """Run what a client selects at once, whatever failed before; hosts are tried again.

        Args:
            client: Waits for the end.
            full: Trust no stored ETag and no quarantine.

        Returns:
            The pass, which ends when each mirror has had a run that began after this call;
            ``None`` if nothing new is started any more.
        """
        if self._stopping:
            return None
        self._wake.set()
        revive(self._workload.gates.values())
        began = self._clock.monotonic()
        request = Request(began, full=full, explicit=True, urgent=True)
        opened = Pass(None, request, self._clock.now().astimezone(UTC), began, client=client)
        self._begin_for_client(opened)
        return opened

    @abstractmethod
    def _load(self) -> None:
        """Take over the workload."""

    @abstractmethod
    def _request_all(self, *, full: bool) -> bool:
        """Request every mirror; whether there is any."""

    @abstractmethod
    def _request_repository(self, source: str, repo: str, *, full: bool) -> bool:
        """Request a repository, or the listings that could find it; whether there are any."""

    @abstractmethod
    def _begin_for_client(self, opened: Pass) -> None:
        """Request what a client's pass selects."""

    # --- what runs, and for whom -----------------------------------------------------------------

    @property
    @abstractmethod
    def running(self) -> Collection[Run]:
        """The runs in progress in this process."""

    @abstractmethod
    def _in_progress(self) -> set[str]:
        """The keys of the mirrors that run, and of the listings that are being made, here."""

    @abstractmethod
    def _client_passes(self) -> Iterable[Pass]:
        """The passes that clients wait for."""

    def waits_for(self, seconds: float) -> bool:
        """Whether every run needs a host that is closed for longer than so many seconds."""
        return all(closed_for(run.gates) > seconds for run in self.running)

    @property
    def alive_at(self) -> float:
        """When its loop last made a step, monotonic: now, while that may take its time."""
        now = self._clock.monotonic()
        return now if now < self._waits_until else self._stepped_at

    def _step(self, may_take: float = 0.0) -> None:
        """Prove to be alive; the next step may take so many seconds."""
        self._stepped_at = self._clock.monotonic()
        self._waits_until = self._stepped_at + may_take

    def _give_up_disabled(self) -> None:
        """Tell clients what is not run, because its host is disabled: they do not wait for it."""
        gates, known = self._workload.gates, self._known
        if not disabled(gates.values()):
            return
        in_progress = self._in_progress()
        for opened in self._client_passes():
            for key in opened.awaited - in_progress:
                if key in known.patterns:
                    if error := gates[known.source_of(key)].stopped:
                        report = not_tried(f"{key}/*", None, error)
                        opened.end_listing(key, [report], {}, error)
                elif (mirror := known.mirrors.get(key)) and (
                    error := disabled(gates_of(mirror, gates))
                ):
                    report = not_tried(mirror.name, str(mirror.target), error)
                    opened.end_run(key, report, error)

    def _interrupt_clients(self) -> None:
        """Tell clients what is not begun any more."""
        in_progress = self._in_progress()
        for opened in self._client_passes():
            for key in opened.awaited - in_progress:
                opened.interrupted = True
                if mirror := self._known.mirrors.get(key):
                    report = with_earlier(interrupted(mirror), self._lost_runs(opened, key))
                    opened.end_run(key, report)
                opened.awaited.discard(key)

    def _lost_runs(self, _opened: Pass, _key: str) -> Sequence[RepositoryReport]:
        """What runs did for a client whose end was not recorded."""
        return ()

    def _cut(self, run: Run, workload: Workload) -> None:
        """Tell clients what a run had done that is cancelled."""
        for one in run.request.clients:
            one.interrupted = True
            one.end_run(run.mirror.key, workload.done_by(run.mirror))

    def _end(self, opened: Pass) -> None:
        """Report a pass that waits for nothing any more."""
        opened.seconds = self._clock.monotonic() - opened.began
        self._tell(self._watcher.on_pass, opened)

    def _tell(self, callback: Callable[..., None], *facts: object) -> None:
        try:
            callback(*facts)
        except Exception:  # it must not end the loop
            log.exception("callback.failed")


async def attempt(mirror: Mirror, work: Awaitable[RepositoryReport]) -> RepositoryReport:
    """Run a mirror; whatever is raised is a failure of it."""
    try:
        return await unless_stray(work)
    except Exception as error:
        log.exception("mirror.crashed", source=mirror.name)
        return crashed(mirror, error)
