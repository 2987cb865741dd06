"""The log of requests."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from mirror.emulator import Fault

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


async def test_requests_are_recorded(host: Any) -> None:
    """Each request with its route, its header and its bytes; hooks hear of it first."""
    heard: list[tuple[str, int]] = []
    host.state.on_request(lambda record: heard.append((record.route, record.status)))
    # Not a GET: a client may quietly send that once more.
    host.state.faults.add(Fault(kind="reset", route="create-release"))
    await host.get(f"{R}?per_page=1", If_None_Match='"x"')
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.send("POST", R, json={"tag_name": "v2"})
    first, second = host.state.requests
    assert (first.n, first.method, first.route, first.status) == (1, "GET", "list-releases", 200)
    assert (first.query, first.origin, first.authorization) == ("per_page=1", "api", "Bearer t0ken")
    assert first.headers["if-none-match"] == '"x"'
    assert first.bytes_out > 100
    assert second.status == 0
    assert heard == [("list-releases", 0), ("create-release", 0)]
    assert host.state.count() == 2
    assert host.state.count(route="list-releases", method="GET", status=200, origin="api") == 1
    host.state.reset_requests()
    assert host.state.count() == 0
