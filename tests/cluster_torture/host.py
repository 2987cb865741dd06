"""An emulated host as a process of its own, which keeps a journal of the changes asked of it.

Input and output are lines of JSON. The first line of input is what to serve; every later line is an
order, which one line answers. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster_torture.wires import Wires, process_of
from mirror.emulator import Emulator, GitHubState, RequestRecord, apply_seed, parse_seed
from mirror.emulator.model.emulated_host import Addresses

if TYPE_CHECKING:
    from typing import TextIO

_REPOSITORY = re.compile(r"/repos/([^/]+/[^/?]+)")
_READS = frozenset({"GET", "HEAD"})
_LONGEST_UPLOAD = 5.0
"""Seconds; what takes longer was cut off."""


class Journal:
    """Writes down each change that was asked for: when it was received, and when it had been made.

    It takes the worker from the user agent, which each worker of a test has of its own.
    """

    def __init__(self, state: GitHubState, file: TextIO) -> None:
        self._state = state
        self._file = file
        self._uploads: dict[int, tuple[str, float]] = {}
        state.on_request(self._received)
        state.tamper = self._carried_out

    def uploading(self) -> list[str]:
        """The workers whose uploads are under way."""
        now = self._state.time()
        return [name for name, at in self._uploads.values() if now - at < _LONGEST_UPLOAD]

    def _received(self, record: RequestRecord) -> None:
        if record.route == "upload-asset":
            self._uploads[record.n] = _worker(record), self._state.time()
        if record.method not in _READS:
            self._write(record, "received", self._state.time())

    def _carried_out(self, record: RequestRecord, answer: Any) -> None:
        self._uploads.pop(record.n, None)
        if record.method not in _READS:
            self._write(record, "carried-out", self._state.time(), int(answer.status))

    def _write(self, record: RequestRecord, what: str, at: float, status: int = 0) -> None:
        found = _REPOSITORY.search(record.path)
        name = (record.document or {}).get("name", "")
        document = {
            "n": record.n,
            "what": what,
            "at": at,
            "worker": _worker(record),
            "repository": (found[1] if found else f"mirrors/{name}").lower(),
            "route": record.route,
            "status": status,
        }
        self._file.write(json.dumps(document) + "\n")
        self._file.flush()


def _worker(record: RequestRecord) -> str:
    return record.headers.get("user-agent", "").rpartition("+")[2]


class Served:
    """A host behind wires that can be cut."""

    def __init__(self, spec: dict[str, Any], journal: TextIO) -> None:
        self.state = GitHubState(kind=spec["kind"], upload_rate=spec["upload_rate"], rate_limit=0)
        self.journal = Journal(self.state, journal)
        self._address: str = spec["address"]
        self._workers: dict[int, str] = {}
        self._by_address: dict[str, str] = {}
        self._wires = Wires(self._who)

    def _who(self, address: str, port: int) -> str:
        """By the address, where each worker has one of its own, else by the process at the port."""
        if name := self._by_address.get(address):
            return name
        pid = process_of(port, self._workers)
        return self._workers[pid].partition("-")[0] if pid else ""

    async def open(self, stack: AsyncExitStack) -> dict[str, str]:
        """Serve; its addresses."""
        host = await stack.enter_async_context(Emulator(self.state))
        stack.push_async_callback(self._wires.close)
        ports: dict[int, int] = {}
        shown = []
        for url in (host.url, host.api_url, host.upload_url, host.storage_url):
            parts = urlsplit(url)
            assert parts.port
            if parts.port not in ports:
                connect = partial(asyncio.open_connection, "127.0.0.1", parts.port)
                ports[parts.port] = await self._wires.listen(self._address, connect)
            name = parts.hostname if self._address == "127.0.0.1" else self._address
            shown.append(parts._replace(netloc=f"{name}:{ports[parts.port]}").geturl())
        self.state.settle(Addresses(*shown))
        return dict(zip(("url", "api_url", "upload_url", "storage_url"), shown, strict=True))

    def obey(self, order: dict[str, Any]) -> Any:
        """Carry out an order."""
        match order:
            case {"seed": document}:
                apply_seed(self.state, parse_seed(document, "the order"))
            case {"expect": [repository, tag, assets]}:
                self.state.expect(repository, tag, assets)
            case {"worker": [pid, name, address]}:
                self._workers[pid] = name
                self._by_address |= {address: name.partition("-")[0]} if address else {}
            case {"cut": name, "how": how}:
                self._wires.cut(name, how)
            case {"mend": name}:
                self._wires.mend(name)
            case {"uploading": _}:
                return self.journal.uploading()
            case {"violations": _}:
                return self.state.violations
            case {"releases": _}:
                return self._releases()
            case _:
                raise ValueError(order)
        return None

    def _releases(self) -> list[list[Any]]:
        """Repository, tag, whether it is a draft, and assets (name, state, SHA-256)."""
        return [
            [name, r.tag, r.draft, [[a.name, a.state, a.sha256, a.size] for a in r.assets]]
            for name in self.state.names
            for r in self.state.releases(name)
        ]


async def main() -> None:
    """Serve until the input ends."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    spec = json.loads(await reader.readline())
    async with AsyncExitStack() as stack:
        served = Served(spec, stack.enter_context(_journal(spec["journal"])))
        _say(await served.open(stack))
        while line := await reader.readline():
            _say(served.obey(json.loads(line)))


def _journal(path: str) -> TextIO:
    return Path(path).open("a", encoding="ascii")


def _say(document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
