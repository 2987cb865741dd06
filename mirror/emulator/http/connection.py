"""The TCP connection below a request: resets, flushes, and waits."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

TICK = 0.02
"""Seconds between two pieces of a body with a limited rate."""

POLL = 0.001
_PATIENCE = 5000


def reset(request: web.BaseRequest) -> ConnectionResetError:
    """Abort the connection with a RST, so that the client's system reports "reset by peer".

    Returns:
        What to raise, so that nothing more is sent.
    """
    transport = request.transport
    if transport is not None:
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return ConnectionResetError("scripted")


async def flush(transport: asyncio.Transport | None) -> None:
    """Wait until what was written has arrived: a reset discards what has not."""
    if transport is None:
        return
    connection: socket.socket | None = transport.get_extra_info("socket")
    for _ in range(_PATIENCE):
        if transport.get_write_buffer_size() == 0 and _unacknowledged(connection) == 0:
            return
        await asyncio.sleep(POLL)


def _unacknowledged(connection: socket.socket | None) -> int:
    """Bytes that the client has not acknowledged, where the system can say."""
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int.from_bytes(queued, sys.byteorder)


async def hang(seconds: float | None) -> None:
    """Wait, for ever if `None`: then the client's disconnect cancels."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


async def paced(rate: int, moved: int) -> None:
    """Wait as long as so many bytes take at this rate."""
    if rate > 0:
        await asyncio.sleep(moved / rate)
