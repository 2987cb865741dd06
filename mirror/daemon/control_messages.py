"""What a client and the daemon tell each other over the control socket, and the socket's address.

A conversation is one :class:`Call` of the client, then the daemon's events until it closes the
connection: each a JSON document on a line of its own. Unknown fields are ignored, so that fields may
be added; any other change takes a new :data:`PROTOCOL`, which both sides compare first.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mirror.core.reporting.report import Report, RepositoryReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.config import Config
    from mirror.core.reporting.report import Observer

PROTOCOL = 1

SOCKET = "control.sock"
"""The socket's name in its directory."""

_SERVICE = Path("/run/release-mirror")
"""The runtime directory of the service as systemd runs it."""

_LONGEST_ADDRESS = 107
"""Bytes of a socket's address without the final zero: see unix(7)."""

Reason = Literal["usage", "protocol", "malformed", "stopping", "busy"]


class Call(msgspec.Struct):
    """What a client asks for.

    Attributes:
        protocol: The client's :data:`PROTOCOL`.
        patterns: The mirrors to sync; none for all.
        full: Trust no stored ETag and no quarantine.
        progress: Send :class:`Observed` while it waits.
        wait: Send :class:`Ended`; otherwise :class:`Accepted` is all.
    """

    protocol: int
    command: Literal["sync"] = "sync"
    patterns: tuple[str, ...] = ()
    full: bool = False
    progress: bool = False
    wait: bool = True


class Event(msgspec.Struct, tag_field="event", tag=str.lower):
    """What the daemon sends."""


class Accepted(Event):
    """The mirrors are requested.

    Attributes:
        version: Of the daemon's program.
        pid: The daemon's process id.
    """

    version: str
    pid: int


class Refused(Event):
    """Nothing was requested.

    Attributes:
        message: One sentence, for people.
        protocol: The daemon's :data:`PROTOCOL`.
    """

    reason: Reason
    message: str
    protocol: int = PROTOCOL


class Observed(Event):
    """A call of an :class:`~mirror.core.reporting.report.Observer`.

    Attributes:
        call: The method's name.
        values: Its arguments.
    """

    call: str
    values: list[Any]

    def replay(self, observer: Observer) -> None:
        """Make the same call to another observer; an unknown one is ignored."""
        match self.call, self.values:
            case "mirror_finished", [report]:
                observer.mirror_finished(msgspec.convert(report, RepositoryReport))
            case "transfer_finished", [number, good]:
                observer.transfer_finished(number, good=good)
            case (
                "mirrors_found"
                | "mirror_started"
                | "bytes_planned"
                | "transfer_started"
                | "transfer_moved"
                | "paced",
                values,
            ):
                getattr(observer, self.call)(*values)


class Ended(Event):
    """Every selected mirror was run."""

    report: Report


def control_directories(config: Config, environ: Mapping[str, str]) -> list[Path]:
    """Where the control socket may be; a daemon makes it in the first of them.

    It is in the ledger's directory. A ledger in a database has none, and every machine has a daemon
    then: it is in a runtime directory, and that of the service is looked at as well.

    Args:
        config: The settings.
        environ: ``RUNTIME_DIRECTORY`` and ``XDG_RUNTIME_DIR`` are used.
    """
    if config.ledger.url is None:
        return [config.ledger.directory]
    # systemd separates several directories by colons; the first belongs to the unit's first name.
    given = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    found = [
        Path(one) for one in (given, environ.get("XDG_RUNTIME_DIR", "")) if one.startswith("/")
    ]
    return [*found, config.ledger.directory, _SERVICE]


@contextmanager
def socket_address(directory: Path) -> Iterator[str]:
    """The address of the control socket, also where its path is longer than an address may be.

    Raises:
        OSError: There is no such directory.
    """
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield path
        return
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
