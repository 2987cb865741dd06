"""The control socket: hostile, slow and vanished clients, and directories with long names."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from mirror.config import load_config
from mirror.core.failure import Failure
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import (
    ActionReport,
    Observers,
    Report,
    RepositoryReport,
    RequestCount,
)
from mirror.daemon.control import ControlLimits, Stopping, serve_control
from mirror.daemon.control_client import call_daemon
from mirror.daemon.control_messages import PROTOCOL, Call, control_directories, socket_address
from mirror.daemon.passes import Client, Pass, Request
from mirror.errors import MirrorError, NoDaemon, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
REPOSITORY = RepositoryReport(
    "github:octo/tool",
    "mirrors/tool",
    "failed",
    (ActionReport("upload-asset", "done", "v1", "a.bin", "a.bin", 10, "00"),),
    (Failure("not-ready", "still uploading", "upload-asset", "v1", "b.bin", hint="dns"),),
    ("a warning",),
    estimated_requests={"github": 1},
)
REPORT = Report("sync", NOW, NOW, (REPOSITORY,), {"github": RequestCount(3, 2, 1)})


class FakeTriggers:
    """Requests that a test ends."""

    def __init__(self) -> None:
        self.requested: list[tuple[Client, bool]] = []
        self.reports: list[asyncio.Future[Report]] = []
        self.news = asyncio.Condition()
        self.error: MirrorError | None = None

    def trigger(self, client: Client, *, full: bool) -> tuple[Pass, asyncio.Future[Report]]:
        if self.error:
            raise self.error
        self.requested.append((client, full))
        self.reports.append(asyncio.get_running_loop().create_future())
        return Pass(None, Request(0.0), NOW, 0.0, client=client, asked=1), self.reports[-1]

    async def asked(self, count: int = 1) -> None:
        while len(self.requested) < count:  # noqa: ASYNC110 - of a socket
            await asyncio.sleep(0.001)


@asynccontextmanager
async def served(directory: Path, **limits: Any) -> AsyncIterator[FakeTriggers]:
    triggers = FakeTriggers()
    limited = ControlLimits(**{"closing": 0.2, **limits})
    async with asyncio.timeout(20), serve_control(directory, triggers, limits=limited):
        yield triggers


async def connected(directory: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with socket_address(directory) as address:
        return await asyncio.open_unix_connection(address)


async def answer(directory: Path, line: bytes) -> dict[str, Any]:
    """Send a line, and read the first answer."""
    reader, writer = await connected(directory)
    writer.write(line)
    found: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return found


@pytest.mark.parametrize("depth", [0, 12])
async def test_a_client_gets_progress_and_the_report(tmp_path: Path, depth: int) -> None:
    """Whatever a report holds arrives as it was, also where the directory's path is very long."""
    directory = tmp_path.joinpath(*["a-long-name"] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    progress = Progress(lambda: 0.0)
    async with served(directory) as triggers, asyncio.TaskGroup() as tasks:
        call = Call(PROTOCOL, patterns=("octo/*",), full=True, progress=True)
        task = tasks.create_task(call_daemon(directory, call, progress))
        await triggers.asked()
        ((client, full),) = triggers.requested
        assert (client.patterns, full) == (("octo/*",), True)
        watcher = client.observer
        watcher.mirror_started("github:octo/tool")
        watcher.bytes_planned("github:octo/tool", 30)
        watcher.transfer_started(7, "github:octo/tool", "m/tool", "v1", "a.bin", 30)
        watcher.transfer_moved(7, 10)
        watcher.transfer_moved(7, 20)
        watcher.paced("github.com", "900 points a minute", 3.0)
        while progress.moved < 20:  # noqa: ASYNC110 - of a socket
            await asyncio.sleep(0.01)
        assert progress.transfers[7].asset == "a.bin"
        assert progress.waits == {"github.com": ("900 points a minute", 3.0)}
        watcher.transfer_finished(7, good=True)
        watcher.mirror_finished(REPOSITORY)
        while not progress.finished:  # noqa: ASYNC110 - of a socket
            await asyncio.sleep(0.01)
        assert (progress.mirrors, progress.begun, progress.failed, progress.done) == (1, 1, 1, 30)
        triggers.reports[0].set_result(REPORT)
        report = await task
    assert report == REPORT
    assert report.to_json() == REPORT.to_json()
    assert not (directory / "control.sock").exists()


async def test_only_its_user_may_connect_and_an_abandoned_socket_is_replaced(
    tmp_path: Path,
) -> None:
    """The mode is 0600; a killed daemon's socket is no obstacle, and no daemon to a client."""
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "control.sock"))
    with pytest.raises(NoDaemon, match="release-mirror daemon"):
        await call_daemon(tmp_path, Call(PROTOCOL), Observers())
    with pytest.raises(NoDaemon):
        await call_daemon(tmp_path / "missing", Call(PROTOCOL), Observers())
    async with served(tmp_path):
        facts = (tmp_path / "control.sock").stat()
        assert stat.S_ISSOCK(facts.st_mode)
        assert stat.S_IMODE(facts.st_mode) == 0o600
        await call_daemon(tmp_path, Call(PROTOCOL, wait=False), Observers())


async def test_a_service_runs_where_there_can_be_no_socket(tmp_path: Path) -> None:
    """A file of that name is left alone; the log says why nobody can call."""
    (tmp_path / "control.sock").write_text("mine")
    with structlog.testing.capture_logs() as logs:
        async with serve_control(tmp_path, FakeTriggers()):
            pass
    assert [line["event"] for line in logs] == ["control.unavailable"]
    assert (tmp_path / "control.sock").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "malformed"),
        (b"GET / HTTP/1.1\r\n", "malformed"),
        (b"[" * 50_000 + b"\n", "malformed"),
        (b'"' + b"x" * 200_000 + b'"\n', "malformed"),
        (b"[]\n", "protocol"),
        (b'{"protocol": 2, "unknown": {}}\n', "protocol"),
        (b'{"protocol": 1, "patterns": "octo/tool"}\n', "malformed"),
        (b'{"protocol": 1, "command": "delete-everything"}\n', "malformed"),
        (b'{"protocol": 1, "patterns": [1]}\n', "malformed"),
    ],
)
async def test_a_call_that_is_not_understood_requests_nothing(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    """It gets one sentence, and the next client is served."""
    async with served(tmp_path) as triggers:
        refused = await answer(tmp_path, line)
        assert (refused["event"], refused["reason"]) == ("refused", reason)
        assert refused["message"]
        assert triggers.requested == []
        accepted = await answer(tmp_path, b'{"protocol": 1, "of-a-later-version": true}\n')
        assert (accepted["event"], accepted["pid"]) == ("accepted", os.getpid())


async def test_clients_that_say_nothing_are_few_and_short(
    tmp_path: Path,
) -> None:
    """More than the limit are refused; those that send no call are disconnected."""
    async with served(tmp_path, clients=3, call=0.5):
        silent = [await connected(tmp_path) for _ in range(3)]
        refused = await answer(tmp_path, b"")
        assert refused["reason"] == "busy"
        assert [await reader.read() for reader, _ in silent] == [b""] * 3
        for _, writer in silent:
            writer.close()
        await call_daemon(tmp_path, Call(PROTOCOL, wait=False), Observers())


async def test_a_client_that_leaves_ends_nothing(tmp_path: Path) -> None:
    """The pass goes on, nothing is collected for it any more, and others are served."""
    async with served(tmp_path) as triggers, asyncio.TaskGroup() as tasks:
        left = tasks.create_task(call_daemon(tmp_path, Call(PROTOCOL, progress=True), Observers()))
        stays = tasks.create_task(call_daemon(tmp_path, Call(PROTOCOL), Observers()))
        await triggers.asked(2)
        with structlog.testing.capture_logs() as logs:
            left.cancel()
            while not logs:  # noqa: ASYNC110 - of a socket
                await asyncio.sleep(0.001)
        assert logs[0]["event"] == "control.client_left"
        for report in triggers.reports:
            assert not report.done()
            report.set_result(REPORT)
        assert await stays == REPORT


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (UsageError('no configured source can match "x"'), UsageError),
        (Stopping("the daemon is stopping"), NoDaemon),
    ],
)
async def test_what_the_service_refuses_is_told(
    tmp_path: Path, error: MirrorError, raised: type[MirrorError]
) -> None:
    """In its own words, and with an exit status of its own."""
    async with served(tmp_path) as triggers:
        triggers.error = error
        with pytest.raises(raised, match=str(error)):
            await call_daemon(tmp_path, Call(PROTOCOL), Observers())


async def test_a_service_that_ends_tells_those_who_wait(tmp_path: Path) -> None:
    """With the report, if there is one by then; otherwise the connection just ends."""
    async with asyncio.TaskGroup() as tasks:
        async with served(tmp_path) as triggers:
            first = tasks.create_task(call_daemon(tmp_path, Call(PROTOCOL), Observers()))
            await triggers.asked()
            second = tasks.create_task(_error(call_daemon(tmp_path, Call(PROTOCOL), Observers())))
            await triggers.asked(2)
            triggers.reports[0].set_result(REPORT)
        assert await first == REPORT
        assert "continues when it is started again" in await second


async def _error(work: Any) -> str:
    try:
        await work
    except MirrorError as error:
        return str(error)
    return ""


async def test_an_answer_of_another_version_is_one_sentence(tmp_path: Path) -> None:
    """Whoever listens there and whatever it sends."""
    for sent in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"event": "future"}\n', b"\xff\n"):

        async def other(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes = sent
        ) -> None:
            await reader.readline()
            writer.write(sent)
            writer.close()

        path = tmp_path / "control.sock"
        async with await asyncio.start_unix_server(other, str(path)):
            with pytest.raises(MirrorError, match="another version"):
                await call_daemon(tmp_path, Call(PROTOCOL), Observers())
        path.unlink(missing_ok=True)


def test_where_the_socket_is(tmp_path: Path) -> None:
    """In the ledger's directory; with a database in a runtime directory, also that of the service."""
    file = tmp_path / "config.toml"
    text = """
[target]
url = "https://ghe.example.com"
token = "env:TOKEN"
[sources.github]
url = "https://github.com"
[[mirrors]]
source = "cli/cli"
[ledger]
"""
    environ = {"STATE_DIRECTORY": "/state", "XDG_RUNTIME_DIR": "/run/user/7"}
    file.write_text(text)
    assert control_directories(load_config(file, environ), environ) == [Path("/state")]
    file.write_text(text + 'url = "env:LEDGER"')
    config = load_config(file, environ)
    found = ["/run/user/7", "/state", "/run/release-mirror"]
    assert control_directories(config, environ) == [Path(one) for one in found]
    environ["RUNTIME_DIRECTORY"] = "/run/mine:/run/other"
    found = ["/run/mine", *found]
    assert control_directories(config, environ) == [Path(one) for one in found]
