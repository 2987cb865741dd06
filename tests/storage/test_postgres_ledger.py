from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from structlog.testing import capture_logs

from mirror.core.ledger.document import VERSION, Index, IndexEntry, Ledger
from mirror.core.ledger.index import PassRecord
from mirror.errors import ClaimLost, LedgerTooNew
from support.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = "mirrors/cli"
LEDGER = Ledger("github:cli/cli", "mirrors/cli", "https://x")


def run(url: str, statement: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


async def test_saves_need_the_claim(postgres_url: str) -> None:
    """Whoever lost a mirror to another process saves nothing of it, neither document nor entry."""
    index = Index({KEY: IndexEntry("github:cli/cli", "mirrors/cli")})
    stores = Stores(postgres_url)
    async with stores.open({KEY: 4}) as store, store.lock():
        run(postgres_url, "INSERT INTO mirrors (key, number) VALUES (%s, 4)", (KEY,))
        await store.save(KEY, LEDGER)
        await store.save_entry(index, KEY)
        run(postgres_url, "UPDATE mirrors SET number = 5")
        with pytest.raises(ClaimLost):
            await store.save(KEY, Ledger("github:cli/cli", "mirrors/cli", "https://late"))
        with pytest.raises(ClaimLost):
            await store.save_entry(index, KEY)
        await store.set_aside("mirrors/never", "nothing")
        assert await store.load(KEY) == LEDGER
    async with stores.open() as nobody:
        with pytest.raises(ClaimLost):
            await nobody.save(KEY, LEDGER)


async def test_processes_keep_what_others_saved(postgres_url: str) -> None:
    """Two processes that each save their pass and what they told keep both passes and both notices."""
    stores = Stores(postgres_url)
    async with stores.open() as first, stores.open() as second, first.lock():
        entries = {key: IndexEntry("github:cli/cli", key) for key in (KEY, "mirrors/other")}
        await first.save_index(Index(entries))
        one, two = await first.load_index(), await second.load_index()
        one.mirrors[KEY].told = True
        one.remember(PassRecord(1.0, 1.0))
        two.mirrors["mirrors/other"].told = True
        two.remember(PassRecord(2.0, 1.0))
        await first.save_shared(one)
        await second.save_shared(two)
        found = await first.load_index()
        assert [record.started_at for record in found.passes] == [1.0, 2.0]
        assert all(entry.told for entry in found.mirrors.values())


async def test_unreadable_is_set_aside_under_the_claim(postgres_url: str) -> None:
    """What cannot be read counts as none; who has the claim puts it away, with its bytes."""
    stores = Stores(postgres_url)
    async with stores.open() as reader, stores.open({KEY: 2}) as holder, holder.lock():
        run(postgres_url, "INSERT INTO mirrors (key, number, entry) VALUES (%s, 2, '[')", (KEY,))
        run(postgres_url, "INSERT INTO documents (key, body) VALUES (%s, '{')", (KEY,))
        run(postgres_url, "INSERT INTO records (name, body) VALUES ('host:x', '{')")
        with capture_logs() as logs:
            assert await reader.load(KEY) is None
            assert await reader.load_index() == Index()
            assert await holder.load(KEY) is None
            assert await holder.load(KEY) is None
        assert [entry["event"] for entry in logs] == ["ledger.unreadable"] * 3 + [
            "ledger.set_aside"
        ]
        assert run(postgres_url, "SELECT key, body FROM documents_set_aside") == [(KEY, b"{")]


async def test_later_version_is_refused(postgres_url: str) -> None:
    """What a later version wrote is neither read nor put away."""
    later = b'{"version": %d}' % (VERSION + 1)
    async with Stores(postgres_url).open({KEY: 0}) as store, store.lock():
        run(postgres_url, "INSERT INTO mirrors (key, entry) VALUES (%s, %s)", (KEY, later))
        run(postgres_url, "INSERT INTO documents (key, body) VALUES (%s, %s)", (KEY, later))
        for load in (store.load(KEY), store.load_index()):
            with pytest.raises(LedgerTooNew):
                await load
        assert run(postgres_url, "SELECT body FROM documents") == [(later,)]
