"""A first signal while work is in flight: what may still finish is waited for, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from mirror.cli.graceful_stop import GracefulStop
from mirror.core.reporting.progress import Progress
from mirror.sync.stop import Stop


@pytest.mark.parametrize(
    ("wait", "moving", "cut"),
    [(7200.0, False, True), (1800.0, False, False), (7200.0, True, False)],
)
async def test_a_limit_that_outlasts_the_drain_is_not_waited_for(
    *, wait: float, moving: bool, cut: bool
) -> None:
    """The drain ends at once if it would end before the wait does, unless a transfer can finish."""
    progress, stop, released = Progress(lambda: 0.0), Stop(), asyncio.Event()
    progress.mirror_started("octo/tool")
    progress.paced("ghe.example.com", "500 writes an hour", wait)
    if moving:
        progress.transfer_started(1, "octo/tool", "mirrors/tool", "v1", "tool.tgz", 1)
    stopper = GracefulStop(stop, progress, drain=3600.0)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await released.wait()
        return "finished"

    assert await stopper.run(work()) == (None if cut else "finished")
    assert stopper.cancelled == cut


async def test_a_cleanup_is_not_cut_short() -> None:
    """Without ``insist``, signals after the first change nothing: what was cancelled cleans up."""
    stopper, cleaned = GracefulStop(signals=(signal.SIGHUP,), insist=False), []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            for _ in range(3):
                await asyncio.sleep(0)
            cleaned.append(True)

    await stopper.run(work())
    assert (stopper.signal, cleaned) == (signal.SIGHUP, [True])
