"""The queue of a cluster: which mirrors are due, who asked for them, and which workers there are.

The rows of the mirrors are the queue: a mirror is due when its ``next_due`` has come and nobody has a
claim of it. Listings of owners' repositories are rows as well, so that one process makes each.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from mirror import __version__
from mirror.cluster.claims import DatabaseClaim, read_entry, read_report
from mirror.core.claims import FinishedElsewhere, SharedSettings
from mirror.core.reporting.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mirror.cluster.claims import DatabaseClaims
    from mirror.core.claims import JobSettings
    from mirror.core.clock import Clock
    from mirror.core.reporting.report import RepositoryReport
    from mirror.database.connection import Connection, Database

CHANNEL = "release_mirror_requests"
"""Notices of requests and of new settings; the payload is empty."""

URGENT = 3600.0
"""Seconds by which an urgent request precedes what is merely due; limited, so that no mirror starves."""

OVERLAP = 15.0
"""Seconds by which two looks at what changed overlap: a statement may be seen later than it began."""

WORKERS_KEPT = 3600.0
"""Seconds for which a worker that died is shown."""


class Due(NamedTuple):
    """A mirror or a listing that was claimed.

    Attributes:
        due_at: When it was due.
        urgent: It was requested before what is merely due.
    """

    claim: DatabaseClaim
    due_at: datetime
    urgent: bool


class Finished(NamedTuple):
    """What runs that began after a request did.

    Attributes:
        run: The last one; ``None`` if nobody works on the mirror any more.
        earlier: What runs that were cut short did, the oldest first.
    """

    run: FinishedElsewhere | None
    earlier: Sequence[RepositoryReport]


class Row(NamedTuple):
    """A row that changed.

    Attributes:
        owner: The id of the worker that has it; ``None`` for nobody.
        failures: That were ever reported.
    """

    key: str
    settings: str | None
    owner: str | None
    next_due: datetime
    began_at: datetime | None
    failures: int


class SharedQueue(SharedSettings):
    """The queue in the shared database.

    Every call without ``patience`` raises :class:`~mirror.errors.DatabaseUnavailable` at once while
    the database is unavailable, and may then be made again.

    Args:
        database: Connections to it.
        clock: The time of this machine.
        claims: The claims of this process.
        name: What people call it.

    Attributes:
        claims, name: The same.
    """

    def __init__(self, database: Database, clock: Clock, claims: DatabaseClaims, name: str) -> None:
        self.claims = claims
        self._database = database
        self._clock = clock
        self.name = name
        self._skew = timedelta()
        self._seen = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        """About the database's time."""
        return self._clock.now() + self._skew

    async def next_generation(self, *, patience: float = 0.0) -> int:
        """A number greater than all before; drawn before what is published is read."""
        rows = await self._database.query(
            "SELECT nextval('generations'), clock_timestamp()", patience=patience
        )
        generation, now = rows[0]
        self._skew = now - self._clock.now()
        return int(generation)

    async def publish(
        self,
        generation: int,
        jobs: Sequence[JobSettings],
        *,
        listing: str | None = None,
        patience: float = 0.0,
    ) -> None:
        """Have all processes use these settings, in one transaction."""

        async def publish(connection: Connection) -> None:
            # One after the other: of two that overlap, neither sees what the other one adds.
            cursor = await connection.execute("SELECT generation FROM published FOR UPDATE")
            published = (await cursor.fetchone() or (0,))[0]
            if listing is None:
                if published > generation:
                    return
                await connection.execute("UPDATE published SET generation = %s", (generation,))
            await connection.execute(
                """
                WITH given AS (
                    SELECT * FROM unnest(
                        %(keys)s::text[], %(settings)s::text[], %(sources)s::text[],
                        %(listings)s::text[]
                    ) AS given (key, settings, source, listing)
                ), allowed AS (
                    SELECT WHERE %(listing)s::text IS NULL OR EXISTS (
                        SELECT FROM given JOIN mirrors USING (key, settings)
                        WHERE key = %(listing)s)
                ), published AS (
                    INSERT INTO mirrors AS m (key, settings, source, listing, generation)
                    SELECT given.*, %(generation)s FROM given, allowed
                    ON CONFLICT (key) DO UPDATE
                    SET settings = excluded.settings, source = excluded.source,
                        listing = excluded.listing, generation = excluded.generation,
                        next_due = least(m.next_due, now()), changed_at = clock_timestamp()
                    WHERE m.generation <= excluded.generation
                    AND (m.settings, m.source, m.listing)
                        IS DISTINCT FROM (excluded.settings, excluded.source, excluded.listing)
                    RETURNING key
                ), removed AS (
                    UPDATE mirrors m
                    SET settings = NULL, generation = %(generation)s,
                        changed_at = clock_timestamp()
                    FROM allowed
                    WHERE settings IS NOT NULL AND generation <= %(generation)s
                    AND (%(listing)s::text IS NULL OR listing = %(listing)s)
                    AND NOT EXISTS (SELECT FROM given WHERE given.key = m.key)
                    RETURNING key
                )
                SELECT pg_notify(%(channel)s, '')::text WHERE EXISTS (SELECT FROM published)
                OR EXISTS (SELECT FROM removed)
                """,
                {
                    "generation": generation,
                    "keys": [job.key for job in jobs],
                    "settings": [job.settings for job in jobs],
                    "sources": [job.source for job in jobs],
                    "listings": [job.listing for job in jobs],
                    "listing": listing,
                    "channel": CHANNEL,
                },
            )
            timed = [job for job in jobs if job.next_tick]
            if timed:
                await connection.execute(
                    """
                    UPDATE mirrors m SET next_due = given.next_tick, changed_at = clock_timestamp()
                    FROM unnest(%s::text[], %s::text[], %s::timestamptz[])
                        AS given (key, settings, next_tick)
                    WHERE m.key = given.key AND m.settings = given.settings
                    AND m.next_due > given.next_tick
                    """,
                    (
                        [job.key for job in timed],
                        [job.settings for job in timed],
                        [job.next_tick for job in timed],
                    ),
                )

        await self._database.transact(publish, patience=patience)

    async def claim(
        self, limit: int, sources: Collection[str], excluded: Collection[str]
    ) -> list[Due]:
        """Claim what is due, what has waited for longest first.

        Args:
            limit: The most.
            sources: The names of the hosts that accept work.
            excluded: Keys of what this process knows other settings of.
        """
        sent_at = self._clock.boottime()
        # What this process has without knowing it was claimed by a statement whose response was
        # lost. A listing goes before the mirrors that it found. Of mirrors that are due at the same
        # time, such as all of a schedule, those of dead processes go first.
        rows = await self._database.query(
            """
            WITH due AS (
                SELECT key, next_due FROM mirrors m
                WHERE next_due <= now() AND settings IS NOT NULL AND source = ANY(%(sources)s)
                AND (owner IS NULL OR claimed_until < now()
                     OR (owner = %(owner)s AND key <> ALL(%(held)s)))
                AND key <> ALL(%(excluded)s)
                AND (listing = '' OR NOT EXISTS (
                    SELECT FROM mirrors l
                    WHERE l.key = m.listing AND l.settings IS NOT NULL AND l.next_due <= now()))
                ORDER BY next_due, (owner IS NULL) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            )
            UPDATE mirrors m
            SET number = number + 1, owner = %(owner)s, began_at = clock_timestamp(),
                claimed_until = now() + %(lease)s * interval '1 s', changed_at = clock_timestamp()
            FROM due WHERE m.key = due.key
            RETURNING m.key, number, entry, told, requested_at IS NOT NULL, requested_full,
                m.next_due, settings,
                coalesce(m.next_due <= requested_at - %(ahead)s * interval '1 s', false),
                clock_timestamp()
            """,
            {
                "owner": self.claims.owner,
                "ahead": URGENT,
                "lease": self.claims.times.lease,
                "limit": limit,
                "sources": list(sources),
                "held": list(self.claims.held),
                "excluded": list(excluded),
            },
            patience=0,
        )
        claimed = []
        for key, number, body, told, requested, full, due_at, settings, urgent, now in rows:
            self._skew = now - self._clock.now()
            entry = read_entry(key, body, told=told)
            claim = self.claims.hold(
                key, number, settings, sent_at, entry, requested=requested, full=full
            )
            claimed.append(Due(claim, due_at, requested and urgent))
        return sorted(claimed, key=lambda due: due.due_at)

    async def request(self, keys: Sequence[str] | None, *, full: bool, urgent: bool) -> datetime:
        """Have mirrors and listings run at once, by whichever process; wakes all of them.

        Args:
            keys: Which; ``None`` for all.
            full: Trust no stored ETag and no quarantine.
            urgent: Before what is merely due.

        Returns:
            When, by the database's clock: a run that began later answers the request.
        """
        rows = await self._database.query(
            """
            WITH requested AS (
                UPDATE mirrors
                SET requested_at = now(), changed_at = clock_timestamp(),
                    requested_full = requested_full OR %(full)s,
                    next_due = least(next_due, now() - %(ahead)s * interval '1 s')
                WHERE settings IS NOT NULL AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s))
            )
            SELECT now(), pg_notify(%(channel)s, '')::text
            """,
            {
                "keys": None if keys is None else list(keys),
                "full": full,
                "ahead": URGENT if urgent else 0.0,
                "channel": CHANNEL,
            },
            patience=0,
        )
        when: datetime = rows[0][0]
        return when

    async def finished(self, keys: Collection[str], since: datetime) -> dict[str, Finished]:
        """Which of these mirrors and listings were run since a request, and what was done."""
        rows = await self._database.query(
            """
            SELECT m.key, m.settings IS NULL, m.entry, m.told,
                (SELECT body FROM reports r WHERE r.key = m.key AND r.number = m.number),
                (SELECT array_agg(body ORDER BY r.number) FROM reports r
                 WHERE r.key = m.key AND r.number < m.number AND r.ended_at > %(since)s)
            FROM mirrors m
            WHERE m.key = ANY(%(keys)s) AND (m.settings IS NULL OR (
                m.owner IS NULL AND m.began_at > %(since)s AND m.ended_at >= m.began_at))
            """,
            {"keys": list(keys), "since": since},
            patience=0,
        )
        found = {}
        for key, removed, body, told, last, before in rows:
            reports = (read_report(one) for one in before or ())
            run = FinishedElsewhere(read_entry(key, body, told=told), read_report(last))
            earlier = [report for report in reports if report]
            found[key] = Finished(None if removed else run, earlier)
        return found

    async def is_done(self, until: datetime) -> bool:
        """Whether all processes have finished what was due until then."""
        rows = await self._database.query(
            """
            SELECT NOT EXISTS (
                SELECT FROM mirrors WHERE settings IS NOT NULL AND next_due <= %s)
            """,
            (until,),
            patience=0,
        )
        return bool(rows[0][0])

    async def look(self) -> list[Row]:
        """The rows that changed since the last look, and some that changed just before."""
        rows = await self._database.query(
            """
            SELECT clock_timestamp(), key, settings, owner, next_due, began_at, failures
            FROM mirrors
            WHERE changed_at > %s - %s * interval '1 s'
            """,
            (self._seen, OVERLAP),
            patience=0,
        )
        if rows:
            self._seen = rows[0][0]
        return [Row(*row[1:]) for row in rows]

    async def heartbeat(self, bytes_per_second: float, *, outdated: bool) -> None:
        """Tell that this worker is alive; forget those that died long ago, or were here before."""
        await self._database.query(
            """
            WITH gone AS (
                DELETE FROM workers WHERE id <> %(id)s
                AND (name = %(name)s OR last_heartbeat < now() - %(kept)s * interval '1 s')
            )
            INSERT INTO workers (id, name, version, bytes_per_second, outdated)
            VALUES (%(id)s, %(name)s, %(version)s, %(speed)s, %(outdated)s)
            ON CONFLICT (id) DO UPDATE
            SET last_heartbeat = clock_timestamp(), bytes_per_second = excluded.bytes_per_second,
                outdated = excluded.outdated
            """,
            {
                "id": self.claims.owner,
                "name": self.name,
                "version": __version__,
                "speed": round(bytes_per_second),
                "outdated": outdated,
                "kept": WORKERS_KEPT,
            },
            patience=0,
        )

    async def workers(self) -> list[Worker]:
        """All workers, in order of their names."""
        rows = await self._database.query(
            """
            SELECT name, version, since, last_heartbeat,
                (SELECT count(*) FROM mirrors WHERE owner = workers.id), bytes_per_second, outdated, id
            FROM workers ORDER BY name COLLATE "C", since
            """,
            patience=0,
        )
        return [Worker(*row) for row in rows]

    async def leave(self) -> None:
        """Take this worker off the list."""
        await self._database.query(
            "DELETE FROM workers WHERE id = %s", (self.claims.owner,), patience=0
        )

    async def listen(self, on_notice: Callable[[], object]) -> None:
        """Tell of notices that any process sent, until cancelled; some may be missed."""
        await self._database.listen(CHANNEL, lambda _: on_notice())
