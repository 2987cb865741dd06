"""Uploads of assets."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

R = "/repos/octo/tool/releases"


async def test_an_upload(host: Any) -> None:
    """201 with the name as stored, the digest, and the label; then it is in every document."""
    draft = await host.draft("v2")
    assert draft["upload_url"].endswith("/assets{?name,label}")
    assert draft["upload_url"].startswith(host.emulator.upload_url)
    reply = await host.upload(
        draft["id"], "a%20b.txt&label=the%20%23label", Content_Type="text/plain"
    )
    assert reply.status == 201
    shown = reply.json
    assert (shown["name"], shown["label"], shown["state"]) == ("a.b.txt", "the #label", "uploaded")
    assert (shown["size"], shown["content_type"]) == (5, "text/plain")
    assert shown["digest"] == f"sha256:{hashlib.sha256(b'bytes').hexdigest()}"
    release = (await host.get(f"{R}/{draft['id']}")).json
    assert release["assets"] == [shown]
    assert (await host.get(f"{R}/{draft['id']}/assets")).json == [shown]
    assert (await host.get(f"{R}/assets/{shown['id']}")).json == shown


async def test_a_chunked_upload_is_refused(host: Any) -> None:
    """Without a length: 400 with a request id and nothing else."""
    draft = await host.draft()

    async def parts() -> AsyncIterator[bytes]:
        yield b"12"

    reply = await host.upload(draft["id"], "a", parts())
    assert reply.status == 400
    assert reply.json["message"] == "Bad Content-Length: "
    assert set(reply.json) == {"message", "request_id"}


async def test_sizes_have_limits(start: Callable[..., Any]) -> None:
    """No byte is too few; one more than the limit is too many."""
    host = await start(max_asset_size=10)
    draft = await host.draft()
    empty = await host.upload(draft["id"], "a", b"")
    assert empty.json["errors"][0] == {
        "resource": "ReleaseAsset",
        "code": "custom",
        "field": "size",
        "message": "size must be greater than or equal to 1",
    }
    large = await host.upload(draft["id"], "a", b"x" * 11)
    assert large.json["errors"][0]["message"] == "size must be less than or equal to 10"
    assert (await host.upload(draft["id"], "a", b"x" * 10)).status == 201


async def test_a_release_holds_so_many(start: Callable[..., Any]) -> None:
    """The limit is 422 with the field `file_count`; GHES has none unless it is set."""
    host = await start(kind="github", max_assets=2)
    draft = await host.draft()
    for name in ("a", "b"):
        assert (await host.upload(draft["id"], name)).status == 201
    refused = await host.upload(draft["id"], "c")
    assert refused.json["errors"][0]["field"] == "file_count"
    assert refused.json["errors"][0]["message"] == "file_count limited to 2 assets per release"
    assert (await start(kind="github")).state.max_assets == 1000
    assert (await start()).state.max_assets == 0


async def test_names_collide_after_renaming(host: Any) -> None:
    """Two names that become one: the second is 422 already_exists, and so is a rename."""
    draft = await host.draft()
    first = await host.upload(draft["id"], "a%20b")
    second = await host.upload(draft["id"], "a~b")
    assert second.status == 422
    assert second.json["errors"] == [
        {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
    ]
    assert "request_id" in second.json
    other = await host.upload(draft["id"], "c")
    path = f"{R}/assets/{other.json['id']}"
    assert (await host.send("PATCH", path, json={"name": "a b"})).status == 422
    renamed = await host.send("PATCH", path, json={"name": "d e", "label": "L"})
    assert (renamed.json["name"], renamed.json["label"]) == ("d.e", "L")
    assert (await host.send("DELETE", f"{R}/assets/{first.json['id']}")).status == 204
    assert (await host.send("PATCH", path, json={"name": "a b"})).json["name"] == "a.b"


async def test_a_broken_upload_leaves_a_starter(host: Any) -> None:
    """The name is taken by an asset without bytes; deleting it frees the name."""
    draft = await host.draft()
    host.state.faults.add(Fault(kind="reset-midway", route="upload-asset", at_byte=100_000))
    with pytest.raises(aiohttp.ClientConnectionError):
        await host.upload(draft["id"], "a", b"x" * 1_000_000)
    assets = (await host.get(f"{R}/{draft['id']}/assets")).json
    assert [(a["name"], a["state"], a["size"], a["digest"]) for a in assets] == [
        ("a", "starter", 0, None)
    ]
    assert (await host.upload(draft["id"], "a")).status == 422
    await host.send("DELETE", f"{R}/assets/{assets[0]['id']}")
    assert (await host.upload(draft["id"], "a")).status == 201


async def test_a_client_that_goes_leaves_a_starter(host: Any) -> None:
    """A process that dies in the middle of an upload does the same."""
    draft = await host.draft()
    moved, changed = asyncio.Event(), asyncio.Event()
    host.state.change_listeners.append(changed.set)
    host.state.on_bytes(lambda _route, _total: moved.set())

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.Event().wait()

    async def upload() -> None:
        await host.upload(draft["id"], "a", slow(), Content_Length="2000")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(upload())
        await moved.wait()
        task.cancel()
    release = host.state.release("octo/tool", "v9")
    await changed.wait()
    assert release.assets[0].state == "starter"


async def test_an_upload_in_progress_is_in_no_list(host: Any) -> None:
    """While bytes come in, the name is taken and nothing is shown."""
    draft = await host.draft()
    begun, go_on = asyncio.Event(), asyncio.Event()
    host.state.on_bytes(lambda _route, _total: begun.set())

    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await go_on.wait()
        yield b"x" * 1000

    async with asyncio.TaskGroup() as group:
        task = group.create_task(host.upload(draft["id"], "a", parts(), Content_Length="2000"))
        await begun.wait()
        assert (await host.get(f"{R}/{draft['id']}/assets")).json == []
        assert (await host.upload(draft["id"], "a")).status == 422
        go_on.set()
    assert task.result().status == 201
