"""The command on a terminal, as a person has it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")


@dataclass(frozen=True)
class Seen:
    """What came to the terminal, with its control sequences; ``status`` as the shell has it."""

    status: int
    raw: str

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.raw).replace("\r\n", "\n")


async def run_on_terminal(
    *arguments: str,
    environ: Mapping[str, str],
    columns: int = 80,
    during: Callable[[int], None] | None = None,
    when: str = "",
) -> Seen:
    """Run with standard output and error on one terminal of so many columns.

    ``during`` gets the process's id as soon as ``when`` is seen.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mirror",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", **environ},
    )
    os.close(theirs)
    seen = bytearray()
    told = False
    try:
        while chunk := await asyncio.to_thread(_read, ours):
            seen += chunk
            if during and not told and when.encode() in seen:
                told = True
                during(process.pid)
        status = await process.wait()
    finally:
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Seen(status, seen.decode())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the last process that had it is gone
        return b""
