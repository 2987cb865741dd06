"""`check` as a user runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import run

if TYPE_CHECKING:
    from support.world import World


async def test_check(world: World) -> None:
    """`check` looks at both hosts, contacts none when offline, and is 1 where something failed."""
    offline = await run(world, "check", "--offline")
    assert offline.status == 0
    assert "is good" in offline.out
    assert not world.source.requests
    good = await run(world, "check", "--json")
    assert good.status == 0, good.out
    checks = {(c["host"], c["what"]): c for c in good.json()["checks"]}
    assert checks["github", "download"]["status"] == "ok"
    world.target.revoke_token("target-token-of-the-test")
    bad = await run(world, "check")
    assert bad.status == 1
    assert "1 check failed" in bad.out
