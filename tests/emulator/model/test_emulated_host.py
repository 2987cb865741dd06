"""The clock of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_AGO = 1_000_000_000.0
STAMP = "2001-09-09T01:46:40Z"
R = "/repos/octo/tool/releases"


@pytest.mark.parametrize("later", [False, True])
async def test_the_clock_stamps_and_limits(later: bool, start: Callable[..., Any]) -> None:
    """Dates of things, the end of a limit, and a request's time are its; also one set later."""
    given = {} if later else {"clock": lambda: LONG_AGO}
    host = await start(kind="github", **given)
    if later:
        host.state.clock = lambda: LONG_AGO
    draft = await host.draft()
    assert (await host.upload(draft["id"], "a")).json["created_at"] == STAMP
    host.state.add_release("octo/tool", "v2")
    reply = await host.get(f"{R}/tags/v2")
    assert (reply.json["created_at"], reply.json["published_at"]) == (STAMP, STAMP)
    assert reply.headers["X-RateLimit-Reset"] == str(int(LONG_AGO) + 3600)
    assert {request.time for request in host.state.requests} == {LONG_AGO}
