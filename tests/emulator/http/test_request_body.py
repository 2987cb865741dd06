"""Reading the body of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_an_upload_waits_for_continue(host: Any) -> None:
    """`Expect: 100-continue` is answered, as curl needs for large bodies."""
    draft = await host.draft()
    reply = await host.upload(draft["id"], "a", b"12345", Expect="100-continue")
    assert reply.status == 201


async def test_an_upload_rate_is_kept(start: Callable[..., Any]) -> None:
    """A slow target reads no faster than it is told."""
    host = await start(upload_rate=1_000_000)
    draft = await host.draft()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await host.upload(draft["id"], "a", b"x" * 100_000)
    assert loop.time() - begun >= 0.09
