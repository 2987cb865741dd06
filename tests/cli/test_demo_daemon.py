"""The demo's daemon: it runs while the demo needs it, and never longer."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from mirror.cli import demo_daemon_program
from mirror.cli.demo_daemon import running_daemon, send_release_webhook
from mirror.cli.exit_status import first_known
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef"

CONFIGURATION = """
[target]
url = "http://127.0.0.1:9"
token = "file:secret"

[sources.github]
url = "http://127.0.0.1:9"

[[mirrors]]
source = "octo/hello"
target = "mirrors/hello"

[sync]
attempts = 1

[ledger]
directory = "ledger"

[daemon]
listen = "127.0.0.1:0"
webhook_secret = "file:secret"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration whose hosts do not answer."""
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text(SECRET)
    file = tmp_path / "config.toml"
    file.write_text(CONFIGURATION)
    return file


async def test_it_runs_while_it_is_needed(file: Path) -> None:
    """It accepts a webhook with the right signature, and is gone when the block ends."""
    async with running_daemon(file) as address:
        await send_release_webhook(address, SECRET, "octo/hello", "v1.0.0")
        with pytest.raises(MirrorError, match="answered the webhook with 401"):
            await send_release_webhook(address, "another", "octo/hello", "v1.0.0")
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(address):
            pass


async def test_a_daemon_that_does_not_start(file: Path) -> None:
    """What it said is the error."""
    missing = file.with_name("absent.toml")
    with pytest.raises(ExceptionGroup) as caught:
        async with running_daemon(missing):
            pass
    error = first_known(caught.value)
    assert isinstance(error, MirrorError)
    assert "the daemon did not start: " in str(error)
    assert "absent.toml" in str(error)


async def test_it_ends_with_its_parent(file: Path) -> None:
    """It stops when its standard input ends, as it does if the demo is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", demo_daemon_program.__name__, str(file)),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    while b"service.started" not in (line := await process.stderr.readline()):
        assert line, "it ended"
    process.stdin.close()
    assert b"service.stopped" in await process.stderr.read()
    assert await process.wait() in {0, 143}  # 143: what it had begun was cancelled
