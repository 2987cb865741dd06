"""A command in a process of its own that is killed at its n-th byte, or n-th operation on a file.

What counts is what the process does below one directory: every byte that it writes there, and every
file that it opens, renames, links, removes or makes. The process kills itself, with SIGKILL, between
two bytes or before the operation, so that the place depends on a number and not on time.
"""

from __future__ import annotations

import asyncio
import builtins
import multiprocessing
import os
import signal
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mirror.app",
        "mirror.config",
        "mirror.cli.parser",
        "mirror.cli.commands.sync",
        "mirror.cli.commands.bundle_pack",
        "mirror.cli.commands.bundle_unpack",
    ]
)
OPERATIONS = {"open", "os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
"""Audit events: https://docs.python.org/3/library/audit_events.html."""

NEVER = 0


@dataclass(frozen=True)
class Place:
    """Where a process is killed: before the n-th byte that it writes, or before its n-th operation.

    Attributes:
        byte, operation: Counted from 1; ``NEVER`` for neither.
    """

    byte: int = NEVER
    operation: int = NEVER


NOWHERE = Place()


@dataclass(frozen=True)
class Ended:
    """How a process ended; ``status`` is negative for a signal.

    Attributes:
        bytes, operations: How many it got to; 0 after a kill.
        text: What it printed, to both streams.
    """

    status: int
    bytes: int
    operations: int
    text: str


async def run(
    arguments: Sequence[str | Path],
    environ: Mapping[str, str],
    directory: Path,
    place: Place = NOWHERE,
    started: Callable[[int], None] = lambda _: None,
) -> Ended:
    """Run ``release-mirror``, and kill it on the way.

    Args:
        arguments: Of the command line.
        environ: More environment variables.
        directory: Everything below it counts.
        place: Where to kill.
        started: Called with the process id, for other ways to kill it.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    printed = directory / "printed"
    command = [str(argument) for argument in arguments]
    process = _CONTEXT.Process(
        target=_main, args=(command, dict(environ), directory, place, printed, theirs)
    )
    process.start()
    theirs.close()
    started(process.pid or 0)
    await asyncio.to_thread(process.join)
    counted: tuple[int, int] = (0, 0)
    if ours.poll():
        with suppress(EOFError):  # killed
            counted = ours.recv()
    ours.close()
    text = printed.read_text() if printed.exists() else ""
    printed.unlink(missing_ok=True)
    assert process.exitcode is not None
    return Ended(process.exitcode, *counted, text)


def _main(
    command: Sequence[str],
    environ: Mapping[str, str],
    directory: Path,
    place: Place,
    printed: Path,
    connection: Any,
) -> None:
    os.environ.update(environ)
    output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (builtins.open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
    from mirror.cli.main import main  # noqa: PLC0415 - in the other process

    counter = _Counter(str(directory), place)
    counter.install()
    try:
        main(command)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send((counter.bytes, counter.operations))


class _Counter:
    def __init__(self, directory: str, place: Place) -> None:
        self.directory, self.place = directory, place
        self.bytes = self.operations = 0

    def install(self) -> None:
        """See each write and each operation from now on; they come from many threads."""
        self._write = os.write
        os.write = self.write
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not str(arguments[0]).startswith(self.directory):
            return
        self.operations += 1
        if self.operations == self.place.operation:
            _die()

    def _left(self, descriptor: int) -> int | None:
        """The bytes before the fatal one; ``None`` where that will not come, or nobody counts."""
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        if not str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(self.directory):
            return None
        return self.place.byte - 1 - self.bytes if self.place.byte else sys.maxsize

    def write(self, descriptor: int, content: Any) -> int:
        left = self._left(descriptor)
        if left is None:
            return self._write(descriptor, content)
        view = memoryview(content).cast("B")
        if len(view) > left:
            self._write(descriptor, view[:left])
            _die()
        done = self._write(descriptor, content)
        self.bytes += done
        return done


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # another thread has to see it
