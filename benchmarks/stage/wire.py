"""Carries packets between network namespaces, with delay, rate limit and loss, in user space.

Runs as a process: ``python -m benchmarks.stage.wire``. Input:

nodes: by name, the node's ``address`` and its link: ``delay`` in seconds one way, ``rate`` in bytes
    per second each way (0: no limit), ``loss`` as the probability that a segment is lost.

It makes one namespace per node, each with one TUN device, and prints the path of each namespace.
Nothing of it has a name in the file system or outlives this process: the kernel removes devices and
namespaces when the last process in them has ended.

``tc netem`` would do the same in the kernel, but many kernels (those of small virtual machines among
them) are built without it. TUN devices pass segments of up to 64 KiB, so 1 Gbit/s takes some thousand
packets a second.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stage import life

BUFFER = 0.1
"""Seconds of traffic that a link queues before it drops packets."""

SEED = 1

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUN_NO_PI_VNET_HDR = 0x0001 | 0x1000 | 0x4000
_CHECKSUM_AND_TSO4 = 0x01 | 0x02
_HEADER = struct.Struct("=BBHHHH")  # virtio_net_hdr: flags, kind, headers, segment, checksum
_LARGEST = _HEADER.size + 65536
_AT_A_TIME = 64
_SOCKET_MEMORY = "4096 131072 33554432"
"""As servers far away are configured: a window of 80 ms times 1 Gbit/s, and more."""


@dataclass(slots=True)
class _Direction:
    """One direction of a link."""

    delay: float
    rate: float
    loss: float
    free_at: float = 0.0

    def arrival(self, size: int, now: float) -> float | None:
        """When a packet of this size has passed; ``None`` if the queue is full."""
        if not self.rate:
            return now + self.delay
        begins = max(self.free_at, now)
        if begins - now > BUFFER:
            return None
        self.free_at = begins + size / self.rate
        return self.free_at + self.delay


@dataclass(slots=True)
class _Node:
    """One namespace, with both directions of its link."""

    device: int
    up: _Direction
    down: _Direction


def main() -> None:
    """Carry packets until killed."""
    spec = life.orders()
    life.end_with_parent()
    with suppress(PermissionError):
        os.nice(-10)  # a network does not compete with the programs that use it
    nodes: dict[bytes, _Node] = {}
    places: dict[str, str] = {}
    for name, wanted in spec["nodes"].items():
        device = _namespace(wanted["address"])
        link = wanted["delay"], wanted["rate"], wanted["loss"]
        octets = bytes(int(part) for part in wanted["address"].split("."))
        nodes[octets] = _Node(device, _Direction(*link), _Direction(*link))
        inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        places[name] = f"/proc/{os.getpid()}/fd/{inside}"
    life.ready(places)
    _carry(nodes)


def _namespace(address: str) -> int:
    """Enter a new namespace that has this address on a TUN device; the device's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wire0", _TUN_NO_PI_VNET_HDR))
    fcntl.ioctl(device, _TUNSETOFFLOAD, _CHECKSUM_AND_TSO4)
    for command in (
        "link set lo up",
        f"address add {address}/24 dev wire0",
        "link set wire0 up txqueuelen 5000",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    for name in ("tcp_rmem", "tcp_wmem"):
        Path("/proc/sys/net/ipv4", name).write_text(_SOCKET_MEMORY, encoding="ascii")
    return device


def _carry(nodes: dict[bytes, _Node]) -> None:
    by_device = {node.device: node for node in nodes.values()}
    devices = list(by_device)
    chance = random.Random(SEED).random  # noqa: S311 - loss that repeats
    due: list[tuple[float, int, _Node, bytes, bool]] = []
    number = 0
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        ready, _, _ = select.select(devices, (), (), wait)
        now = time.monotonic()
        while due and due[0][0] <= now:
            at, _, node, packet, crossed = heapq.heappop(due)
            if crossed:
                _deliver(node.device, packet)
            elif (arrives := node.down.arrival(_size(packet), at)) is not None:
                number += 1
                heapq.heappush(due, (arrives, number, node, packet, True))
        for device in ready:
            up = by_device[device].up
            for packet in _received(device):
                to = nodes.get(packet[_HEADER.size + 16 : _HEADER.size + 20])
                if to is None:
                    continue
                loss = up.loss + to.down.loss
                for piece in _surviving(packet, loss, chance) if loss else (packet,):
                    if (crosses := up.arrival(_size(piece), now)) is not None:
                        number += 1
                        heapq.heappush(due, (crosses, number, to, piece, False))


def _received(device: int) -> list[bytes]:
    packets: list[bytes] = []
    with suppress(BlockingIOError):
        while len(packets) < _AT_A_TIME:
            packet = os.read(device, _LARGEST)
            packets.append(packet)
    return packets


def _deliver(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.ENOBUFS, errno.EIO, errno.EINVAL}:
            raise


def _size(packet: bytes) -> int:
    """Bytes on the wire, each segment with its own headers."""
    kind: int
    headers: int
    segment: int
    _, kind, headers, segment, _, _ = _HEADER.unpack_from(packet)
    size = len(packet) - _HEADER.size
    if not kind:
        return size
    return size + headers * (-(-(size - headers) // segment) - 1)


def _surviving(packet: bytes, loss: float, chance: Any) -> list[bytes]:
    """What is left of a packet when each of its segments is lost with a probability."""
    flags, kind, headers, segment, start, offset = _HEADER.unpack_from(packet)
    if not kind:
        return [] if chance() < loss else [packet]
    begin = _HEADER.size + headers
    segments = -(-(len(packet) - begin) // segment)
    lost = [number for number in range(segments) if chance() < loss]
    if not lost:
        return [packet]
    pieces, first = [], 0
    for last in (*lost, segments):
        if last > first:
            payload = packet[begin + first * segment : begin + last * segment]
            several = kind if len(payload) > segment else 0
            size = segment if several else 0
            shape = _HEADER.pack(flags, several, headers, size, start, offset)
            head = _headers(packet[_HEADER.size : begin], first * segment, len(payload))
            pieces.append(shape + head + payload)
        first = last + 1
    return pieces


def _headers(before: bytes, skipped: int, payload: int) -> bytes:
    """The headers of a packet's later part; TCP's checksum is left to the device."""
    head = bytearray(before)
    tcp = (head[0] & 15) * 4
    struct.pack_into("!H", head, 2, len(head) + payload)
    struct.pack_into("!H", head, 10, 0)
    total = sum(struct.unpack(f"!{tcp // 2}H", head[:tcp]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", head, 10, ~total & 0xFFFF)
    sequence = struct.unpack_from("!I", head, tcp + 4)[0]
    struct.pack_into("!I", head, tcp + 4, (sequence + skipped) & 0xFFFFFFFF)
    return bytes(head)


if __name__ == "__main__":
    main()
