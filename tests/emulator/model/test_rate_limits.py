"""Rate limits, as a client meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


async def test_a_limit_runs_out(start: Callable[..., Any]) -> None:
    """403 with nothing remaining, for that token alone, until the reset."""
    now = [1000.0]
    host = await start(kind="github", rate_limit=2, clock=lambda: now[0])
    for left in ("1", "0"):
        assert (await host.get(REPO)).headers["X-RateLimit-Remaining"] == left
    reply = await host.get(REPO)
    assert reply.status == 403
    assert "rate limit exceeded" in reply.json["message"]
    assert reply.headers["X-RateLimit-Remaining"] == "0"
    assert reply.headers["X-RateLimit-Reset"] == "4600"
    assert (await host.get(REPO, token=None)).headers["X-RateLimit-Limit"] == "60"
    now[0] = 4600.0
    assert (await host.get(REPO)).status == 200


async def test_content_creation_is_limited(start: Callable[..., Any]) -> None:
    """Too much that creates content, in any minute or any hour, is 403 with Retry-After."""
    now = [1000.0]
    host = await start(creations_per_minute=1, creations_per_hour=2, clock=lambda: now[0])
    await host.draft("a")
    reply = await host.send("POST", R, json={"tag_name": "b", "draft": True})
    assert (reply.status, reply.headers["Retry-After"]) == (403, "60")
    assert "secondary rate limit" in reply.json["message"]
    assert (await host.get(R)).status == 200  # reading does not count
    now[0] += 60
    await host.draft("b")
    now[0] += 60
    reply = await host.send("POST", R, json={"tag_name": "c", "draft": True})
    assert (reply.status, reply.headers["Retry-After"]) == (403, "3480")
    now[0] += 3480
    await host.draft("c")


async def test_points_are_limited(start: Callable[..., Any]) -> None:
    """A read costs 1 point and a write 5; too many in any minute are 429 with Retry-After."""
    now = [1000.0]
    host = await start(points_per_minute=7, clock=lambda: now[0])
    await host.draft("a")
    now[0] += 20
    assert [(await host.get(R)).status for _ in range(2)] == [200, 200]
    reply = await host.get(R)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "40")
    now[0] += 40
    assert (await host.get(R)).status == 200


async def test_ghes_has_no_limits(host: Any) -> None:
    """No headers, and the address for it is 404 in these words."""
    reply = await host.get("/rate_limit")
    assert (reply.status, reply.json["message"]) == (404, "Rate limiting is not enabled.")
    assert "X-RateLimit-Limit" not in reply.headers
