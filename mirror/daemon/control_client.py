"""The client's side of the control socket."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import msgspec

from mirror.daemon.control_messages import (
    SOCKET,
    Accepted,
    Ended,
    Observed,
    Refused,
    socket_address,
)
from mirror.errors import MirrorError, NoDaemon, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.core.reporting.report import Observer, Report
    from mirror.daemon.control_messages import Call

CONNECT_TIMEOUT = 10.0
"""Seconds for the daemon to accept the connection, and to answer the call."""

_MOST_BYTES = 2**31
"""Longest line accepted: the report of a pass. The daemon runs as the same user, or as root's."""

_DECODER: msgspec.json.Decoder[Accepted | Refused | Observed | Ended] = msgspec.json.Decoder(
    Accepted | Refused | Observed | Ended
)


async def call_daemon(
    directory: Path,
    call: Call,
    observer: Observer,
    on_accepted: Callable[[Accepted], None] = lambda _: None,
) -> Report | None:
    """Have the daemon sync mirrors, and wait for its report.

    Args:
        directory: Where its socket is.
        call: What to do.
        observer: Told of the progress, if the call asks for it.
        on_accepted: Called when the mirrors are requested.

    Returns:
        The report; ``None`` if the call does not wait for it.

    Raises:
        NoDaemon: No daemon is running there, or it is stopping.
        UsageError: A pattern matches nothing.
        MirrorError: The daemon refused the call, or went away before the end.
    """
    reader, writer = await _connect(directory)
    try:
        return await _converse(reader, writer, call, observer, on_accepted)
    except TimeoutError:
        raise MirrorError("the daemon does not answer on its control socket") from None
    except (OSError, EOFError):
        raise MirrorError(
            "the daemon ended before the mirrors were synced; it continues when it is started again"
        ) from None
    except (ValueError, TypeError):
        raise MirrorError(
            "the daemon's answer cannot be read; it may be of another version: restart it"
        ) from None
    finally:
        writer.close()


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    call: Call,
    observer: Observer,
    on_accepted: Callable[[Accepted], None],
) -> Report | None:
    writer.write(msgspec.json.encode(call) + b"\n")
    await writer.drain()
    async with asyncio.timeout(CONNECT_TIMEOUT):
        event = await _next(reader)
    while not isinstance(event, Ended):
        if isinstance(event, Observed):
            event.replay(observer)
        else:
            on_accepted(event)
            if not call.wait:
                return None
        event = await _next(reader)
    return event.report


async def _connect(directory: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        with socket_address(directory) as address:
            connection.connect(address)
        connection.setblocking(False)
        return await asyncio.open_unix_connection(sock=connection, limit=_MOST_BYTES)
    except PermissionError:
        connection.close()
        raise NoDaemon(
            f"no permission to reach the daemon through {directory}; run trigger as the daemon's"
            " user or as root"
        ) from None
    except OSError:  # no directory, no socket, or one that a killed daemon left behind
        connection.close()
        raise NoDaemon(
            f"no daemon listens on {directory / SOCKET}; start it (release-mirror daemon), or run"
            " release-mirror sync"
        ) from None


async def _next(reader: asyncio.StreamReader) -> Accepted | Observed | Ended:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    event = _DECODER.decode(line)
    if not isinstance(event, Refused):
        return event
    match event.reason:
        case "usage":
            raise UsageError(event.message)
        case "stopping":
            raise NoDaemon(event.message)
        case "protocol":
            raise MirrorError(f"{event.message}, which this program does not: restart the daemon")
    raise MirrorError(event.message)
