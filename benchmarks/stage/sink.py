"""An upload server that discards content: it counts uploads, and hashes them on request.

Runs as a process: ``python -m benchmarks.stage.sink``. Input:

certificate: serve over TLS.
workers: number of processes that share the port.
rate: bytes per second over all connections (implies one worker); 0 for no limit.
connection_rate: bytes per second of one connection.
notify: URL to notify of each asset before its upload is answered.

On plain connections, the kernel discards the bytes (``MSG_TRUNC``), so that reading costs almost
nothing; over TLS they are decrypted. ``POST /hash/…`` hashes the upload and returns the digest.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from benchmarks.stage import life
from benchmarks.stage.bucket import Bucket

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_MOST = 4 << 20
_PIECE = 128 << 10


@dataclass(frozen=True, slots=True)
class _Orders:
    context: ssl.SSLContext | None
    link: Bucket
    rate: float
    connection_rate: float
    notify: str


def main() -> None:
    """Serve until killed."""
    spec = life.orders()
    context = None
    if spec.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(spec["certificate"])
    rate, connection_rate = spec.get("rate", 0), spec.get("connection_rate", 0)
    orders = _Orders(context, Bucket(rate), rate, connection_rate, spec.get("notify", ""))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    for _ in range(spec.get("workers", 1) - 1):
        if os.fork() == 0:
            _serve(listener, orders)
    scheme = "https" if context else "http"
    life.ready({"url": f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"})
    _serve(listener, orders)


def _serve(listener: socket.socket, orders: _Orders) -> None:
    life.end_with_parent()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_talk, args=(connection, orders), daemon=True).start()


def _talk(connection: socket.socket, orders: _Orders) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if orders.context is not None:
            connection = orders.context.wrap_socket(connection, server_side=True)
        with connection:
            intake = _Intake(connection, orders)
            while intake.upload():
                pass
    except OSError:
        pass  # the client disconnected


class _Intake:
    """Serve the uploads of one connection sequentially."""

    def __init__(self, connection: socket.socket, orders: _Orders) -> None:
        self._connection = connection
        self._orders = orders
        self._own = Bucket(orders.connection_rate)
        self._limited = bool(orders.rate or orders.connection_rate)
        self._drop = orders.context is None
        # Not touched when bytes are discarded, so it takes no memory.
        self._room = memoryview(mmap.mmap(-1, _MOST))

    def upload(self) -> bool:
        """Receive and answer one upload; return false at the end of the connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = self._connection.recv(65536)
            if not more:
                return False
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        digest = hashlib.sha256() if path.startswith("/hash/") else None
        if digest is not None:
            digest.update(rest)
        if not self._drain(size - len(rest), digest):
            return False
        self._answer(path, size, f"sha256:{digest.hexdigest()}" if digest is not None else None)
        return True

    def _drain(self, left: int, digest: Any) -> bool:
        most = _PIECE if self._limited else _MOST
        flags = socket.MSG_TRUNC if self._drop and digest is None else 0
        while left > 0:
            size = min(left, most)
            taken = self._connection.recv_into(self._room, size, flags)
            if not taken:
                return False
            if digest is not None:
                digest.update(self._room[:taken])
            left -= taken
            if self._limited:
                self._own.take(taken)
                self._orders.link.take(taken)
        return True

    def _answer(self, path: str, size: int, digest: str | None) -> None:
        parts = urlsplit(path)
        name = parse_qs(parts.query).get("name", ["asset"])[0]
        asset = {"id": 0, "name": name, "size": size, "state": "uploaded", "digest": digest}
        if self._orders.notify and "/releases/" in parts.path:
            release = parts.path.split("/releases/")[1].split("/")[0]
            message = json.dumps({**asset, "release": int(release)}).encode()
            request = Request(self._orders.notify, message, method="POST")  # noqa: S310 - loopback
            with urlopen(request, timeout=10) as answer:  # noqa: S310
                asset = json.load(answer)
        body = json.dumps({**asset, "content_type": "application/octet-stream"}).encode()
        head = (
            f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._connection.sendall(f"{head}\r\n\r\n".encode() + body)


if __name__ == "__main__":
    main()
