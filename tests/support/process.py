"""The command as a user runs it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.world import World


@dataclass(frozen=True)
class Finished:
    """What a process left behind; ``status`` is negative for a signal."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def run(
    world: World,
    *arguments: str,
    during: Callable[[asyncio.subprocess.Process], Awaitable[None]] | None = None,
    environ: dict[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "mirror"),
) -> Finished:
    """Run ``release-mirror`` with a world's configuration.

    Args:
        world: Whose configuration and tokens it gets.
        arguments: The command and its options.
        during: Awaited while the process runs.
        environ: More of the environment.
        program: What is run instead of the command itself.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        "--config",
        str(world.config_file),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **world.environ, **(environ or {})},
    )
    try:
        if during:
            async with asyncio.TaskGroup() as group:
                group.create_task(_watch(process, during))
                done = group.create_task(process.communicate())
            out, err = done.result()
        else:
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    status = process.returncode
    return Finished(-1 if status is None else status, out.decode(), err.decode())


async def _watch(
    process: asyncio.subprocess.Process,
    during: Callable[[asyncio.subprocess.Process], Awaitable[None]],
) -> None:
    await during(process)
