"""The control socket: another process of this machine has the daemon sync mirrors at once.

Whoever may connect is the daemon's own user or root: the socket has mode 0600. A client that goes
away cancels nothing; the daemon goes on with what was requested.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from mirror import __version__
from mirror.core.reporting.report import Observers
from mirror.daemon.control_messages import (
    PROTOCOL,
    SOCKET,
    Accepted,
    Call,
    Ended,
    Observed,
    Refused,
    socket_address,
)
from mirror.daemon.passes import Client
from mirror.errors import MirrorError, UsageError
from mirror.storage.files import make_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from mirror.core.reporting.report import Report, RepositoryReport
    from mirror.daemon.control_messages import Event
    from mirror.daemon.passes import Pass

log = structlog.get_logger()

_LOCK = "control.lock"
"""A file that a daemon locks, so that it has the socket beside it for itself."""

PROGRESS_EVERY = 0.2
"""Seconds between two batches of progress events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlLimits:
    """Limits for clients.

    Attributes:
        clients: At the same time; others are refused.
        call_bytes: Of a client's call.
        call: Seconds for a client to send its call.
        unread: Seconds for a client to read what it was sent.
        closing: Seconds for clients to read their reports when the service stops.
    """

    clients: int = 32
    call_bytes: int = 64 * 1024
    call: float = 10.0
    unread: float = 60.0
    closing: float = 2.0


class Stopping(MirrorError):
    """The service is stopping and starts nothing new."""


class Triggers(Protocol):
    """Starts what clients request."""

    def trigger(self, client: Client, *, full: bool) -> tuple[Pass, asyncio.Future[Report]]:
        """Sync what a client selects.

        Returns:
            The pass, and its report once it has ended.

        Raises:
            UsageError: A pattern matches nothing; by the result, if only a listing could show it.
            Stopping: Nothing new is started.
        """


@contextmanager
def only_daemon(directory: Path) -> Iterator[None]:
    """Keep a second daemon from the control socket while the block runs.

    The ledger's lock does so where there is one. Where the directory cannot be written, there is no
    socket to keep anybody from.

    Raises:
        UsageError: Another daemon uses the socket.
    """
    try:
        make_private(directory)
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another daemon uses {directory / SOCKET}: give each daemon of this machine its"
                " own RUNTIME_DIRECTORY"
            ) from None
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def serve_control(
    directory: Path, triggers: Triggers, *, limits: ControlLimits | None = None
) -> AsyncIterator[None]:
    """Serve the control socket in a directory while the block runs.

    The caller holds the ledger's lock, or :func:`only_daemon`, so that a socket which is there
    already is one that a killed daemon left behind. Where the file system has no sockets, a warning is logged, and the service
    runs without.
    """
    limits = limits or ControlLimits()
    try:
        with _listening(directory, limits.clients) as listener:
            async with asyncio.TaskGroup() as group:
                server = _Server(triggers, group, limits)
                listening = await asyncio.start_unix_server(
                    server.connected, sock=listener, limit=limits.call_bytes
                )
                try:
                    yield
                finally:
                    listening.close()
                    await server.close()
    except _Unavailable as error:
        log.warning("control.unavailable", path=str(directory / SOCKET), error=str(error))
        yield


class _Unavailable(Exception):
    """The socket cannot be created."""


@contextmanager
def _listening(directory: Path, backlog: int) -> Iterator[socket.socket]:
    with socket_address(directory) as address:
        path = Path(address)
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                if stat.S_ISSOCK(_mode(path)):
                    path.unlink()
                listener.setblocking(False)
                listener.bind(address)
                path.chmod(0o600)  # before it listens, nobody can connect
                listener.listen(backlog)
            except OSError as error:
                raise _Unavailable(error.strerror or str(error)) from error
            try:
                yield listener
            finally:
                with suppress(OSError):  # asyncio may have removed it
                    path.unlink()


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


class _Server:
    """The clients of one control socket."""

    def __init__(self, triggers: Triggers, group: asyncio.TaskGroup, limits: ControlLimits) -> None:
        self.triggers = triggers
        self.group = group
        self.limits = limits
        self._clients: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client in a task of its own."""
        conversation = _Conversation(self, reader, writer)
        busy = len(self._clients) >= self.limits.clients
        task = self.group.create_task(conversation.run(busy=busy))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def close(self) -> None:
        """Wait a moment for clients to read their reports, then disconnect them."""
        if self._clients:
            await asyncio.wait(self._clients, timeout=self.limits.closing)
        for task in self._clients:
            task.cancel()


class _Conversation:
    """One client, from its call to the end."""

    def __init__(
        self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self._writer = writer

    async def run(self, *, busy: bool) -> None:
        """Answer the call; whatever a client does ends its own conversation alone."""
        try:
            if busy:
                await self._send(Refused("busy", "too many clients wait for the daemon"))
            else:
                await self._answer()
            self._writer.close()
            async with asyncio.timeout(self._limits.unread):
                await self._writer.wait_closed()
        except (OSError, TimeoutError) as error:
            log.debug("control.client_lost", error=repr(error))
        except Exception:  # a broken conversation must not end the daemon
            log.exception("control.failed")
        finally:
            self._writer.transport.abort()

    async def _answer(self) -> None:
        try:
            call = await self._call()
            relay = _Relay() if call.wait and call.progress else None
            client = Client(call.patterns, relay or Observers())
            opened, ended = self._server.triggers.trigger(client, full=call.full)
            await self._send(Accepted(__version__, os.getpid()))
            if call.wait and await self._wait(opened, ended, relay):
                await self._send(Ended(ended.result()))
        except _Refusal as refusal:
            await self._send(refusal.event)
        except UsageError as error:
            await self._send(Refused("usage", str(error)))
        except Stopping as error:
            await self._send(Refused("stopping", str(error)))

    async def _call(self) -> Call:
        async with asyncio.timeout(self._limits.call):
            try:
                line = await self._reader.readline()
                given = msgspec.json.decode(line)
            except (ValueError, RecursionError):  # also one that is too long
                raise _Refusal(Refused("malformed", "the call is not a line of JSON")) from None
        protocol = given.get("protocol") if isinstance(given, dict) else None
        if protocol != PROTOCOL:
            text = f"the daemon is release-mirror {__version__} and speaks protocol {PROTOCOL}"
            raise _Refusal(Refused("protocol", text))
        try:
            return msgspec.convert(given, Call)
        except msgspec.ValidationError as error:
            raise _Refusal(Refused("malformed", f"the call is malformed: {error}")) from None

    async def _wait(
        self, opened: Pass, ended: asyncio.Future[Report], relay: _Relay | None
    ) -> bool:
        """Wait for the end, sending progress; ``False`` if the client left before."""
        left = self._server.group.create_task(self._left())
        try:
            while not (ended.done() or left.done()):
                await asyncio.wait(
                    (ended, left),
                    timeout=PROGRESS_EVERY if relay else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if relay and not left.done():
                    await self._send(*relay.take(opened.asked))
        finally:
            left.cancel()
            if relay:
                relay.close()
        if not ended.done():
            log.info("control.client_left", mirrors=opened.asked)
        return ended.done()

    async def _left(self) -> None:
        """Wait until the client closes the connection; it has nothing more to say."""
        with suppress(OSError):
            await self._reader.read(1)

    async def _send(self, *events: Event) -> None:
        self._writer.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        async with asyncio.timeout(self._limits.unread):
            await self._writer.drain()


class _Refusal(Exception):
    """The client's call is refused."""

    def __init__(self, event: Refused) -> None:
        super().__init__(event.message)
        self.event = event


class _Relay(Observers):
    """Collects what is observed until it is sent; of a transfer only where it is now."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Observed] = []
        self._moved: dict[int, int] = {}
        self._found = 0
        self._closed = False

    def close(self) -> None:
        """Collect nothing any more: nobody takes it."""
        self._closed = True

    def take(self, found: int) -> Sequence[Observed]:
        """What was observed since the last call.

        Args:
            found: Mirrors that the pass is about, as far as is known.
        """
        for number, done in self._moved.items():
            self._note("transfer_moved", number, done)
        self._moved.clear()
        events, self._events = self._events, []
        if found > self._found:
            events.insert(0, Observed("mirrors_found", [found - self._found]))
            self._found = found
        return events

    def _note(self, call: str, *values: object) -> None:
        if not self._closed:
            self._events.append(Observed(call, list(values)))

    def mirror_started(self, source: str) -> None:
        self._note("mirror_started", source)

    def mirror_finished(self, report: RepositoryReport) -> None:
        self._note("mirror_finished", report)

    def bytes_planned(self, source: str, count: int) -> None:
        self._note("bytes_planned", source, count)

    def transfer_started(
        self, number: int, source: str, target: str, release: str, asset: str, size: int
    ) -> None:
        self._note("transfer_started", number, source, target, release, asset, size)

    def transfer_moved(self, number: int, done: int) -> None:
        self._moved[number] = done

    def transfer_finished(self, number: int, *, good: bool) -> None:
        self._moved.pop(number, None)
        self._note("transfer_finished", number, good)

    def paced(self, host: str, limit: str, seconds: float) -> None:
        self._note("paced", host, limit, seconds)
