from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from mirror.check.database_check import check_database
from mirror.database.connection import Database
from mirror.storage.postgres_ledger import PostgresLedgerStore
from support.clock import VirtualClock

if TYPE_CHECKING:
    from mirror.check.check_results import CheckResult


async def check(url: str) -> dict[str, CheckResult]:
    async with Database(lambda: url, VirtualClock()) as database:
        results = await check_database(PostgresLedgerStore(database, {}).inspect)
    return {result.what: result for result in results}


async def prepare(url: str) -> None:
    async with Database(lambda: url, VirtualClock()) as database:
        await PostgresLedgerStore(database, {}).prepare(patience=10)


async def test_a_database_and_the_rights_of_its_role(postgres_url: str) -> None:
    """Before there are tables, with them, and without a right to use or to create them."""
    found = await check(postgres_url)
    assert {result.status for result in found.values()} == {"ok"}
    assert "none yet" in found["tables"].detail
    await prepare(postgres_url)
    found = await check(postgres_url)
    assert found.keys() == {"database", "tables", "rights"}
    assert {result.status for result in found.values()} == {"ok"}

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO stranger")
    try:
        found = await check(postgres_url.replace("postgres@", "stranger@"))
        assert found["tables"].status == "ok"
        assert found["rights"].status == "failed"
        assert "UPDATE on mirrors" in found["rights"].detail
        assert "SELECT on mirrors" not in found["rights"].detail
        assert "USAGE on generations" in found["rights"].detail
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("UPDATE schema_version SET version = 99")
        assert "upgrade release-mirror" in (await check(postgres_url))["tables"].detail
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP TABLE schema_version")
        found = await check(postgres_url.replace("postgres@", "stranger@"))
        assert found["tables"].status == "failed"
        assert "GRANT USAGE, CREATE ON SCHEMA public TO stranger" in found["tables"].detail
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY stranger")
            connection.execute("DROP ROLE stranger")


@pytest.mark.usefixtures("postgres_server")
async def test_no_database() -> None:
    """What does not answer is a failure with its reason."""
    found = await check("postgresql://postgres@/x?host=/nowhere")
    assert found["database"].status == "failed"
    assert "unavailable" in found["database"].detail
