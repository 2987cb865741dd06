"""Assets: uploads, names, limits, conflicts, what a broken upload leaves."""

from __future__ import annotations

import asyncio
import hashlib
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import Fault, Generated

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


@pytest.mark.parametrize(("version", "shown"), [("3.17", True), ("3.16", False)])
async def test_digests_come_with_a_version(
    start: Callable[..., Any], version: str, shown: bool
) -> None:
    """Older servers do not know the key at all."""
    host = await start(version=version)
    release = (await host.get(f"{R}/latest")).json
    assert ("digest" in release["assets"][0]) is shown


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


async def test_large_uploads_go_to_disk_and_are_hashed(host: Any) -> None:
    """What is larger than memory should hold is read back from a file with the right digest."""
    draft = await host.draft()
    content = Generated(seed=5, size=3_000_001)
    reply = await host.upload(draft["id"], "a", io.BytesIO(content.read(0, content.size)))
    assert reply.json["digest"] == f"sha256:{content.sha256}"
    asset = host.state.asset("octo/tool", "v9", "a")
    assert asset.content.read(1_999_999, 5) == content.read(1_999_999, 5)


async def test_discarded_bytes_are_made_again(start: Callable[..., Any]) -> None:
    """With `discard`, a download works when a generator makes the same bytes, else it breaks."""
    host = await start(discard=True, discard_above=100)
    content = Generated(seed=6, size=200)
    assert content.sha256
    draft = await host.draft()
    for name, data in (("known", content.read(0, 200)), ("lost", b"?" * 200), ("kept", b"k" * 100)):
        assert (await host.upload(draft["id"], name, data)).status == 201
    host.state.direct_download = True
    release = host.state.release("octo/tool", "v9")

    async def download(name: str) -> Any:
        path = f"{R}/assets/{release.asset(name).id}"
        return await host.get(path, Accept="application/octet-stream")

    assert (await download("known")).body == content.read(0, 200)
    assert (await download("kept")).body == b"k" * 100
    with pytest.raises(aiohttp.ClientConnectionError):
        await download("lost")


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


async def test_uploads_of_github_have_an_origin_of_their_own(start: Callable[..., Any]) -> None:
    """github.com: another origin, without rate limit headers; so has GHES with isolation."""
    host = await start(kind="github")
    draft = await host.draft()
    reply = await host.upload(draft["id"], "a")
    assert reply.status == 201
    assert "X-RateLimit-Limit" not in reply.headers
    assert host.state.count(origin="uploads", status=201) == 1
    assert not host.emulator.upload_url.startswith(host.emulator.api_url)
    isolated = await start(isolated_uploads=True)
    draft = await isolated.draft()
    assert draft["upload_url"].startswith(isolated.emulator.upload_url)
    assert (await isolated.upload(draft["id"], "a")).status == 201
