"""Downloads for people."""

from __future__ import annotations

from typing import Any

R = "/repos/octo/tool/releases"


async def test_people_download_without_a_token(host: Any) -> None:
    """The browser's address leads to the bytes of a public repository; else to a login page."""
    shown = (await host.get(f"{R}/latest")).json["assets"][0]["browser_download_url"]
    reply = await host.get(shown, token=None)
    assert reply.status == 302
    assert (await host.get(reply.headers["Location"], token=None)).body == b"hello world"
    assert (await host.get(shown.replace("tool.txt", "x"), token=None)).status == 404
    host.state.repository("octo/tool").visibility = "private"
    login = await host.get(shown)
    assert (login.status, login.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
