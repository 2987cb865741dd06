"""Measures the servers alone, to show that they are not the bottleneck."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST = 4 << 20


def of_source(url: str, size: int, streams: int) -> float:
    """Bytes per second that a source sends over plain connections, discarded in the kernel."""

    def read() -> None:
        with _connected(url) as connection:
            connection.sendall(f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            room, left = bytearray(_MOST), size
            while left > 0 and (taken := connection.recv_into(room, 0, socket.MSG_TRUNC)):
                left -= taken

    return size * streams / _together(read, streams)


def of_sink(url: str, file: Path, streams: int) -> float:
    """Bytes per second that a sink receives over plain connections, sent by the kernel."""
    size = file.stat().st_size

    def write() -> None:
        head = f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
        with _connected(url) as connection, file.open("rb") as content:
            connection.sendall(head.encode())
            at = 0
            while at < size:
                at += os.sendfile(connection.fileno(), content.fileno(), at, size - at)
            connection.recv(_MOST)

    return size * streams / _together(write, streams)


def of_api(url: str, request: str, count: int, streams: int = 2) -> float:
    """Requests per second that a server answers, pipelined."""
    batch = 50

    def ask() -> None:
        with _connected(url) as connection:
            text = request.encode() * batch
            connection.sendall(request.encode())
            length = len(connection.recv(_MOST))
            for _ in range(count // batch):
                connection.sendall(text)
                left = length * batch
                while left > 0:
                    left -= len(connection.recv(_MOST))

    return count * streams / _together(ask, streams)


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80))


def _together(work: Callable[[], None], streams: int) -> float:
    threads = [threading.Thread(target=work) for _ in range(streams)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
