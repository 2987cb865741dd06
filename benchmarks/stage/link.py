"""A download server behind a slow link: ``GET /SIZE/ANYTHING`` sends SIZE bytes.

Runs as a process: ``python -m benchmarks.stage.link``. Input:

rate: bytes per second over all connections; 0 for no limit.
connection_rate: bytes per second of one connection.
directory: directory of the files, each named by its size.

nginx limits only single connections, and starts each with a burst of one second; this server is
exact.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from pathlib import Path

from benchmarks.stage import life
from benchmarks.stage.bucket import Bucket

_PATH = re.compile(rb"GET /(\d+)/")
_PIECE = 128 << 10


def main() -> None:
    """Serve until killed."""
    spec = life.orders()
    life.end_with_parent()
    directory = Path(spec["directory"])
    link = Bucket(spec.get("rate", 0))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    life.ready({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    while True:
        connection, _ = listener.accept()
        arguments = (connection, directory, link, spec.get("connection_rate", 0))
        threading.Thread(target=_talk, args=arguments, daemon=True).start()


def _talk(connection: socket.socket, directory: Path, link: Bucket, own_rate: float) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own = Bucket(own_rate)
    with connection:
        try:
            while _send(connection, directory, link, own):
                pass
        except OSError:
            pass  # the client disconnected


def _send(connection: socket.socket, directory: Path, link: Bucket, own: Bucket) -> bool:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            return False
        head += more
    asked = _PATH.match(head)
    size = int(asked[1]) if asked else 0
    answer = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream"
    connection.sendall(f"{answer}\r\nContent-Length: {size}\r\n\r\n".encode())
    file = os.open(directory / str(size), os.O_RDONLY)
    try:
        at = 0
        while at < size:
            piece = min(_PIECE, size - at)
            own.take(piece)
            link.take(piece)
            end = at + piece
            while at < end:
                at += os.sendfile(connection.fileno(), file, at, end - at)
    finally:
        os.close(file)
    return True


if __name__ == "__main__":
    main()
