"""TCP connections that pass through here, and can be cut or held up, by whose they are."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
    Connect = Callable[[], Awaitable[Streams]]
    Who = Callable[[str, int], str]

How = Literal["reset", "hang"]
"""``reset``: connections are reset, and new ones too. ``hang``: nothing passes, and nobody is told;
what was sent meanwhile arrives afterwards, as TCP has it."""

_AT_ONCE = 1 << 16
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 4}
_RST = struct.pack("ii", 1, 0)


class Wires:
    """Listens in front of servers and passes on what comes and goes.

    Args:
        who: Whose a connection is, by its peer's address and port; empty for nobody's.
    """

    def __init__(self, who: Who) -> None:
        self._who = who
        self._wires: set[_Wire] = set()
        self._cut: dict[str, How] = {}
        self._servers: list[asyncio.Server] = []

    async def listen(self, address: str, connect: Connect, owner: str | None = None) -> int:
        """Pass on what comes at a new port.

        Args:
            address: Where to listen.
            connect: Opens a connection to the server behind.
            owner: Whose all its connections are; ``None`` asks ``who``.
        """

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _notice_its_end(writer)
            peer = writer.get_extra_info("peername")
            name = owner if owner is not None else self._who(peer[0], peer[1])
            await self._carry(_Wire(name), (reader, writer), connect)

        server = await asyncio.start_server(accept, address, 0, backlog=512)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        for server in self._servers:
            server.close()
        for wire in list(self._wires):
            wire.reset()

    def cut(self, name: str, how: How) -> None:
        """Cut somebody off, until :meth:`mend`."""
        self._cut[name] = how
        for wire in [wire for wire in self._wires if wire.name == name]:
            if how == "hang":
                wire.passes.clear()
            else:
                wire.reset()

    def mend(self, name: str) -> None:
        """Let somebody's connections pass again."""
        self._cut.pop(name, None)
        for wire in self._wires:
            if wire.name == name:
                wire.passes.set()

    def carried(self, name: str) -> int:
        """How many connections somebody has."""
        return sum(wire.name == name for wire in self._wires)

    async def _carry(self, wire: _Wire, near: Streams, connect: Connect) -> None:
        how = self._cut.get(wire.name)
        wire.ends.append(near[1])
        self._wires.add(wire)
        if how == "hang":
            wire.passes.clear()
        try:
            if how == "reset":
                return
            far = await connect()
            wire.ends.append(far[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(near[0], far[1], wire))
                group.create_task(_pump(far[0], near[1], wire))
        except* OSError:
            pass
        finally:
            self._wires.discard(wire)
            wire.reset()


class _Wire:
    """One connection: its two ends here, and whether anything passes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends: list[asyncio.StreamWriter] = []
        self.passes = asyncio.Event()
        self.passes.set()

    def reset(self) -> None:
        """Have both sides see a reset, if they still are there."""
        self.passes.set()
        for end in self.ends:
            found: socket.socket | None = end.get_extra_info("socket")
            with suppress(OSError):
                if found is not None:
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            end.transport.abort()


def _notice_its_end(writer: asyncio.StreamWriter) -> None:
    """As servers do: a connection whose other end vanished is ended after half a minute."""
    found: socket.socket = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        found.setsockopt(socket.IPPROTO_TCP, option, value)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: _Wire) -> None:
    while data := await reader.read(_AT_ONCE):
        await wire.passes.wait()
        writer.write(data)
        await writer.drain()
    await wire.passes.wait()
    with suppress(OSError):
        writer.write_eof()


def process_of(port: int, processes: Iterable[int]) -> int | None:
    """Which of these processes has a TCP socket with this local port on this machine."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted):
            inode = f"socket:[{fields[9]}]"
            return next((pid for pid in processes if _has(pid, inode)), None)
    return None


def _has(pid: int, inode: str) -> bool:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) == inode:
                    return True
    return False
