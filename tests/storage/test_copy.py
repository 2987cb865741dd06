from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.core.ledger.document import Index, IndexEntry, Ledger
from mirror.errors import LedgerLocked, UsageError
from mirror.storage.copy import copy_ledger
from support.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [f"mirrors/{number}" for number in range(3)]


async def fill(stores: Stores) -> None:
    index = Index({key: IndexEntry(f"github:o/{key[-1]}", key) for key in KEYS})
    async with stores.open() as store, store.lock():
        for key in KEYS:
            await store.save(key, Ledger(f"github:o/{key[-1]}", key, "https://x"))
        await store.save_index(index)


async def test_there_and_back(tmp_path: Path, postgres_url: str) -> None:
    """A ledger that went into a database and back is byte for byte the same files."""
    await fill(first := Stores(tmp_path / "first"))
    database, last = Stores(postgres_url), Stores(tmp_path / "last")
    for source, target in ((first, database), (database, last)):
        async with source.open() as from_, target.open() as to:
            assert await copy_ledger(from_, to) == (3, 3, ())
    for path in (tmp_path / "first").rglob("*.json"):
        copied = tmp_path / "last" / path.relative_to(tmp_path / "first")
        assert copied.read_bytes() == path.read_bytes()


async def test_only_into_an_empty_ledger(stores: Stores, tmp_path: Path) -> None:
    """A ledger that holds anything is no target, and one that holds nothing is no source."""
    await fill(full := Stores(tmp_path / "full"))
    async with stores.open() as other, full.open() as source:
        with pytest.raises(UsageError, match="no ledger"):
            await copy_ledger(other, source)
        assert not await other.exists()
        await copy_ledger(source, other)
        with pytest.raises(UsageError, match="not empty"):
            await copy_ledger(source, other)


async def test_a_ledger_in_use_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    """A directory that another run holds is not copied."""
    await fill(full := Stores(tmp_path / "full"))
    async with full.open() as run, full.open() as source, Stores(postgres_url).open() as target:
        async with run.lock():
            with pytest.raises(LedgerLocked):
                await copy_ledger(source, target)
        assert not await target.exists()


async def test_what_cannot_be_read_is_named(tmp_path: Path, postgres_url: str) -> None:
    """An unreadable document does not stop the others, and the result names it."""
    await fill(full := Stores(tmp_path / "full"))
    (tmp_path / "full/mirrors/1.json").write_bytes(b"{")
    async with full.open() as source, Stores(postgres_url).open() as target:
        assert await copy_ledger(source, target) == (2, 3, ("mirrors/1",))
        assert await target.keys() == ["mirrors/0", "mirrors/2"]
