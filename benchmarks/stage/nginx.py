"""Debian's nginx: the download server, and the TLS proxy in front of the emulator."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import find
from benchmarks.stage.processes import ENDS_WITH_US, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.stage.certificates import Certificates

_CONFIG = """{user}
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  etag on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/octet-stream;
  server {{
    listen {address}:{port} backlog=1024 {tls};
    {certificates}
    {locations}
  }}
}}
"""


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    locations: str,
    certificates: Certificates | None = None,
    *,
    workers: int = 1,
    address: str = "127.0.0.1",
) -> Iterator[str]:
    """Run nginx for the duration of the block and yield its URL.

    Args:
        locations: Location blocks in nginx syntax.
        certificates: Serve over TLS.
        workers: Number of processes.
        address: Where to listen, in the namespace of the caller.
    """
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as name:
        directory, port = Path(name), _free_port(address)
        pem = f"ssl_certificate {certificates.server};" if certificates else ""
        pem += f"ssl_certificate_key {certificates.server};" if certificates else ""
        text = _CONFIG.format(
            user="user root root;" if os.geteuid() == 0 else "",
            workers=workers,
            directory=directory,
            address=address,
            port=port,
            tls="ssl" if certificates else "",
            certificates=pem,
            locations=locations,
        )
        config = directory / "nginx.conf"
        config.write_text(text, encoding="ascii")
        command = [
            *ENDS_WITH_US,
            find("nginx") or "nginx",
            "-p",
            str(directory),
            "-c",
            str(config),
            "-e",
            "stderr",
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            _wait(process, address, port)
            yield f"{'https' if certificates else 'http'}://{address}:{port}"
        finally:
            process.terminate()
            process.wait(10)
            if process.stderr is not None:
                process.stderr.close()


def files(directory: Path) -> str:
    """Location block: ``/SIZE/ANYTHING`` returns the file of that size."""
    return f"location ~ ^/(?<size>[0-9]+)/ {{ alias {directory}/$size; }}"


def _wait(process: subprocess.Popen[bytes], address: str, port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    process.terminate()
    error = process.stderr.read().decode(errors="replace") if process.stderr else ""
    raise Failed(f"nginx did not start: {error[-1000:]}")
