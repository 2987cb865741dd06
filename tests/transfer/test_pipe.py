from __future__ import annotations

import asyncio
import gc
import hashlib
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.retry import RetryPolicy
from mirror.errors import (
    AuthError,
    BadAnswer,
    ConnectionLost,
    DigestMismatch,
    MirrorError,
    NotFound,
    ServerError,
    ShortRead,
    SourceChanged,
    Stalled,
    Unreachable,
    ValidationFailed,
)
from mirror.transfer.pipe import WORTH_A_THREAD, Piped, pipe
from support.clock import VirtualClock
from support.timed import TimedLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BIG = WORTH_A_THREAD
DATA = random.Random(1).randbytes(10 * BIG + 7)  # noqa: S311 - no secret
STALL = 0.05


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Source:
    """Bytes, and what happens instead of some: by the number of the opening, then by offset."""

    data: bytes = DATA
    chunk: int = BIG
    size: int = -1
    faults: dict[int, tuple[int, Exception | str]] = field(default_factory=dict)
    refusals: dict[int, Exception | str] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    entered: int = 0
    closed: int = 0
    reading: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            self.size = len(self.data)

    @asynccontextmanager
    async def open(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        number = len(self.opened)
        self.opened.append(offset)
        await self.happen(self.refusals.get(number))
        self.entered += 1
        try:
            yield self.read(offset, self.faults.get(number))
        finally:
            self.closed += 1

    async def read(
        self, at: int, fault: tuple[int, Exception | str] | None
    ) -> AsyncIterator[bytes]:
        self.reading += 1
        try:
            end = len(self.data) if fault is None else min(fault[0], len(self.data))
            while at < end:
                chunk = self.data[at : min(end, at + self.chunk)]
                at += len(chunk)
                yield chunk
            if fault:
                await self.happen(fault[1])
        finally:
            self.reading -= 1

    async def happen(self, what: Exception | str | None) -> None:
        if isinstance(what, Exception):
            raise what
        if what == "stall":
            await asyncio.sleep(60)

    @property
    def left(self) -> bool:
        return not self.reading and self.closed == self.entered


@dataclass
class Sink:
    """Takes bytes in its own task; ``at`` these many of them, something else happens."""

    at: int = -1
    what: Exception | str = ""
    answer: str = ""
    got: bytearray = field(default_factory=bytearray)
    ended: bool = False

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:
        if self.at == 0:
            await self.happen()
        async for chunk in chunks:
            self.got += chunk
            if 0 < self.at <= len(self.got):
                await self.happen()
                if self.what == "answer":
                    return "early"
        self.ended = True
        if self.answer == "never":
            await asyncio.sleep(60)
        assert len(self.got) == size
        return "stored"

    async def happen(self) -> None:
        if isinstance(self.what, Exception):
            raise self.what
        if self.what == "stall":
            await asyncio.sleep(60)


class WriterSink(Sink):
    """Pulls from a task of its own and hides what the generator raised, as aiohttp does."""

    def __init__(self, early: Exception | None = None, after: int = 0) -> None:
        super().__init__()
        self.early = early
        self.after = after
        self.writer: asyncio.Task[None] | None = None

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        async def write() -> None:
            try:
                async for chunk in chunks:
                    self.got += chunk
                    if self.early and len(self.got) >= self.after and not answer.done():
                        answer.set_exception(self.early)
            except Exception as error:  # noqa: BLE001 - as aiohttp
                if not answer.done():
                    answer.set_exception(ConnectionLost(f"writing broke: {error!r}"))
            else:
                self.ended = True
                if not answer.done():
                    answer.set_result("stored")

        self.writer = loop.create_task(write())
        return await answer


async def run(source: Source, sink: Any, **options: Any) -> Piped[str]:
    options = {
        "sha256": None,
        "clock": VirtualClock(),
        "retry": RetryPolicy(attempts=3),
        "stall_timeout": STALL,
        "response_timeout": 2 * STALL,
        **options,
    }
    try:
        result: Piped[str] = await pipe(source, sink, **options)
    finally:
        assert source.left, "the source was left open"
    return result


@given(
    size=st.integers(0, 5 * BIG),
    chunk=st.integers(BIG // 7, 3 * BIG),
    cuts=st.lists(st.integers(0, 5 * BIG), max_size=4),
    promise=st.booleans(),
    writer=st.booleans(),
)
def test_bytes_arrive(size: int, chunk: int, cuts: list[int], promise: bool, writer: bool) -> None:
    """What arrives is what the source holds, in order, wherever its connection broke."""
    data = DATA[:size]
    source = Source(data, chunk)
    cuts = sorted({cut for cut in cuts if 0 < cut < size})
    source.faults = {n: (cut, ConnectionLost("cut")) for n, cut in enumerate(cuts)}
    sink = WriterSink() if writer else Sink()
    moved: list[int] = []

    piped = asyncio.run(
        run(
            source,
            sink,
            sha256=sha256(data) if promise else None,
            moved=moved.append,
            # Cuts may lie next to each other, which counts as no progress.
            retry=RetryPolicy(attempts=len(cuts) + 1),
        )
    )

    assert bytes(sink.got) == data
    assert piped == Piped("stored", sha256(data), size, resumed=len(cuts))
    assert source.opened == ([0, *cuts] if size else [])
    assert moved == sorted(set(moved))
    assert not size or moved[-1] == size


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("x"),
        ServerError("x"),
        BadAnswer("x"),
        ShortRead("x"),
        Unreachable("x"),
        "stall",
        "",
    ],
    ids=repr,
)
async def test_broken_source_is_opened_again(error: Exception | str) -> None:
    """A source that breaks, stalls or ends too early goes on where it was, in the same upload."""
    source = Source(faults={0: (3 * BIG, error)})
    sink = Sink()
    clock = VirtualClock()
    piped = await run(source, sink, clock=clock, jitter=lambda: 1.0)
    assert bytes(sink.got) == DATA
    assert source.opened == [0, 3 * BIG]
    assert piped.resumed == 1
    assert clock.slept == [1.0]


@pytest.mark.parametrize(
    "error", [SourceChanged("x"), NotFound("x"), AuthError("x"), DigestMismatch("x")], ids=repr
)
async def test_hopeless_source_ends_it(error: Exception) -> None:
    """What no second try can mend ends the transfer, as it came."""
    source = Source(faults={0: (3 * BIG, error)})
    sink = Sink()
    with pytest.raises(type(error)) as raised:
        await run(source, sink)
    assert raised.value is error
    assert source.opened == [0]
    assert not sink.ended


async def test_certificate_that_is_not_trusted_ends_it() -> None:
    """An address that can never be reached is not tried again."""
    source = Source(
        faults={0: (BIG, ConnectionLost("x"))}, refusals={1: Unreachable("tls", permanent=True)}
    )
    with pytest.raises(Unreachable):
        await run(source, Sink())
    assert source.opened == [0, BIG]


async def test_failures_in_a_row_are_bounded() -> None:
    """After ``attempts`` failures without a byte the last one is raised; waits grow meanwhile."""
    errors: dict[int, Exception | str] = {
        1: ServerError("1"),
        2: ConnectionLost("2"),
        3: ServerError("no"),
    }
    source = Source(faults={0: (BIG, ConnectionLost("0"))}, refusals=errors)
    clock = VirtualClock()
    with pytest.raises(ConnectionLost, match="2"):
        await run(source, Sink(), clock=clock, jitter=lambda: 1.0)
    assert source.opened == [0, BIG, BIG]
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize(("seconds", "waited"), [(3600, [1.0]), (5, [1.0, 4.0])])
async def test_an_upload_does_not_wait_for_a_maintenance(
    seconds: float, waited: list[float]
) -> None:
    """Its host would not wait either: what the source announces as long ends the upload at once."""
    clock = VirtualClock()
    back = clock.now() + timedelta(seconds=seconds)
    errors: dict[int, Exception | str] = {1: ServerError("maintenance", retry_at=back)}
    source = Source(faults={0: (BIG, ConnectionLost("cut"))}, refusals=errors)
    running = run(source, Sink(), clock=clock, stall_timeout=30, jitter=lambda: 1.0)
    if seconds < 30:
        assert (await running).resumed == 2
    else:
        with pytest.raises(ServerError, match="maintenance"):
            await running
    assert clock.slept == pytest.approx(waited)


async def test_progress_starts_the_count_anew() -> None:
    """A source that breaks often, but moves in between, arrives; crumbs in between are too few."""
    size = len(DATA) // 7 * 7
    cuts = {n: (size * (n + 1) // 7, ConnectionLost("x")) for n in range(6)}
    source = Source(DATA[:size], faults=dict(cuts))
    piped = await run(source, Sink(), retry=RetryPolicy(attempts=3))
    assert piped.resumed == 6
    crumbs = {n: (n * 10 + 10, ConnectionLost("x")) for n in range(20)}
    source = Source(DATA, faults=dict(crumbs))
    with pytest.raises(ConnectionLost) as failed:
        await run(source, Sink(), retry=RetryPolicy(attempts=3))
    assert failed.value.attempts == 3
    assert len(source.opened) == 3


async def test_source_fails_before_its_first_byte() -> None:
    """The target never hears of an asset whose source does not open; the error comes as it is."""
    for error in (NotFound("gone"), ServerError("x")):
        source = Source(refusals={0: error})
        sink = Sink(at=0, what=AssertionError("asked"))
        with pytest.raises(type(error)):
            await run(source, sink)
        assert source.opened == [0]


@pytest.mark.parametrize("sink", [Sink, WriterSink])
@pytest.mark.parametrize("chunk", [1000, BIG, len(DATA), 20 * len(DATA)])
async def test_wrong_bytes_never_complete(sink: Callable[[], Sink], chunk: int) -> None:
    """With another digest than promised, the target misses at least one byte and never the end."""
    taker = sink()
    with pytest.raises(DigestMismatch, match=sha256(DATA)):
        await run(Source(chunk=chunk), taker, sha256="0" * 64)
    assert len(taker.got) < len(DATA)
    assert not taker.ended


@pytest.mark.parametrize("sink", [Sink, WriterSink])
@pytest.mark.parametrize("chunk", [1000, 20 * len(DATA)])
async def test_the_last_bytes_may_be_withheld(sink: Callable[[], Sink], chunk: int) -> None:
    """Whoever gives an upload up decides, before its last bytes, that it never completes."""
    taker = sink()
    asked: list[int] = []

    def refuse() -> bool:
        asked.append(len(taker.got))
        return False

    with pytest.raises(ConnectionLost, match="broken off"):
        await run(Source(chunk=chunk), taker, last_out=refuse)
    assert asked == [len(taker.got)]
    assert len(taker.got) < len(DATA)
    assert not taker.ended


async def test_promise_in_capitals() -> None:
    """A digest is a number: its letters' case does not matter."""
    await run(Source(), Sink(), sha256=sha256(DATA).upper())


@pytest.mark.parametrize("chunk", [1, 999, BIG])
@pytest.mark.parametrize("sink", [Sink, WriterSink])
async def test_too_many_bytes(sink: Callable[[], Sink], chunk: int) -> None:
    """A source that holds more than it says is not copied, also when the surplus comes alone."""
    source = Source(DATA[:1000], chunk, size=999)
    taker = sink()
    with pytest.raises(ShortRead, match="more than its 999"):
        await run(source, taker)
    assert len(taker.got) < 999
    assert not taker.ended


async def test_too_few_bytes() -> None:
    """A source that ends too early again and again is a short read, and the upload not ended."""
    sink = WriterSink()
    with pytest.raises(ShortRead, match=f"after {len(DATA)} of {len(DATA) + 1}"):
        await run(Source(size=len(DATA) + 1), sink)
    assert not sink.ended


async def test_break_after_the_last_byte() -> None:
    """How a connection ends after the last byte does not matter."""
    source = Source(faults={0: (len(DATA), ConnectionLost("late"))})
    piped = await run(source, Sink(), sha256=sha256(DATA))
    assert piped.resumed == 0


async def test_stalled_source() -> None:
    """A source that sends nothing for the stall time-out, again and again, is named as such."""
    source = Source(faults={0: (BIG, "stall"), 1: (BIG, "stall")}, refusals={2: "stall"})
    with pytest.raises(Stalled, match=r"the source sent no byte for 0\.05s"):
        await run(source, WriterSink())
    assert source.opened == [0, BIG, BIG]


async def test_stalled_target() -> None:
    """A target that takes nothing for the stall time-out ends the transfer, and is named."""
    source = Source()
    with pytest.raises(Stalled, match=rf"the target took no byte for 0\.05s, after {BIG} of"):
        await run(source, Sink(at=2 * BIG, what="stall"))
    assert source.opened == [0]


async def test_silent_target() -> None:
    """An answer that does not come is a lost connection after which one must look."""
    with pytest.raises(ConnectionLost, match=r"no answer for 0\.1s after the last byte") as raised:
        await run(Source(), Sink(answer="never"))
    assert raised.value.ambiguous


@given(
    waits=st.lists(st.sampled_from([0, 1, 9, 9.9, 10.1, 30]), min_size=1, max_size=8),
    answer=st.sampled_from([0, 1, 5, 19, 99]),
    patience=st.sampled_from([2, 20, 200]),
)
def test_time_outs_of_the_target_are_exact(
    waits: list[float], answer: float, patience: float
) -> None:
    """It is given up at the very end of its time, however often that moved; never before or after."""
    stall = 10.0

    class Waiting(Sink):
        async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:  # noqa: ARG002
            left = list(waits)
            async for _ in chunks:
                await asyncio.sleep(left.pop(0))
            await asyncio.sleep(answer)
            return "stored"

    async def main() -> tuple[float, Exception | None]:
        loop = asyncio.get_running_loop()
        failure = None
        try:
            source = Source(data=DATA[: len(waits)], chunk=1)
            await run(source, Waiting(), stall_timeout=stall, response_timeout=patience)
        except (Stalled, ConnectionLost) as error:
            failure = error
        ended = loop.time()
        await asyncio.sleep(1000)  # nothing strikes later
        return ended, failure

    late = next((n for n, wait in enumerate(waits) if wait > stall), None)
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        ended, failure = runner.run(main())
    if late is not None:
        assert isinstance(failure, Stalled)
        assert ended == pytest.approx(sum(waits[:late]) + stall)
    elif answer > patience:
        assert isinstance(failure, ConnectionLost)
        assert ended == pytest.approx(sum(waits) + patience)
    else:
        assert failure is None
        assert ended == pytest.approx(sum(waits) + answer)


async def test_slow_but_moving() -> None:
    """A transfer that moves has no time limit: it may last many stall time-outs."""

    class Slow(Sink):
        async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:  # noqa: ARG002
            async for chunk in chunks:
                await asyncio.sleep(STALL / 4)
                self.got += chunk
            return "stored"

    sink = Slow()
    await run(Source(), sink, response_timeout=STALL)
    assert bytes(sink.got) == DATA


async def test_waiting_for_the_turn_is_no_stall() -> None:
    """Time before the sink's first pull is the sink's own: it may wait for its turn to send."""

    class Late(Sink):
        async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:
            await asyncio.sleep(2 * STALL)
            return await super().send(chunks, size)

    await run(Source(), Late())


async def test_pace_is_no_stall() -> None:
    """Waiting for bandwidth is nobody's stall, and sees every byte once."""
    budget: list[int] = []

    async def pace(count: int) -> None:
        budget.append(count)
        await asyncio.sleep(1.5 * STALL if len(budget) == 2 else 0)

    source = Source(faults={0: (BIG + 1, ConnectionLost("x"))})
    await run(source, WriterSink(), pace=pace)
    assert sum(budget) == len(DATA)


async def test_early_refusal() -> None:
    """A refusal before the last byte stops the pulling and is what is raised."""
    refusal = ValidationFailed("already_exists", status=422)
    for sink in (Sink(at=2 * BIG, what=refusal), Sink(at=0, what=refusal)):
        with pytest.raises(ValidationFailed):
            await run(Source(), sink)
        assert len(sink.got) <= 2 * BIG


async def test_early_refusal_while_the_source_is_awaited() -> None:
    """A sink's task that still waits for the source is woken up, and its source closed."""
    refusal = ValidationFailed("already_exists", status=422)
    source = Source(faults={0: (2 * BIG, "stall")})
    sink = WriterSink(refusal, after=2 * BIG)
    before = asyncio.get_running_loop().time()
    with pytest.raises(ValidationFailed):
        await run(source, sink, stall_timeout=30)
    assert asyncio.get_running_loop().time() - before < 5
    assert sink.writer
    await sink.writer
    assert not sink.ended


async def test_early_refusal_while_waiting_to_reopen() -> None:
    """The wait before a source is opened again ends as well when the sink is done."""

    class Sleepy(VirtualClock):
        async def sleep(self, seconds: float) -> None:  # noqa: ARG002
            await asyncio.sleep(30)

    source = Source(faults={0: (2 * BIG, ConnectionLost("x"))})
    sink = WriterSink(ValidationFailed("no", status=422), after=2 * BIG)
    with pytest.raises(ValidationFailed):
        await run(source, sink, clock=Sleepy())
    assert source.opened == [0]
    assert sink.writer
    await sink.writer


async def test_early_success_is_none() -> None:
    """A target that is content before it has all bytes is not believed."""
    with pytest.raises(BadAnswer, match="answered after") as raised:
        await run(Source(), Sink(at=BIG, what="answer"))
    assert raised.value.ambiguous


@pytest.mark.parametrize("error", [SourceChanged("x"), NotFound("x")], ids=repr)
async def test_own_error_wins(error: MirrorError) -> None:
    """What the sink makes of a generator that failed is not told, but why it failed."""
    with pytest.raises(type(error)) as raised:
        await run(Source(faults={0: (BIG, error)}), WriterSink())
    assert raised.value is error


async def test_lost_after_the_last_byte_is_ambiguous() -> None:
    """A connection that breaks once all bytes are out may have done its work; before, it cannot."""
    with pytest.raises(ConnectionLost) as raised:
        await run(Source(), Sink(at=len(DATA), what=ConnectionLost("x")))
    assert raised.value.ambiguous
    with pytest.raises(ConnectionLost) as raised:
        await run(Source(), Sink(at=BIG, what=ConnectionLost("x")))
    assert not raised.value.ambiguous


async def test_time_out_of_the_sinks_own() -> None:
    """A TimeoutError that is not ours stays what it is."""
    with pytest.raises(TimeoutError, match="its own"):
        await run(Source(), Sink(at=BIG, what=TimeoutError("its own")))


async def test_error_of_a_watcher() -> None:
    """A watcher that breaks its word ends the transfer with its own error, not in silence."""

    def moved(done: int) -> None:
        raise ZeroDivisionError(done)

    with pytest.raises(ZeroDivisionError):
        await run(Source(), WriterSink(), moved=moved)


@pytest.mark.parametrize("moment", range(1, 40, 3))
@pytest.mark.parametrize("sink", [Sink, WriterSink])
async def test_cancelled(sink: Callable[[], Sink], moment: int) -> None:
    """Cancelled at any moment, it ends as cancelled, its source is closed and nothing is left."""
    source = Source(faults={0: (3 * BIG, ConnectionLost("x")), 1: (5 * BIG, "stall")})
    taker = sink()
    task = asyncio.get_running_loop().create_task(run(source, taker, stall_timeout=30))
    for _ in range(moment):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.left
    if isinstance(taker, WriterSink) and taker.writer:
        taker.writer.cancel()
        with suppress(asyncio.CancelledError):
            await taker.writer
    assert not taker.ended
    gc.collect()


async def test_memory_is_bounded() -> None:
    """The source is never read further ahead of the target than two chunks."""
    source = Source()
    ahead: list[int] = []
    read = 0

    class Counting(Source):
        async def read(self, at: int, fault: Any) -> AsyncIterator[bytes]:
            nonlocal read
            async for chunk in super().read(at, fault):
                read += len(chunk)
                yield chunk

    class Measuring(Sink):
        async def send(self, chunks: AsyncIterator[bytes], size: int) -> str:  # noqa: ARG002
            async for chunk in chunks:
                self.got += chunk
                ahead.append(read - len(self.got))
                await asyncio.sleep(0)
            return "stored"

    source = Counting()
    await run(source, Measuring())
    assert max(ahead) <= BIG
