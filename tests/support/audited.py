"""``sync`` in a process of its own that is killed at its n-th operation on files of a directory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mirror.app", "mirror.config"])
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir"}
"""Audit events: https://docs.python.org/3/library/audit_events.html."""


async def killed(config: Path, environ: Mapping[str, str], directory: Path, at: int) -> bool:
    """Run ``sync``; whether it was killed at that operation, or ended before.

    Args:
        config: The configuration file.
        environ: What its secrets refer to.
        directory: Whose files count.
        at: The number of the operation, from 1.
    """
    process = _CONTEXT.Process(target=_sync, args=(config, dict(environ), directory, at))
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def _sync(config: Path, environ: dict[str, str], directory: Path, at: int) -> None:
    from mirror.app import open_app  # noqa: PLC0415 - in the other process
    from mirror.config import load_config, resolve_secrets  # noqa: PLC0415

    left = at

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in OPERATIONS and str(arguments[0]).startswith(str(directory)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    async def sync() -> None:
        loaded = load_config(config, environ)
        async with open_app(loaded, resolve_secrets(loaded, environ)) as app:
            await app.sync()

    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    sys.addaudithook(count)
    asyncio.run(sync())
