from __future__ import annotations

import asyncio

import pytest

from mirror.database import schema
from mirror.database.connection import Database
from mirror.errors import LedgerError, LedgerTooNew
from support.clock import VirtualClock


async def test_made_once_by_whoever_is_first(postgres_url: str) -> None:
    """Of several processes that start together, one makes the tables, and all go on."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        assert not await schema.require(database, patience=5)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(schema.prepare(database, patience=5))
        assert await schema.require(database, patience=5)
        assert await database.query("SELECT version FROM schema_version") == [(schema.VERSION,)]


async def test_reading_makes_nothing(postgres_url: str) -> None:
    """A command that only reads leaves an empty database empty."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        await schema.require(database, patience=5)
        assert (
            await database.query("SELECT tablename FROM pg_tables WHERE schemaname='public'") == []
        )


async def test_an_earlier_schema_is_upgraded(postgres_url: str) -> None:
    """Once, with all that is in it, while software of the version before goes on using it."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE schema_version (version integer NOT NULL)")
            await connection.execute("INSERT INTO schema_version VALUES (1)")
            for statement in schema.MIGRATIONS[0]:
                await connection.execute(statement)
            await connection.execute("INSERT INTO mirrors (key, settings) VALUES ('m/a', '1')")
        with pytest.raises(LedgerError, match="start sync or daemon, which upgrade it"):
            await schema.require(database, patience=5)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(schema.prepare(database, patience=5))
        assert await schema.require(database, patience=5)
        assert (await schema.inspect(database, patience=5)).version == schema.VERSION
        assert await database.query("SELECT settings FROM mirrors") == [("1",)]
        await database.query(
            "INSERT INTO reports (key, number, body, began_at) VALUES ('m/a', 1, '', now())"
        )


async def test_a_later_schema_is_refused(postgres_url: str) -> None:
    """Software that is older than the schema neither starts nor reads."""
    async with Database(lambda: postgres_url, VirtualClock()) as database:
        await schema.prepare(database, patience=5)
        await database.query("UPDATE schema_version SET version = version + 1")
        with pytest.raises(LedgerTooNew, match="upgrade release-mirror"):
            await schema.prepare(database, patience=5)
        with pytest.raises(LedgerTooNew):
            await schema.require(database, patience=5)
