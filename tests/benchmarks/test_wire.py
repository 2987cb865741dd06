"""Laws of the network between namespaces."""

from __future__ import annotations

import struct

import pytest

from benchmarks.stage.wire import (
    BUFFER,
    _Direction,  # the pure parts of a process that needs root
    _size,
    _surviving,
)

SEGMENT = 1448
HEADERS = 52
IP = 20


def packet(segments: int, last: int = SEGMENT) -> bytes:
    """A TCP packet of the kernel's, with a body that tells each segment's number."""
    body = b"".join(bytes([number]) * SEGMENT for number in range(segments))
    body = body[: len(body) - SEGMENT + last]
    kind = 1 if segments > 1 else 0
    shape = struct.pack("=BBHHHH", 1, kind, HEADERS, SEGMENT if kind else 0, IP, 16)
    ip = struct.pack("!BBHHHBBH8x", 0x45, 0, HEADERS + len(body), 0, 0, 64, 6, 0)
    tcp = struct.pack("!HHIIBB6x12x", 1, 2, 1000, 0, 8 << 4, 0)
    return shape + ip + tcp + body


def parts(piece: bytes) -> tuple[int, bytes]:
    """The sequence number and the body of a packet, whose lengths and checksum are right."""
    ip = piece[10:30]
    words = struct.unpack("!10H", ip)
    assert words[1] == len(piece) - 10
    assert words[5] == 0 or (sum(words) % 0xFFFF) == 0
    return struct.unpack_from("!I", piece, 34)[0], piece[10 + HEADERS :]


def test_each_segment_counts_with_its_headers() -> None:
    """A packet of several segments takes as much of the rate as they would one by one."""
    assert _size(packet(1)) == HEADERS + SEGMENT
    assert _size(packet(3, last=10)) == 3 * HEADERS + 2 * SEGMENT + 10


@pytest.mark.parametrize("lost", [(0,), (2,), (4,), (1, 2), (0, 4), (0, 1, 2, 3, 4)])
def test_only_the_lost_segments_are_missing(lost: tuple[int, ...]) -> None:
    """Losing segments of a packet leaves the bytes of all others, at their places."""
    whole = packet(5, last=100)
    number = iter(range(5))
    pieces = _surviving(whole, 0.5, lambda: 0.0 if next(number) in lost else 1.0)
    body = parts(whole)[1]
    found: dict[int, int] = {}
    for piece in pieces:
        sequence, payload = parts(piece)
        found |= {sequence - 1000 + place: byte for place, byte in enumerate(payload)}
    assert found == {place: byte for place, byte in enumerate(body) if place // SEGMENT not in lost}


def test_a_link_is_as_fast_as_its_rate_and_drops_what_its_queue_cannot_hold() -> None:
    """Packets leave one after another at the rate, then take the delay; a full queue drops."""
    link = _Direction(delay=1.0, rate=1000.0, loss=0.0)
    assert link.arrival(10, now=0.0) == pytest.approx(1.01)
    assert link.arrival(10, now=0.0) == pytest.approx(1.02)
    link.free_at = 5 + BUFFER + 0.001
    assert link.arrival(10, now=5.0) is None
