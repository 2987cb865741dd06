"""The table of versions in the documentation, row by row, against the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mirror.emulator import Fault, GitHubState
from mirror.github.protocol.urls import accepted_upload_origins, api_url
from support.world import World

TABLE = Path(__file__).parents[2] / "docs/reference/versions.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.read_text().splitlines()
    if re.match(r"\| (GHES \d|github\.com, GHE)", line)
]


def state_of(server: str) -> GitHubState:
    if server.startswith("GHES"):
        return GitHubState(kind="ghes", version=server.split()[1])
    return GitHubState(kind="github")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_a_row_of_the_table(row: list[str], tmp_path: Path) -> None:
    """What is sent to a target of this version is what the table says, and the mirror is right."""
    server, version, make_latest, latest_by, digests, *_ = row
    text = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
    async with World(tmp_path, text, target=state_of(server)) as world:
        world.source.add_repository("octo/tool")
        for tag, date in (("v1", "2024-01-01"), ("v3", "2026-01-01"), ("v2", "2025-01-01")):
            world.source.add_release(
                "octo/tool", tag, date=f"{date}T00:00:00Z", assets={"a.bin": tag.encode()}
            )
        # A list is HTML once, as old servers behind proxies do: nothing is uploaded twice.
        world.target.faults.add(Fault(kind="html", route="list-assets"))
        assert (await world.sync()).status == "ok"
        world.source.replace_asset("octo/tool", "v1", "a.bin", b"new")
        assert (await world.sync()).totals()["assets_replaced"] == 1
        assert world.same() == []
        assert world.latest() == "v3"
        sent = {r.headers.get("x-github-api-version") for r in world.target.requests}
        assert sent - {None} == (set() if version == "not sent" else {version})
        documents = [r.document or {} for r in world.target.requests if r.route == "update-release"]
        assert any("make_latest" in document for document in documents) == (make_latest == "sent")
        assert all(document.get("make_latest") in {None, "true", "false"} for document in documents)
        assert ("make_latest" in latest_by) == (make_latest == "sent")
        asset = world.published()["v1"].assets[0]
        assert (digests == "SHA-256") == world.target.digests
        assert asset.sha256


def test_addresses() -> None:
    """The API's and the uploads' addresses follow from the web address as the table says."""
    table = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in TABLE.read_text().splitlines()
        if line.startswith("| `https://")
    ]
    assert len(table) == 3
    for web, api, uploads in table:
        assert api_url(web) == api.lower()
        accepted = accepted_upload_origins(web, api, None)
        for origin in re.findall(r"https://[\w.]+", uploads):
            assert origin.lower() in {one.lower() for one in accepted}


async def test_subdomain_isolation(tmp_path: Path) -> None:
    """A GHES whose uploads have an origin of their own: the address is the release's own."""
    target = GitHubState(kind="ghes", version="3.17", isolated_uploads=True)
    text = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
    async with World(tmp_path, text, target=target) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"abc"})
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        (upload,) = [r for r in world.target.requests if r.route == "upload-asset"]
        assert upload.origin == "uploads"


async def test_an_upload_address_of_another_origin_gets_nothing(tmp_path: Path) -> None:
    """A token goes to its own origin only: an `upload_url` elsewhere is an error that says so."""
    target = GitHubState(kind="ghes", version="3.17", isolated_uploads=True)
    text = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
    async with World(tmp_path, text, target=target) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.bin": b"abc"})
        lines = world.config_file.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("upload_origin")]
        world.config_file.write_text("\n".join(kept))
        report = await world.sync()
        assert report.failed
        assert world.target.count(route="upload-asset") == 0
        assert "upload_origin" in report.repositories[0].failures[0].error
