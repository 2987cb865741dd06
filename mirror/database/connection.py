"""Connections to the shared PostgreSQL database: a pool, statements that end, and notices (LISTEN).

Every statement is a transaction of its own, with few exceptions, so that a process that is stopped or
cut off holds no lock. No session state is used and nothing is prepared: PgBouncer in transaction mode may stand in
between; only notices do not pass it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, LiteralString, Self, TypeVar

import psycopg
import structlog
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from mirror.core.retry import RetryPolicy, retrying
from mirror.errors import DatabaseError, DatabaseUnavailable, MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from mirror.core.clock import Clock

    Row = tuple[Any, ...]

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

log = structlog.get_logger(__name__)
# The pool logs each attempt to connect; the log of ours records changes of state.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

CONNECTIONS = 4
"""Connections of one process at most, besides the one for notices."""

CONNECT_TIMEOUT = 10
"""Seconds that establishing a connection may take, for each host of the URL; unless the URL says it."""

STATEMENT_TIMEOUT = 30.0
"""Seconds that a statement may take, the wait for a connection included."""

PATIENCE = 30.0
"""Seconds for which a statement is retried by default while the database is unavailable."""

STOPPED = "10s"
"""How long the server keeps a transaction whose process sends nothing."""

LISTEN_CHECK = 10.0
"""Seconds without a notice after which the connection for notices is checked."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the pool has for a connection when the process ends, and its tasks to end."""

RETRY = RetryPolicy(attempts=1_000_000, first=0.2, longest=5.0)
"""Whoever waits for the database says for how long, not how often."""

_DEFAULTS: Mapping[str, str | int] = {
    "application_name": "release-mirror",
    # Of a database without an encoding (SQL_ASCII, of a server made in the C locale), psycopg would
    # return bytes.
    "client_encoding": "utf8",
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Parameters of libpq: among others, a connection whose other end vanished fails within half a minute."""

_SESSION: Mapping[str, Any] = {"autocommit": True, "prepare_threshold": None}


def connection_string(url: str) -> str:
    """What libpq is given for a URL, with our defaults where the URL says nothing.

    Raises:
        ValueError: It is not a PostgreSQL URL. The message does not repeat it.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("is not a PostgreSQL URL: it must begin with postgresql:// (not shown)")
    try:
        given: dict[str, Any] = {
            name: value for name, value in conninfo_to_dict(url).items() if value is not None
        }
        timeout_from_conninfo(given)  # raises where it is no number: libpq looks at it too late
        return make_conninfo("", **{**_DEFAULTS, **given})
    except psycopg.Error:
        raise ValueError("is not a valid PostgreSQL URL (not shown)") from None


class Database:
    """The shared database; an asynchronous context manager, for one event loop.

    Args:
        url: Reads the PostgreSQL URL, a secret, for each new connection.
        clock: For waits between attempts.

    Attributes:
        clock: The same.
    """

    def __init__(self, url: Callable[[], str], clock: Clock) -> None:
        self._url = url
        self.clock = clock
        self._unavailable_since: float | None = None
        self._hurries = False
        self._listeners: list[tuple[str, Callable[[str], object]]] = []  # with their channels
        self._listening = asyncio.Lock()  # whose task has the connection for notices
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._connection_string,
            kwargs=dict(_SESSION),
            min_size=0,
            max_size=CONNECTIONS,
            open=False,
            timeout=CONNECT_TIMEOUT,
            reconnect_timeout=CONNECT_TIMEOUT,
            num_workers=2,
        )

    async def __aenter__(self) -> Self:
        with suppress(DatabaseError):  # told when it is used
            given = conninfo_to_dict(self._connection_string())["connect_timeout"] or 0
            self._pool.timeout = float(given) if float(given) > 0 else CONNECT_TIMEOUT
        await self._pool.open()
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._pool.close(timeout=CLOSE_TIMEOUT)

    async def query(
        self,
        statement: LiteralString | sql.Composed,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        patience: float = PATIENCE,
    ) -> list[Row]:
        """Run one statement in a transaction of its own; its rows.

        While the database is unavailable it is repeated. The first attempt may have been carried
        out when its response was lost, so the statement must be safe to repeat.

        Args:
            statement: SQL, with ``%s`` or ``%(name)s`` for parameters.
            parameters: Their values.
            patience: Seconds during which to repeat it.

        Raises:
            DatabaseUnavailable: The database was unavailable to the end.
            DatabaseError: It refused the statement.
        """

        async def attempt() -> list[Row]:
            async with self._connected() as connection:
                cursor = await connection.execute(statement, parameters, binary=True)
                return await cursor.fetchall() if cursor.description else []

        return await self._patiently(attempt, patience)

    async def transact(
        self, work: Callable[[Connection], Awaitable[T]], *, patience: float = PATIENCE
    ) -> T:
        """Run a few statements that need a transaction in common; repeated like one statement.

        A process that is stopped in the middle holds its locks for :data:`STOPPED` at most.

        Args:
            work: Runs them.
            patience: Seconds during which to repeat it.

        Raises:
            DatabaseUnavailable: The database was unavailable to the end.
            DatabaseError: It refused a statement.
        """

        async def attempt() -> T:
            async with self._connected() as connection, connection.transaction():
                await connection.execute(
                    "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (STOPPED,)
                )
                return await work(connection)

        return await self._patiently(attempt, patience)

    def hurry(self) -> None:
        """Repeat no statement, and wait little for a connection: the process is to end now."""
        self._hurries, self._pool.timeout = True, CLOSE_TIMEOUT

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], patience: float) -> T:
        end = self.clock.monotonic() + patience
        try:
            return await self._retry(
                attempt, lambda _: self.clock.monotonic() < end and not self._hurries
            )
        except DatabaseUnavailable as error:
            self._note_failure(error)
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction over several statements, for the rare work that needs one; not repeated.

        Raises:
            DatabaseUnavailable: The database is unavailable.
            DatabaseError: It refused a statement.
        """
        async with self._connected(limited=False) as connection, connection.transaction():
            yield connection

    async def wait(self, patience: float) -> None:
        """Return once the database answers.

        Raises:
            DatabaseUnavailable: It did not for ``patience`` seconds; the reason is named.
        """
        await self.query("SELECT 1", patience=patience)

    async def listen(self, channel: str, told: Callable[[str], object]) -> None:
        """Pass on the notices of a channel until cancelled.

        All channels of the process share one connection: one of their tasks has it, and another one
        takes its place when that ends. A channel that is added later is listened to within
        :data:`LISTEN_CHECK` seconds. Notices are lost while there is no connection, and behind
        PgBouncer in transaction mode: whoever listens also has to look from time to time.

        Args:
            channel: Its name.
            told: Called with each notice's payload, and with an empty one after each new connection,
                since notices may have been missed.
        """
        listener = channel, told
        self._listeners.append(listener)
        try:
            async with self._listening:
                while True:
                    connection = await self._retry(self._connect, lambda _: True)
                    try:
                        with _translated():
                            async with connection:
                                await self._pass_on(connection)
                    except DatabaseUnavailable as error:
                        self._note_failure(error)
                        await self.clock.sleep(RETRY.first)
        finally:
            self._listeners.remove(listener)

    async def _connect(self) -> Connection:
        with _translated():
            return await psycopg.AsyncConnection.connect(self._connection_string(), **_SESSION)

    async def _pass_on(self, connection: Connection) -> None:
        known: list[tuple[str, Callable[[str], object]]] = []
        while True:
            for channel, told in [one for one in self._listeners if one not in known]:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                known.append((channel, told))
                told("")
            async for notice in connection.notifies(timeout=LISTEN_CHECK):
                for channel, told in self._listeners:
                    if channel == notice.channel:
                        told(notice.payload)
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await connection.execute("SELECT 1")

    @asynccontextmanager
    async def _connected(self, *, limited: bool = True) -> AsyncIterator[Connection]:
        limit = STATEMENT_TIMEOUT if limited else None
        with _translated():
            try:
                async with asyncio.timeout(limit):
                    with _cancellable():
                        async with self._pool.connection() as connection:
                            yield connection
            except PoolTimeout:
                # The pool knows that it has no connection, but not why.
                probe = await psycopg.AsyncConnection.connect(self._connection_string())
                await probe.close()
                raise
        self._note_success()

    def _connection_string(self) -> str:
        try:
            return connection_string(self._url())
        except ValueError as error:
            raise DatabaseError(f"the secret of [ledger] url {error}") from None

    async def _retry(
        self, attempt: Callable[[], Awaitable[T]], may_wait: Callable[[MirrorError], bool]
    ) -> T:
        return await retrying(
            attempt,
            RETRY,
            self.clock,
            lambda error: error.retryable and may_wait(error),
            on_retry=self._note_failure,
        )

    def _note_failure(self, error: MirrorError) -> None:
        if self._unavailable_since is None:
            self._unavailable_since = self.clock.monotonic()
            log.warning("database.unavailable", reason=str(error))

    def _note_success(self) -> None:
        if self._unavailable_since is not None:
            seconds = round(self.clock.monotonic() - self._unavailable_since, 1)
            self._unavailable_since = None
            log.info("database.available", after_seconds=seconds)


@contextmanager
def _cancellable() -> Iterator[None]:
    """Raise a cancellation that was lost in the block.

    The pool waits for connections by ``asyncio.wait_for``, which until Python 3.11 returns a result
    that comes at the same moment as a cancellation, and forgets that.

    Source: https://github.com/python/cpython/issues/86296
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the errors of psycopg as ours."""
    try:
        yield
    except errors.ReadOnlySqlTransaction as error:  # a standby that is about to be promoted
        raise DatabaseUnavailable(f"the database is read-only: {_text(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
        raise DatabaseUnavailable(f"the database is unavailable: {_text(error)}") from error
    except TimeoutError as error:
        text = f"no response within {STATEMENT_TIMEOUT:.0f} s"
        raise DatabaseUnavailable(f"the database is unavailable: {text}") from error
    except psycopg.Error as error:
        text = f"the database refused a statement: {_text(error)}"
        raise DatabaseError(text, sqlstate=error.sqlstate) from error


def _text(error: Exception) -> str:
    """What the server says, or what libpq says where it was not reached; on one line."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return said or " ".join(str(error).split()) or type(error).__name__
