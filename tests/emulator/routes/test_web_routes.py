"""Addresses for people."""

from __future__ import annotations

import io
import tarfile
import xml.etree.ElementTree as ET
import zipfile
from typing import Any

import pytest
from yarl import URL

R = "/repos/octo/tool/releases"
FILES = ("", "/README.md", "/VERSION")
ATOM = "{http://www.w3.org/2005/Atom}"


async def follow(host: Any, path: str) -> Any:
    """What a client without a token gets in the end, with the URL it came from."""
    url = path if path.startswith("http") else f"{host.emulator.url}{path}"
    reply = await host.get(url, token=None)
    for _ in range(5):
        if "Location" not in reply.headers:
            break
        url = reply.headers["Location"]
        reply = await host.get(url, token=None)
    return reply, URL(url, encoded=True)


async def test_people_download_without_a_token(host: Any) -> None:
    """The browser's address leads to the bytes of a public repository."""
    shown = (await host.get(f"{R}/latest")).json["assets"][0]["browser_download_url"]
    assert (await follow(host, shown))[0].body == b"hello world"
    assert (await host.get(shown.replace("tool.txt", "x"), token=None)).status == 404
    latest, _ = await follow(host, "/octo/tool/releases/latest/download/tool.txt")
    assert latest.body == b"hello world"


@pytest.mark.parametrize("slash", ["/", "%2F"])
async def test_a_slash_in_a_tag(host: Any, slash: str) -> None:
    """The tag in an address may hold a slash, encoded or not."""
    host.state.add_release("octo/tool", "team/v2", assets={"a.txt": b"bytes"})
    path = f"/octo/tool/releases/download/team{slash}v2/a.txt"
    assert (await follow(host, path))[0].body == b"bytes"
    assert (await follow(host, f"/octo/tool/releases/tag/team{slash}v2"))[0].status == 200
    _, url = await follow(host, "/octo/tool/releases/latest")
    assert url.path == "/octo/tool/releases/tag/team/v2"


async def test_pages_of_releases(host: Any) -> None:
    """A published release has a page, escaped; a draft and what does not exist have none."""
    host.state.add_release("octo/tool", "v2", name="<b>Two</b>")
    page = await host.get(f"{host.emulator.url}/octo/tool/releases/tag/v2", token=None)
    assert "&lt;b&gt;Two&lt;/b&gt;" in page.body.decode()
    await host.draft("v3")
    for tag in ("v3", "v4"):
        assert (await follow(host, f"/octo/tool/releases/tag/{tag}"))[0].status == 404


async def test_the_feed(host: Any) -> None:
    """The Atom feed holds the ten newest published releases, newest first."""
    for number in range(2, 13):
        name = f"Release <{number}>"
        host.state.add_release("octo/tool", f"v{number}", name=name, date=f"2026-02-{number:02}")
    await host.draft("v99")
    reply = await host.get(f"{host.emulator.url}/octo/tool/releases.atom", token=None)
    assert reply.headers["Content-Type"].startswith("application/atom+xml")
    entries = ET.fromstring(reply.body).findall(f"{ATOM}entry")  # noqa: S314 - our own
    assert [e.findtext(f"{ATOM}title") for e in entries] == [
        f"Release <{number}>" for number in range(12, 2, -1)
    ]


@pytest.mark.parametrize("private_mode", [True, False])
@pytest.mark.parametrize(
    "path", ["releases/download/v1.0.0/tool.txt", "releases/latest", "releases.atom"]
)
async def test_login(host: Any, path: str, private_mode: bool) -> None:
    """A token has no effect here: what not everybody may see leads to the login page."""
    host.state.private_mode = private_mode
    if not private_mode:
        host.state.repository("octo/tool").visibility = "private"
    moved = await host.get(f"{host.emulator.url}/octo/tool/{path}")
    assert moved.status == 302
    assert "/login?return_to=" in moved.headers["Location"]
    login = await host.get(moved.headers["Location"])
    assert (login.status, login.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("ref", ["v1.0.0", "refs/tags/v1.0.0"])
async def test_archives(host: Any, ref: str) -> None:
    """A tag's source, in a directory named by repository and version."""
    tar, _ = await follow(host, f"/octo/tool/archive/{ref}.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(tar.body)) as archive:
        assert archive.getnames() == [f"tool-1.0.0{file}" for file in FILES]
    zipped, _ = await follow(host, f"/octo/tool/archive/{ref}.zip")
    with zipfile.ZipFile(io.BytesIO(zipped.body)) as packed:
        assert packed.namelist() == ["tool-1.0.0/", *(f"tool-1.0.0{file}" for file in FILES[1:])]
    for wrong in ("gone.zip", f"{ref}.rar"):
        assert (await follow(host, f"/octo/tool/archive/{wrong}"))[0].status == 404
