"""The shared records of limits in PostgreSQL: each report is settled by compare-and-swap.

No lock is held and no transaction spans two statements, so a process that dies or is stopped in the
middle holds up nobody. A report costs two statements, however many requests it tells of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mirror.core.shared_limits import LimitRecord, settle, worth_saving

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.core.shared_limits import Grant, Rates, Report, Unit
    from mirror.database.connection import Database

CHANNEL = "release_mirror_limits"
"""Notices of pauses and refusals; the payload is the key of the record."""

PATIENCE = 2.0
"""Seconds during which a statement is repeated: whoever waits reports again later."""

_READ = """
    SELECT extract(epoch FROM clock_timestamp())::float8, version, state::text
    FROM limits WHERE key = %(key)s
"""

# A credential that nobody used yet, after a rotation perhaps, starts with what was sent to the same
# host. Records that nobody has used for a day hold nothing that counts.
_CREATE = """
    WITH unused AS (
        DELETE FROM limits
        WHERE key <> %(key)s AND updated_at < clock_timestamp() - interval '1 day'
    )
    INSERT INTO limits (key, host, version, state, updated_at)
    SELECT %(key)s, %(host)s, 0, coalesce(
        (SELECT state FROM limits WHERE host = %(host)s ORDER BY updated_at DESC LIMIT 1), '{}'
    ), clock_timestamp()
    ON CONFLICT (key) DO NOTHING
"""

_SAVE = """
    WITH saved AS (
        UPDATE limits
        SET version = version + 1, state = %(state)s::text::jsonb, updated_at = clock_timestamp()
        WHERE key = %(key)s AND version = %(version)s
        RETURNING key
    )
    SELECT CASE WHEN %(news)s THEN pg_notify(%(channel)s, key)::text END FROM saved
"""


class Settled(NamedTuple):
    """What became of a report.

    Attributes:
        record: As it is now.
        at: When, by the database's clock: seconds since the epoch.
        grants: What the process may send, by unit.
    """

    record: LimitRecord
    at: float
    grants: dict[Unit, Grant]


class _Read(NamedTuple):
    record: LimitRecord
    at: float
    version: int


class SharedRecord:
    """The record of one credential at one host.

    Args:
        database: Where it is kept.
        host: The address of the host's API.
        credential: Tells the credential's fingerprint. After a secret was replaced it is another
            one, and so is the record.
        rates: The limits.
    """

    def __init__(
        self, database: Database, host: str, credential: Callable[[], str], rates: Rates
    ) -> None:
        self.credential = credential
        self._host = host
        self._database = database
        self._rates = rates

    @property
    def key(self) -> str:
        """Of the record; the payload of its notices."""
        return f"{self._host} {self.credential()}"

    async def look(self) -> Settled | None:
        """Read the record, and tell nothing; ``None`` if there is none yet.

        Raises:
            DatabaseUnavailable, DatabaseError: As :meth:`settle`.
        """
        read = await self._read(self.key)
        return read and Settled(read.record, read.at, {})

    async def _read(self, key: str) -> _Read | None:
        rows = await self._database.query(_READ, {"key": key}, patience=PATIENCE)
        if not rows:
            return None
        now, version, state = rows[0]
        return _Read(msgspec.json.decode(state, type=LimitRecord), now, version)

    async def settle(self, report: Report) -> Settled:
        """Take a report into the record, and grant what fits.

        A report whose answer was lost may be made again: what it told then counts twice, for as
        long as the limit lasts, and what it was granted is held until the next report.

        Raises:
            DatabaseUnavailable: The database is unavailable; the report may have been saved.
            DatabaseError: It refused a statement.
        """
        key = self.key
        while True:
            read = await self._read(key)
            if not read:
                created = {"key": key, "host": self._host}
                await self._database.query(_CREATE, created, patience=PATIENCE)
                continue
            before, now = read.record, read.at
            after, grants = settle(before, now, report, self._rates)
            if not worth_saving(before, after, report):
                return Settled(after, now, grants)
            changes = {
                "key": key,
                "version": read.version,
                "state": msgspec.json.encode(after).decode(),
                "news": after.news != before.news,
                "channel": CHANNEL,
            }
            # No row means that another process was faster, so that this round is void.
            if await self._database.query(_SAVE, changes, patience=PATIENCE):
                return Settled(after, now, grants)
