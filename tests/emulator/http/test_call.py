"""Repositories by their former names."""

from __future__ import annotations

from typing import Any

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


async def test_renamed_repositories_redirect(host: Any) -> None:
    """301 for a read, 307 for a write, to the number; the body says so."""
    repository = host.state.rename_repository("octo/tool", "octo/new")
    url = f"{host.emulator.api_url}/repositories/{repository.id}/releases?per_page=5"
    reply = await host.get(f"{R}?per_page=5")
    assert (reply.status, reply.headers["Location"]) == (301, url)
    assert (reply.json["message"], reply.json["url"]) == ("Moved Permanently", url)
    assert (await host.send("POST", R, json={"tag_name": "v2"})).status == 307
    assert (await host.get(url)).status == 200
    assert (await host.get("/repos/OCTO/New")).json["full_name"] == "octo/new"
    host.state.add_repository("octo/tool")
    assert (await host.get(REPO)).status == 200
