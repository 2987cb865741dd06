"""What the service manager hears: recorded by a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.daemon.systemd import LONGEST_STATUS, SdNotify

if TYPE_CHECKING:
    from collections.abc import Iterator


class Manager:
    """A manager's end of the conversation."""

    def __init__(self, address: str | bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self, most: int = 1000) -> list[str]:
        """Everything that was said since it was last asked."""
        said: list[str] = []
        try:
            while len(said) < most:
                said.append(self._socket.recv(65536).decode())
        except BlockingIOError:
            pass
        return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    made = Manager(path)
    yield made
    made.close()


def test_a_whole_life(manager: Manager, path: str) -> None:
    """Each message is a datagram of its own, and they arrive in the order of the calls."""
    notify = SdNotify.from_environ({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"})
    notify.ready()
    notify.status("3 mirrors in sync")
    notify.watchdog()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.ready()
    notify.stopping()
    *_, reloading, _, _ = heard = manager.heard()
    assert heard == [
        "READY=1",
        "STATUS=3 mirrors in sync",
        "WATCHDOG=1",
        reloading,
        "READY=1",
        "STOPPING=1",
    ]
    first, _, moment = reloading.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before <= int(moment) <= after


def test_a_long_drain_is_announced(manager: Manager, path: str) -> None:
    """How long a stop may take is told in microseconds, with the stop itself."""
    SdNotify(path).stopping(within=302.5)
    assert manager.heard() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=302500000"]


def test_abstract_address() -> None:
    """A name that begins with @ is an abstract one, as containers use it."""
    name = f"release-mirror-test-{os.getpid()}"
    manager = Manager(b"\0" + name.encode())
    try:
        SdNotify.from_environ({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert manager.heard() == ["READY=1"]
    finally:
        manager.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\nREADY=1\r\nb", "a READY=1 b"),
        ("tab\tand \x1b[31mred\x00", "tab and [31mred"),
        ("  much\u2028\u2029 room \u202e ", "much room"),
        ("half a pair: \udc80", "half a pair:"),
        ("ein Maß, 一", "ein Maß, 一"),
    ],
)
def test_a_status_is_one_line(manager: Manager, path: str, text: str, told: str) -> None:
    """A status can say nothing but itself, whatever the names in it are."""
    SdNotify(path).status(text)
    assert manager.heard() == [f"STATUS={told}"]


@pytest.mark.parametrize("letter", ["x", "ß", "一", "🦀"])
def test_a_status_is_cut(manager: Manager, path: str, letter: str) -> None:
    """A status has at most so many bytes of UTF-8, and never half a character."""
    SdNotify(path).status(letter * 10_000)
    (told,) = manager.heard()
    text = told.removeprefix("STATUS=")
    assert LONGEST_STATUS - 6 < len(text.encode()) <= LONGEST_STATUS
    assert set(text) == {letter, "…"}


def test_a_status_is_told_once(manager: Manager, path: str) -> None:
    """The same status again is not sent; another one is, and one that was lost."""
    notify = SdNotify(path)
    for text in ("one", "one", "two", "one"):
        notify.status(text)
    assert manager.heard() == ["STATUS=one", "STATUS=two", "STATUS=one"]


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "123"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "124"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "nobody"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ""}, 20.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    """A third of what the manager waits for; nothing where it waits for another process."""
    given = {"NOTIFY_SOCKET": "/run/notify", **environ}
    assert SdNotify.from_environ(given, pid=123).watchdog_interval == interval
    assert SdNotify.from_environ(environ, pid=123).watchdog_interval is None


def test_watchdog_of_this_process() -> None:
    """Unless told otherwise, the process that is asked for is this one."""
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3000000"}
    ours = environ | {"WATCHDOG_PID": str(os.getpid())}
    assert SdNotify.from_environ(ours).watchdog_interval == 1.0
    parent = environ | {"WATCHDOG_PID": str(os.getppid())}
    assert SdNotify.from_environ(parent).watchdog_interval is None


def _say_everything(notify: SdNotify) -> None:
    notify.ready()
    notify.status("well")
    notify.reloading()
    notify.ready()
    notify.watchdog()
    notify.stopping(within=60)


@pytest.mark.parametrize(
    "address",
    ["", "@", "relative", "vsock:2:1234", "/nowhere/at/all", "/" + "x" * 500, "@" + "x" * 500],
)
def test_nobody_listens(address: str) -> None:
    """Without a socket, or with one that cannot be, nothing is said and nothing fails."""
    _say_everything(SdNotify.from_environ({"NOTIFY_SOCKET": address}))


def test_no_environment() -> None:
    """Outside of systemd nothing is said, and nobody waits for a watchdog."""
    notify = SdNotify.from_environ({})
    _say_everything(notify)
    assert notify.watchdog_interval is None


def test_the_socket_goes_and_comes(manager: Manager, path: str, tmp_path: Path) -> None:
    """A manager that is gone is not missed; one that is back hears again, states first."""
    notify = SdNotify(path)
    notify.ready()
    manager.close()
    notify.watchdog()  # nobody reads the socket any more
    (tmp_path / "notify").unlink()
    notify.status("unheard")
    notify.stopping()
    again = Manager(path)
    try:
        notify.status("unheard")
        assert again.heard() == ["STOPPING=1", "STATUS=unheard"]
    finally:
        again.close()


def _send_for_ever(filling: socket.socket, path: str) -> None:
    while True:
        filling.sendto(b"WATCHDOG=1", path)


def test_a_full_buffer_never_blocks(manager: Manager, path: str) -> None:
    """A manager that does not read delays nothing; states reach it later, in order, news do not."""
    notify = SdNotify(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)
        with pytest.raises(BlockingIOError):
            _send_for_ever(filling, path)
    notify.ready()
    notify.status("old")
    notify.watchdog()
    notify.stopping()
    assert set(manager.heard()) == {"WATCHDOG=1"}
    notify.status("new")
    assert manager.heard() == ["READY=1", "STOPPING=1", "STATUS=new"]


def test_what_is_kept_is_bounded() -> None:
    """A manager that reads nothing for years makes nothing grow, and hears the newest states."""
    notify = SdNotify("/nowhere/notify")
    for _ in range(1000):
        notify.reloading()
        notify.ready()
    assert len(notify._kept) < 100
    assert notify._kept[-1] == b"READY=1"


def test_no_file_stays_open(manager: Manager, path: str) -> None:
    """Between two messages no file is held open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    _say_everything(SdNotify(path))
    assert len(manager.heard()) == 6
    assert len(list(Path("/proc/self/fd").iterdir())) == before
