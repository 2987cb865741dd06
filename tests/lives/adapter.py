"""The program under test, run in memory: all that these tests know of its inside is in this file.

The real client, stores, sessions, planner, executor and copier run. Replaced are what lies below
them: aiohttp's session (a :class:`Line` to a simulated host), the event loop's time, and the files
of the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import structlog
from multidict import CIMultiDict

from lives.simulator import MIRROR, START, Answer
from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.selection import Selection
from mirror.core.ledger.document import Index, Ledger
from mirror.core.reporting.report import Observers
from mirror.core.retry import RetryPolicy
from mirror.github import GitHubClient, ReleaseStore, TokenAuth
from mirror.github.settings import Network, Timeouts
from mirror.storage.spool import Spool
from mirror.sync.batch import Batch
from mirror.sync.context import SessionContext, TargetEndpoint
from mirror.sync.mirror_runner import MirrorRunner
from mirror.sync.session import sync_mirror
from mirror.sync.stop import Stop
from mirror.transfer.bandwidth import Bandwidth
from mirror.transfer.priority_queue import TransferSlots
from mirror.transfer.workers import Workers
from mirror.verify.verifier import verify_mirror

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from yarl import URL

    from lives.settings import Settings
    from lives.simulator import Host
    from mirror.core.reporting.report import Report

TEMPORARY = "release-mirror-tmp-"
"""How the names begin that the program gives to what has not its final name yet."""

AUDIT_INTERVAL = 24 * 3600.0
MAX_DELETES = 10
STALL = 60.0
LONGEST_PASS = 48 * 3600.0
"""Seconds, of simulated time: whatever goes wrong, no pass waits longer."""


class Killed(BaseException):
    """The process is dead: nothing that it still wants to do happens."""


# -- time ---------------------------------------------------------------------------------------


class _Skipping(selectors.DefaultSelector):
    """Does not wait for time to pass, but moves the clock."""

    clock: list[float]

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        if timeout > 0:
            self.clock[0] += timeout
        return super().select(0)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits, and then at once."""

    def __init__(self) -> None:
        self._seconds = [0.0]
        selector = _Skipping()
        selector.clock = self._seconds
        super().__init__(selector)

    def time(self) -> float:
        return self._seconds[0]


class LoopClock:
    """The program's clock: the loop's time, for as long as its process lives."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def boottime(self) -> float:
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        self._process.check()
        await asyncio.sleep(max(0.0, seconds))
        self._process.check()


@dataclass
class Process:
    """One run of the program.

    Attributes:
        dead: It was killed.
        stop: Asked to stop, as by SIGTERM.
    """

    dead: bool = False
    stop: Stop = field(default_factory=Stop)

    def check(self) -> None:
        if self.dead:
            raise Killed

    def kill(self) -> None:
        self.dead = True
        raise Killed


# -- the wire -----------------------------------------------------------------------------------


class Request(NamedTuple):
    """What is sent, as somebody in between sees it."""

    host: str
    method: str
    path: str
    query: Mapping[str, str]
    body: bytes

    @property
    def write(self) -> bool:
        return self.method != "GET"

    @property
    def upload(self) -> bool:
        return self.path.startswith("/api/uploads/")


class Weather:
    """What happens to requests; good weather here, disturbed in :mod:`lives.disturbances`.

    Attributes:
        looked: The target's releases were listed.
        trace: Takes a line for each request, where somebody reads along.
    """

    def __init__(self, process: Process, dice: random.Random) -> None:
        self.process = process
        self.dice = dice
        self.looked = False
        self.trace: Callable[[str], None] | None = None

    def duration(self, request: Request) -> float:
        """Seconds from sending to the answer."""
        return self.dice.uniform(0.02, 1.2 if request.upload else 0.35)

    async def before(self, request: Request, host: Host) -> Answer | None:
        """What comes before the host hears of it; an answer instead of the host's own."""
        del request, host
        return None

    async def after(self, request: Request, answer: Answer) -> Answer:
        """What becomes of the host's answer."""
        del request
        return answer

    def truncates(self, request: Request) -> bool:
        """Whether this download breaks off."""
        del request
        return False

    def note(self, request: Request, what: str) -> None:
        if self.trace:
            query = "&".join(f"{k}={v}" for k, v in request.query.items() if k != "per_page")
            body = "" if request.upload or not request.body else f" {request.body.decode()[:200]}"
            path = request.path.partition("/repos/")[2].split("/", 2)[-1] or request.path
            query = f"?{query}" if query else ""
            self.trace(f"      {request.host}: {request.method} {path}{query}{body} -> {what}")


class _Body:
    """The content of an answer, as aiohttp gives it."""

    def __init__(self, chunks: Sequence[bytes], failure: Exception | None) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]
        self._failure = failure

    async def readany(self) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        if self._failure:
            raise self._failure
        return b""

    def read_nowait(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""

    async def read(self, limit: int = -1) -> bytes:
        whole = b"".join(self._chunks)
        self._chunks = []
        return whole if limit < 0 else whole[:limit]

    async def iter_any(self) -> AsyncIterator[bytes]:
        while chunk := await self.readany():
            yield chunk


class _RequestInfo(NamedTuple):
    headers: CIMultiDict[str]


class _Response:
    """As much of aiohttp's response as is used."""

    connection = None

    def __init__(self, answer: Answer, headers: Mapping[str, str], *, broken: bool) -> None:
        self.status = answer.status
        self.headers = CIMultiDict(answer.headers)
        self.request_info = _RequestInfo(CIMultiDict(headers))
        chunks, failure = [answer.body], None
        if broken:
            chunks = [answer.body[: len(answer.body) // 2]]
            failure = aiohttp.ClientPayloadError("the connection broke")
        self.content = _Body(chunks, failure)

    def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *about: object) -> None:
        pass


class Line:
    """Stands where a client has its aiohttp sessions: leads to one simulated host."""

    def __init__(self, host: Host, name: str, weather: Weather) -> None:
        self.kept = self.unkept = self
        self._host = host
        self._name = name
        self._weather = weather

    async def close(self) -> None:
        """Nothing is held."""

    async def request(
        self, method: str, url: URL, *, headers: Mapping[str, str], data: Any = None, **_: Any
    ) -> _Response:
        process, weather = self._weather.process, self._weather
        process.check()
        named = Request(self._name, method, url.raw_path, dict(url.query), b"")
        half = weather.duration(named) / 2
        body, broken = await self._body(named, data)
        request = named._replace(body=body)
        try:
            await asyncio.sleep(half)
        except asyncio.CancelledError:
            self._on_its_way(request, headers, broken)
            raise
        process.check()
        answer = await weather.before(request, self._host)
        if broken is not None:
            self._break_upload(request)
            raise aiohttp.ClientConnectionError("the body broke off") from broken
        if answer is None:
            answer = self._handle(request, headers)
        answer = await weather.after(request, answer)
        await asyncio.sleep(half)
        process.check()
        told = (
            f"{answer.status} {answer.body.decode()[:160]}"
            if answer.status >= 400
            else str(answer.status)
        )
        weather.note(request, told)
        if (self._name, method) == ("target", "GET") and request.path.endswith("/releases"):
            weather.looked = True
        return _Response(answer, headers, broken=weather.truncates(request))

    async def _body(self, request: Request, data: Any) -> tuple[bytes, Exception | None]:
        if data is None or isinstance(data, bytes):
            return data or b"", None
        chunks: list[bytes] = []
        try:
            chunks.extend([chunk async for chunk in data])
        except Exception as error:  # noqa: BLE001 - as aiohttp does with a body that fails
            self._weather.note(request, f"the body broke: {error}")
            return b"", error
        return b"".join(chunks), None

    def _on_its_way(
        self, request: Request, headers: Mapping[str, str], broken: Exception | None
    ) -> None:
        """What a process had sent when it died may arrive all the same."""
        dead = self._weather.process.dead
        if dead and request.write and broken is None and self._weather.dice.random() < 0.5:
            self._weather.note(request, "carried out after the sender's death")
            self._handle(request, headers)

    def _break_upload(self, request: Request) -> None:
        number = int(request.path.split("/")[-2])
        if self._weather.dice.random() < 0.5:
            self._host.break_upload(MIRROR, number, request.query["name"])

    def _handle(self, request: Request, headers: Mapping[str, str]) -> Answer:
        return self._host.handle(
            MIRROR, request.method, request.path, request.query, headers, request.body
        )


class SimulatedClient(GitHubClient):
    """The real client, with a line to a simulated host instead of connections."""

    def __init__(self, name: str, host: Host, clock: LoopClock, weather: Weather) -> None:
        super().__init__(
            name,
            host.url,
            None,
            TokenAuth(lambda: f"token-of-{name}", host=host.url),
            clock,
            retry=RetryPolicy(attempts=6),
            timeouts=Timeouts(stall=STALL),
            network=Network(proxy=""),
            jitter=weather.dice.random,
        )
        self._line = Line(host, name, weather)

    async def __aenter__(self) -> Self:
        self._transport._sessions = self._line  # type: ignore[assignment]
        return self


# -- the ledger ---------------------------------------------------------------------------------


class Saved(NamedTuple):
    """All that is on disk at a moment.

    Attributes:
        at: When the program last wrote a document of it.
        knows: Until when the program knew everything in its documents. A state that is put back
            keeps its time; what is written after that catches up only at the end of a pass.
    """

    at: float
    knows: float
    documents: Mapping[str, str]
    listing: str | None


class Disk:
    """Where ledgers are kept between processes.

    Attributes:
        states: Everything that was ever on it, the newest last.
    """

    def __init__(self) -> None:
        self.states = [Saved(0.0, 0.0, {}, None)]
        self._behind = False

    @property
    def now(self) -> Saved:
        return self.states[-1]

    def save(self, documents: Mapping[str, str]) -> None:
        at = asyncio.get_running_loop().time()
        knows = self.now.knows if self._behind else at
        self.states.append(Saved(at, knows, documents, self.now.listing))

    def save_index(self, text: str) -> None:
        self.states.append(self.now._replace(listing=text))

    def put_back(self, state: Saved) -> None:
        self.fall_behind()
        self.states.append(state)

    def fall_behind(self) -> None:
        """There may be something at the target that the documents do not know."""
        self._behind = True

    def catch_up(self) -> None:
        """A pass has looked at everything, and ended."""
        self._behind = False


class DiskLedgers:
    """The ledger store of one process: JSON on a :class:`Disk`."""

    def __init__(self, disk: Disk, process: Process, dice: random.Random) -> None:
        self._disk = disk
        self._process = process
        self._dice = dice

    @asynccontextmanager
    async def lock(self, wait: float = 0.0) -> AsyncIterator[None]:
        del wait
        yield

    def notifying(self) -> AbstractAsyncContextManager[None]:
        return self.lock()

    async def exists(self) -> bool:
        return True

    async def keys(self) -> list[str]:
        return sorted(self._disk.now.documents)

    async def save_entry(self, index: Index, key: str) -> None:
        del key
        await self.save_index(index)

    async def save_shared(self, index: Index) -> None:
        await self.save_index(index)

    async def load_index(self) -> Index:
        text = self._disk.now.listing
        return Index.decode(text.encode()) if text else Index()

    async def save_index(self, index: Index) -> None:
        text = index.encode().decode()
        await self._write()
        self._disk.save_index(text)

    async def load(self, key: str) -> Ledger | None:
        text = self._disk.now.documents.get(key)
        return Ledger.decode(text.encode()) if text else None

    async def save(self, key: str, ledger: Ledger) -> None:
        text = ledger.encode().decode()
        await self._write()
        self._disk.save({**self._disk.now.documents, key: text})

    async def set_aside(self, key: str, reason: str) -> None:
        del reason
        await self._write()
        self._disk.save({k: text for k, text in self._disk.now.documents.items() if k != key})

    async def _write(self) -> None:
        self._process.check()
        await asyncio.sleep(self._dice.uniform(0.001, 0.02))
        self._process.check()


# -- a pass -------------------------------------------------------------------------------------


class Told(NamedTuple):
    """A failure, a quarantined item or an action, as the report tells it."""

    what: str
    release: str
    asset: str
    text: str = ""


@dataclass
class PassResult:
    """What one run of the program came to.

    Attributes:
        status: Of the report; ``killed``, or ``crashed`` for an exception that nobody expected.
        done: Actions that were carried out.
        troubles: Failures and quarantined items.
        looked: The target's releases were listed.
    """

    command: str
    status: str
    done: list[Told] = field(default_factory=list)
    troubles: list[Told] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looked: bool = False

    @property
    def claims_success(self) -> bool:
        return self.status in {"ok", "unchanged"}

    def names(self, release: str, asset: str = "") -> bool:
        """Whether the report says that something is wrong with a release or an asset of it."""
        told = any(t.release == release and asset in {"", t.asset} for t in self.troubles)
        return told or any(
            (text.startswith(f"{release}:") and asset in text) or f"release {release} " in text
            for text in self.warnings
        )


async def run_pass(
    command: str,
    source: Host,
    target: Host,
    settings: Settings,
    disk: Disk,
    weather: Weather,
    *,
    full: bool = False,
) -> PassResult:
    """Run the program once: ``sync``, or ``verify --repair``; whatever happens is in the result."""
    process = weather.process
    clock = LoopClock(process)
    source_client = SimulatedClient("source", source, clock, weather)
    target_client = SimulatedClient("target", target, clock, weather)
    ledgers = DiskLedgers(disk, process, weather.dice)
    try:
        async with asyncio.timeout(LONGEST_PASS), source_client, target_client:
            context = _context(ledgers, await ledgers.load_index(), clock, process, full=full)
            rule = _rule(source, target, settings)
            runner = MirrorRunner(
                {"github": _side("github", source_client)},
                _side("target", target_client),
                context,
                partial(verify_mirror, repair=True) if command == "verify" else sync_mirror,
            )
            batch = Batch(command, [rule], (), runner, at_once=1)
            result = _result(command, await batch.run())
            result.looked = weather.looked
            return result
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if process.dead:
            return PassResult(command, "killed")
        if isinstance(error, Exception):
            return PassResult(command, "crashed", troubles=[Told("crash", "", "", repr(error))])
        raise


def _context(
    ledgers: DiskLedgers, index: Index, clock: LoopClock, process: Process, *, full: bool
) -> SessionContext:
    return SessionContext(
        ledgers=ledgers,
        index=index,
        slots=TransferSlots(4),
        clock=clock,
        observer=Observers(),
        stop=process.stop,
        retry=RetryPolicy(attempts=6),
        transfers_per_release=3,
        audit_interval=AUDIT_INTERVAL,
        spool=Spool(Path("nowhere"), None, clock),
        bandwidth=Bandwidth(0, clock),
        workers=Workers(threads=0),
        full=full,
    )


def _side(name: str, client: SimulatedClient) -> TargetEndpoint:
    return TargetEndpoint(
        name,
        client.url,
        client.api_url,
        client.fingerprint,
        ReleaseStore(client),
        STALL,
        900.0,
        places_ahead=2,
    )


def _rule(source: Host, target: Host, settings: Settings) -> Rule:
    policy = Policy(
        selection=Selection(
            asset_include=settings.asset_include,
            asset_exclude=settings.asset_exclude,
            latest=settings.latest,
        ),
        existing=settings.existing,
        on_change=settings.on_change,
        on_delete=settings.on_delete,
        on_deselect=settings.on_deselect,
        max_deletes=MAX_DELETES,
    )
    return Rule("github", source.repo, target.repo, policy, repr(settings))


def _result(command: str, report: Report) -> PassResult:
    result = PassResult(command, report.status)
    for repository in report.repositories:
        for action in repository.actions:
            if action.status in {"done", "failed"}:
                told = Told(action.action, action.release or "", action.asset or "", action.status)
                if action.status == "done":
                    result.done.append(told)
        for failure in repository.failures:
            result.troubles.append(
                Told(failure.action, failure.release or "", failure.asset or "", failure.error)
            )
        for item in repository.quarantined:
            result.troubles.append(
                Told("quarantined", item.release or "", item.asset or "", item.error)
            )
        for difference in repository.differences:
            result.troubles.append(
                Told(difference.kind, difference.release, difference.asset or "")
            )
        result.warnings.extend(repository.warnings)
        result.warnings.extend(getattr(repository, "notes", ()))
    return result


def quiet_logs() -> None:
    """Have the program log nothing: nobody reads it, and it takes a third of the time."""
    structlog.configure(
        processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )


def _drop(_: object, __: str, ___: object) -> Any:
    raise structlog.DropEvent
