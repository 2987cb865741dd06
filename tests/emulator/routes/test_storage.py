"""Signed addresses of the storage host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
