"""The composition root: configuration in, objects out. Nothing else constructs the shell."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mirror.config.to_domain import rules_of
from mirror.core.claims import TIMES
from mirror.core.domain.patterns import check_patterns
from mirror.core.reporting.report import Observers
from mirror.core.retry import RetryPolicy
from mirror.core.shared_limits import Rates
from mirror.core.timetable import Timetable
from mirror.errors import ConfigError, Problem
from mirror.git.tag_pusher import GitRemote, TagPusher
from mirror.github import AppAuth, GitHubClient, ReleaseStore, TokenAuth
from mirror.github.allowance import Allowance
from mirror.github.connector import Proxies
from mirror.github.protocol.urls import is_github_dot_com, origin
from mirror.github.settings import Limits, Network, Timeouts
from mirror.open_ledger import OpenLedger, open_ledger
from mirror.storage.json_ledger import FileLedgerStore
from mirror.storage.spool import Spool
from mirror.sync.batch import SAVE_INDEX_EVERY, Batch
from mirror.sync.context import Endpoint, SessionContext, TargetEndpoint
from mirror.sync.mirror_runner import MirrorRunner
from mirror.sync.session import plan_mirror, sync_mirror
from mirror.sync.shared_work import PATIENCE, Sharing
from mirror.sync.stop import Stop
from mirror.system_clock import SystemClock
from mirror.transfer.bandwidth import Bandwidth
from mirror.transfer.priority_queue import TransferSlots
from mirror.transfer.workers import Workers
from mirror.verify.verifier import verify_mirror

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from mirror.bundle.writable_directory import WritableDirectory
    from mirror.check.check_results import CheckResult
    from mirror.config import Config, Secrets
    from mirror.config.model import App as AppSettings
    from mirror.config.model import Host
    from mirror.core.claims import ClaimTimes
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Rule
    from mirror.core.domain.release import RepoRef
    from mirror.core.ledger.document import Index
    from mirror.core.reporting.report import Observer, Report
    from mirror.core.share import SharedLimits
    from mirror.github import Auth, RequestSeen
    from mirror.github.app_key import AppKey
    from mirror.github.shared_state import SharedState
    from mirror.notify import Notifications
    from mirror.sync.mirror_runner import Work

GITHUB_LIMITS = Limits(points_per_minute=900, writes_per_minute=80, writes_per_hour=500)
"""The secondary limits of github.com and GHE.com.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

LARGEST_ASSET = 2**31
"""Bytes of the largest asset that GitHub takes: the spool has room for one a transfer.

Source: https://docs.github.com/repositories/releasing-projects-on-github/about-releases
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all transfers share, also while one app takes over from another.

    Attributes:
        transfers, rate: What the slots and the bandwidth were made for.
        git_directory, spool_directory, bundle: No directory ever has two owners.
        allowances: Of each credential, by its fingerprint, the host's address, and the limits.
    """

    transfers: int
    rate: int
    git_directory: Path
    spool_directory: Path
    slots: TransferSlots
    bandwidth: Bandwidth
    pusher: TagPusher
    spool: Spool
    allowances: dict[tuple[object, ...], Allowance] = field(default_factory=dict)
    bundle: WritableDirectory | None = None

    @classmethod
    def of(cls, config: Config, secrets: Secrets, clock: Clock, before: Shared | None) -> Shared:
        """Made as configured; what was there before is kept where its settings are the same."""
        sync = config.sync
        # A transfer holds a connection of both of its hosts to its end.
        servers = (host for host in config.hosts.values() if host.url)
        connections = (host.max_connections for host in servers)
        transfers = min([sync.transfers, *connections])
        git_directory = config.ledger.directory / "git"
        spool_directory = sync.spool_directory or config.ledger.directory / "spool"
        slots = (
            before.slots if before and before.transfers == transfers else TransferSlots(transfers)
        )
        if before and before.rate == sync.bandwidth:
            bandwidth = before.bandwidth
        else:
            bandwidth = Bandwidth(sync.bandwidth, clock)
        if before and before.git_directory == git_directory:
            pusher = before.pusher
        else:
            retry = RetryPolicy(attempts=sync.attempts)
            shared = config.ledger.url is not None  # no lock keeps other processes out
            pusher = TagPusher(git_directory, clock, retry, shared=shared)
        if before and before.spool_directory == spool_directory:
            spool = before.spool
        else:
            spool = Spool(spool_directory, transfers * LARGEST_ASSET, clock)
        return cls(
            transfers,
            sync.bandwidth,
            git_directory,
            spool_directory,
            slots,
            bandwidth,
            pusher,
            spool,
            before.allowances if before else {},
            _target_bundle(config, secrets, clock, before.bundle if before else None),
        )

    def allowance(
        self, address: str, auth: Auth, limits: Limits, clock: Clock, others: SharedLimits | None
    ) -> Allowance:
        """Of a credential at a host: one, however many sources use it.

        Args:
            address: Of the host's API.
            auth: The credential.
            limits: Of the host.
            clock: For every wait.
            others: Share it with other processes; ``None`` where there are none.
        """
        rates = Rates(limits.points_per_minute, limits.writes_per_minute, limits.writes_per_hour)
        key = (address, auth.fingerprint, rates)
        found = self.allowances.get(key)
        if found is None:
            share = others.share(address, lambda: auth.fingerprint, rates) if others else None
            found = self.allowances[key] = Allowance(clock, limits, share)
        elif found.share:
            found.share.follow(lambda: auth.fingerprint)
        return found


class App:
    """What the commands and the service do, with the objects that the configuration asks for.

    Attributes:
        stop: Ask it to stop, and nothing new is started.
        rules: All configured mirrors.
        shared: What a successor takes over.
    """

    def __init__(
        self,
        config: Config,
        ledger: OpenLedger,
        sources: Mapping[str, Endpoint],
        target: TargetEndpoint,
        clock: Clock,
        observer: Observer,
        shared: Shared,
        workers: Workers[Mapping[str, Any]],
        paced: asyncio.Event,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._ledgers = ledger.store
        self._limits = ledger.limits
        self._sources = sources
        self._target = target
        self._clock = clock
        self._observer = observer
        self.rules = rules_of(config)
        self.shared = shared
        self._workers = workers
        self._paced = paced
        self._batch: Batch | None = None
        self.stop = Stop()

    async def sync(
        self, patterns: Sequence[str] = (), *, full: bool = False, wait: float = 0.0
    ) -> Report:
        """Bring every selected mirror up to date, once.

        Args:
            patterns: Which; none for all.
            full: Trust no stored ETag and no quarantine.
            wait: Seconds to wait for another run that holds the lock.

        Raises:
            UsageError: A pattern matches nothing.
            LedgerLocked: Another run held the lock to the end.
        """
        check_patterns(self.rules, patterns)
        async with self._writing(wait) as sharing:
            return await self._run("sync", sync_mirror, patterns, full=full, sharing=sharing)

    async def plan(self, patterns: Sequence[str] = (), *, full: bool = False) -> Report:
        """Tell what :meth:`sync` would do; nothing is locked and nothing is written."""
        check_patterns(self.rules, patterns)
        return await self._run("plan", plan_mirror, patterns, full=full)

    async def verify(
        self,
        patterns: Sequence[str] = (),
        *,
        full: bool = False,
        repair: bool = False,
        wait: float = 0.0,
    ) -> Report:
        """Compare every mirrored asset with its source.

        Args:
            patterns: Which mirrors; none for all.
            full: Believe no digest that a host gives: read all bytes of both sides.
            repair: Send again what differs; without it nothing is locked and nothing is written.
            wait: Seconds to wait for another run that holds the lock.

        Raises:
            UsageError: A pattern matches nothing.
            LedgerLocked: Another run held the lock to the end.
        """
        check_patterns(self.rules, patterns)
        if not repair:
            return await self._run("verify", verify_mirror, patterns, full=full)
        async with self._writing(wait) as sharing:
            work = partial(verify_mirror, repair=True)
            return await self._run("verify", work, patterns, full=full, sharing=sharing)

    async def check(self) -> list[CheckResult]:
        """Look at every host without writing anything."""
        # Start-up time: only `check` needs them.
        from mirror.check.checker import Checker  # noqa: PLC0415
        from mirror.check.database_check import check_database  # noqa: PLC0415

        daemon, now = self._config.daemon, self._clock.now()
        interval = daemon.interval.total_seconds()
        if daemon.schedule:
            interval = Timetable(None, daemon.schedule).gap(now.astimezone())
        checker = Checker(
            self.rules,
            self._sources,
            self._target,
            self._clock,
            interval=interval,
            pusher=self.shared.pusher,
        )
        results = await checker.run()
        if self._ledger.cluster:
            results += await check_database(self._ledger.cluster.store.inspect)
        return results

    def runner(
        self,
        index: Index,
        work: Work = sync_mirror,
        *,
        full: bool = False,
        comparing: asyncio.Semaphore | None = None,
    ) -> MirrorRunner:
        """What runs one mirror at a time; for work that writes, the caller holds the ledger's lock.

        Args:
            index: Kept in memory; the caller saves it.
            work: What to do with each mirror.
            full: Trust no stored ETag and no quarantine.
            comparing: Permissions to compare a mirror, where more are run at the same time.
        """
        for host in (*self._sources.values(), self._target):
            if record := index.hosts.get(host.name):
                host.store.client.restore(record)
        context = self._context(index, full=full, comparing=comparing)
        return MirrorRunner(self._sources, self._target, context, work)

    async def tell(
        self,
        notifications: Notifications,
        report: Report,
        patterns: Sequence[str] = (),
        *,
        good: bool = True,
    ) -> None:
        """Tell people of a pass that ended, and the heartbeat of a good one; raises nothing.

        Args:
            notifications: Whom to tell.
            report: Of the pass.
            patterns: What it was about.
            good: Nothing beside the report went wrong.
        """
        await notifications.after(report, self._ledgers, self.rules, patterns, good=good)

    def report(self) -> Report | None:
        """What the pass that runs, or ran last, has done so far."""
        return self._batch.report() if self._batch else None

    @asynccontextmanager
    async def _writing(self, wait: float) -> AsyncIterator[Sharing | None]:
        """Prepare a pass that writes: others are kept out, or mirrors are claimed and limits shared."""
        claims, cluster = self._ledger.claims, self._ledger.cluster
        renewed = claims.renewed if claims else nullcontext
        shared = self._limits.active if self._limits else nullcontext
        async with self._ledgers.lock(wait), renewed(), shared():
            await self.shared.spool.sweep()
            if claims and cluster:
                generation = await cluster.queue.next_generation(patience=PATIENCE)
                yield Sharing(claims, cluster.queue, generation)
            else:
                yield None

    async def _run(
        self,
        command: str,
        work: Work,
        patterns: Sequence[str],
        *,
        full: bool,
        sharing: Sharing | None = None,
    ) -> Report:
        if self._limits and not sharing:
            await self._limits.look()
        at_once = self._config.sync.repositories
        # A verification does not begin by asking whether anything changed.
        comparing = None if command == "verify" else asyncio.Semaphore(at_once)
        index = await self._ledgers.load_index()
        runner = self.runner(index, work, full=full, comparing=comparing)
        self._batch = Batch(
            command,
            self.rules,
            patterns,
            runner,
            at_once=at_once,
            sharing=sharing,
            paced=self._paced,
        )
        return await self._batch.run()

    def _context(
        self, index: Index, *, full: bool, comparing: asyncio.Semaphore | None
    ) -> SessionContext:
        sync = self._config.sync
        return SessionContext(
            ledgers=self._ledgers,
            index=index,
            slots=self.shared.slots,
            clock=self._clock,
            observer=self._observer,
            stop=self.stop,
            retry=RetryPolicy(attempts=sync.attempts),
            transfers_per_release=sync.transfers_per_release,
            audit_interval=sync.audit_interval.total_seconds(),
            spool=self.shared.spool,
            spooled=sync.transfer == "spool",
            bandwidth=self.shared.bandwidth,
            workers=self._workers,
            comparing=comparing,
            full=full,
            git=self.shared.pusher,
        )


@asynccontextmanager
async def open_app(
    config: Config,
    secrets: Secrets,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    on_request: Callable[[RequestSeen], None] | None = None,
    ledger: OpenLedger | None = None,
    before: Shared | None = None,
) -> AsyncIterator[App]:
    """Construct everything, and close it at the end.

    Args:
        config: The settings.
        secrets: Reads what they refer to.
        clock: The time; the machine's by default.
        observer: Who watches; nobody by default.
        on_request: Told of every request to a host.
        ledger: As :func:`hold_ledger` gave it; else the app takes the lock when it needs it.
        before: Of the app that this one takes over from.

    Raises:
        ConfigError: An App's private key is none.
    """
    clock = clock or SystemClock()
    observer = observer or Observers()
    retry = RetryPolicy(attempts=config.sync.attempts)
    shared = Shared.of(config, secrets, clock, before)
    async with AsyncExitStack() as stack:
        if ledger is None:
            ledger = await stack.enter_async_context(open_ledger(config, secrets, clock))
        sides: dict[str, Endpoint] = {}
        others: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {}
        home, paced = asyncio.get_running_loop(), asyncio.Event()

        def told_paced(place: str, limit: str, seconds: float) -> None:
            observer.paced(place, limit, seconds)
            if seconds > SAVE_INDEX_EVERY:
                home.call_soon_threadsafe(paced.set)

        def seen_elsewhere(seen: RequestSeen) -> None:
            if on_request:
                home.call_soon_threadsafe(on_request, seen)

        for name, host in config.hosts.items():
            if host.bundle:
                from mirror.bundle_endpoints import bundle_endpoint  # noqa: PLC0415 - start-up time

                sides[name] = side = bundle_endpoint(name, host, shared.bundle, clock)
                others[name] = partial(nullcontext, side.store.client)
                continue
            auth = _auth(name, host, config, secrets, clock)
            limits = _limits(host)
            address = host.api_url or host.url
            allowance = shared.allowance(address, auth, limits, clock, ledger.limits)
            on_paced = partial(told_paced, urlsplit(host.url).netloc)
            connect = partial(_client, name, host, auth, clock, retry, limits, allowance, on_paced)
            client = await stack.enter_async_context(connect(on_request))
            sides[name] = _side(name, host, client, shared.transfers)
            others[name] = partial(connect, seen_elsewhere, client.state)
        target = sides.pop("target")
        assert isinstance(target, TargetEndpoint)  # noqa: S101 - it was made so
        if shared.bundle:
            stack.enter_context(shared.bundle.in_use())
        workers = await stack.enter_async_context(Workers(partial(_opened, others)))
        yield App(
            config,
            ledger,
            sides,
            target,
            clock,
            observer,
            shared,
            workers,
            paced,
        )


@asynccontextmanager
async def _opened(
    makers: Mapping[str, Callable[[], AbstractAsyncContextManager[Any]]],
) -> AsyncIterator[Mapping[str, Any]]:
    """Open clients of all hosts for another thread, in its event loop."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(make()) for name, make in makers.items()}


@asynccontextmanager
async def hold_ledger(
    config: Config,
    secrets: Secrets,
    *,
    clock: Clock | None = None,
    wait: float = 0.0,
    times: ClaimTimes = TIMES,
) -> AsyncIterator[OpenLedger]:
    """Hold the ledger while the block runs, as the daemon does for its whole life.

    Files are locked. A database is not connected before it is used.

    Args:
        config: The settings.
        secrets: Reads the database's URL.
        clock: The time; the machine's by default.
        wait: Seconds to wait for another run that holds the lock.
        times: How long a claim is valid.

    Raises:
        ConfigError: The database's URL is none, or psycopg is not installed.
        LedgerLocked: Another run held the lock to the end.
        LedgerError: The directory cannot be made or written.
    """
    if config.ledger.url:
        async with open_ledger(config, secrets, clock, times) as opened:
            yield opened
        return
    ledgers = FileLedgerStore(config.ledger.directory, clock or SystemClock())
    async with ledgers.lock(wait, daemon=True):
        yield OpenLedger(ledgers)


def check_keys(config: Config, secrets: Secrets) -> None:
    """See that every App's private key is one; no host is contacted.

    Raises:
        ConfigError: One is not.
    """
    for name, host in config.hosts.items():
        if host.app:
            _key(name, host.app, config, secrets)


def _key(name: str, app: AppSettings, config: Config, secrets: Secrets) -> AppKey:
    # Importing cryptography takes a sixth of the start-up time, and few configurations have an App.
    from mirror.github.app_key import AppKey  # noqa: PLC0415

    try:
        return AppKey(app.id, partial(secrets.current, app.private_key))
    except ValueError as error:
        place = () if name == "target" else ("sources",)
        path = (*place, name, "app", "private_key")
        problem = Problem(".".join(path), str(error), config.lines.find(path))
        raise ConfigError(str(config.file), [problem]) from None


def _auth(name: str, host: Host, config: Config, secrets: Secrets, clock: Clock) -> Auth:
    """Who this program is to a host."""
    address = host.api_url or host.url
    if host.app is None:
        read = partial(secrets.current, host.token) if host.token else None
        return TokenAuth(read, host=address)
    return AppAuth(
        host.app.id,
        _key(name, host.app, config, secrets),
        clock,
        host=address,
        installation=host.app.installation_id,
        owners=_owners(name, rules_of(config)),
    )


def _owners(name: str, rules: Sequence[Rule]) -> list[str]:
    """Whose repositories a host is asked for, each once."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.enabled and name == "target":
            owner = rule.target.replace("{owner}", rule.owner).partition("/")[0]
            found.setdefault(owner.casefold(), owner)
        elif rule.enabled and name == rule.source_name:
            found.setdefault(rule.owner.casefold(), rule.owner)
    return list(found.values())


def _client(
    name: str,
    host: Host,
    auth: Auth,
    clock: Clock,
    retry: RetryPolicy,
    limits: Limits,
    allowance: Allowance,
    on_paced: Callable[[str, float], None],
    on_request: Callable[[RequestSeen], None] | None,
    state: SharedState | None = None,
) -> GitHubClient:
    return GitHubClient(
        name,
        host.url,
        host.api_url,
        auth,
        clock,
        network=Network(host.ca_file, host.proxy, host.upload_origin, host.allow_plaintext),
        timeouts=Timeouts(
            host.connect_timeout.total_seconds(),
            host.stall_timeout.total_seconds(),
            host.response_timeout.total_seconds(),
        ),
        limits=limits,
        allowance=allowance,
        on_paced=on_paced,
        retry=retry,
        on_request=on_request,
        state=state,
    )


def _limits(host: Host) -> Limits:
    """As configured; what is not follows from the kind of host."""
    kind = GITHUB_LIMITS if is_github_dot_com(host.url) else Limits()

    def chosen(configured: int | None, default: float) -> float:
        return default if configured is None else configured

    return Limits(
        host.max_connections,
        chosen(host.points_per_minute, kind.points_per_minute),
        chosen(host.writes_per_minute, kind.writes_per_minute),
        chosen(host.writes_per_hour, kind.writes_per_hour),
        host.rate_limit_reserve,
    )


def _git(name: str, host: Host, client: GitHubClient) -> GitRemote:
    async def authorization(repo: RepoRef) -> str | None:
        return await client.authorization(f"{client.api_url}/repos/{repo}")

    return GitRemote(
        name,
        host.url,
        authorization,
        ca_file=host.ca_file,
        proxy=Proxies(host.proxy).address(origin(host.url)) or "",
        stall_timeout=host.stall_timeout.total_seconds(),
        response_timeout=host.response_timeout.total_seconds(),
        count_retry=client.count_retry,
    )


def _side(name: str, host: Host, client: GitHubClient, transfers: int) -> TargetEndpoint:
    return TargetEndpoint(
        name=name,
        url=host.url,
        api_url=client.api_url,
        credential=client.fingerprint,
        store=ReleaseStore(client),
        stall_timeout=host.stall_timeout.total_seconds(),
        response_timeout=host.response_timeout.total_seconds(),
        git=_git(name, host, client),
        warm=client.warm,
        max_connections=host.max_connections,
        # The other connections are left for its API, whatever is transferred and opened.
        places_ahead=min(transfers, 3 * (host.max_connections - transfers) // 4),
    )


def _target_bundle(
    config: Config, secrets: Secrets, clock: Clock, before: WritableDirectory | None
) -> WritableDirectory | None:
    """The bundle that is written to; the same one while the same directory is configured."""
    if config.target.bundle is None:
        return None
    from mirror.bundle_endpoints import writable_bundle  # noqa: PLC0415 - start-up time

    return writable_bundle(config.target, secrets, clock, before)
