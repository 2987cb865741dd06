"""Shares the limits of credentials with other processes, through their records in the database.

A request takes what it costs from a block in memory. One task for each credential fetches blocks and
reports what became of them, so that no request waits for the database while a limit is not used up.
A block is returned by time, which goes on while a machine is suspended: hence the boot clock.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mirror.cluster.limits import CHANNEL, SharedRecord
from mirror.core.quota import Quota
from mirror.core.share import NO_NEWS, News, Share, SharedLimits, UnitShare
from mirror.core.shared_limits import UNITS, Grant, Refusal, Report
from mirror.core.sliding_window import limit_text
from mirror.errors import DatabaseUnavailable, LedgerError
from mirror.waiting import background, wait_for_news

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mirror.cluster.limits import Settled
    from mirror.core.clock import Clock
    from mirror.core.shared_limits import LimitRecord, Rates, Unit, UnitReport
    from mirror.database.connection import Database
    from mirror.errors import GitHubError
    from mirror.waiting import Start

LOOK_AGAIN = 5.0
"""Seconds after which a request that waits looks again, whatever happened: its host may be disabled."""

RETRY = 1.0
"""Seconds between two attempts while the database is unavailable."""

LEAVE = 2.0
"""Seconds that the last report may take."""

POLL = 1.0
"""Seconds between two looks for news while requests are sent, where notices do not arrive."""

SLOW_POLL = 15.0
"""Seconds between two looks where notices arrive, or no request is sent."""

_SHORTEST = 0.001
"""Seconds; sums of floats may miss a moment by less."""


class _Pending(NamedTuple):
    """What the next report has to tell besides requests.

    Attributes:
        paused_until: The host asked for no requests before, monotonic.
    """

    paused_until: float = 0.0
    refusal: Refusal | None = None
    accepted: bool = False


_NOTHING = _Pending()


class CredentialShare(Share):
    """One credential at one host, as this process shares it.

    Args:
        record: Of the credential.
        rates: Its limits.
        clock: For every wait.
        holder: Names this process and credential, as no other is or was named.
        jitter: A random number from 0 to 1.
    """

    def __init__(
        self,
        record: SharedRecord,
        rates: Rates,
        clock: Clock,
        holder: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.record = record
        self.clock = clock
        self.active = False
        self._holder = holder
        self._jitter = jitter
        self._limits = {unit: windows for unit in UNITS if (windows := rates.windows(unit))}
        self.lock = threading.Lock()  # of what follows
        self.quotas = self._unused()
        self._units = {unit: _Unit(self, unit) for unit in UNITS}
        self._wakes: list[Callable[[], object]] = []
        self._woken_at = -math.inf
        self._news = NO_NEWS
        self._known_pause = 0.0  # as the record tells it
        self._pending = _NOTHING
        self._known: tuple[LimitRecord, float] | None = None  # and what makes its times ours
        self._looked_at = -math.inf
        self._used = False
        self._must_look = False
        self._not_before = -math.inf
        self._rung = asyncio.Event()
        self._home: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def _unused(self) -> dict[Unit, Quota]:
        return {
            unit: Quota(min(limits)[0], limit_text(*min(limits), unit))
            for unit, limits in self._limits.items()
        }

    # --- for whoever sends requests, from any thread ---------------------------------------------

    def unit(self, unit: Unit) -> UnitShare:
        """A unit of its limits."""
        return self._units[unit]

    def follow(self, credential: Callable[[], str]) -> None:
        """Ask somebody else for the credential's fingerprint from now on."""
        self.record.credential = credential

    def news(self) -> News:
        """The latest news: another object if something has changed."""
        self._used = True
        return self._news

    def pause(self, seconds: float) -> None:
        """The host asked this process for no requests during so many seconds."""
        with self.lock:
            until = self.clock.monotonic() + seconds
            self._pending = self._pending._replace(paused_until=until)
            self._news = self._news._replace(paused_until=until)
        self.ring()

    def refuse(self, error: GitHubError) -> None:
        """The host refused the credential."""
        with self.lock:
            refusal = Refusal(self.record.credential(), str(error), error.hint)
            self._pending = self._pending._replace(refusal=refusal, accepted=False)
            self._news = self._news._replace(refusal=refusal)
        self.ring()

    def accept(self) -> None:
        """The host accepts the credential."""
        with self.lock:
            if self._news.refusal is None:
                return
            self._pending = self._pending._replace(refusal=None, accepted=True)
            self._news = self._news._replace(refusal=None)
        self.ring()

    def sent(self, unit: Unit) -> list[tuple[float, float]]:
        """What all processes sent, as last heard: (seconds since the epoch, cost)."""
        if self._known is None:
            return []
        record, offset = self._known
        return [(moment + offset, cost) for moment, cost in record.sent(unit)]

    def wake_later(self, wake: Callable[[], object]) -> None:
        """Call it once when it is worth another look; the lock is held."""
        self._wakes.append(wake)

    def ring(self) -> None:
        """Have the reporting task look whether something is due."""
        if self._home is None:
            return
        if threading.get_ident() == self._thread:
            self._rung.set()
        else:
            self._home.call_soon_threadsafe(self._rung.set)

    # --- the reporting task ----------------------------------------------------------------------

    def begin(self) -> None:
        """Share from now on; :meth:`run` has to follow."""
        self._rung = asyncio.Event()
        self._home, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self.active = True

    async def run(self) -> None:
        """Report whenever something is due, until cancelled; what is left is returned then.

        Raises:
            DatabaseError: The database refused a statement.
        """
        try:
            while True:
                await self._due()
                await (self._report() if self._reports() else self.look())
                self._wake()
        finally:
            await self._leave()

    def must_look(self) -> None:
        """Read the record soon: there are news."""
        self._must_look = True
        self.ring()

    def look_if_used(self, *, notices: bool) -> None:
        """Read the record soon if that is due; called each :data:`POLL` seconds.

        Args:
            notices: Whether notices announce news.
        """
        if notices and not self._used:
            return
        often = self._used and not notices
        if often or self.clock.boottime() - self._looked_at >= SLOW_POLL - POLL:
            self.must_look()

    async def look(self) -> None:
        """Read the record for news; while the database is unavailable this does nothing.

        Raises:
            DatabaseError: The database refused a statement.
        """
        self._must_look = self._used = False
        try:
            found = await self.record.look()
        except DatabaseUnavailable:
            self._must_look = True
            self._not_before = self.clock.boottime() + RETRY
            return
        with self.lock:
            self._heed(found)

    async def _due(self) -> None:
        """Wait until there is something to tell; wake those that have waited for a while."""
        while True:
            self._rung.clear()
            with self.lock:
                now = self.clock.boottime()
                seconds, waiting = self._due_in(now), bool(self._wakes)
            if seconds <= 0:
                return
            if waiting:
                seconds = min(seconds, self._woken_at + LOOK_AGAIN - now)
            await self._nap(seconds)
            if self.clock.boottime() >= self._woken_at + LOOK_AGAIN:
                self._wake()

    def _due_in(self, now: float) -> float:
        if now < self._not_before:
            return self._not_before - now
        if self._must_look or self._pending is not _NOTHING:
            return 0.0
        return min((quota.due_in(now) for quota in self.quotas.values()), default=math.inf)

    def _reports(self) -> bool:
        """Whether more is due than a look."""
        with self.lock:
            now = self.clock.boottime()
            due = (quota.due_in(now) <= 0 for quota in self.quotas.values())
            return self._pending is not _NOTHING or any(due)

    async def _nap(self, seconds: float) -> None:
        """Wait until the bell is rung, at most so many seconds."""
        if math.isinf(seconds):
            await self._rung.wait()
            return
        await wait_for_news(self._rung, max(seconds, _SHORTEST), self.clock)

    def _wake(self) -> None:
        with self.lock:
            self._woken_at = self.clock.boottime()
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    async def _report(self, *, leaves: bool = False) -> None:
        with self.lock:
            self._must_look = self._used = False
            told_at, pending = self.clock.boottime(), self._pending
            units = {unit: quota.report(told_at) for unit, quota in self.quotas.items()}
        report = Report(
            self._holder,
            units,
            pause=max(0.0, pending.paused_until - self.clock.monotonic()),
            refusal=pending.refusal,
            accepted=pending.accepted,
            leaves=leaves,
        )
        settled: Settled | None = None
        try:
            with suppress(DatabaseUnavailable):
                settled = await self.record.settle(report)
        finally:
            with self.lock:
                self._settled(settled, told_at, units)
                if settled and self._pending is pending:
                    self._pending = _NOTHING
                self._heed(settled)

    def _settled(
        self, settled: Settled | None, told_at: float, units: dict[Unit, UnitReport]
    ) -> None:
        """Take what was granted; ``None`` if the report may have been lost."""
        if settled is None:
            self._must_look = True
            self._not_before = self.clock.boottime() + RETRY
            for unit, told in units.items():
                self.quotas[unit].unknown(told_at, told, self._not_before)
            return
        for unit in units:
            grant = settled.grants.get(unit, Grant())
            text = limit_text(*grant.limit, unit)
            self.quotas[unit].granted(told_at, grant, text, self._jitter())

    def _heed(self, found: Settled | None) -> None:
        """Note the news of a record; the lock is held."""
        self._looked_at = self.clock.boottime()
        if found is None:
            return
        record = found.record
        self._known = record, self.clock.now().timestamp() - found.at
        refusal, until = record.refusal, self._news.paused_until
        if refusal and refusal.credential != self.record.credential():
            refusal = None
        known = self._news.refusal
        same = refusal and known and refusal.credential == known.credential
        if same or self._pending is not _NOTHING:  # or the record does not know it yet
            refusal = known
        if record.paused_until != self._known_pause:
            self._known_pause = record.paused_until
            until = self.clock.monotonic() + record.paused_until - found.at
        if (until, refusal) != self._news:
            self._news = News(until, refusal)

    async def _leave(self) -> None:
        """Return what is in hand, and count for itself from now on."""
        with self.lock:
            self._not_before, self._must_look = -math.inf, False
            tells = self._due_in(self.clock.boottime()) < math.inf
        if tells:
            with suppress(LedgerError, TimeoutError):  # else it is returned by time
                async with asyncio.timeout(LEAVE):
                    await self._report(leaves=True)
        self.active = False
        self._home = None
        with self.lock:
            self.quotas = self._unused()
        self._wake()


class _Unit(UnitShare):
    """One unit of a credential's limits."""

    def __init__(self, share: CredentialShare, unit: Unit) -> None:
        self._share = share
        self._unit = unit

    @property
    def active(self) -> bool:
        """Whether the limit is shared now; else the process counts for itself."""
        return self._share.active

    @property
    def _quota(self) -> Quota:
        return self._share.quotas[self._unit]

    def enqueue(self, cost: float) -> None:
        """A request waits for its turn."""
        with self._share.lock:
            self._quota.enqueue(cost)

    def leave(self, cost: float) -> None:
        """It was given up."""
        with self._share.lock:
            self._quota.leave(cost)

    def take(self, cost: float) -> bool:
        """Take what the request costs that is next; whether that much is in hand."""
        with self._share.lock:
            taken = self._quota.take(self._share.clock.boottime(), cost)
            if taken:
                self._quota.leave(cost)
            return taken

    def ask(self, cost: float, wake: Callable[[], object]) -> None:
        """Ask for what the request costs that is next."""
        with self._share.lock:
            self._quota.ask(cost)
            self._share.wake_later(wake)
        self._share.ring()

    def answered(self, cost: float) -> None:
        """The response arrived, or the request failed."""
        with self._share.lock:
            self._quota.answered(self._share.clock.boottime(), cost)

    def withdraw(self, cost: float) -> None:
        """The request was not sent."""
        with self._share.lock:
            self._quota.withdraw(cost)

    def wait(self, cost: float) -> tuple[float, str]:
        """Seconds until a request may fit, and the limit in words; 0 if it fits, or unknown."""
        with self._share.lock:
            return self._quota.wait(self._share.clock.boottime(), cost), self._quota.text


class DatabaseLimits(SharedLimits):
    """The limits of every credential of this process, shared through the database.

    Args:
        database: Connections to it.
        clock: For every wait.
        owner: Names this process, as no other is or was named.
    """

    def __init__(self, database: Database, clock: Clock, owner: str) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._shares: list[CredentialShare] = []
        self._start: Start | None = None
        self._listens = False  # since a moment ago
        self._notices = False

    def share(self, host: str, credential: Callable[[], str], rates: Rates) -> CredentialShare:
        """Share a credential's limits."""
        record = SharedRecord(self._database, host, credential, rates)
        holder = f"{self._owner}:{len(self._shares)}"
        share = CredentialShare(record, rates, self._clock, holder)
        self._shares.append(share)
        if self._start:
            share.begin()
            share.must_look()
            self._start(share.run())
        return share

    async def look(self) -> None:
        """Hear what was sent, without sharing: for a process that writes nothing, not even this."""
        with suppress(LedgerError):  # no tables yet, or no right to read them
            for share in self._shares:
                await share.look()

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        """Share them while the block runs; outside of it each process counts for itself.

        Raises:
            DatabaseError: The database refused a statement.
        """
        async with background() as start:
            for share in self._shares:
                share.begin()
                await share.look()  # so that a pass does not hear of an old refusal after its start
                start(share.run())
            self._start = start
            start(self._database.listen(CHANNEL, self._told))
            start(self._watch())
            try:
                yield
            finally:
                self._start = None

    def _told(self, payload: str) -> None:
        """A notice came; an empty one: notices may have been missed."""
        if payload == self._owner:
            self._notices = True
            return
        if not payload:
            self._listens, self._notices = True, False
        for share in self._shares:
            if payload in {"", share.record.key}:
                share.must_look()

    async def _watch(self) -> None:
        """Look for news from time to time: often, unless a notice of our own has come back."""
        while True:
            if self._listens:
                with suppress(DatabaseUnavailable):
                    notice = (CHANNEL, self._owner)
                    await self._database.query("SELECT pg_notify(%s, %s)", notice, patience=0)
                    self._listens = False
            await self._clock.sleep(POLL)
            for share in self._shares:
                share.look_if_used(notices=self._notices)
