"""The git program, on the event loops that there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from mirror.git.program import Finished, _talk

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("given", [b"", b"x" * 200_000])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_has_ended_is_told_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop], given: bytes
) -> None:
    """A command that ended before it was told anything is one that ended, and no crash."""

    async def tell() -> Finished:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "echo done", stdin=pipe, stdout=pipe, stderr=pipe
        )
        await process.wait()
        for _ in range(10):
            await asyncio.sleep(0)  # until its pipes are known to be closed
        finished = Finished()
        await _talk(process, given, finished, 5.0)
        await process.communicate()
        return finished

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(tell()).out == b"done\n"
