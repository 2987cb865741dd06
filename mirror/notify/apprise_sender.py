"""Sends notices by Apprise, in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirror.notify import apprise_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.core.reporting.notices import Notice

INSTALL = "pip install 'release-mirror[notify]'"

_PASSED_ON = frozenset(
    {
        "CURL_CA_BUNDLE",
        "HOME",
        "LANG",
        "LANGUAGE",
        "PATH",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
    }
)
_PROXY = re.compile(r"(?:https?|all|no)_proxy", re.IGNORECASE)

LIMIT = 30.0
"""Seconds that one attempt to send may take, over all addresses."""


def is_installed() -> bool:
    """Whether Apprise is installed; it is not imported."""
    return importlib.util.find_spec("apprise") is not None


@dataclass(frozen=True, slots=True)
class Address:
    """One address to send to.

    Attributes:
        name: The secret reference (``env:MIRROR_NOTIFY_URL``), for logs.
        url: The address itself, a secret.
    """

    name: str
    url: str = field(repr=False)


class AppriseSender:
    """Sends through Apprise, within a time limit whatever a service does.

    Args:
        clock: For the time limit.
        limit: Time limit of one call, in seconds.
        program: The script to run.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        limit: float = LIMIT,
        program: Path = Path(apprise_program.__file__),
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._program = program

    async def send(self, addresses: Sequence[Address], notice: Notice) -> list[str]:
        """Send a notice to several addresses at the same time.

        Returns:
            For each address the reason why it was not sent; empty if it was.

        Raises:
            OSError: No process could be started.
        """
        return await self._run(addresses, asdict(notice))

    async def unreadable(self, addresses: Sequence[Address]) -> list[Address]:
        """The addresses that Apprise cannot parse; nothing is sent.

        Raises:
            OSError: No process could be started.
        """
        answers = await self._run(addresses, None)
        return [address for address, why in zip(addresses, answers, strict=True) if why]

    async def _run(self, addresses: Sequence[Address], notice: dict[str, Any] | None) -> list[str]:
        wish = {
            "urls": [address.url for address in addresses],
            "limit": self._limit,
            "notice": notice,
        }
        answers: dict[int, str] = {}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the directory of the script holds nothing to import
            str(self._program),
            # By no command line: others could read it there.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(os.environ),
            start_new_session=True,
        )
        try:
            async with asyncio.TaskGroup() as group:
                end = group.create_task(self._end(process))
                await _talk(process, json.dumps(wish).encode(), answers)
                late = end.done()
                end.cancel()
        finally:
            _kill(process)
            await process.wait()
        unanswered = "no answer in time" if late else "Apprise ended without an answer"
        return [answers.get(number, unanswered) for number in range(len(addresses))]

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        await self._clock.sleep(self._limit)
        _kill(process)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that Apprise needs to find Python, certificates and proxies; no token."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith(("LC_", "PYTHON")) or _PROXY.fullmatch(name)
    }


async def _talk(process: asyncio.subprocess.Process, given: bytes, answers: dict[int, str]) -> None:
    """Write the request and read the answers until the process ends."""
    if process.stdin is None or process.stdout is None:
        return
    with suppress(ConnectionError):
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    while line := await process.stdout.readline():
        answer = json.loads(line)
        answers[answer["number"]] = "" if answer["sent"] else answer["why"]


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the process and everything that it has started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
