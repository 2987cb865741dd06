"""Runs the command as a separate process, as a user does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.clock import MachineClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from support.air_gap import AirGap
    from support.world import World


Step = tuple[str, "Callable[[asyncio.subprocess.Process], object]"]
"""A text, and what is done with the process when it was seen."""


@dataclass(frozen=True)
class Finished:
    """A finished process; ``status`` is negative for a signal."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def shares_its_clock(world: World | AirGap) -> None:
    """Refuse hosts whose clock differs from that of the process."""
    assert isinstance(world.clock, MachineClock), "World(…, clock=MachineClock())"


async def run(
    world: World,
    *arguments: str,
    during: Callable[[asyncio.subprocess.Process], Awaitable[None]] | None = None,
    told: Sequence[Step] = (),
    environ: dict[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "mirror"),
) -> Finished:
    """Run ``release-mirror`` with a world's configuration.

    Args:
        world: Provides configuration and tokens.
        arguments: The command and its options.
        during: Awaited while the process runs.
        told: Actions to run, in order, as soon as a text appears on standard error.
        environ: Additional environment variables.
        program: Program to run instead of the command.
    """
    shares_its_clock(world)
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
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.TaskGroup() as group:
            if during:
                group.create_task(_watch(process, during))
            out = group.create_task(process.stdout.read())
            err = group.create_task(_follow(process, process.stderr, told))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    status = process.returncode
    return Finished(-1 if status is None else status, out.result().decode(), err.result().decode())


async def _follow(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader, told: Sequence[Step]
) -> bytes:
    seen, waiting = b"", list(told)
    while chunk := await stream.read(1 << 16):
        seen += chunk
        while waiting and waiting[0][0].encode() in seen:
            waiting.pop(0)[1](process)
    return seen


async def _watch(
    process: asyncio.subprocess.Process,
    during: Callable[[asyncio.subprocess.Process], Awaitable[None]],
) -> None:
    await during(process)
