from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from mirror.database.connection import CONNECTIONS, Database, connection_string
from mirror.errors import DatabaseError, DatabaseUnavailable
from mirror.system_clock import SystemClock
from support.clock import VirtualClock
from support.postgres import PostgresServer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgres",
        "host=x password=s3cret",
        "postgresql://u:s3cret@h:x?y",
        "postgresql://u:s3cret@h/d?connect_timeout=soon",
    ],
)
def test_a_bad_url_is_not_repeated(url: str) -> None:
    """What is no PostgreSQL URL is refused, and the message holds no part of it."""
    with pytest.raises(ValueError, match="PostgreSQL URL") as raised:
        connection_string(url)
    assert "s3cret" not in str(raised.value)


def test_the_url_wins() -> None:
    """A parameter of the URL replaces our default; the others keep it."""
    text = connection_string("postgresql://h/d?connect_timeout=3&sslmode=verify-full")
    assert "connect_timeout=3" in text
    assert "sslmode=verify-full" in text
    assert "tcp_user_timeout=20000" in text


async def test_text_is_text_in_a_database_without_an_encoding(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A database of a server that was made in the C locale (SQL_ASCII) works as any other."""
    name = "without_an_encoding"
    with postgres_server.connected(postgres_url) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        )
    url = postgres_server.url(name)
    try:
        async with Database(lambda: url, VirtualClock()) as database:
            statement = "SELECT 'v1-é', %s, current_setting('server_encoding')"
            rows = await database.query(statement, ["ü"])
        assert rows == [("v1-é", "ü", "SQL_ASCII")]
    finally:
        postgres_server.drop_database(url)


async def test_unreachable_ends(tmp_path: Path) -> None:
    """A database that is not there is waited for as long as asked or as its URL says, and the reason is named."""
    clock = SystemClock()
    async with Database(
        lambda: f"postgresql:///x?host={tmp_path}&connect_timeout=2", clock
    ) as database:
        began = clock.monotonic()
        with pytest.raises(DatabaseUnavailable, match="No such file"):
            await database.query("SELECT 1", patience=0)
        assert clock.monotonic() - began < 8


async def test_who_hurries_repeats_nothing(tmp_path: Path) -> None:
    """A process that is to end does not wait until the database is back."""
    clock = VirtualClock()
    async with Database(lambda: f"postgresql:///x?host={tmp_path}", clock) as database:
        database.hurry()
        database._pool.timeout = 0.1
        with pytest.raises(DatabaseUnavailable):
            await database.query("SELECT 1", patience=1e9)
    assert not clock.slept


async def test_a_refused_statement_is_not_repeated(postgres_url: str) -> None:
    """What the database refuses is raised at once, with its code."""
    clock = VirtualClock()
    async with Database(lambda: postgres_url, clock) as database:
        with pytest.raises(DatabaseError) as raised:
            await database.query("SELECT * FROM nothing")
    assert raised.value.sqlstate == "42P01"
    assert not clock.slept


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancellation_is_never_lost(postgres_url: str, turns: int) -> None:
    """Also at the moment when a connection becomes free for a statement that waits for one."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        taken = [await database._pool.getconn() for _ in range(CONNECTIONS)]
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(database.query("SELECT 1"))
            await asyncio.sleep(0.01)
            for one in taken:
                await database._pool.putconn(one)
            for _ in range(turns):
                await asyncio.sleep(0)
            if waiting.cancel():
                await asyncio.wait([waiting])
                assert waiting.cancelled()


async def test_a_cut_connection_is_replaced(postgres_url: str) -> None:
    """A statement whose connection was ended by the server is repeated on a new one."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.query("SELECT pg_terminate_backend(pg_backend_pid())", patience=-1)
        assert await database.query("SELECT 1") == [(1,)]


async def test_a_restart_is_waited_for(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """While the database restarts, a statement waits and is then carried out; the log tells it once."""
    server = PostgresServer(postgres_server.directory / tmp_path.name[-12:])
    server.create()
    server.start()
    try:
        async with Database(server.url, SystemClock()) as database:
            await database.query("CREATE TABLE kept AS SELECT 7 AS number")
            server.stop("fast")
            with capture_logs() as events:
                async with asyncio.TaskGroup() as group:
                    asking = group.create_task(database.query("SELECT number FROM kept"))
                    group.create_task(asyncio.to_thread(server.start))
            assert asking.result() == [(7,)]
    finally:
        server.stop()
    assert [event["event"] for event in events] == ["database.unavailable", "database.available"]


async def test_notices_arrive_also_after_a_cut(postgres_url: str) -> None:
    """A listener is told notices; after its connection was cut, it is told to look, and goes on."""
    told: asyncio.Queue[str] = asyncio.Queue()
    async with (
        Database(lambda: postgres_url, VirtualClock()) as database,
        asyncio.TaskGroup() as group,
    ):
        listening = group.create_task(database.listen("news", told.put_nowait))
        assert await told.get() == ""
        await database.query("SELECT pg_notify('news', 'one')")
        assert await told.get() == "one"
        await database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%%'"
        )
        assert await told.get() == ""
        await database.query("SELECT pg_notify('news', 'two')")
        assert await told.get() == "two"
        listening.cancel()


async def test_all_channels_share_one_connection(postgres_url: str) -> None:
    """When the task ends that has it, another one takes its place, and is told to look."""
    news: asyncio.Queue[str] = asyncio.Queue()
    more: asyncio.Queue[str] = asyncio.Queue()
    async with (
        Database(lambda: postgres_url, VirtualClock()) as database,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(database.listen("news", news.put_nowait))
        second = group.create_task(database.listen("more", more.put_nowait))
        assert [await news.get(), await more.get()] == ["", ""]
        listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
        assert await database.query(f"{listeners} AND pid <> pg_backend_pid()") == [(1,)]
        await database.query("SELECT pg_notify('more', 'one')")
        assert await more.get() == "one"
        first.cancel()
        assert await more.get() == ""
        await database.query("SELECT pg_notify('more', 'two')")
        assert await more.get() == "two"
        second.cancel()
