"""The steps of ``demo``: an upload fails and the next pass recovers, then a webhook brings a release."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

from mirror.cli.demo_daemon import running_daemon, send_release_webhook
from mirror.cli.demo_source import publish_satellite
from mirror.cli.demo_text import Proof, heading, say
from mirror.cli.render.sync_text import summary
from mirror.cli.render.tables import requests
from mirror.cli.render.terminal import show
from mirror.core.text.wording import duration
from mirror.emulator import Fault
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from mirror.cli.demo_hosts import DemoHosts
    from mirror.core.reporting.report import Report

CONFIGURATION = """
[sync]
attempts = 1  # default 6; with 1, an upload that fails is left to the next sync

[daemon]
listen = "127.0.0.1:0"
webhook_secret = "file:webhook.secret"
"""
"""What the configuration holds besides hosts and mirrors."""

_FAILS = "acme/rocket", "v1.1.0", "rocket_1.1.0_windows_amd64.zip"
"""Repository, release and asset whose first upload fails."""

_APPEARS = 60.0
"""Seconds for a release to appear at the target after its webhook: far more than it takes."""


class DirectDemo:
    """A mirror without an air gap.

    Args:
        hosts: The source is filled, the target empty.
        file: The configuration.
        webhook_secret: The one that the configuration refers to.
        sync: Runs ``sync``.

    Attributes:
        address: Of the status page; empty until the daemon runs.
    """

    def __init__(
        self,
        hosts: DemoHosts,
        file: Path,
        webhook_secret: str,
        sync: Callable[[Path], Awaitable[Report]],
    ) -> None:
        self._hosts = hosts
        self._file = file
        self._secret = webhook_secret
        self._sync = sync
        self._published = 0
        self.address = ""

    async def run(self, stack: AsyncExitStack) -> list[Proof]:
        """Show it, and leave the daemon running until the stack is closed.

        Raises:
            MirrorError: The daemon did not start, or did not accept the webhook.
        """
        return [
            *await self._fail(),
            *await self._recover(),
            await self._idle(),
            await self._follow(stack),
        ]

    async def _fail(self) -> list[Proof]:
        name, tag, asset = _FAILS
        heading("release-mirror sync: the target answers one upload with 502")
        self._hosts.target.state.faults.add(
            Fault(kind="upload-failed", route="upload-asset", match=asset, status=502)
        )
        report = await self._sync(self._file)
        show(*summary(report))
        hidden = not self._hosts.is_published(name, tag)
        say(
            f"{name} {tag} stays a draft at the target: nobody sees it without {asset}."
            " Everything else is published.",
            apart=True,
        )
        failures = report.totals()["failures"]
        return [(failures == 1 and hidden, "the failed upload kept its release a draft")]

    async def _recover(self) -> list[Proof]:
        name, tag, _ = _FAILS
        heading("release-mirror sync, again: what is missing arrives")
        report = await self._sync(self._file)
        show(*summary(report))
        good = report.status == "ok" and self._hosts.is_published(name, tag)
        uploaded = report.totals()["assets_uploaded"]
        return [(good and uploaded == 1, "the next sync uploaded that asset alone")]

    async def _idle(self) -> Proof:
        heading("release-mirror sync, now that nothing has changed")
        report = await self._sync(self._file)
        show(*summary(report))
        return nothing_to_do(report)

    async def _follow(self, stack: AsyncExitStack) -> Proof:
        heading("release-mirror daemon: a webhook when a release is published")
        say("The daemon starts …")
        self.address = await stack.enter_async_context(running_daemon(self._file))
        say(f"Its status page: {self.address}")
        seconds = await self._publish()
        return True, f"a release was mirrored {duration(seconds)} after its webhook"

    async def publish_on_enter(self) -> None:
        """Publish a release whenever Enter is pressed, until this is cancelled.

        Raises:
            MirrorError: As :meth:`run`.
        """
        loop, keyboard, pressed = asyncio.get_running_loop(), sys.stdin.fileno(), asyncio.Event()

        def read() -> None:
            if os.read(keyboard, 4096):
                pressed.set()
            else:
                loop.remove_reader(keyboard)

        loop.add_reader(keyboard, read)
        try:
            while True:
                await pressed.wait()
                await self._publish()
                pressed.clear()
        finally:
            loop.remove_reader(keyboard)

    async def _publish(self) -> float:
        """Publish a release at the source, send the webhook, and wait until the target shows it.

        Returns:
            The seconds it took.

        Raises:
            MirrorError: The daemon did not accept the webhook, or did not mirror the release.
        """
        target, appeared = self._hosts.target.state, asyncio.Event()
        name, tag = publish_satellite(self._hosts.source.state, self._published)
        self._published += 1
        self._hosts.expect(name, tag)

        def look() -> None:
            if self._hosts.is_published(name, tag):
                appeared.set()

        target.change_listeners.append(look)
        started = time.monotonic()
        try:
            await send_release_webhook(self.address, self._secret, name, tag)
            async with asyncio.timeout(_APPEARS):
                await appeared.wait()
        except TimeoutError as error:
            raise MirrorError(f"{tag} was not mirrored within {_APPEARS:g} s") from error
        finally:
            target.change_listeners.remove(look)
        seconds = time.monotonic() - started
        say(f"{name} publishes {tag} and sends a webhook: mirrored after {duration(seconds)}.")
        return seconds


def nothing_to_do(report: Report) -> Proof:
    """That a pass found nothing to do, and what it cost."""
    seconds = (report.finished_at - report.started_at).total_seconds()
    idle = report.status == "unchanged" and not any(r.actions for r in report.repositories)
    return idle, f"with nothing to do, a sync takes {duration(seconds)} and {requests(report)}"
