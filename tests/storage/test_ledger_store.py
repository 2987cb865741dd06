"""What holds for every ledger, whatever it is stored in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.document import (
    AssetEntry,
    Index,
    IndexEntry,
    Ledger,
    ListingEntry,
    PageProof,
    ReleaseEntry,
)
from mirror.core.ledger.index import PASSES_KEPT, HostRecord, PassRecord, Told
from mirror.errors import LedgerError

if TYPE_CHECKING:
    from support.stores import Stores

KEY = "mirrors/cli"
URL = "https://github.example.com/api/v3"


def ledger(size: int = 5, tag: str = "v1") -> Ledger:
    asset = AssetEntry(3, "a.txt", 33, "a.txt", size, "ab" * 32)
    release = ReleaseEntry(7, 77, tag, published="2026-01-02T00:00:00Z", assets={33: asset})
    return Ledger("github:cli/cli", "Mirrors/cli", URL, 1, 2, releases={7: release})


def entry(**facts: object) -> IndexEntry:
    made = IndexEntry("github:cli/cli", "mirrors/cli", settings="s", target_url=URL)
    return msgspec.structs.replace(made, **facts)


def full_index() -> Index:
    """An index with something in each of its parts."""
    failure = Failure("unavailable", "no answer", "sync", status_code=502)
    quarantined = Quarantined("too large", "2026-01-01", "v0", kind="too-large")
    page = PageProof("https://x/page", 'W/"1"', "c", 3)
    return Index(
        {
            KEY: entry(pages=(page,), told=True, failure=failure, error=failure.line),
            "mirrors/other": entry(target="mirrors/other", quarantined=(quarantined,)),
        },
        {"github:o/*": ListingEntry("c", (page,), (("o/r", 4, False, True),))},
        1100.0,
        (PassRecord(1.0, 2.0, 3), PassRecord(1000.0, 100.0, 3, failed=1)),
        (Told("sync", "github:o/*", None),),
        {"github": HostRecord("c", 5.0, ((1.0, 2),), ((3.0, 4),))},
    )


async def test_nothing_is_there_before_the_first_run(stores: Stores) -> None:
    """Who only reads makes nothing, and finds an empty ledger."""
    async with stores.open() as store:
        assert not await store.exists()
        assert await store.load_index() == Index()
        assert await store.load(KEY) is None
        assert await store.keys() == []
        assert not await store.exists()
        async with store.lock():
            assert await store.exists()


async def test_saved_is_loaded(stores: Stores) -> None:
    """What one process saved is what another loads, in every part."""
    async with stores.open() as store, store.lock():
        await store.save(KEY, ledger())
        await store.save("lock/lock", ledger(6))
        await store.save_index(full_index())
    async with stores.open() as other:
        assert await other.keys() == ["lock/lock", KEY]
        assert await other.load(KEY) == ledger()
        assert await other.load("lock/lock") == ledger(6)
        assert await other.load_index() == full_index()


async def test_the_last_save_wins(stores: Stores) -> None:
    """A document and an index that are saved again replace what was there."""
    async with stores.open() as store, store.lock():
        for size in (5, 9):
            await store.save(KEY, ledger(size))
            await store.save_index(Index({KEY: entry(releases=size)}))
        assert await store.load(KEY) == ledger(9)
        assert (await store.load_index()).mirrors[KEY].releases == 9


async def test_parts_of_the_index_are_saved(stores: Stores) -> None:
    """What changed in an entry, and in the rest, is there after the save of that part."""
    async with stores.open() as store, store.lock():
        await store.save_index(full_index())
    async with stores.open() as store, store.lock():
        index = await store.load_index()
        index.mirrors[KEY].releases = 8
        await store.save_entry(index, KEY)
        index.mirrors[KEY].told = False
        index.listings.clear()
        index.told = ()
        index.hosts["github"] = HostRecord("new")
        index.remember(PassRecord(2000.0, 1.0))
        await store.save_shared(index)
        assert await store.load_index() == index


async def test_old_passes_are_forgotten(stores: Stores) -> None:
    """The last passes are kept, in their order, and no more."""
    async with stores.open() as store, store.lock():
        index = Index()
        for number in range(PASSES_KEPT + 5):
            index.remember(PassRecord(float(number + 1), 0.5))
            await store.save_shared(index)
        assert (await store.load_index()).passes == index.passes


async def test_case_is_folded(stores: Stores) -> None:
    """Two names of one repository have one document."""
    async with stores.open() as store, store.lock():
        await store.save("Mirrors/CLI", ledger())
        assert await store.load("mirrors/cli") == ledger()
        assert await store.keys() == [KEY]


@pytest.mark.parametrize("key", ["", "a", "a/", "../a", "a/..", "a/b/c", "a/b\0", "\u212a/a"])
async def test_unsafe_names_are_refused(stores: Stores, key: str) -> None:
    """A key that is not two plain names reaches nothing."""
    async with stores.open() as store, store.lock():
        for call in (store.load(key), store.save(key, ledger()), store.set_aside(key, "x")):
            with pytest.raises(LedgerError, match="OWNER/REPO"):
                await call


async def test_set_aside_is_gone(stores: Stores) -> None:
    """A document that was set aside counts as none, and can be saved anew; none is no error."""
    async with stores.open() as store, store.lock():
        await store.save(KEY, ledger())
        for _ in range(2):
            await store.set_aside(KEY, "another target")
            assert await store.load(KEY) is None
        await store.save(KEY, ledger(9))
        assert await store.load(KEY) == ledger(9)


@pytest.mark.parametrize("tag", ["v1\ud800", "v\u00e9"], ids=ascii)
async def test_any_text_survives(stores: Stores, tag: str) -> None:
    """Also text that is not Unicode, as JSON can carry it."""
    failure = replace(Failure("internal", "x"), detail=tag)
    index = Index({KEY: entry(newest_tag=tag, failure=failure, error=failure.line)})
    async with stores.open() as store, store.lock():
        await store.save(KEY, ledger(tag=tag))
        await store.save_index(index)
        assert await store.load(KEY) == ledger(tag=tag)
        assert await store.load_index() == index
