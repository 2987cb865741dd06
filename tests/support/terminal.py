"""Runs the command on a pseudo-terminal."""

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
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")


@dataclass(frozen=True)
class Seen:
    """The terminal's output with control sequences; ``status`` as in a shell."""

    status: int
    raw: str

    @property
    def text(self) -> str:
        return shown(self.raw)


def shown(raw: str) -> str:
    """The output without control sequences."""
    return ESCAPE.sub("", raw).replace("\r\n", "\n")


@dataclass(frozen=True)
class Terminal:
    """A process on a terminal.

    Attributes:
        pid: Its process id.
        keyboard: A file descriptor: what is written to it was typed.
    """

    pid: int
    keyboard: int


async def run_on_terminal(
    *arguments: str,
    environ: Mapping[str, str],
    columns: int = 80,
    steps: Sequence[tuple[str, Callable[[Terminal], object]]] = (),
) -> Seen:
    """Run on a terminal of this width, which controls the process as a user's does.

    Each of ``steps`` is a pattern and an action. As soon as the pattern appears, the action is
    called; steps run in order.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mirror",
        *arguments,
        preexec_fn=partial(os.login_tty, theirs),
        pass_fds=(theirs,),
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", **environ},
    )
    os.close(theirs)
    seen = bytearray()
    waiting = list(steps)
    try:
        while chunk := await asyncio.to_thread(_read, ours):
            seen += chunk
            text = shown(seen.decode(errors="replace")) if waiting else ""
            while waiting and re.search(waiting[0][0], text):
                waiting.pop(0)[1](Terminal(process.pid, ours))
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
    except OSError:  # the last process on the terminal has exited
        return b""
