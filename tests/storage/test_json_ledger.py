from __future__ import annotations

import asyncio
import errno
import io
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mirror.core.failure import Failure, Quarantined, may_be_final
from mirror.core.ledger.backoff import FailedItem
from mirror.core.ledger.document import (
    VERSION,
    AssetEntry,
    Index,
    IndexEntry,
    Ledger,
    ListingEntry,
    PageProof,
    Proof,
    ProofCounts,
    QuarantineEntry,
    ReleaseEntry,
)
from mirror.errors import FailureKind, Hint, LedgerCorrupt, LedgerError, LedgerLocked, LedgerTooNew
from mirror.storage.files import Files
from mirror.storage.json_ledger import FileLedgerStore
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

KEY = "mirrors/cli"
URL = "https://github.example.com/api/v3"


def ledger(size: int = 5) -> Ledger:
    asset = AssetEntry(3, "a.txt", 33, "a.txt", size, "ab" * 32, None, "2026-01-01T00:00:00Z")
    return Ledger(
        "github:cli/cli",
        "Mirrors/cli",
        URL,
        1,
        2,
        releases={
            7: ReleaseEntry(7, 77, "v1", published="2026-01-02T00:00:00Z", assets={33: asset}),
            8: ReleaseEntry(8, 88, "v2-draft"),
        },
        quarantined={
            (9, 0): QuarantineEntry(9, 0, "f", "too large", "2026-01-01", "v0", kind="too-large")
        },
    )


@pytest.fixture
def store(tmp_path: Path) -> FileLedgerStore:
    return FileLedgerStore(tmp_path / "ledger", VirtualClock())


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


# Documents and the index.


async def test_saved_is_loaded(store: FileLedgerStore, tmp_path: Path) -> None:
    """What was saved is what is loaded, at its place, readable by nobody else."""
    index = Index({KEY: IndexEntry("github:cli/cli", "mirrors/cli")}, finished_at=1.5)
    await store.save(KEY, ledger())
    await store.save_index(index)
    assert await store.load(KEY) == ledger()
    assert await store.load_index() == index
    root = tmp_path / "ledger"
    assert names(root) == ["index.json", "mirrors", "mirrors/cli.json"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "mirrors").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "mirrors/cli.json").stat().st_mode) == 0o600


async def test_reading_leaves_no_trace(store: FileLedgerStore, tmp_path: Path) -> None:
    """Who only reads makes nothing, not even a directory."""
    assert not await store.exists()
    assert await store.load_index() == Index()
    assert await store.load(KEY) is None
    assert names(tmp_path) == []


async def test_case_is_folded(store: FileLedgerStore) -> None:
    """Two names of one repository have one document."""
    await store.save("Mirrors/CLI", ledger())
    assert await store.load("mirrors/cli") == ledger()
    assert await store.exists()


LONG = "a" * 100


@pytest.mark.parametrize(
    "key", [f"{LONG}/{LONG}", "lock/lock", "index/index.json", "a/.b", "a/...", "a/x.tmp"]
)
async def test_odd_names_have_their_own_place(store: FileLedgerStore, key: str) -> None:
    """Names that are long, or look like the store's own files, clash with nothing."""
    async with store.lock():
        await store.save_index(Index(finished_at=2))
        await store.save(key, ledger())
        assert await store.load(key) == ledger()
    async with store.lock():
        assert await store.load(key) == ledger()
        assert (await store.load_index()).finished_at == 2
    assert list((await store.rebuild_index()).mirrors) == [key]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "/",
        "a/",
        "/a",
        "a/b/c",
        "../a",
        "a/..",
        "a/.",
        "./a",
        "a/b\0",
        "a\\b/c",
        "a/b\n",
        "_lock/a",
        "\u212a/a",  # a Kelvin sign, which folds to k
        f"{LONG}a/b",
        f"a/{LONG}b",
    ],
)
async def test_unsafe_names_are_refused(store: FileLedgerStore, tmp_path: Path, key: str) -> None:
    """A key that is not two plain names reaches no file."""
    for call in (store.load(key), store.save(key, ledger()), store.set_aside(key, "x")):
        with pytest.raises(LedgerError, match="OWNER/REPO"):
            await call
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1}', b"[" * 9999])
async def test_unreadable_is_set_aside(
    store: FileLedgerStore, tmp_path: Path, content: bytes
) -> None:
    """What cannot be read counts as none, and is kept for a person, each time anew."""
    document = tmp_path / "ledger/mirrors/cli.json"
    index = tmp_path / "ledger/index.json"
    async with store.lock():
        await store.save(KEY, ledger())
        for _ in range(2):
            document.write_bytes(content)
            index.write_bytes(content)
            with capture_logs() as logs:
                assert await store.load(KEY) is None
                assert await store.load_index() == Index()
            assert [entry["event"] for entry in logs] == ["ledger.set_aside"] * 2
    assert names(tmp_path / "ledger") == [
        "index.json.corrupt-20261121T090000Z",
        "index.json.corrupt-20261121T090000Z-2",
        "lock",
        "mirrors",
        "mirrors/cli.json.corrupt-20261121T090000Z",
        "mirrors/cli.json.corrupt-20261121T090000Z-2",
    ]
    aside = tmp_path / "ledger/mirrors/cli.json.corrupt-20261121T090000Z"
    assert aside.read_bytes() == content


async def test_unreadable_stays_without_the_lock(store: FileLedgerStore, tmp_path: Path) -> None:
    """Who does not hold the lock moves nothing; what is unreadable counts as none all the same."""
    await store.save(KEY, ledger())
    document = tmp_path / "ledger/mirrors/cli.json"
    document.write_bytes(b"{")
    with capture_logs() as logs:
        assert await store.load(KEY) is None
    assert [entry["event"] for entry in logs] == ["ledger.unreadable"]
    assert document.read_bytes() == b"{"


async def test_set_aside_on_request(store: FileLedgerStore, tmp_path: Path) -> None:
    """A document of another target is moved away with its content; none is no error."""
    await store.save(KEY, ledger())
    with capture_logs() as logs:
        await store.set_aside(KEY, "another target")
        await store.set_aside(KEY, "another target")
    assert [entry["reason"] for entry in logs] == ["another target"]
    assert await store.load(KEY) is None
    (aside,) = (tmp_path / "ledger/mirrors").iterdir()
    assert Ledger.decode(aside.read_bytes()) == ledger()


async def test_later_version_is_refused(store: FileLedgerStore, tmp_path: Path) -> None:
    """What a later version wrote stays where it is; the error names the file."""
    async with store.lock():
        await store.save(KEY, ledger())
        for name, load in (
            ("mirrors/cli.json", store.load(KEY)),
            ("index.json", store.load_index()),
        ):
            path = tmp_path / "ledger" / name
            path.write_text(json.dumps({"version": VERSION + 1}), encoding="utf-8")
            with pytest.raises(LedgerTooNew, match=str(path)):
                await load
            assert path.exists()


async def test_index_is_rebuilt_without_proof(store: FileLedgerStore, tmp_path: Path) -> None:
    """A lost index comes back with its figures, and with nothing that a pass would trust."""
    await store.save(KEY, ledger(12))
    await store.save("mirrors/broken", ledger())
    (tmp_path / "ledger/mirrors/broken.json").write_bytes(b"{")
    assert await store.load_index() == Index(
        {
            KEY: IndexEntry(
                "github:cli/cli",
                "Mirrors/cli",
                target_url=URL,
                source_id=1,
                releases=1,
                assets=1,
                bytes=12,
                proof=ProofCounts(0, 0, 1),
                quarantined=(Quarantined("too large", "2026-01-01", "v0", kind="too-large"),),
            )
        }
    )


@pytest.mark.parametrize("tag", ["v1", "v1\ud800", "v\u00e9"], ids=ascii)
async def test_any_text_survives(store: FileLedgerStore, tmp_path: Path, tag: str) -> None:
    """Also text that is not Unicode, as JSON can carry it; the file is JSON for every reader."""
    document = ledger()
    document.releases[7].tag = tag
    await store.save(KEY, document)
    assert await store.load(KEY) == document
    stored = json.loads((tmp_path / "ledger/mirrors/cli.json").read_bytes())
    assert stored["releases"][0]["tag"] == tag


# The disk.


async def test_save_after_save_wins(store: FileLedgerStore) -> None:
    """Saves of one document land in the order of their calls, also when one is cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.save(KEY, ledger(size))) for size in range(20)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.sleep(0.001)
        tasks[5].cancel()
    loaded = await store.load(KEY)
    assert loaded == ledger(19)


class SlowToRename(Files):
    """A disk whose first rename waits until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def rename(self, old: Path, new: Path) -> None:
        if not self.reached.is_set():
            self.reached.set()
            self.go_on.wait(10)
        super().rename(old, new)


async def test_cancelled_save_does_not_overtake(tmp_path: Path) -> None:
    """A save that is cancelled while the disk is slow never lands after the one that follows."""
    disk = SlowToRename()
    store = FileLedgerStore(tmp_path, VirtualClock(), disk)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(store.save(KEY, ledger(1)))
        await asyncio.to_thread(disk.reached.wait, 10)
        first.cancel()
        second = group.create_task(store.save(KEY, ledger(2)))
        await asyncio.wait([second], timeout=0.05)
        disk.go_on.set()
    # The default pool's threads are done when it is shut down; then nothing can land any more.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert first.cancelled()
    assert Ledger.decode((tmp_path / f"{KEY}.json").read_bytes()) == ledger(2)


async def test_saved_is_the_moment_of_the_call(store: FileLedgerStore) -> None:
    """A ledger that changes while it is written is saved as it was."""
    document = ledger()
    async with asyncio.TaskGroup() as group:
        group.create_task(store.save(KEY, document))
        await asyncio.sleep(0)
        document.releases.clear()
    assert await store.load(KEY) == ledger()


class PowerLoss(BaseException):
    pass


class Disk(Files):
    """A disk in memory that forgets what was not synced, and fails on demand.

    Attributes:
        at: The number of the operation that fails (from 0).
        error: What it fails with; ``None`` for a power loss, after which nothing works.
    """

    def __init__(self, at: int = -1, error: OSError | None = None) -> None:
        self.at = at
        self.error = error
        self.operations = 0
        self.entries: dict[Path, int | None] = {Path("/"): None, Path("/state"): None}
        self.durable = dict(self.entries)
        self.content: dict[int, bytes] = {}
        self.synced: dict[int, bytes] = {}
        self.open: set[int] = set()
        self.lost = False

    def step(self) -> None:
        number = self.operations
        self.operations += 1
        if self.lost:
            raise PowerLoss
        if number == self.at:
            if self.error:
                raise self.error
            self.lost = True
            raise PowerLoss

    def make_directory(self, path: Path) -> None:
        self.step()
        self.entries[path] = None

    def create(self, path: Path) -> int:
        self.step()
        assert path not in self.entries
        assert path.parent in self.entries
        descriptor = len(self.content)
        self.entries[path] = descriptor
        self.content[descriptor] = b""
        self.open.add(descriptor)
        return descriptor

    def write(self, descriptor: int, content: bytes) -> None:
        before = self.content[descriptor]
        self.content[descriptor] = before + content[: len(content) // 2]
        self.step()
        self.content[descriptor] = before + content

    def sync(self, descriptor: int) -> None:
        self.step()
        self.synced[descriptor] = self.content[descriptor]

    def close(self, descriptor: int) -> None:
        self.open.remove(descriptor)
        self.step()

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        self.entries[new] = self.entries.pop(old)

    def remove(self, path: Path) -> None:
        self.step()
        del self.entries[path]

    def sync_directory(self, path: Path) -> None:
        self.step()
        for entry in [entry for entry in self.durable if entry.parent == path != entry]:
            del self.durable[entry]
        self.durable |= {k: v for k, v in self.entries.items() if k.parent == path}

    def read(self, path: Path) -> bytes:
        descriptor = self.entries.get(path)
        if descriptor is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self.content[descriptor]

    def lines(self, path: Path) -> Iterator[bytes]:
        yield from io.BytesIO(self.read(path))

    def exists(self, path: Path) -> bool:
        return path in self.entries

    def names(self, path: Path) -> tuple[list[str], list[str]]:
        inside = {k.name: v for k, v in self.entries.items() if k.parent == path != k}
        return (
            sorted(name for name, descriptor in inside.items() if descriptor is None),
            sorted(name for name, descriptor in inside.items() if descriptor is not None),
        )

    def after_power_loss(self) -> Iterator[Disk]:
        """What may be found: everything; only what was synced; all names, only synced content."""
        for entries, content in (
            (self.entries, self.content),
            (self.durable, self.synced),
            (self.entries, self.synced),
        ):
            disk = Disk()
            disk.content = {k: content.get(k, b"") for k in self.content}
            disk.entries = {
                path: descriptor
                for path, descriptor in entries.items()
                if all(parent in entries for parent in path.parents)
            }
            yield disk


ROOT = Path("/state/ledger")


async def failure_of(call: Awaitable[None]) -> str:
    try:
        await call
    except LedgerError as error:
        return str(error)
    return ""


def stored(disk: Disk) -> FileLedgerStore:
    return FileLedgerStore(ROOT, VirtualClock(), disk)


async def saved_before(disk: Disk, old: Ledger | None) -> None:
    if old:
        await stored(disk).save(KEY, old)
        disk.operations = 0


@pytest.mark.parametrize("old", [None, ledger(1)], ids=["new", "replaced"])
async def test_power_loss_at_every_step(old: Ledger | None) -> None:
    """After a power loss the document is the old or the new one; after a save, the new one."""
    new = ledger(2)
    for at in range(100):
        disk = Disk()
        await saved_before(disk, old)
        disk.at = at
        done = False
        with suppress(PowerLoss):
            await stored(disk).save(KEY, new)
            done = True
        for found in disk.after_power_loss():
            with capture_logs() as logs:
                loaded = await stored(found).load(KEY)
            assert logs == []
            assert loaded in ([new] if done else [old, new])
        if done:
            break
    assert at > 5


@pytest.mark.parametrize("old", [None, ledger(1)], ids=["new", "replaced"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "make room"), (errno.EROFS, "read-only"), (errno.EIO, "its disk")],
)
async def test_failure_at_every_step(old: Ledger | None, number: int, advice: str) -> None:
    """A save that fails says where and what to do, leaves a whole document and no rubbish."""
    new = ledger(2)
    for at in range(100):
        disk = Disk()
        await saved_before(disk, old)
        disk.at, disk.error = at, OSError(number, os.strerror(number))
        told = await failure_of(stored(disk).save(KEY, new))
        if not told:
            break
        assert f"cannot write {ROOT}/mirrors/cli.json: {os.strerror(number)}" in told
        assert advice in told
        assert not [path for path in disk.entries if path.suffix == ".tmp"]
        assert not disk.open
        assert await stored(disk).load(KEY) in (old, new)
        # The disk is well again: so is the store.
        await stored(disk).save(KEY, new)
        assert await stored(disk).load(KEY) == new
    assert at > 4


def large_index(number: int) -> Index:
    """One that is written in several pieces; mirrors without names of their own share an entry."""
    entry = IndexEntry("github:cli/cli", "mirrors/cli", assets=number)
    return Index(dict.fromkeys((f"mirrors/r{n}" for n in range(501)), entry), finished_at=number)


async def test_a_large_index_at_every_step() -> None:
    """An index that is written in pieces is the old or the new one, too, whatever fails."""
    old, new = large_index(1), large_index(2)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for at, error in itertools.product(range(20), (None, full)):
        disk = Disk()
        await stored(disk).save_index(old)
        disk.operations, disk.at, disk.error = 0, at, error
        done = False
        with suppress(PowerLoss, LedgerError):
            await stored(disk).save_index(new)
            done = True
        for found in [disk] if error else disk.after_power_loss():
            found.lost = False
            with capture_logs() as logs:
                loaded = await stored(found).load_index()
            assert logs == []
            assert loaded in ([new] if done else [old, new])
        if error:
            assert not [path for path in disk.entries if path.suffix == ".tmp"]
            assert not disk.open
    assert done


async def test_a_large_index_that_changes_while_it_is_saved(tmp_path: Path) -> None:
    """The event loop goes on between two pieces; whoever changes an entry then saves it once more.

    Cancelled, a save goes on to its end all the same.
    """
    reached, go_on = threading.Event(), threading.Event()

    class Slow(Files):
        def write(self, descriptor: int, content: bytes) -> None:
            reached.set()
            go_on.wait(10)
            super().write(descriptor, content)

    store, index = FileLedgerStore(tmp_path, VirtualClock(), Slow()), large_index(1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(store.save_index(index))
        await asyncio.to_thread(reached.wait, 10)
        first.cancel()
        index.mirrors["mirrors/r0"] = IndexEntry("github:cli/cli", "mirrors/cli", assets=7)
        index.mirrors["mirrors/new"] = IndexEntry("github:cli/cli", "mirrors/new")
        del index.mirrors["mirrors/r500"]
        go_on.set()
        await asyncio.wait([first])
        assert first.cancelled()
        assert len((await store.load_index()).mirrors) == 500
        group.create_task(store.save_index(index))
    assert await store.load_index() == index
    assert names(tmp_path) == ["index.json"]


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A directory of one's own, as somebody whom permissions bind: root may do everything."""
    nobody = 65534
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as directory:
        if root:
            os.chown(directory, nobody, nobody)
            os.seteuid(nobody)
        try:
            yield Path(directory)
        finally:
            if root:
                os.seteuid(0)


async def test_closed_to_us() -> None:
    """What may not be read or written is an error with its path, not an empty ledger."""
    with as_nobody() as directory:
        await closed_to_us(directory)


async def closed_to_us(directory: Path) -> None:
    store = FileLedgerStore(directory, VirtualClock())
    await store.save(KEY, ledger())
    owner = directory / "mirrors"
    owner.chmod(0)
    try:
        for call in (store.load(KEY), store.save(KEY, ledger()), store.rebuild_index()):
            with pytest.raises(LedgerError, match=str(directory)):
                await call
    finally:
        owner.chmod(0o700)


class Closed(Files):
    def read(self, path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def lines(self, path: Path) -> Iterator[bytes]:
        yield self.read(path)

    def exists(self, path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


async def test_no_permission_to_read(tmp_path: Path) -> None:
    """What may not be read is an error with its path, not an empty ledger."""
    store = FileLedgerStore(tmp_path, VirtualClock(), Closed())
    for load in (store.load(KEY), store.load_index()):
        with pytest.raises(LedgerError, match=f"cannot read {tmp_path}/.*Permission denied"):
            await load
    with pytest.raises(LedgerError, match="Permission denied"):
        await store.exists()


async def test_directory_that_cannot_be(tmp_path: Path) -> None:
    """Where a file is in the way, the error says so, for the lock, a save and a load alike."""
    (tmp_path / "file").write_bytes(b"")
    store = FileLedgerStore(tmp_path / "file", VirtualClock())
    for call in (store.save(KEY, ledger()), store.load(KEY), store.lock().__aenter__()):
        with pytest.raises(LedgerError, match="a file is where a directory should be"):
            await call


# The lock.


async def test_lock_excludes(store: FileLedgerStore, tmp_path: Path) -> None:
    """The lock is held by one; who comes second is told who; it is free again afterwards."""
    other = FileLedgerStore(tmp_path / "ledger", VirtualClock())
    async with store.lock():
        with pytest.raises(LedgerLocked, match=f"process {os.getpid()}") as raised:
            async with other.lock():
                pass
        assert raised.value.pid == os.getpid()
    async with other.lock():
        pass
    assert names(tmp_path / "ledger") == ["lock"]


async def test_lock_is_waited_for(tmp_path: Path) -> None:
    """Who waits gets it once it is free, looks often, and gives up in time."""
    clock = VirtualClock()
    first, second = (FileLedgerStore(tmp_path / "x", clock) for _ in range(2))
    async with first.lock():
        with pytest.raises(LedgerLocked):
            async with second.lock(1.1):
                pass
    assert clock.monotonic() == pytest.approx(1.1)
    assert max(clock.slept) <= 0.2
    got = False

    async def wait() -> None:
        nonlocal got
        async with second.lock(1e6):
            got = True

    async with asyncio.TaskGroup() as group, first.lock():
        group.create_task(wait())
        await asyncio.sleep(0.01)
        assert not got
    assert got


async def test_a_daemon_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the lock for its whole life: who would wait for it is told so at once."""
    clock = VirtualClock()
    first, second = (FileLedgerStore(tmp_path / "x", clock) for _ in range(2))
    async with first.lock(daemon=True):
        with pytest.raises(LedgerLocked, match="daemon"):
            async with second.lock(1e6):
                pass
    assert clock.slept == []


async def test_cancelled_wait_leaves_the_lock(tmp_path: Path) -> None:
    """Who gave up waiting holds nothing."""
    first, second = (FileLedgerStore(tmp_path / "x", VirtualClock()) for _ in range(2))
    async with first.lock():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), second.lock(1e6):
                pass
    async with first.lock():
        pass


async def test_rubbish_of_killed_runs(store: FileLedgerStore, tmp_path: Path) -> None:
    """Whoever takes the lock removes half-written files of others, and nothing else."""
    await store.save(KEY, ledger())
    await store.save("mirrors/x.tmp", ledger())
    root = tmp_path / "ledger"
    (root / "lost+found").mkdir()
    for name in ("index.json.1-0.tmp", "mirrors/cli.json.1-0.tmp", "lost+found/a.tmp", "note"):
        (root / name).write_bytes(b"half")
    async with store.lock():
        pass
    assert names(root) == [
        "lock",
        "lost+found",
        "lost+found/a.tmp",
        "mirrors",
        "mirrors/cli.json",
        "mirrors/x.tmp.json",
        "note",
    ]


HOLDER = """
import asyncio, subprocess, sys
from pathlib import Path
from mirror.storage.json_ledger import FileLedgerStore
from support.clock import VirtualClock

async def main():
    async with FileLedgerStore(Path(sys.argv[1]), VirtualClock()).lock():
        child = subprocess.Popen(["sleep", "30"], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
        sys.stdin.readline()
        child.kill()
        child.wait()

asyncio.run(main())
"""


async def test_lock_dies_with_its_process(store: FileLedgerStore, tmp_path: Path) -> None:
    """Another process's lock is respected, and ends with it even where its children live on."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(tmp_path / "ledger"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert holder.stdout
    child = int(await holder.stdout.readline())
    try:
        with pytest.raises(LedgerLocked, match=str(holder.pid)) as raised:
            async with store.lock():
                pass
        assert raised.value.pid == holder.pid
        holder.kill()
        await holder.wait()
        os.kill(child, 0)
        async with store.lock():
            pass
    finally:
        with suppress(ProcessLookupError):
            holder.kill()
        os.kill(child, signal.SIGKILL)
        await holder.wait()


# JSON.

TEXT = st.text(max_size=8)
PERHAPS = st.none() | TEXT
NUMBER = st.integers(1 - 2**63, 2**63 - 1)
SIZE = st.integers(0, 2**63 - 1)
MOMENT = st.floats(0, 200e9)
PAIR = st.sampled_from(("octo/tool", "o/r", "A1/b.c_d-e"))
NAME = PAIR.map(lambda pair: f"github:{pair}")
ASSET = st.builds(
    AssetEntry,
    NUMBER,
    TEXT,
    NUMBER,
    TEXT,
    SIZE,
    PERHAPS,
    PERHAPS,
    PERHAPS,
    st.booleans(),
    PERHAPS,
    st.sampled_from(get_args(Proof)),
)
RELEASE = st.builds(
    ReleaseEntry,
    NUMBER,
    NUMBER,
    TEXT,
    st.booleans(),
    st.booleans(),
    PERHAPS,
    PERHAPS,
    st.lists(TEXT, max_size=2).map(tuple),
    st.booleans(),
    st.none() | NUMBER,
    st.lists(ASSET, max_size=3).map(lambda found: {asset.target_id: asset for asset in found}),
)
KIND = st.sampled_from(get_args(FailureKind))
FINAL_KIND = st.sampled_from([kind for kind in get_args(FailureKind) if may_be_final(kind)])
QUARANTINE = st.builds(QuarantineEntry, NUMBER, NUMBER, TEXT, TEXT, TEXT, TEXT, PERHAPS, FINAL_KIND)
LEDGER = st.builds(
    Ledger,
    NAME,
    PAIR,
    TEXT,
    NUMBER,
    NUMBER,
    st.booleans(),
    st.booleans(),
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(RELEASE, max_size=3).map(lambda found: {entry.source_id: entry for entry in found}),
    st.lists(QUARANTINE, max_size=2).map(
        lambda found: {(entry.release_id, entry.asset_id): entry for entry in found}
    ),
)
PAGES = st.lists(st.builds(PageProof, TEXT, TEXT, TEXT, st.none() | NUMBER), max_size=2).map(tuple)
FAILURE = st.builds(
    Failure,
    KIND,
    TEXT,
    release=PERHAPS,
    status_code=st.none() | st.integers(100, 599),
    hint=st.sampled_from([None, *get_args(Hint)]),
    final=st.booleans(),
)
ENTRY = st.builds(
    IndexEntry,
    source=NAME,
    target=PAIR,
    settings=TEXT,
    credential=TEXT,
    target_url=TEXT,
    source_id=NUMBER,
    pages=PAGES,
    audited_at=MOMENT,
    succeeded_at=MOMENT,
    failure=st.none() | FAILURE,
    failed=st.lists(st.builds(FailedItem, FAILURE, MOMENT, MOMENT), max_size=2).map(tuple),
    releases=NUMBER,
    assets=NUMBER,
    bytes=NUMBER,
    proof=st.builds(ProofCounts, NUMBER, NUMBER, NUMBER),
    newest=PERHAPS,
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    quarantined=st.lists(
        st.builds(Quarantined, TEXT, TEXT, PERHAPS, PERHAPS, FINAL_KIND), max_size=2
    ).map(tuple),
)
LISTING = st.builds(
    ListingEntry,
    TEXT,
    PAGES,
    st.lists(st.tuples(PAIR, NUMBER, st.booleans(), st.booleans()), max_size=2).map(tuple),
)
INDEX = st.builds(
    Index,
    st.dictionaries(TEXT, ENTRY, max_size=2),
    st.dictionaries(TEXT, LISTING, max_size=2),
    MOMENT,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(LEDGER)
def test_ledger_survives_json(value: Ledger) -> None:
    """A ledger's document, written and read, gives an equal ledger."""
    assert Ledger.decode(value.encode()) == value


@given(INDEX)
def test_index_survives_json(value: Index) -> None:
    """An index's document, written and read, gives an equal index, also in pieces."""
    assert Index.decode(value.encode()) == value
    written = b"".join(value.pieces(1))
    assert Index.decode(written) == value
    assert Index.decode_lines(io.BytesIO(written)) in (value, None)


def test_a_large_index_is_read_by_the_line() -> None:
    """It gives what reading it as a whole gives, and lines that are not as written are left to that."""
    index = large_index(3)
    index.listings["octo/*"] = ListingEntry("c")
    lines = b"".join(index.pieces()).splitlines(keepends=True)
    assert [line[:12] for line in lines[1:]] == [
        b'"mirrors/r0"',
        b'"mirrors/r25',
        b'"mirrors/r50',
        b'},"listings"',
    ]
    assert Index.decode_lines(lines) == Index.decode(b"".join(lines)) == index
    first, one, two, three, last = lines
    for wrong in (
        [],
        [first],
        lines[:-1],
        [first, one, last],
        [first, one, three, two, last],
        [first, one[:-2] + b"\n", two, three, last],
        [first, one[:100], *lines[2:]],
        [*lines, b"}"],
        [first, one, two, three, last.replace(b'"listings":{', b'"listings":{{')],
        [line.replace(b'"version":2', b'"version":1') for line in lines],
        [line.replace(b'"version":2', b'"version":3') for line in lines],
        [b"".join(lines).replace(b"\n", b"")],
    ):
        assert Index.decode_lines(wrong) is None


def test_proofs_without_a_count_are_read() -> None:
    """An index of a version that did not note how many items a page held."""
    entry = IndexEntry("github:octo/tool", "mirrors/tool", pages=(PageProof("u", "e", "c", 7),))
    listing = ListingEntry("c", (PageProof("u", "e", "c", 7),))
    document = json.loads(Index({"mirrors/tool": entry}, {"octo/*": listing}).encode())
    for stored in (document["mirrors"]["mirrors/tool"], document["listings"]["octo/*"]):
        stored["pages"] = [page[:3] for page in stored["pages"]]
    index = Index.decode(encoded(document))
    assert index.mirrors["mirrors/tool"].pages == (PageProof("u", "e", "c", None),)
    assert index.listings["octo/*"].pages == (PageProof("u", "e", "c", None),)


def test_an_entry_without_proof_is_read() -> None:
    """Before proofs were counted nothing was known of any asset's bytes."""
    entry = IndexEntry("github:octo/tool", "mirrors/tool", assets=7, proof=ProofCounts(5, 1, 1))
    document = json.loads(Index({"mirrors/tool": entry}).encode()) | {"version": 1}
    del document["mirrors"]["mirrors/tool"]["proof"]
    assert Index.decode(encoded(document)).mirrors["mirrors/tool"].proof == ProofCounts(0, 0, 7)


@pytest.mark.parametrize(
    "proof", [None, 3, {}, "abc", [], [1, 2], [1, 2, 3, 4], [1, 2, "3"], [1, 2, True], [1, 2, 0.5]]
)
def test_proofs_that_are_none_are_corrupt(proof: Any) -> None:
    """Three whole numbers, and nothing that Python would take for them."""
    index = Index({"mirrors/tool": IndexEntry("github:octo/tool", "mirrors/tool")})
    document = json.loads(index.encode())
    document["mirrors"]["mirrors/tool"]["proof"] = proof
    with pytest.raises(LedgerCorrupt, match=r"mirrors\['mirrors/tool'\].proof"):
        Index.decode(encoded(document))


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, dict):
        for key in node:
            yield from places(node[key], (*path, key))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from places(item, (*path, number))


def replaced(node: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@settings(max_examples=150)
@given(data=st.data(), kind=st.sampled_from([(Ledger, LEDGER), (Index, INDEX)]))
def test_any_wrong_type_is_corrupt(data: st.DataObject, kind: tuple[Any, Any]) -> None:
    """A document with anything wrong anywhere is corrupt or too new, and no other error comes."""
    document = json.loads(data.draw(kind[1]).encode())
    path = data.draw(st.sampled_from(list(places(document))))
    broken = replaced(document, path, data.draw(JSON))
    with suppress(LedgerCorrupt, LedgerTooNew):
        value = kind[0].decode(encoded(broken))
        written = value.encode()
        assert type(json.loads(written)) is dict
        again = kind[0].decode(written)
        assert again == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), True),
        (("version",), 0),
        (("source_id",), "1"),
        (("created_repository",), 1),
        (("releases",), {}),
        (("quarantined",), ""),
        (("releases", 0, "assets", 0, "size"), "x"),
        (("releases", 0, "assets", 0, "size"), 1.5),
        (("releases", 0, "assets", 0, "size"), True),
        (("releases", 0, "assets", 0, "sha256"), 7),
        (("releases", 0, "assets"), "abc"),
        (("releases", 0, "tag"), None),
        (("releases", 0), None),
        (("releases", 0), {}),
        (("quarantined", 0, "since"), []),
    ],
)
def test_wrong_types_by_example(path: tuple[Any, ...], value: Any) -> None:
    """A value of another type than the field's is not taken, though Python would."""
    with pytest.raises(LedgerCorrupt):
        Ledger.decode(encoded(replaced(json.loads(ledger().encode()), path, value)))


@settings(max_examples=50)
@given(content=st.binary(max_size=60) | JSON.map(lambda found: json.dumps(found).encode()))
def test_garbage_never_breaks_the_store(content: bytes) -> None:
    """Whatever is in the files, only an error of the ledger's comes of it."""
    disk = Disk()
    disk.content = {0: content}
    disk.entries |= {ROOT: None, ROOT / "mirrors": None}
    disk.entries |= {ROOT / "mirrors/cli.json": 0, ROOT / "index.json": 0}

    async def read() -> None:
        with suppress(LedgerError):
            await stored(disk).load(KEY)
        with suppress(LedgerError):
            await stored(disk).load_index()

    with capture_logs():
        asyncio.run(read())


async def test_many_saves_of_the_index_are_one(tmp_path: Path) -> None:
    """Who asks while the index is being written gets what it holds then, by one more write."""
    saved: list[Any] = []

    class Seen(Files):
        def write(self, descriptor: int, content: bytes) -> None:
            saved.append(json.loads(content)["finished_at"])
            super().write(descriptor, content)

    store, index = FileLedgerStore(tmp_path, VirtualClock(), Seen()), Index()

    async def change(number: int) -> None:
        index.finished_at = float(number)
        await store.save_index(index)
        assert (await store.load_index()).finished_at >= number

    async with asyncio.TaskGroup() as group:
        for number in range(1, 9):
            group.create_task(change(number))
    assert saved in ([8.0], [1.0, 8.0])


async def test_a_save_that_failed_counts_for_nobody(tmp_path: Path) -> None:
    """Each of those who share a write hears of its failure, or had one that succeeded."""
    failing = [True]

    class Full(Files):
        def write(self, descriptor: int, content: bytes) -> None:
            if failing:
                failing.pop()
                raise OSError(errno.ENOSPC, "full")
            super().write(descriptor, content)

    store, index = FileLedgerStore(tmp_path, VirtualClock(), Full()), Index(finished_at=3)

    async def save() -> bool:
        with suppress(LedgerError):
            await store.save_index(index)
            return True
        return False

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(save()) for _ in range(4)]
    assert [task.result() for task in tasks] == [False, True, True, True]
    assert (await store.load_index()).finished_at == 3


# Documents of earlier versions.

FIRST_VERSION = {
    "version": 1,
    "source": "github:octo/tool",
    "source_id": 1,
    "target": "mirrors/tool",
    "target_url": URL,
    "target_id": 2,
    "created_repository": True,
    "releases": [
        {
            "source_id": 7,
            "target_id": 77,
            "tag": "v1",
            "created": True,
            "followed": True,
            "published": "2026-01-02T00:00:00Z",
            "commit": None,
            "assets": [
                {
                    "source_id": number,
                    "source_name": f"{number}.txt",
                    "target_id": number + 30,
                    "target_name": f"{number}.txt",
                    "size": 5,
                    "sha256": "ab" * 32,
                    "source_digest": None,
                    "source_updated_at": None,
                    "created": created,
                }
                for number, created in ((3, True), (4, False))
            ],
        }
    ],
    "quarantined": [],
}


def test_a_document_of_the_first_version_is_carried_on() -> None:
    """What it lacks counts as assumed; what only the target had told of bytes is no proof."""
    found = Ledger.decode(encoded(FIRST_VERSION))
    assets = found.releases[7].assets
    assert list(assets) == [33, 34]
    assert {entry.proof for entry in assets.values()} == {"assumed"}
    assert [entry.sha256 for entry in assets.values()] == ["ab" * 32, None]
    assert Ledger.decode(found.encode()) == found
    assert json.loads(found.encode())["version"] == 2
