"""Sending an answer, interrupted, slowed and damaged as scripted."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web

from mirror.emulator.faults.fault import SHAPING
from mirror.emulator.http.connection import POLL, TICK, flush, paced, reset
from mirror.emulator.model.content import CHUNK, ContentLost, chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mirror.emulator.faults.fault import Fault
    from mirror.emulator.http.answer import Answer
    from mirror.emulator.http.call import Call

_STOPS = frozenset({"reset-midway", "truncate", "stall"})


async def send(call: Call, answer: Answer) -> web.StreamResponse:
    """Send an answer: a small one at once, a large or damaged one piece by piece.

    Raises:
        ConnectionError: It was interrupted as scripted, or its bytes were not kept.
    """
    try:
        return await _send(call, answer)
    except ContentLost:
        raise reset(call.request) from None


async def _send(call: Call, answer: Answer) -> web.StreamResponse:
    faults = [f for f in call.faults if f.kind in SHAPING and not f.inward(call.route)]
    length = answer.stop - answer.start if answer.content is not None else len(answer.body)
    if call.request.method == "HEAD":
        response = _head(call, answer, web.StreamResponse())
        response.content_length = length
        call.state.log.end(call.record, answer.status)
        return response
    if not faults and answer.stream is None and length <= CHUNK:
        return _at_once(call, answer)
    response = _head(call, answer, web.StreamResponse())
    wrong = next((f for f in faults if f.kind == "wrong-length"), None)
    if wrong is not None:
        return await _send_wrong_length(call, answer, response, wrong.at_byte)
    cut = any(f.kind == "truncate" and not f.keep_length for f in faults)
    if not cut and answer.stream is None:
        response.content_length = length
    await response.prepare(call.request)
    await _write(call, response, _parts(answer), faults)
    call.state.log.end(call.record, answer.status)
    await response.write_eof()
    return response


def _head(call: Call, answer: Answer, response: web.StreamResponse) -> web.StreamResponse:
    """Set status and headers; the date follows the host's clock, unless it is scripted."""
    response.set_status(answer.status)
    response.headers.update(answer.headers)
    response.headers.setdefault("Date", formatdate(call.state.clock(), usegmt=True))
    if answer.content_type is not None:
        response.headers["Content-Type"] = answer.content_type
    return response


def _at_once(call: Call, answer: Answer) -> web.StreamResponse:
    body = b"".join(_parts(answer))
    call.record.bytes_out = len(body)
    if answer.content is not None:
        call.state.log.moved(call.route, len(body))
    call.state.log.end(call.record, answer.status)
    return _head(call, answer, web.Response(body=body or None))


async def _send_wrong_length(
    call: Call, answer: Answer, response: web.StreamResponse, announced: int
) -> web.StreamResponse:
    """Announce another length than the body has, and send all of it."""
    response.content_length = announced
    await response.prepare(call.request)
    body = b"".join(_parts(answer))
    await response.write(body[:announced])
    transport = call.request.transport
    await flush(transport)
    await asyncio.sleep(POLL)  # a client reads what was announced before it sees more
    if transport is not None and not transport.is_closing():
        transport.write(body[announced:])  # past the server's writer, which keeps to the length
    call.record.bytes_out = len(body)
    await flush(transport)
    call.state.log.end(call.record, answer.status)
    if transport is not None:
        transport.close()
    raise ConnectionResetError("scripted")


def _parts(answer: Answer) -> Iterable[bytes]:
    if answer.stream is not None:
        return answer.stream
    if answer.content is not None:
        return chunks(answer.content, answer.start, answer.stop)
    return (answer.body,)


async def _write(
    call: Call, response: web.StreamResponse, parts: Iterable[bytes], faults: list[Fault]
) -> None:
    """Write the pieces of a body, interrupted as scripted."""
    record, log, name = call.record, call.state.log, call.route
    stops = sorted((f for f in faults if f.kind in _STOPS), key=lambda f: f.at_byte)
    corrupt = next((f.at_byte for f in faults if f.kind == "corrupt"), None)
    rate = next((f.rate for f in faults if f.kind == "slow"), 0)
    for piece in _pieces(parts, stops, max(1, int(rate * TICK)) if rate else CHUNK):
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
    """Cut a body so that every stop is between two pieces, and none is larger than asked."""
    at = 0
    marks = [stop.at_byte for stop in stops]
    for part in parts:
        begin = 0
        while begin < len(part):
            end = min([begin + largest, len(part), *(m - at for m in marks if m - at > begin)])
            yield part if begin == 0 and end == len(part) else part[begin:end]
            begin = end
        at += len(part)


async def _stop(call: Call, response: web.StreamResponse, fault: Fault) -> bool:
    """Carry out a fault in the middle of a body; false if the body ends here."""
    if fault.kind == "stall":
        await call.state.faults.stall(fault.seconds)
        return True
    transport = call.request.transport
    await flush(transport)
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
