"""Claims of mirrors in the shared database: one row a mirror, and a number that grows with each claim.

The number is the guarantee: every save of a mirror's state checks it. The time is a courtesy: it has
a process that cannot renew its claims stop before another takes them over.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import structlog

from mirror.core.claims import (
    TIMES,
    Claim,
    Claims,
    ClaimTimes,
    FinishedElsewhere,
    Superseded,
)
from mirror.core.ledger.index import decode_entry, encode_entry
from mirror.core.reporting.inheritance import KilledRun
from mirror.core.reporting.report import ActionReport, RepositoryReport
from mirror.database.connection import PATIENCE
from mirror.errors import ClaimLost, DatabaseUnavailable, LedgerCorrupt
from mirror.waiting import background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, MutableMapping, Sequence
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.core.ledger.index import IndexEntry
    from mirror.database.connection import Database

log = structlog.get_logger(__name__)

CHECK_EVERY = 1.0
"""Seconds between two looks at the time that is left."""

HAND_BACK = 5.0
"""Seconds to wait for an unavailable database when a claim is given back."""

REPORTS_KEPT = 24 * 3600.0
"""Seconds for which a report is kept for whoever waits for the run."""

PAUSE = float("inf")
"""Seconds to wait for an unavailable database when a mirror is claimed: the work pauses."""


class DatabaseClaim(Claim):
    """A claim of one mirror.

    Attributes:
        until: When it ends unless it is renewed, by this machine's boot clock: a suspended virtual
            machine must not believe afterwards that it still has the mirror.
        ending: It is being given back, and cannot be lost any more.
        takes_over: The run tells what killed ones did.
    """

    def __init__(
        self,
        key: str,
        number: int,
        settings: str | None,
        until: float,
        entry: IndexEntry | None,
        *,
        clock: Clock,
        claims: DatabaseClaims,
        margin: float,
        overlapped: bool = False,
        requested: bool = False,
        full: bool = False,
    ) -> None:
        self.key = key
        self.number = number
        self.settings = settings
        self.until = until
        self.entry = entry
        self.overlapped = overlapped
        self.requested = requested
        self.full = full
        self.lost = False
        self.ending = False
        self.takes_over = False
        self._clock = clock
        self._claims = claims
        self._margin = margin
        self._holder: asyncio.Task[object] | None = None

    def check(self) -> None:
        """See that enough time is left."""
        if self.lost or self._clock.boottime() >= self.until - self._margin:
            raise ClaimLost(f"the claim of {self.key} was not renewed in time")

    async def tell(self, report: RepositoryReport) -> None:
        """Save what the run has done so far."""
        await self._claims.save_report(self, report)

    async def intend(self, actions: Sequence[ActionReport], report: RepositoryReport) -> None:
        """Save what the run is about to do."""
        await self._claims.save_intent(self, actions, report)

    async def killed(self) -> Sequence[KilledRun]:
        """The runs that did not end."""
        found = await self._claims.killed(self)
        self.takes_over = bool(found)
        return found

    def expire(self) -> None:
        """Stop the work, if too little time is left."""
        if not self.ending and self._clock.boottime() >= self.until - self._margin:
            self.lose()

    def lose(self) -> None:
        """Stop the work: another process may have the mirror."""
        self.lost = self.ending = True
        log.warning("claim.lost", target=self.key)
        if self._holder:
            self._holder.cancel()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Cancel the block as soon as the claim is lost."""
        self.check()
        self._holder = task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine runs in a task
        try:
            yield
        except asyncio.CancelledError:
            if self.lost and task.uncancel() == 0:
                raise ClaimLost(f"the claim of {self.key} was lost") from None
            raise
        finally:
            self._holder = None


class DatabaseClaims(Claims):
    """Claims in the shared database.

    Args:
        database: Connections to it.
        clock: For waits, and for the time that is left.
        owner: Names this process, as no other process is or was named.
        claimed: Kept up to date: the number of each claim that this process has, by key.
        times: How long a claim is valid.

    Attributes:
        owner, times: The same.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        owner: str,
        claimed: MutableMapping[str, int],
        times: ClaimTimes = TIMES,
    ) -> None:
        self._database = database
        self._clock = clock
        self.owner = owner
        self.times = times
        self._claimed = claimed
        self._held: dict[str, DatabaseClaim] = {}

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew the claims of this process while the block runs."""
        async with background() as start:
            start(self._renew())
            start(self._expire())
            start(self._forget_reports())
            yield

    async def now(self) -> datetime:
        """The database's time."""
        rows = await self._database.query("SELECT clock_timestamp()")
        when: datetime = rows[0][0]
        return when

    async def take(
        self, key: str, settings: str, since: datetime, *, accepts: bool = True
    ) -> DatabaseClaim | FinishedElsewhere | Superseded | None:
        """Claim a mirror."""
        sent_at = self._clock.boottime()
        # If the response was lost, this process has the claim already, and takes a new one.
        rows = await self._database.query(
            """
            UPDATE mirrors m
            SET number = number + 1, owner = %(owner)s, began_at = now(),
                claimed_until = now() + %(lease)s * interval '1 s', changed_at = clock_timestamp()
            WHERE key = %(key)s AND settings = %(settings)s
            AND (owner IS NULL OR claimed_until < now() OR owner = %(owner)s)
            AND (NOT %(accepts)s OR owner IS NOT NULL
                 OR (began_at > %(since)s AND ended_at >= began_at) IS NOT TRUE)
            RETURNING number, entry, told,
                EXISTS (SELECT FROM reports r WHERE r.key = m.key AND r.ended_at > %(since)s),
                requested_at IS NOT NULL, requested_full
            """,
            {
                "key": key,
                "settings": settings,
                "owner": self.owner,
                "lease": self.times.lease,
                "since": since,
                "accepts": accepts,
            },
            patience=PAUSE,
        )
        if not rows:
            return await self._not_taken(key, settings, since, accepts=accepts)
        number, body, told, overlapped, requested, full = rows[0]
        return self.hold(
            key,
            number,
            settings,
            sent_at,
            read_entry(key, body, told=told),
            overlapped=overlapped,
            requested=requested,
            full=full,
        )

    def hold(
        self,
        key: str,
        number: int,
        settings: str | None,
        sent_at: float,
        entry: IndexEntry | None,
        *,
        overlapped: bool = False,
        requested: bool = False,
        full: bool = False,
    ) -> DatabaseClaim:
        """Renew a claim from now on, until it is given back.

        Args:
            key: The mirror's.
            number: The claim's.
            settings: The mirror's, as they were published last.
            sent_at: When the request for it was sent, by the boot clock.
            entry: The mirror's entry of the index.
            overlapped: Other runs did something before it that counts.
            requested: Somebody asked for this run.
            full: Somebody asked for a run that trusts nothing stored.
        """
        claim = DatabaseClaim(
            key,
            number,
            settings,
            sent_at + self.times.lease,
            entry,
            clock=self._clock,
            claims=self,
            margin=self.times.margin,
            overlapped=overlapped,
            requested=requested,
            full=full,
        )
        self._claimed[key], self._held[key] = number, claim
        return claim

    async def save_report(self, claim: DatabaseClaim, report: RepositoryReport) -> None:
        """Save what a run tells so far."""
        with suppress(DatabaseUnavailable):  # the next one tells more
            await self._save(claim, report, None, patience=0)

    async def save_intent(
        self, claim: DatabaseClaim, actions: Sequence[ActionReport], report: RepositoryReport
    ) -> None:
        """Save what a run is about to do, and what it tells so far."""
        await self._save(claim, report, msgspec.json.encode(actions), patience=PATIENCE)

    async def _save(
        self,
        claim: DatabaseClaim,
        report: RepositoryReport,
        intended: bytes | None,
        *,
        patience: float,
    ) -> None:
        await self._database.query(
            """
            INSERT INTO reports (key, number, body, intended, began_at, ended_at)
            SELECT key, number, %(body)s, %(intended)s, began_at, clock_timestamp() FROM mirrors
            WHERE key = %(key)s AND number = %(number)s AND owner = %(owner)s
            ON CONFLICT (key, number) DO UPDATE
            SET body = excluded.body, ended_at = excluded.ended_at,
                intended = coalesce(excluded.intended, reports.intended)
            """,
            {
                "body": msgspec.json.encode(report.but(claim=claim.number)),
                "intended": intended,
                "key": claim.key,
                "number": claim.number,
                "owner": self.owner,
            },
            patience=patience,
        )

    async def killed(self, claim: DatabaseClaim) -> list[KilledRun]:
        """The runs of a mirror that did not end."""
        rows = await self._database.query(
            """
            SELECT number, intended, body FROM reports
            WHERE key = %s AND number < %s AND intended IS NOT NULL ORDER BY number
            """,
            (claim.key, claim.number),
        )
        return [
            KilledRun(number, _read_actions(intended), report)
            for number, intended, body in rows
            if (report := read_report(body))
        ]

    def forget(self, claim: DatabaseClaim) -> None:
        """Stop renewing a claim; it expires."""
        claim.ending = True
        self._held.pop(claim.key, None)
        self._claimed.pop(claim.key, None)

    @property
    def held(self) -> Collection[str]:
        """The keys of the mirrors that this process has."""
        return self._held.keys()

    async def release(
        self,
        claim: Claim,
        entry: IndexEntry | None,
        report: RepositoryReport | None,
        *,
        finished: bool,
        next_due: datetime | None = None,
    ) -> bool:
        """Give the claim back, in one statement with all that is saved."""
        assert isinstance(claim, DatabaseClaim)  # noqa: S101 - as taken here
        claim.ending = True
        try:
            rows = await self._database.query(
                """
                WITH ended AS (
                    UPDATE mirrors SET entry = coalesce(%(entry)s, entry), owner = NULL,
                        claimed_until = NULL, changed_at = clock_timestamp(),
                        failures = failures
                            -- Given back already: the response to this very statement was lost.
                            + CASE WHEN owner IS NULL THEN 0 ELSE %(failures)s END,
                        ended_at = CASE WHEN %(finished)s THEN clock_timestamp() ELSE ended_at END,
                        next_due = CASE WHEN requested_at > began_at
                            OR settings IS DISTINCT FROM %(settings)s THEN next_due
                            ELSE coalesce(%(next_due)s, next_due) END,
                        requested_at = CASE WHEN %(finished)s AND requested_at <= began_at
                            THEN NULL ELSE requested_at END,
                        requested_full = requested_full
                            AND NOT (%(finished)s AND requested_at <= began_at)
                    WHERE key = %(key)s AND number = %(number)s
                    RETURNING key, number, began_at
                ), told AS (
                    INSERT INTO reports (key, number, body, began_at)
                    SELECT key, number, %(report)s, began_at FROM ended
                    WHERE %(report)s::bytea IS NOT NULL
                    ON CONFLICT (key, number) DO UPDATE
                    SET body = excluded.body, ended_at = excluded.ended_at, intended = NULL
                ), taken_over AS (
                    UPDATE reports r SET intended = NULL FROM ended
                    WHERE %(takes_over)s AND r.key = ended.key AND r.number < ended.number
                )
                SELECT 1 FROM ended
                """,
                {
                    "key": claim.key,
                    "number": claim.number,
                    "settings": claim.settings,
                    "entry": encode_entry(entry) if entry else None,
                    "report": msgspec.json.encode(report) if report else None,
                    "finished": finished,
                    "takes_over": claim.takes_over,
                    "next_due": next_due,
                    "failures": len(report.failures) if report else 0,
                },
                patience=HAND_BACK,
            )
        except DatabaseUnavailable:
            return False  # the claim expires
        finally:
            self.forget(claim)
        return bool(rows)

    async def reports(self, key: str, since: datetime) -> list[RepositoryReport]:
        """What runs of a mirror did since then."""
        rows = await self._database.query(
            "SELECT body FROM reports WHERE key = %s AND ended_at > %s ORDER BY number",
            (key, since),
        )
        found = (read_report(body) for (body,) in rows)
        return [report for report in found if report]

    async def _not_taken(
        self, key: str, settings: str, since: datetime, *, accepts: bool = True
    ) -> FinishedElsewhere | Superseded | None:
        """Why a mirror was not claimed."""
        rows = await self._database.query(
            """
            SELECT settings, owner IS NULL AND mirrors.began_at > %s
                AND mirrors.ended_at >= mirrors.began_at, entry, told, body
            FROM mirrors LEFT JOIN reports USING (key, number) WHERE key = %s
            """,
            (since, key),
            patience=PAUSE,
        )
        current, finished, body, told, report = rows[0] if rows else (None,) * 5
        if current != settings:
            return Superseded(removed=current is None)
        if not (finished and accepts):
            return None
        return FinishedElsewhere(read_entry(key, body, told=told), read_report(report))

    async def renew(self) -> None:
        """Renew every claim of this process once; those that others took over are lost."""
        claims = [claim for claim in self._held.values() if not claim.ending]
        if not claims:
            return
        sent_at = self._clock.boottime()
        try:
            rows = await self._database.query(
                """
                UPDATE mirrors SET claimed_until = now() + %s * interval '1 s'
                FROM unnest(%s::text[], %s::bigint[]) AS mine (key, number)
                WHERE mirrors.key = mine.key AND mirrors.number = mine.number
                AND mirrors.owner = %s
                RETURNING mirrors.key
                """,
                (
                    self.times.lease,
                    [claim.key for claim in claims],
                    [claim.number for claim in claims],
                    self.owner,
                ),
                patience=0,
            )
        except DatabaseUnavailable:
            return  # the next renewal may succeed; until then the claims' time passes
        renewed = {key for (key,) in rows}
        for claim in claims:
            if claim.key in renewed:
                claim.until = sent_at + self.times.lease
            elif not claim.ending and self._held.get(claim.key) is claim:  # else given back
                claim.lose()

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self.times.renew_every)
            await self.renew()

    async def _forget_reports(self) -> None:
        while True:
            with suppress(DatabaseUnavailable):
                await self._database.query(
                    "DELETE FROM reports WHERE ended_at < now() - %s * interval '1 s'",
                    (REPORTS_KEPT,),
                )
            await self._clock.sleep(REPORTS_KEPT / 24)

    async def _expire(self) -> None:
        while True:
            await self._clock.sleep(CHECK_EVERY)
            for claim in list(self._held.values()):
                claim.expire()


def read_entry(key: str, body: bytes | None, *, told: bool) -> IndexEntry | None:
    """A stored entry; ``None`` for none, and for one that cannot be read."""
    if body is None:
        return None
    try:
        entry = decode_entry(body)
    except LedgerCorrupt as error:
        log.warning("ledger.unreadable", entry=key, reason=str(error))
        return None
    entry.told = told
    return entry


def _read_actions(body: bytes) -> tuple[ActionReport, ...]:
    """Stored actions; none for those of other code."""
    try:
        return msgspec.json.decode(body, type=tuple[ActionReport, ...])
    except (msgspec.DecodeError, ValueError):
        return ()


def read_report(body: bytes | None) -> RepositoryReport | None:
    """A stored report; ``None`` for none, and for one of other code."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=RepositoryReport)
    except (msgspec.DecodeError, ValueError):
        return None
