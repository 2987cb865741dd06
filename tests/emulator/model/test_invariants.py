"""Half a release that a reader could see is recorded at the moment it is there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import Fault, GitHubState

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"
A, B, C = (hashlib.sha256(data).hexdigest() for data in (b"a", b"b", b"c"))


async def publish(host: Any, draft: Any) -> None:
    body = {"tag_name": draft["tag_name"], "draft": False}
    assert (await host.send("PATCH", f"{R}/{draft['id']}", json=body)).status == 200


async def published(host: Any) -> Any:
    """A release `v2` with the assets a and b, as expected."""
    host.state.expect("octo/tool", "v2", {"a": {A, C}, "b": None})
    draft = await host.draft("v2")
    await host.upload(draft["id"], "a", b"a")
    await host.upload(draft["id"], "b", b"b")
    await publish(host, draft)
    assert host.state.violations == []
    return draft


async def test_a_missing_asset_is_seen(host: Any) -> None:
    """Published before all is there: one sentence, and not one more at each change."""
    host.state.expect("octo/tool", "v2", {"a": A, "b": None})
    draft = await host.draft("v2")
    await host.upload(draft["id"], "a", b"a")
    assert host.state.violations == []
    await publish(host, draft)
    assert host.state.violations == ["octo/tool v2: published without the asset b"]
    await host.upload(draft["id"], "b", b"b")
    assert len(host.state.violations) == 1


async def test_other_bytes_are_seen(host: Any) -> None:
    """The name is there and the digest is not."""
    host.state.expect("octo/tool", "v2", {"a": A})
    draft = await host.draft("v2")
    await host.upload(draft["id"], "a", b"x")
    await publish(host, draft)
    assert "the asset a holds other bytes" in host.state.violations[0]


async def test_a_starter_in_a_published_release_is_seen(host: Any) -> None:
    """Publishing with what a broken upload left behind."""
    draft = await host.draft("v2")
    host.state.faults.add(Fault(kind="reset-midway", route="upload-asset"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.upload(draft["id"], "a")
    await publish(host, draft)
    assert host.state.violations == ["octo/tool v2: published with the asset a in state starter"]


async def test_a_replacement_leaves_a_window(host: Any) -> None:
    """Upload beside, delete, rename: the name is absent for one window, which is counted."""
    draft = await published(host)
    new = (await host.upload(draft["id"], "tmp", b"c")).json
    old = host.state.asset("octo/tool", "v2", "a")
    await host.send("DELETE", f"{R}/assets/{old.id}")
    assert host.state.invariants.open_windows == ["a"]
    await host.send("PATCH", f"{R}/assets/{new['id']}", json={"name": "a"})
    assert host.state.violations == []
    assert host.state.invariants.windows == 1
    assert host.state.invariants.open_windows == []


async def test_a_replacement_that_breaks_may_leave_its_own_starter(host: Any) -> None:
    """The temporary name was never part of the release."""
    draft = await published(host)
    host.state.faults.add(Fault(kind="reset-midway", route="upload-asset"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.upload(draft["id"], "tmp")
    assert host.state.asset("octo/tool", "v2", "tmp").state == "starter"
    assert host.state.violations == []


async def test_deleting_first_is_seen(host: Any) -> None:
    """Without the replacement beside it, a deletion is a hole."""
    await published(host)
    await host.send("DELETE", f"{R}/assets/{host.state.asset('octo/tool', 'v2', 'a').id}")
    assert host.state.violations == ["octo/tool v2: published without the asset a"]


async def test_another_rename_ends_the_window(host: Any) -> None:
    """What is absent after the next rename was absent for too long."""
    draft = await published(host)
    new = (await host.upload(draft["id"], "tmp", b"c")).json
    await host.send("DELETE", f"{R}/assets/{host.state.asset('octo/tool', 'v2', 'a').id}")
    await host.send("PATCH", f"{R}/assets/{new['id']}", json={"name": "other"})
    assert host.state.violations == ["octo/tool v2: published without the asset a"]


async def test_a_rename_of_something_else_ends_no_window(host: Any) -> None:
    """The replacement still waits, and may get its name after the next asset got its own."""
    draft = await published(host)
    new = (await host.upload(draft["id"], "tmp", b"c")).json
    other = (await host.upload(draft["id"], "more", b"m")).json
    await host.send("DELETE", f"{R}/assets/{host.state.asset('octo/tool', 'v2', 'a').id}")
    await host.send("PATCH", f"{R}/assets/{other['id']}", json={"name": "else"})
    assert host.state.violations == []
    await host.send("PATCH", f"{R}/assets/{new['id']}", json={"name": "a"})
    assert host.state.violations == []


async def test_the_wrong_latest_is_seen(host: Any) -> None:
    """At the moment it becomes the latest."""
    host.state.expect_latest("octo/tool", ["v1.0.0"])
    document = {"tag_name": "v0", "make_latest": "false"}
    await host.send("POST", R, json=document)
    assert host.state.violations == []
    await host.send("POST", R, json={"tag_name": "v0.1"})
    assert host.state.violations == ["octo/tool: v0.1 is shown as the latest release"]


def test_drafts_and_seeds_are_no_violation() -> None:
    """A release that is seeded is seen at once as a whole."""
    state = GitHubState()
    heard: list[str] = []
    state.invariants.listeners.append(heard.append)
    state.add_repository("o/r")
    state.expect("o/r", "v1", {"a": A})
    state.add_release("o/r", "v1", assets={"a": b"a"})
    state.add_release("o/r", "v1", draft=True)
    assert heard == []
    state.add_asset("o/r", "v1", "b", b"", state="starter")
    assert heard == state.violations == ["o/r v1: published with the asset b in state starter"]


async def test_parallel_replacements(start: Callable[..., Any]) -> None:
    """Two names of one release may have their windows at once."""
    host = await start()
    draft = await published(host)
    news = [(await host.upload(draft["id"], f"tmp{n}", b"c")).json for n in range(2)]
    for name in ("a", "b"):
        asset = host.state.asset("octo/tool", "v2", name)
        await host.send("DELETE", f"{R}/assets/{asset.id}")
    for name, new in zip(("a", "b"), news, strict=True):
        await host.send("PATCH", f"{R}/assets/{new['id']}", json={"name": name})
    assert host.state.violations == []
    assert host.state.invariants.windows == 2
