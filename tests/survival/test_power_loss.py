"""The power goes at any moment: documents are the old ones or the new ones, bytes are proven."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from mirror.core.ledger.document import AssetEntry, Index, IndexEntry, Ledger, ReleaseEntry
from mirror.core.retry import RetryPolicy
from mirror.errors import DigestMismatch, ShortRead
from mirror.storage.files import Files
from mirror.storage.json_ledger import FileLedgerStore
from mirror.storage.spool import BATCH, Spool
from mirror.transfer.pipe import pipe
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

ROOT = Path("/state/ledger")
KEY = "mirrors/tool"

Operation = tuple[Any, ...]
Entries = dict[Path, int | None]
"""What a name is: a file by its number, or a directory."""


@dataclass
class Disk(Files):
    """A disk in memory that writes down all that is done to it."""

    journal: list[Operation] = field(default_factory=list)
    entries: Entries = field(default_factory=lambda: {Path("/"): None, Path("/state"): None})
    content: dict[int, bytes] = field(default_factory=dict)

    def make_directory(self, path: Path) -> None:
        self.journal.append(("entry", path.parent, path, None))
        self.entries[path] = None

    def create(self, path: Path) -> int:
        number = len(self.content)
        self.content[number] = b""
        self.entries[path] = number
        self.journal.append(("entry", path.parent, path, number))
        return number

    def write(self, descriptor: int, content: bytes) -> None:
        self.journal.append(("write", descriptor, content))
        self.content[descriptor] = content

    def sync(self, descriptor: int) -> None:
        self.journal.append(("sync", descriptor))

    def close(self, descriptor: int) -> None:
        self.journal.append(("close", descriptor))

    def rename(self, old: Path, new: Path) -> None:
        number = self.entries.pop(old)
        self.entries[new] = number
        self.journal.append(("rename", new.parent, old, new, number))

    def remove(self, path: Path) -> None:
        del self.entries[path]
        self.journal.append(("gone", path.parent, path))

    def sync_directory(self, path: Path) -> None:
        self.journal.append(("sync-directory", path))

    def read(self, path: Path) -> bytes:
        number = self.entries.get(path)
        if number is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self.content[number]

    def lines(self, path: Path) -> Iterator[bytes]:
        return iter(self.read(path).splitlines(keepends=True))

    def exists(self, path: Path) -> bool:
        return path in self.entries

    def names(self, path: Path) -> tuple[list[str], list[str]]:
        inside = {k.name: v for k, v in self.entries.items() if k.parent == path != k}
        directories = sorted(name for name, number in inside.items() if number is None)
        return directories, sorted(name for name in inside if name not in directories)


class Careless(Disk):
    """One that forgets to wait until a file's bytes are there: the simulation has to notice."""

    def sync(self, descriptor: int) -> None:
        del descriptor


class Hasty(Disk):
    """One that forgets to wait until a directory's names are there."""

    def sync_directory(self, path: Path) -> None:
        del path


@dataclass
class Power:
    """What of a journal is safe when the power goes, and what is not."""

    durable: Entries = field(default_factory=lambda: {Path("/"): None, Path("/state"): None})
    written: dict[int, bytes] = field(default_factory=dict)
    synced: set[int] = field(default_factory=set)
    waiting: list[Operation] = field(default_factory=list)

    def pass_by(self, operation: Operation) -> None:
        match operation:
            case ("write", number, content):
                self.written[number] = content
                self.synced.discard(number)
            case ("sync", number):
                self.synced.add(number)
            case ("sync-directory", path):
                for one in [one for one in self.waiting if one[1] == path]:
                    _apply(self.durable, one)
                    self.waiting.remove(one)
            case ("close", _):
                pass
            case _:
                self.waiting.append(operation)


def found(journal: list[Operation]) -> Iterator[Disk]:
    """Every disk that may be found after the power went at the end of a journal.

    What was not synced is there or not: of names each by itself, of bytes any beginning, or zeros.
    """
    power = Power()
    for operation in journal:
        power.pass_by(operation)
    for chosen in itertools.product((True, False), repeat=len(power.waiting)):
        entries = dict(power.durable)
        for take, operation in zip(chosen, power.waiting, strict=True):
            if take:
                _apply(entries, operation)
        entries = {
            path: number
            for path, number in entries.items()
            if all(parent in entries for parent in path.parents)
        }
        for loss in _losses(power.written, power.synced, every=all(chosen)):
            yield Disk(entries=dict(entries), content={**dict.fromkeys(range(99), b""), **loss})


def _apply(entries: Entries, operation: Operation) -> None:
    match operation:
        case ("entry", _, path, number):
            entries[path] = number
        case ("rename", _, old, new, number):
            entries.pop(old, None)
            entries[new] = number
        case ("gone", _, path):
            entries.pop(path, None)


def _losses(
    written: dict[int, bytes], synced: set[int], *, every: bool
) -> Iterator[dict[int, bytes]]:
    """The bytes of files of which the last one written to may have lost some."""
    loose = [number for number in written if number not in synced]
    if not loose:
        yield written
        return
    last = written[loose[-1]]
    for cut in range(0, len(last) + 1, 1 if every else 100):
        yield {**written, loose[-1]: last[:cut]}
    yield {**written, loose[-1]: bytes(len(last))}
    yield {**written, **dict.fromkeys(loose, b"")}


def a_ledger(number: int) -> Ledger:
    asset = AssetEntry(3, "a.txt", 33, "a.txt", number, None, None, None)
    release = ReleaseEntry(7, 77, "v1", published="2026-01-02T00:00:00Z", assets={33: asset})
    return Ledger("github:octo/tool", "mirrors/tool", "https://a", 1, 2, releases={7: release})


def an_index(number: int) -> Index:
    return Index({KEY: IndexEntry("github:octo/tool", "mirrors/tool")}, finished_at=float(number))


async def saved(disk: Disk, number: int) -> list[int]:
    """Save a document and the index; how long the journal was when each call returned."""
    store = FileLedgerStore(ROOT, VirtualClock(), disk)
    marks = []
    await store.save(KEY, a_ledger(number))
    marks.append(len(disk.journal))
    await store.save_index(an_index(number))
    marks.append(len(disk.journal))
    return marks


async def cuts(disk: Disk, old: int | None) -> list[str]:
    """Cut the power at every step of a save; what is found that should not be."""
    if old is not None:
        await saved(disk, old)
    start = len(disk.journal) if old is not None else 0
    documents_at, index_at = await saved(disk, 2)
    before = (a_ledger(old), an_index(old)) if old is not None else (None, None)
    wrong: list[str] = []
    tried = 0
    for cut in range(start, len(disk.journal) + 1):
        for state in found(disk.journal[:cut]):
            tried += 1
            store = FileLedgerStore(ROOT, VirtualClock(), state)
            with capture_logs() as logs:
                document, index = await store.load(KEY), await store.load_index()
            good = [a_ledger(2)] if cut >= documents_at else [before[0], a_ledger(2)]
            if document not in good:
                wrong.append(f"step {cut}: the document is {document}")
            new = [an_index(2)] if cut >= index_at else [before[1], an_index(2)]
            # Where there is no index it is summed up anew from the documents.
            if index not in new and (before[1] is not None or index.finished_at):
                wrong.append(f"step {cut}: the index is {index}")
            wrong += [f"step {cut}: {entry}" for entry in logs]
            if wrong:
                return wrong
            if cut < len(disk.journal) and tried % 97 == 0:
                await saved(state, 3)
                assert await store.load(KEY) == a_ledger(3)
    assert tried > 100
    return wrong


@pytest.mark.parametrize("old", [None, 1], ids=["first", "again"])
async def test_the_ledger_is_the_old_one_or_the_new_one(old: int | None) -> None:
    """At every byte of every write, every rename, every name that was lost; and it can be saved."""
    assert await cuts(Disk(), old) == []


@pytest.mark.parametrize("disk", [Careless, Hasty])
async def test_the_simulation_notices_what_was_forgotten(disk: type[Disk]) -> None:
    """Without the waits for the disk the law above is broken: it is them that keep it."""
    assert await cuts(disk(), 1) != []


# The spool: bytes of assets are proven by a digest, or by the machine not having been started anew.

DATA = random.Random(7).randbytes(2 * BATCH + 100_000)  # noqa: S311 - no secret
DIGEST = hashlib.sha256(DATA).hexdigest()


class Origin:
    """Where an asset comes from; it breaks off the first time."""

    def __init__(self, cut: int | None) -> None:
        self.cut = cut
        self.etag = '"one"'
        self.size = len(DATA)

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._open(offset)

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(offset, self.size, 100_000):
                if self.cut is not None and start >= self.cut:
                    raise RuntimeError("cut")
                yield DATA[start : start + 100_000]

        yield chunks()


async def fetched(directory: Path, sha256: str | None, cut: int | None = None) -> bytes:
    spool = Spool(directory / "spool", None, VirtualClock())
    async with spool.hold(("an asset",), len(DATA), sha256) as file:
        source = await file.continued(Origin(cut))
        try:
            piped = await pipe(
                source,
                file,
                sha256=sha256,
                clock=VirtualClock(),
                retry=RetryPolicy(),
                stall_timeout=5,
                response_timeout=5,
            )
        except RuntimeError:
            return b""
        except (DigestMismatch, ShortRead):  # as the fetcher does: it is begun again
            await file.restart()
            raise
        file.seal(piped.sha256)
        async with file.open(0) as chunks:
            return b"".join([chunk async for chunk in chunks])


def damages(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """What a power loss may leave of a file that was never synced."""
    half = len(whole) // 2
    yield "all", whole
    yield "nothing", b""
    yield "its length", bytes(len(whole))
    yield "half", whole[:half]
    yield "half and its length", whole[:half] + bytes(len(whole) - half)
    yield "more than it had", whole + bytes(4096)


@pytest.mark.parametrize("sha256", [DIGEST, None], ids=["digest", "etag"])
async def test_the_spool_never_passes_on_what_was_lost(sha256: str | None, tmp_path: Path) -> None:
    """Whatever is left of the file and of its note, every asset arrives whole; the disk heals."""
    await fetched(tmp_path, sha256, cut=BATCH + 700_000)
    part, about = (next((tmp_path / "spool").glob(f"*.{kind}")) for kind in ("part", "about"))
    bytes_, note = part.read_bytes(), json.loads(about.read_bytes())
    note["boot"] = "another boot of the machine"
    text = json.dumps(note).encode()
    tried = 0
    for (_, content), cut in itertools.product(
        damages(bytes_), [None, *range(0, len(text) + 1, 7), len(text)]
    ):
        part.write_bytes(content)
        about.unlink(missing_ok=True)
        if cut is not None:
            about.write_bytes(text[:cut])
        try:
            arrived = await fetched(tmp_path, sha256)
        except (DigestMismatch, ShortRead):  # proven wrong, told, and begun again by the next try
            assert sha256
            arrived = await fetched(tmp_path, sha256)
        assert arrived == DATA
        tried += 1
    assert tried > 50
