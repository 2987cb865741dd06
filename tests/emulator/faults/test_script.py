"""Which requests a fault hits, and when a stall ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"


@pytest.fixture
async def host(start: Callable[..., Any]) -> Any:
    """A host that answers downloads itself."""
    return await start(direct_download=True)


def tags(reply: Any) -> list[str]:
    return [release["tag_name"] for release in reply.json]


async def test_nth_times_and_match(host: Any) -> None:
    """The second and third request that match are hit, others are not."""
    host.state.faults.add(
        Fault(kind="status", route="list-releases", match="per_page=7", nth=2, times=2)
    )
    statuses = [(await host.get(f"{R}?per_page=7")).status for _ in range(4)]
    assert statuses == [200, 502, 502, 200]
    assert (await host.get(R)).status == 200
    assert host.state.faults.fired == 2
    host.state.faults.clear()
    host.state.faults.add(Fault(kind="status", times=None))
    assert [(await host.get("/meta")).status for _ in range(3)] == [502] * 3


@pytest.mark.parametrize("early", [False, True])
async def test_a_stall_is_let_go(early: bool, host: Any) -> None:
    """Whoever stalls flows on, and who has not come so far does not stall; a new stall holds."""
    draft = await host.draft()
    held = asyncio.Event()
    host.state.on_bytes(lambda *_: held.set())
    for number in range(2):
        host.state.faults.add(Fault(kind="stall", route="upload-asset", at_byte=3))
        if early:
            host.state.faults.resume()
        async with asyncio.TaskGroup() as group:
            reply = group.create_task(host.upload(draft["id"], f"{number}"))
            await held.wait()
            if not early:
                assert not host.state.release("octo/tool", "v9").asset(f"{number}")
                host.state.faults.resume()
        assert reply.result().status == 201
        assert host.state.asset("octo/tool", "v9", f"{number}").content.read(0, 9) == b"bytes"
        held.clear()


@pytest.mark.parametrize(("route", "way"), [("create-release", "in"), ("list-releases", "out")])
async def test_any_stall_is_let_go(route: str, way: Any, host: Any) -> None:
    """Of requests and of answers."""
    host.state.faults.add(Fault(kind="stall", route=route, at_byte=3, way=way))
    async with asyncio.TaskGroup() as group:
        post = route == "create-release"
        sent = host.send("POST", R, json={"tag_name": "v2"}) if post else host.get(R)
        reply = group.create_task(sent)
        while not host.state.faults.stalling:  # noqa: ASYNC110 - a turn of the loop, not a wait
            await asyncio.sleep(0)
        assert not reply.done()
        host.state.faults.resume()
    assert reply.result().status == (201 if post else 200)
    assert not host.state.faults.stalling


async def test_lag_of_a_list(host: Any) -> None:
    """What was made after the fault was set is hidden so many times; what was there is shown."""
    host.state.faults.add(Fault(kind="lag", route="list-releases", times=2))
    assert tags(await host.get(R)) == ["v1.0.0"]
    await host.draft("v2")
    assert tags(await host.get(R)) == ["v1.0.0"]
    assert tags(await host.get(R)) == ["v1.0.0"]
    assert tags(await host.get(R)) == ["v2", "v1.0.0"]


async def test_lag_of_assets_and_refs(start: Callable[..., Any]) -> None:
    """Assets and refs lag too; with `seconds`, everything younger than that."""
    now = [1000.0]
    host = await start(clock=lambda: now[0])
    for route in ("list-assets", "get-release", "list-tags", "get-ref"):
        host.state.faults.add(Fault(kind="lag", route=route, seconds=30, times=None))
    draft = await host.draft("v2")
    await host.upload(draft["id"], "a")
    await host.upload(draft["id"], "b")
    host.state.move_tag("octo/tool", "v2")
    path = f"{R}/{draft['id']}"

    async def seen() -> tuple[int, int, int, int]:
        return (
            len((await host.get(f"{path}/assets")).json),
            len((await host.get(path)).json["assets"]),
            len((await host.get("/repos/octo/tool/tags")).json),
            (await host.get("/repos/octo/tool/git/ref/tags/v2")).status,
        )

    assert await seen() == (0, 0, 1, 404)
    now[0] += 31
    assert await seen() == (2, 2, 2, 200)
