"""Downloads of assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Generated

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"
OCTETS = {"Accept": "application/octet-stream"}


async def address(host: Any) -> str:
    asset = host.state.asset("octo/tool", "v1.0.0", "tool.txt")
    reply = await host.get(f"{R}/assets/{asset.id}", **OCTETS)
    assert reply.status == 302, reply.body
    location: str = reply.headers["Location"]
    assert location.startswith(host.emulator.storage_url)
    return location


async def test_a_download_is_a_redirect(host: Any) -> None:
    """With a JSON Accept the address tells about the asset; with octets it leads to the bytes."""
    reply = await host.get(await address(host), token=None)
    assert (reply.status, reply.body) == (200, b"hello world")
    assert host.state.count(route="download-asset") == 1
    assert host.state.count(route="storage-download", origin="storage") == 1


@pytest.mark.parametrize(
    ("asked", "status", "body", "shown"),
    [
        ("bytes=0-4", 206, b"hello", "bytes 0-4/11"),
        ("bytes=6-", 206, b"world", "bytes 6-10/11"),
        ("bytes=-3", 206, b"rld", "bytes 8-10/11"),
        ("bytes=6-100", 206, b"world", "bytes 6-10/11"),
        ("bytes=11-", 416, None, "bytes */11"),
        ("bytes=0-1,3-4", 200, b"hello world", None),
        ("lines=1-2", 200, b"hello world", None),
    ],
)
async def test_ranges(
    host: Any, asked: str, status: int, body: bytes | None, shown: str | None
) -> None:
    """One range is served, one behind the end is 416, anything else is everything."""
    reply = await host.get(await address(host), token=None, Range=asked)
    assert (reply.status, reply.headers.get("Content-Range")) == (status, shown)
    if body is not None:
        assert reply.body == body


async def test_a_range_may_have_a_condition(host: Any) -> None:
    """`If-Range` with the right ETag gives the part, with another one everything."""
    url = await address(host)
    etag = (await host.get(url, token=None)).headers["ETag"]
    good = await host.get(url, token=None, Range="bytes=6-", If_Range=etag)
    stale = await host.get(url, token=None, Range="bytes=6-", If_Range='"other"')
    assert (good.status, stale.status) == (206, 200)


async def test_a_server_may_stream_and_ignore_ranges(start: Callable[..., Any]) -> None:
    """200 with the bytes instead of a redirect; with or without ranges."""
    host = await start(direct_download=True)
    asset = host.state.asset("octo/tool", "v1.0.0", "tool.txt")
    path = f"{R}/assets/{asset.id}"
    assert (await host.get(path, **OCTETS)).body == b"hello world"
    assert (await host.get(path, Range="bytes=6-", **OCTETS)).body == b"world"
    host.state.ignore_range = True
    assert (await host.get(path, Range="bytes=6-", **OCTETS)).status == 200
    head = await host.send("HEAD", path, **OCTETS)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "11", b"")


async def test_a_download_is_counted(host: Any) -> None:
    """The counter goes up, and with it the ETag of the listing; a look at the JSON is none."""
    before = await host.get(R)
    asset = before.json[0]["assets"][0]
    await host.get(f"{R}/assets/{asset['id']}")
    assert (await host.get(R)).headers["ETag"] == before.headers["ETag"]
    await address(host)
    after = await host.get(R)
    assert after.json[0]["assets"][0]["download_count"] == 1
    assert after.headers["ETag"] != before.headers["ETag"]


async def test_two_gibibytes_cost_nothing(host: Any) -> None:
    """The end of a huge generated asset is there at once."""
    size = (1 << 31) - 1
    host.state.digests = False
    asset = host.state.add_asset("octo/tool", "v1.0.0", "huge", Generated(seed=1, size=size))
    url = (await host.get(f"{R}/assets/{asset.id}", **OCTETS)).headers["Location"]
    reply = await host.get(url, token=None, Range="bytes=-10")
    assert reply.headers["Content-Range"] == f"bytes {size - 10}-{size - 1}/{size}"
    assert reply.body == Generated(seed=1, size=size).read(size - 10, 10)


async def test_a_replaced_asset_has_another_number(host: Any) -> None:
    """Same name, other bytes: the old number is 404."""
    old = host.state.asset("octo/tool", "v1.0.0", "tool.txt")
    url = await address(host)
    new = host.state.replace_asset("octo/tool", "v1.0.0", "tool.txt", b"other")
    assert new.id != old.id
    assert (await host.get(f"{R}/assets/{old.id}")).status == 404
    assert (await host.get(url, token=None)).status == 404


async def test_storage_refuses_a_token(host: Any) -> None:
    """Two ways to authenticate are one too many: 400."""
    reply = await host.get(await address(host))
    assert reply.status == 400
    assert b"Only one auth mechanism allowed" in reply.body


async def test_addresses_expire(start: Callable[..., Any]) -> None:
    """After its lifetime, an address is 403."""
    now = [1000.0]
    host = await start(clock=lambda: now[0], storage_lifetime=300)
    url = await address(host)
    now[0] += 299
    assert (await host.get(url, token=None)).status == 200
    now[0] += 1
    assert (await host.get(url, token=None)).status == 403


async def test_an_address_is_signed_to_the_byte(start: Callable[..., Any]) -> None:
    """Quoted anew it is refused, unless the host looks at what it means; altered it always is."""
    host = await start()
    url = await address(host)
    requoted = url.replace("%27", "'").replace("%20", " ").replace(" ", "%20")
    assert requoted != url
    assert (await host.get(requoted, token=None)).status == 403
    host.state.exact_signatures = False
    url = await address(host)
    assert (await host.get(url.replace("%27", "'"), token=None)).status == 200
    assert (await host.get(url.replace("sp=r", "sp=w"), token=None)).status == 403
