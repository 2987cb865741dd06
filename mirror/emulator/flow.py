"""How bodies flow, in and out, and how scripted faults break them."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web

from mirror.emulator.content import CHUNK, Content, ContentLost, chunks
from mirror.emulator.errors import ApiError
from mirror.emulator.faults import SHAPING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mirror.emulator.content import Intake
    from mirror.emulator.faults import Fault
    from mirror.emulator.routing import Answer, Call

_TICK = 0.02
"""Seconds between two pieces of a body with a rate."""

_FLUSH = 0.001
_PATIENCE = 5000

_STOPS = frozenset({"reset-midway", "truncate", "stall"})


def reset(request: web.BaseRequest) -> ConnectionResetError:
    """Break the connection the hard way, so that the client's system says "reset by peer".

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


async def hang(seconds: float | None) -> None:
    """Wait; for ever means until the client goes, which cancels."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


async def paced(rate: int, moved: int) -> None:
    """Wait as long as so many bytes take at this rate."""
    if rate > 0:
        await asyncio.sleep(moved / rate)


async def drain(call: Call) -> None:
    """Read a body and throw it away."""
    await call.welcome()
    async for chunk in call.request.content.iter_any():
        call.record.bytes_in += len(chunk)


async def whole(call: Call) -> bytes:
    """Read a small body to its end, broken as scripted.

    Raises:
        ConnectionError: It broke.
    """
    await call.welcome()
    faults = [f for f in call.faults if f.inward(call.route.name)]
    stops = [f for f in faults if f.kind in ("reset-midway", "stall")]
    rate = next((f.rate for f in faults if f.kind == "slow"), 0)
    data = b""
    async for chunk in call.request.content.iter_any():
        data += chunk
        call.record.bytes_in = len(data)
        await paced(rate, len(chunk))
        while stops and len(data) >= stops[0].at_byte:
            if stops[0].kind == "reset-midway":
                raise reset(call.request)
            await call.state.faults.stall(stops.pop(0).seconds)
    return data


async def receive(call: Call, length: int) -> Content:
    """Take the body of an upload.

    Raises:
        ConnectionError: It broke; what came is forgotten.
        ApiError: It was read and lost, as scripted.
    """
    intake = call.state.contents.take(length)
    await call.welcome()
    try:
        await _fill(call, intake, length)
        _lose(call)
        return intake.finish()
    except BaseException:
        intake.abandon()
        raise


def _lose(call: Call) -> None:
    """Where that is scripted, what was read whole is not stored."""
    for fault in call.faults:
        if fault.kind == "upload-failed":
            raise ApiError(fault.status, "Error saving asset")


async def _fill(call: Call, intake: Intake, length: int) -> None:
    """Read until all is there, broken as scripted."""
    faults = [f for f in call.faults if f.inward(call.route.name)]
    stop = next((f for f in faults if f.kind in ("reset-midway", "stall")), None)
    slow = next((f.rate for f in faults if f.kind == "slow"), call.state.upload_rate)
    # At a rate, small pieces keep the pace even.
    largest = max(1, int(slow * _TICK)) if slow else CHUNK
    record, log, name = call.record, call.state.log, call.route.name
    while True:
        if stop is not None and intake.size >= min(stop.at_byte, length):
            if stop.kind == "reset-midway":
                raise reset(call.request)
            await call.state.faults.stall(stop.seconds)
            stop = None
        if intake.size == length:
            return
        limit = min(largest, stop.at_byte - intake.size) if stop is not None else largest
        chunk = await call.request.content.read(limit)
        if not chunk:
            raise ConnectionResetError("the body ended early")
        intake.write(chunk)
        record.bytes_in = intake.size
        log.moved(name, intake.size)
        await paced(slow, len(chunk))


async def send(call: Call, answer: Answer) -> web.StreamResponse:
    """Send an answer; small ones at once, large ones and broken ones piece by piece.

    Raises:
        ConnectionError: It was broken as scripted, or its bytes were not kept.
    """
    try:
        return await _send(call, answer)
    except ContentLost:
        raise reset(call.request) from None


async def _send(call: Call, answer: Answer) -> web.StreamResponse:
    faults = [f for f in call.faults if f.kind in SHAPING and not f.inward(call.route.name)]
    length = answer.stop - answer.start if answer.content is not None else len(answer.body)
    head = call.request.method == "HEAD"
    if head or (not faults and answer.stream is None and length <= CHUNK):
        return _at_once(call, answer, length, head=head)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    _date(call, response)
    if answer.content_type is not None:
        response.headers["Content-Type"] = answer.content_type
    cut = next((f for f in faults if f.kind == "truncate" and not f.keep_length), None)
    wrong = next((f for f in faults if f.kind == "wrong-length"), None)
    if wrong is not None:
        return await _misannounced(call, answer, response, wrong.at_byte)
    if cut is None and answer.stream is None:
        response.content_length = length
    await response.prepare(call.request)
    await _pour(call, response, _parts(answer), faults)
    call.state.log.end(call.record, answer.status)
    await response.write_eof()
    return response


async def _misannounced(
    call: Call, answer: Answer, response: web.StreamResponse, announced: int
) -> web.StreamResponse:
    """Announce another length than the body has, and send all of it."""
    response.content_length = announced
    await response.prepare(call.request)
    body = b"".join(_parts(answer))
    await response.write(body[:announced])
    transport = call.request.transport
    await _flush(transport)
    await asyncio.sleep(_FLUSH)  # a client reads what was announced before it sees more
    if transport is not None and not transport.is_closing():
        transport.write(body[announced:])  # past the server's writer, which keeps to the length
    call.record.bytes_out = len(body)
    await _flush(transport)
    call.state.log.end(call.record, answer.status)
    if transport is not None:
        transport.close()
    raise ConnectionResetError("scripted")


def _at_once(call: Call, answer: Answer, length: int, *, head: bool) -> web.StreamResponse:
    body = answer.body
    if answer.content is not None and not head:
        body = b"".join(_parts(answer))
    response: web.StreamResponse
    if head:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = length
    else:
        response = web.Response(status=answer.status, headers=answer.headers, body=body or None)
    _date(call, response)
    if answer.content_type is not None:
        response.headers["Content-Type"] = answer.content_type
    if not head:
        call.record.bytes_out = len(body)
        if answer.content is not None:
            call.state.log.moved(call.route.name, len(body))
    call.state.log.end(call.record, answer.status)
    return response


def _date(call: Call, response: web.StreamResponse) -> None:
    """The time by the state's clock, unless a script says another; the server would take its own."""
    response.headers.setdefault("Date", formatdate(call.state.clock(), usegmt=True))


def _parts(answer: Answer) -> Iterable[bytes]:
    if answer.stream is not None:
        return answer.stream
    if answer.content is not None:
        return chunks(answer.content, answer.start, answer.stop)
    return (answer.body,)


async def _pour(
    call: Call, response: web.StreamResponse, parts: Iterable[bytes], faults: list[Fault]
) -> None:
    """Write the pieces of a body, broken as scripted."""
    record, log, name = call.record, call.state.log, call.route.name
    stops = sorted((f for f in faults if f.kind in _STOPS), key=lambda f: f.at_byte)
    corrupt = next((f.at_byte for f in faults if f.kind == "corrupt"), None)
    rate = next((f.rate for f in faults if f.kind == "slow"), 0)
    for piece in _pieces(parts, stops, max(1, int(rate * _TICK)) if rate else CHUNK):
        while stops and record.bytes_out >= stops[0].at_byte:
            if not await _stop(call, response, stops.pop(0)):
                return
        if corrupt is not None and 0 <= corrupt - record.bytes_out < len(piece):
            piece = _flipped(piece, corrupt - record.bytes_out)  # noqa: PLW2901
        await response.write(piece)
        record.bytes_out += len(piece)
        log.moved(name, record.bytes_out)
        await paced(rate, len(piece))
    for stop in stops:
        if not await _stop(call, response, stop):
            return


def _pieces(parts: Iterable[bytes], stops: list[Fault], largest: int) -> Iterator[bytes]:
    """Cut so that each stop is between two pieces, and none is larger than asked."""
    at = 0
    marks = [stop.at_byte for stop in stops]
    for part in parts:
        begin = 0
        while begin < len(part):
            end = min([begin + largest, len(part), *(m - at for m in marks if m - at > begin)])
            yield part if begin == 0 and end == len(part) else part[begin:end]
            begin = end
        at += len(part)


async def _flush(transport: asyncio.Transport | None) -> None:
    """Wait until what was written has arrived: a reset throws away what has not."""
    if transport is None:
        return
    connection: socket.socket | None = transport.get_extra_info("socket")
    for _ in range(_PATIENCE):
        if transport.get_write_buffer_size() == 0 and _in_flight(connection) == 0:
            return
        await asyncio.sleep(_FLUSH)


def _in_flight(connection: socket.socket | None) -> int:
    """Bytes that the other side has not acknowledged, where the system tells."""
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int.from_bytes(told, sys.byteorder)


async def _stop(call: Call, response: web.StreamResponse, fault: Fault) -> bool:
    """Carry out a fault in the middle of a body; false when the body ends here."""
    if fault.kind == "stall":
        await call.state.faults.stall(fault.seconds)
        return True
    transport = call.request.transport
    await _flush(transport)
    call.state.log.end(call.record, response.status)
    if fault.kind == "reset-midway":
        raise reset(call.request)
    if fault.keep_length and transport is not None:
        transport.close()
        raise ConnectionResetError("scripted")
    return False


def _flipped(piece: bytes, at: int) -> bytes:
    made = bytearray(piece)
    made[at] ^= 0xFF
    return bytes(made)
