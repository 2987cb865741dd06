"""Copies a ledger into an empty one, whatever the two are stored in, and verifies the copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.core.ledger.document import Index
from mirror.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from mirror.core.ledger.document import LedgerStore


class Copied(NamedTuple):
    """What a copy did.

    Attributes:
        documents: How many documents were copied and read back.
        mirrors: Entries of the index.
        unreadable: Keys of the documents that could not be read and were left out.
    """

    documents: int
    mirrors: int
    unreadable: tuple[str, ...]


async def copy_ledger(source: LedgerStore, target: LedgerStore) -> Copied:
    """Copy every document, then the index, and compare each with what can be read back.

    Raises:
        UsageError: The source is missing, or the target is not empty; nothing was changed.
        LedgerLocked: Another run holds one of them.
        LedgerError: One cannot be read or written, or the copy differs from its source.
    """
    if not await source.exists() or await _is_empty(source):
        raise UsageError("there is no ledger at FROM: nothing to copy")
    await _require_empty(target)
    async with source.lock(), target.lock():
        await _require_empty(target)
        copied, unreadable = [], []
        for key in await source.keys():
            ledger = await source.load(key)
            if ledger is None:
                unreadable.append(key)
                continue
            await target.save(key, ledger)
            copied.append(key)
        index = await source.load_index()
        await target.save_index(index)
        for key in copied:
            if await target.load(key) != await source.load(key):
                raise _changed(f"the document {key}")
        if _sorted(await target.load_index()) != _sorted(await source.load_index()):
            raise _changed("the index")
    return Copied(len(copied), len(index.mirrors), tuple(unreadable))


async def _is_empty(ledgers: LedgerStore) -> bool:
    return not await ledgers.keys() and await ledgers.load_index() == Index()


async def _require_empty(target: LedgerStore) -> None:
    if await target.exists() and not await _is_empty(target):
        raise UsageError("the ledger at TO is not empty: a copy needs an empty one")


def _sorted(index: Index) -> Index:
    """The index, with what people were told of in an order that stores keep alike."""
    index.told = tuple(sorted(index.told, key=lambda t: (t.command, t.source, t.target or "")))
    return index


def _changed(what: str) -> LedgerError:
    return LedgerError(
        f"{what} differs between FROM and TO: FROM changed while it was copied; stop what uses it,"
        " empty TO, and copy again"
    )
