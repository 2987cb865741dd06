"""PyGithub, which was not written here, reads both sides and finds the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import requests

from github import Auth, Github
from mirror.emulator import AssetSpec, Generated
from support.world import SOURCE_TOKEN, TARGET_TOKEN, World

if TYPE_CHECKING:
    from pathlib import Path


def read(api_url: str, token: str, name: str) -> dict[str, Any]:
    """Everything of a repository's releases that a mirror can keep, with every byte."""
    with Github(auth=Auth.Token(token), base_url=api_url, retry=None) as client:
        repository = client.get_repo(name)
        found = {}
        for release in repository.get_releases():
            assets = {}
            for asset in release.get_assets():
                answer = requests.get(
                    asset.url,
                    headers={
                        "Authorization": f"Bearer {token}",
                        "Accept": "application/octet-stream",
                    },
                    timeout=30,
                )
                answer.raise_for_status()
                facts = (asset.label or "", asset.content_type, asset.size, asset.state)
                assets[asset.name] = (*facts, answer.content)
            found[release.tag_name] = {
                "title": release.name or "",
                "body": release.body or "",
                "draft": release.draft,
                "prerelease": release.prerelease,
                "created_at": release.created_at,
                "assets": assets,
            }
        return {
            "releases": found,
            "tags": {tag.name for tag in repository.get_tags()},
            "latest": repository.get_latest_release().tag_name,
        }


async def test_an_independent_client_agrees_in_every_field(tmp_path: Path) -> None:
    """Titles, texts, flags, dates of tags, labels, types, sizes and bytes are the source's."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        for number in range(5):
            world.source.add_release(
                "octo/tool",
                f"v1.{number}.0",
                name=f"Release {number}, größer",
                body=f"# {number}\r\n\r\n* `code` & <html> ünï\n" if number else None,
                prerelease=number == 3,
                date=f"2026-0{number + 1}-01T12:00:00Z",
                assets={
                    "tool.tar.gz": AssetSpec(
                        Generated(seed=number, size=100_000), "application/gzip", f"Tool {number}"
                    ),
                    "tool+debug.deb": AssetSpec(b"deb" * number + b"!", "application/x-debian"),
                },
            )
        world.source.edit_release("octo/tool", "v1.2.0", latest=True)
        assert (await world.sync()).status == "ok"
        source = await asyncio.to_thread(read, world.source_host.api_url, SOURCE_TOKEN, "octo/tool")
        target = await asyncio.to_thread(
            read, world.target_host.api_url, TARGET_TOKEN, "mirrors/tool"
        )
        assert target == source
        assert source["latest"] == "v1.2.0"
