"""Notifies systemd: ready, reloading, stopping, alive, and a status line.

A message is one datagram of ``NAME=value`` lines to the socket in ``$NOTIFY_SOCKET``. There is no
reply, and nothing here ever waits, fails or is logged: whether anybody listens must not matter.

Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
import time
import unicodedata
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

LONGEST_STATUS = 400
"""Bytes of a status line. systemd drops datagrams of more than 4096 bytes."""

_KEPT = 16
_MICRO = 1_000_000
_DIGITS = 20
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class SdNotify:
    """Sends notifications to systemd; does nothing where there is none.

    Changes of state (ready, reloading, stopping) are kept while systemd is too busy to accept
    them, and are sent before the next message: without them a start would time out. The watchdog
    and the status line are not kept.

    The environment is left unchanged. Child processes that inherit it cannot speak for the service
    (``NotifyAccess=main``), and ``git`` gets an environment of its own anyway.

    Args:
        address: Of the socket: a path, or ``@NAME`` for an abstract one; anything else is ignored.
        watchdog_interval: See the property.
        monotonic_ns: ``CLOCK_MONOTONIC`` in nanoseconds, which systemd compares with its own.
    """

    def __init__(
        self,
        address: str = "",
        *,
        watchdog_interval: float | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._address = _address(address)
        self._watchdog_interval = watchdog_interval
        self._monotonic_ns = monotonic_ns
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._status = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, pid: int | None = None) -> Self:
        """Read the socket and the watchdog's interval from the environment.

        Args:
            environ: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are used.
            pid: The process that the watchdog is meant for; this one by default.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        interval = _watchdog_interval(environ, os.getpid() if pid is None else pid)
        return cls(address, watchdog_interval=interval if _address(address) else None)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds from one :meth:`watchdog` to the next; ``None`` if systemd expects none.

        It is a third of the time after which systemd kills the service, so that one message may be
        late or lost.
        """
        return self._watchdog_interval

    def ready(self) -> None:
        """The service runs: after the start, and after a reload, whether or not it succeeded."""
        self._change("READY=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows; an unchanged line is not sent again.

        Args:
            text: May hold names from servers: it is reduced to one line of visible characters.
        """
        line = _one_line(text)
        if line != self._status and self._send(f"STATUS={line}".encode()):
            self._status = line

    def reloading(self) -> None:
        """The configuration is being reloaded, until :meth:`ready`."""
        self._change("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self, within: float = 0.0) -> None:
        """The service begins to stop.

        Args:
            within: Seconds that this may take. If it is more than the unit's ``TimeoutStopSec``,
                systemd waits for it nevertheless; it never waits for less.
        """
        extend = [f"EXTEND_TIMEOUT_USEC={round(within * _MICRO)}"] if within > 0 else []
        self._change("STOPPING=1", *extend)

    def watchdog(self) -> None:
        """The service is alive: call it from what would hang otherwise."""
        self._send(b"WATCHDOG=1")

    def _change(self, *lines: str) -> None:
        message = "\n".join(lines).encode()
        if not self._send(message) and self._address:
            self._kept.append(message)

    def _send(self, message: bytes) -> bool:
        """Send what was kept, then a message; whether systemd accepted all of it."""
        if not self._address:
            return False
        try:
            # As in sd_notify(3): one socket per message keeps no file open in between, and finds
            # systemd after it was restarted.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                while self._kept:
                    sender.sendto(self._kept[0], self._address)
                    self._kept.popleft()
                sender.sendto(message, self._address)
        except OSError:
            return False
        return True


def _address(text: str) -> bytes:
    """A socket's address in the kernel's form; empty for none."""
    if text.startswith("/"):
        return os.fsencode(text)
    if text.startswith("@") and len(text) > 1:
        return b"\0" + os.fsencode(text[1:])
    return b""


def _watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """A third of ``WATCHDOG_USEC``, if it is meant for this process."""
    for_whom = environ.get("WATCHDOG_PID", "")
    if for_whom and for_whom != str(pid):
        return None
    given = environ.get("WATCHDOG_USEC", "")
    if not (given.isascii() and given.isdigit() and len(given) < _DIGITS and int(given)):
        return None
    return int(given) / 3 / _MICRO


def _one_line(text: str) -> str:
    """Only visible characters, in one line of UTF-8 that is short enough."""
    seen = "".join(c if unicodedata.category(c) not in _UNSEEN else " " for c in text)
    line = " ".join(seen.split())
    data = line.encode()
    if len(data) <= LONGEST_STATUS:
        return line
    return data[: LONGEST_STATUS - 3].decode(errors="ignore").rstrip() + "…"
