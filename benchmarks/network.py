"""A network of namespaces with delay, limited rate and loss: what a WAN does, on one machine.

::

    links = {"source": Link(round_trip=0.08, rate=GIGABIT), "target": Link(round_trip=0.02)}
    with network({**links, "worker-1": Link(), "worker-2": Link()}) as net:
        with net.inside("target"):
            server = subprocess.Popen([...])  # listens at net.address("target")
        with net.inside("worker-1"):
            subprocess.run([...])

All nodes reach each other; a packet crosses the sender's link and the receiver's. The network ends
with the block or with this process, however that ends, and leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import Missing, need
from benchmarks.stage.processes import Failed, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GIGABIT = 125_000_000
"""Bytes per second of 1 Gbit/s."""

PAYLOAD = 1448 / 1500
"""The part of a full packet that is payload; the rest is headers of IP and TCP."""

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Link:
    """A node's connection to all others.

    Attributes:
        round_trip: Seconds that it adds to a round trip.
        rate: Bytes per second, headers included, each way; 0 for no limit.
        loss: Probability that a segment is lost, each way.
    """

    round_trip: float = 0.0
    rate: float = 0.0
    loss: float = 0.0


class Network:
    """The nodes of a running network."""

    def __init__(self, addresses: Mapping[str, str], places: Mapping[str, str]) -> None:
        self._addresses = addresses
        self.places = places

    def address(self, node: str) -> str:
        """The node's IPv4 address."""
        return self._addresses[node]

    @contextmanager
    def inside(self, node: str) -> Iterator[None]:
        """Let this thread, and the processes that it starts, be in a node while the block runs."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            enter(self.places[node])
            yield
        finally:
            _enter(before)
            os.close(before)


@contextmanager
def network(links: Mapping[str, Link]) -> Iterator[Network]:
    """Run a network of the given nodes for the duration of the block.

    Raises:
        Missing: This machine does not permit it.
    """
    need("ip")
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        raise Missing("network namespaces with TUN devices are not permitted (run it as root)")
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(links, 1)}
    nodes = {
        name: {
            "address": addresses[name],
            "delay": link.round_trip / 2,
            "rate": link.rate,
            "loss": link.loss,
        }
        for name, link in links.items()
    }
    running = served("benchmarks.stage.wire", {"nodes": nodes})
    try:
        places = running.__enter__()
    except Failed as error:
        raise Missing("network namespaces are not permitted here") from error
    try:
        yield Network(addresses, places)
    finally:
        running.__exit__(None, None, None)


def enter(place: str) -> None:
    """Move this thread into a namespace, given its path."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        _enter(descriptor)
    finally:
        os.close(descriptor)


def listener(place: str, address: str) -> socket.socket:
    """A listening socket in a namespace, on any free port; the caller's thread stays where it is."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if place:
            enter(place)
        return socket.create_server((address, 0), backlog=1024)
    finally:
        _enter(before)
        os.close(before)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
