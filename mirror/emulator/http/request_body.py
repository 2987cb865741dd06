"""Reading the body of a request, interrupted and slowed as scripted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mirror.emulator.http.answer import ApiError, bad_request
from mirror.emulator.http.connection import TICK, paced, reset
from mirror.emulator.model.content import CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mirror.emulator.http.call import Call
    from mirror.emulator.model.content import Content


async def drain(call: Call) -> None:
    """Read a body and discard it."""
    await _continue(call)
    async for chunk in call.request.content.iter_any():
        call.record.bytes_in += len(chunk)


async def read(call: Call) -> bytes:
    """Read a small body to its end.

    Raises:
        ConnectionError: It was interrupted.
    """
    return b"".join([chunk async for chunk in _pieces(call)])


async def json_object(call: Call) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object.

    Raises:
        ApiError: 400, with GitHub's message.
    """
    data = await read(call)
    if not data:
        return {}
    try:
        made = json.loads(data)
    except ValueError:
        raise bad_request("Problems parsing JSON") from None
    if not isinstance(made, dict):
        raise bad_request("Body should be a JSON object")
    call.record.document = made
    return made


async def receive(call: Call, length: int) -> Content:
    """Read the body of an upload.

    Raises:
        ConnectionError: It was interrupted; what arrived is forgotten.
        ApiError: It was read and lost, as scripted.
    """
    intake = call.state.contents.take(length)
    try:
        async for chunk in _pieces(call, length, call.state.upload_rate):
            intake.write(chunk)
            call.state.log.moved(call.route, intake.size)
        _lose(call)
        return intake.finish()
    except BaseException:
        intake.abandon()
        raise


def _lose(call: Call) -> None:
    """Refuse what was read, if that is scripted."""
    for fault in call.faults:
        if fault.kind == "upload-failed":
            raise ApiError(fault.status, "Error saving asset")


async def _continue(call: Call) -> None:
    """Tell a client that waits for it to send its body."""
    if call.request.headers.get("Expect", "").lower() == "100-continue":
        writer = call.request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0


async def _pieces(call: Call, length: int | None = None, rate: int = 0) -> AsyncIterator[bytes]:
    """The body, or its first `length` bytes, cut where a fault interrupts it."""
    faults = [f for f in call.faults if f.inward(call.route)]
    stops = [f for f in faults if f.kind in ("reset-midway", "stall")]
    rate = next((f.rate for f in faults if f.kind == "slow"), rate)
    # At a limited rate, small pieces keep the pace even.
    largest = max(1, int(rate * TICK)) if rate else CHUNK
    await _continue(call)
    read = 0
    while True:
        while stops and read >= (
            stops[0].at_byte if length is None else min(stops[0].at_byte, length)
        ):
            stop = stops.pop(0)
            if stop.kind == "reset-midway":
                raise reset(call.request)
            await call.state.faults.stall(stop.seconds)
        if read == length:
            return
        limit = min(largest, stops[0].at_byte - read) if stops else largest
        chunk = await call.request.content.read(limit)
        if not chunk and length is None:
            return
        if not chunk:
            raise ConnectionResetError("the body ended early")
        read += len(chunk)
        call.record.bytes_in = read
        yield chunk
        await paced(rate, len(chunk))
