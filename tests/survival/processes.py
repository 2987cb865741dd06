"""The command as a process of its own, quick to start: forked from one that has imported it all.

It can be killed, limited and robbed of its rights as any other. ``support.process`` starts the
command as a user does, from nothing; here hundreds of them are wanted.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import struct
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerProcess

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["mirror.cli.parser", "mirror.cli.pass_runner", "mirror.cli.commands.daemon"]
)
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Limits:
    """What a process may have, and who it is.

    Attributes:
        values: Of ``setrlimit``, by resource.
        umask: As it finds it.
        privileged: Root's right to pass over the permissions of files is kept.
    """

    values: Mapping[int, int] = field(default_factory=dict)
    umask: int | None = None
    privileged: bool = True


class Running:
    """A process of ``release-mirror``.

    Args:
        directory: Where its output goes.
        config: Its configuration file.
        arguments: The command and its options.
        environ: More of the environment.
        limits: What it may have.
    """

    def __init__(
        self,
        directory: Path,
        config: Path,
        arguments: tuple[str, ...],
        environ: Mapping[str, str],
        limits: Limits,
    ) -> None:
        number = len(list(directory.glob("*.out")))
        self._out, self._err = (directory / f"{number}.{kind}" for kind in ("out", "err"))
        words = ["--config", str(config), *arguments]
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_live,
            args=(words, dict(environ), str(self._out), str(self._err), limits),
            daemon=True,  # none outlives the tests, whatever becomes of them
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: signal.Signals, *, children: bool = False) -> None:
        """Send a signal, as ``kill`` does; to its children, too, as a service manager does."""
        for pid in [*(descendants(self.pid) if children else ()), self.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def ended(self) -> Ended:
        """Wait for its end."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        sentinel = self._process.sentinel

        def tell() -> None:
            loop.remove_reader(sentinel)
            over.set_result(None)

        loop.add_reader(sentinel, tell)
        try:
            await over
        finally:
            loop.remove_reader(sentinel)
            if self.running and not over.done():
                self._process.kill()
        self._process.join()
        status = self._process.exitcode
        self._process.close()
        return Ended(-999 if status is None else status, self.out, self.err)

    @property
    def out(self) -> str:
        return _text(self._out)

    @property
    def err(self) -> str:
        return _text(self._err)


@dataclass(frozen=True)
class Ended:
    """What a process left behind; ``status`` is negative for a signal."""

    status: int
    out: str
    err: str

    @property
    def peak(self) -> int:
        """Bytes of memory that it had at most."""
        return int(self.err.rpartition("peak ")[2].split()[0]) * 1024

    @property
    def told(self) -> str:
        return self.out + self.err


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _live(
    arguments: list[str], environ: dict[str, str], out: str, err: str, limits: Limits
) -> None:
    for path, descriptor, flags in (
        (os.devnull, 0, os.O_RDONLY),
        (out, 1, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (err, 2, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.update(environ)
    _restrict(limits)
    from mirror.cli.main import main  # noqa: PLC0415 - in the child

    try:
        main(arguments)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.write(f"peak {_peak()}\n")


def _restrict(limits: Limits) -> None:
    for which, value in limits.values.items():
        resource.setrlimit(which, (value, value))
    if limits.umask is not None:
        os.umask(limits.umask)
    if not limits.privileged and os.geteuid() == 0:
        _drop_file_rights()


def _drop_file_rights() -> None:
    """Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root is then bound by permissions, too.

    Another user would be simpler, but may not be able to read the interpreter's own files.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    held = ctypes.create_string_buffer(24)
    if libc.capget(header, held):
        raise OSError(ctypes.get_errno(), "capget")
    words = [
        word & ~0b110 if n in {0, 1} else word
        for n, word in enumerate(struct.unpack("6I", held.raw))
    ]
    if libc.capset(header, struct.pack("6I", *words)):
        raise OSError(ctypes.get_errno(), "capset")


def _peak() -> Any:
    return STATUS.read_text().partition("VmHWM:")[2].split()[0]
