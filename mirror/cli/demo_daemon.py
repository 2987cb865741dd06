"""The daemon of the demo, in a process of its own, and the webhooks that the demo sends to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from mirror.cli import demo_daemon_program
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_START = 60.0
"""Seconds for the daemon to start: far more than it takes on a busy machine."""

_STOP = 8.0
"""Seconds until a daemon that was told to stop is killed."""

_LONGEST_LINE = 1 << 20
_NOT_PASSED_ON = re.compile(
    r"(?:https?|all|no)_proxy|NOTIFY_SOCKET|WATCHDOG_.*|RELEASE_MIRROR_.*", re.IGNORECASE
)


@asynccontextmanager
async def running_daemon(file: Path) -> AsyncIterator[str]:
    """Run the daemon; yield the address of its status page once it accepts webhooks.

    Every mirror was synced a moment ago, so nothing is due before its interval has passed: what is
    published meanwhile is mirrored because of its webhook, and for no other reason.

    Args:
        file: The configuration.

    Raises:
        MirrorError: It did not start.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", demo_daemon_program.__name__, str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        env=_environment(os.environ),
        start_new_session=True,  # Ctrl-C is for the demo, which stops it when it no longer needs it
    )
    log = _Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.read(process))
        try:
            yield await log.address()
        finally:
            await _stop(process)


class _Log:
    """What the daemon logs."""

    def __init__(self) -> None:
        self._address = self._last = ""
        self._known = asyncio.Event()

    async def read(self, process: asyncio.subprocess.Process) -> None:
        """Read it to its end: an unread pipe would block the daemon."""
        while process.stderr and (line := await process.stderr.readline()):
            self._last = line.decode(errors="replace").strip()
            event = _event(self._last)
            if event.get("event") == "service.started":
                self._address = str(event.get("address", ""))
                self._known.set()
        self._known.set()

    async def address(self) -> str:
        """Wait for the address of the status page.

        Raises:
            MirrorError: The daemon ended before, or took too long.
        """
        try:
            async with asyncio.timeout(_START):
                await self._known.wait()
        except TimeoutError:
            pass
        if not self._address:
            raise MirrorError(f"the daemon did not start: {self._last}")
        return self._address


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:  # an error message, not an event
        return {}
    return event if isinstance(event, dict) else {}


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End it, and wait for its end, also if this is cancelled."""
    if process.stdin:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The demo's variables without those that lead to other hosts or to a service manager."""
    return {name: value for name, value in environ.items() if not _NOT_PASSED_ON.fullmatch(name)}


async def send_release_webhook(address: str, secret: str, repository: str, tag: str) -> None:
    """Tell the daemon of a published release, signed as GitHub does it.

    Raises:
        MirrorError: It was not accepted.

    Source: https://docs.github.com/webhooks/webhook-events-and-payloads#release
    """
    body = json.dumps(
        {
            "action": "published",
            "release": {"tag_name": tag},
            "repository": {"full_name": repository},
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "release",
        "X-Hub-Signature-256": "sha256="
        + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{address}/webhooks/github", data=body, headers=headers) as response,
        ):
            if response.status != 202:
                raise MirrorError(f"the daemon answered the webhook with {response.status}")
    except aiohttp.ClientError as error:
        raise MirrorError(f"the daemon did not accept the webhook: {error}") from error
