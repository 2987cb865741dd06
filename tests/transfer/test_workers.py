"""Where the bytes of an asset flow, and what whoever asked for them sees of that."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from mirror.core.retry import RetryPolicy
from mirror.errors import ConnectionLost, NotFound, ValidationFailed
from mirror.transfer.pipe import Piped
from mirror.transfer.workers import LARGE, OFTEN, Workers
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHUNK = 100_000
DATA = random.Random(5).randbytes(10 * CHUNK)  # noqa: S311 - no secret
DIGEST = hashlib.sha256(DATA).hexdigest()


def name() -> str:
    return threading.current_thread().name


HERE = name()


class Gate:
    """Lets nobody through before it is opened, in whichever loop they wait.

    Attributes:
        reached: Somebody waits at it; of the loop that made it.
    """

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._home = asyncio.get_running_loop()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def wait(self) -> None:
        opened = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), opened))
        self._home.call_soon_threadsafe(self.reached.set)
        await opened.wait()

    def open(self) -> None:
        for loop, opened in self._waiting:
            loop.call_soon_threadsafe(opened.set)


@dataclass
class Source:
    """Bytes, that note where they are read.

    Attributes:
        size: As it is announced.
        breaks: Once, in the middle.
        gate: Passed in the middle.
        error: Raised instead of opening.
    """

    size: int = len(DATA)
    breaks: bool = False
    gate: Gate | None = None
    error: Exception | None = None
    seen: list[str] = field(default_factory=list)
    loops: set[type] = field(default_factory=set)
    open_now: int = 0

    @asynccontextmanager
    async def open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        self.seen.append(name())
        self.loops.add(type(asyncio.get_running_loop()))
        if self.error:
            raise self.error
        self.open_now += 1
        try:
            yield self.read(offset)
        finally:
            self.open_now -= 1
            self.seen.append(name())

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        for at in range(offset, self.size, CHUNK):
            if at == 5 * CHUNK:
                if self.gate:
                    await self.gate.wait()
                if self.breaks:
                    self.breaks = False
                    raise ConnectionLost("broken")
            self.seen.append(name())
            yield DATA[at : min(self.size, at + CHUNK)]


@dataclass
class Sink:
    error: Exception | None = None
    seen: list[str] = field(default_factory=list)
    got: bytearray = field(default_factory=bytearray)

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> int:
        async for chunk in chunks:
            self.seen.append(name())
            self.got += chunk
            if self.error:
                raise self.error
        assert len(self.got) == size
        return size


class Clock(VirtualClock):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def sleep(self, seconds: float) -> None:
        self.seen.append(name())
        await super().sleep(seconds)


async def copy(
    workers: Workers[Any], source: Source, sink: Sink | None = None, **options: Any
) -> Piped[int]:
    options = {
        "sha256": None,
        "clock": VirtualClock(),
        "retry": RetryPolicy(attempts=3),
        "stall_timeout": 30.0,
        "response_timeout": 30.0,
        "moved": lambda _: None,
        **options,
    }
    async with asyncio.timeout(60):
        return await workers.pipe(source, sink or Sink(), **options)


async def test_large_goes_and_small_stays() -> None:
    """From so many bytes on an asset's bytes flow in a thread of their own, and nowhere else."""
    for size, threads, away in (
        (CHUNK, 2, True),
        (CHUNK - 1, 2, False),
        (CHUNK, 0, False),
        (2 * CHUNK, 1, True),
    ):
        source, sink = Source(size), Sink()
        piped = await copy(Workers(large=CHUNK, threads=threads), source, sink)
        assert piped == Piped(size, hashlib.sha256(DATA[:size]).hexdigest(), size, 0)
        assert bytes(sink.got) == DATA[:size]
        (where,) = {*source.seen, *sink.seen}
        assert (where != HERE) is away


async def test_what_is_large_unless_told() -> None:
    """Without being told, what every asset of a test has goes no other way."""
    assert len(DATA) < LARGE
    source = Source()
    await copy(Workers(), source)
    assert {*source.seen} == {HERE}


async def paced(_: int) -> None:
    """No limit."""


@pytest.mark.parametrize(
    "options", [{"pace": paced}, {"hashed": DIGEST}], ids=["a bandwidth", "from disk"]
)
async def test_what_one_loop_is_quick_enough_for_stays(options: dict[str, Any]) -> None:
    """What a bandwidth limits, and what comes from the disk and was hashed there."""
    source, sink = Source(), Sink()
    piped = await copy(Workers(large=1, threads=2), source, sink, **options)
    assert piped.sha256 == DIGEST
    assert {*source.seen, *sink.seen} == {HERE}


async def order(count: int) -> list[str]:
    """The threads that so many transfers go to, begun one after the other."""
    gates, sources = [Gate() for _ in range(count)], []
    async with asyncio.TaskGroup() as group:
        for gate in gates:
            sources.append(Source(gate=gate))
            group.create_task(copy(Workers(large=1, threads=2), sources[-1]))
            await gate.reached.wait()
        for gate in gates:
            gate.open()
    return [source.seen[0] for source in sources]


async def test_the_least_busy_is_asked() -> None:
    """Transfers spread over the threads; who got rid of one gets the next."""
    assert await order(4) == ["bytes-1", "bytes-2", "bytes-1", "bytes-2"]
    gates = [Gate(), Gate(), Gate()]
    sources = [Source(gate=gate) for gate in gates]
    async with asyncio.TaskGroup() as group:
        tasks = []
        for gate, source in zip(gates[:2], sources, strict=False):
            tasks.append(group.create_task(copy(Workers(large=1, threads=2), source)))
            await gate.reached.wait()
        gates[1].open()
        await tasks[1]
        group.create_task(copy(Workers(large=1, threads=2), sources[2]))
        await gates[2].reached.wait()
        for gate in gates:
            gate.open()
    assert [source.seen[0] for source in sources] == ["bytes-1", "bytes-2", "bytes-2"]


async def test_nobody_stays_busy_for_what_ended() -> None:
    """However a transfer ends, its error comes as it is, and its thread counts as idle again."""
    workers: Workers[None] = Workers(large=1, threads=2)
    gone, refused = NotFound("gone"), ValidationFailed("no", status=422)
    for source, sink, error in (
        (Source(error=gone), Sink(), gone),
        (Source(), Sink(error=refused), refused),
    ):
        with pytest.raises(type(error)) as caught:
            await copy(workers, source, sink)
        assert caught.value is error
        assert not source.open_now
        assert await order(3) == ["bytes-1", "bytes-2", "bytes-1"]


async def test_cancelled_means_over() -> None:
    """When a cancelled transfer is over, nothing of it is open any more, and its thread is idle."""
    for _ in range(3):
        source, sink = Source(gate=Gate()), Sink()
        assert source.gate
        async with asyncio.TaskGroup() as group:
            task = group.create_task(copy(Workers(large=1, threads=2), source, sink))
            await source.gate.reached.wait()
            task.cancel()
        assert task.cancelled()
        assert not source.open_now
        assert source.seen[-1] == "bytes-1"
    assert await order(3) == ["bytes-1", "bytes-2", "bytes-1"]


async def test_progress_is_reported_to_the_caller() -> None:
    """Progress is reported in the caller's thread, last the size; waits are the transfer's own."""
    clock, source, words, threads = Clock(), Source(breaks=True), list[int](), set[str]()

    def moved(done: int) -> None:
        words.append(done)
        threads.add(name())

    began = time.monotonic()
    piped = await copy(Workers(large=1, threads=2), source, clock=clock, moved=moved)
    seconds = time.monotonic() - began
    words_at_the_end = list(words)
    await asyncio.sleep(0)
    assert piped.resumed == 1
    assert piped.sha256 == DIGEST
    assert clock.slept
    assert threads == {HERE}
    assert {*clock.seen} == {"bytes-1"}
    assert HERE not in source.seen
    assert words == words_at_the_end == sorted(words)
    assert words[-1] == len(DATA)
    assert words.count(len(DATA)) == 1
    assert len(words) <= seconds / OFTEN + 2


async def test_each_thread_has_clients_of_its_own() -> None:
    """They are opened there by its first large asset, once, and closed there at the end."""
    opened, closed, moved = list[str](), list[str](), list[tuple[str, str]]()

    @asynccontextmanager
    async def clients() -> AsyncIterator[str]:
        opened.append(name())
        await asyncio.sleep(0)  # another asset may come meanwhile
        yield f"of {name()}"
        closed.append(name())

    def move(what: str) -> None:
        moved.append((name(), what))

    async with Workers(clients, large=CHUNK, threads=2) as workers:
        await copy(workers, Source(CHUNK - 1), move=move)
        assert not opened
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for _ in range(6):
                    group.create_task(copy(workers, Source(), move=move))
        assert sorted(opened) == ["bytes-1", "bytes-2"]
        assert not closed
    assert sorted(closed) == ["bytes-1", "bytes-2"]
    assert len(moved) == 12
    assert {*moved} == {("bytes-1", "of bytes-1"), ("bytes-2", "of bytes-2")}


class Loop(asyncio.SelectorEventLoop):
    """A loop that counts what it gives to other threads."""

    given = 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        type(self).given += 1
        return super().run_in_executor(executor, func, *args)


def test_no_core_is_shared_for_a_hash() -> None:
    """A chunk is hashed beside its way where a core is left for that, else on its way."""
    cores = len(os.sched_getaffinity(0))

    async def main() -> None:
        Loop.given = 0
        source = Source()
        await copy(Workers(large=1, threads=2), source, sha256=DIGEST)
        assert source.loops == {Loop}
        assert bool(Loop.given) is (cores > 1)
        gates = [Gate() for _ in range(cores - 1)]
        async with asyncio.TaskGroup() as group:
            for gate in gates:
                group.create_task(copy(Workers(large=1, threads=2), Source(gate=gate)))
                await gate.reached.wait()
            Loop.given = 0
            await copy(Workers(large=1, threads=2), Source(), sha256=DIGEST)
            assert Loop.given == 0
            for gate in gates:
                gate.open()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    "make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_the_threads_run_the_kind_of_loop_that_asks(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Where the quicker loop is used, the bytes have it, too; one process may use both in turn."""

    async def main() -> None:
        source, sink = Source(breaks=True), Sink()
        piped = await copy(Workers(large=1, threads=2), source, sink, sha256=DIGEST)
        assert piped.sha256 == DIGEST
        assert source.loops == {type(asyncio.get_running_loop())}
        assert HERE not in source.seen + sink.seen
        await test_cancelled_means_over()

    for _ in range(2):
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())


async def test_cancelled_at_any_moment() -> None:
    """However early or late: the source is closed, and the thread is idle again."""
    sources = []
    finished = 0
    for turns in range(60):
        source = Source(breaks=bool(turns % 2))
        sources.append(source)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(copy(Workers(large=1, threads=2), source))
            for _ in range(turns):
                await asyncio.to_thread(name)  # the threads get their turns, too
            task.cancel()
        finished += not task.cancelled()
        assert not source.open_now
    assert finished < 60
    assert await order(3) == ["bytes-1", "bytes-2", "bytes-1"]
