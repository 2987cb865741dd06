"""Compares what a reader of the target gets with what the source holds: every byte is read back."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from cluster_torture.cluster import TOKENS

if TYPE_CHECKING:
    from cluster_torture.cluster import Cluster

_PAGE = 100
_AT_ONCE = 8


class Compared:
    """What was read, and what is wrong."""

    def __init__(self) -> None:
        self.releases = self.assets = self.bytes = 0
        self.wrong: list[str] = []


async def compare(cluster: Cluster) -> Compared:
    """Read every release of every mirror at the target, drafts included, and every asset."""
    found = Compared()
    headers = {"Authorization": f"Bearer {TOKENS['TARGET_TOKEN']}", "User-Agent": "oracle"}
    turns = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
        for name in cluster.names:
            group.create_task(_mirror(cluster, session, name, found, turns))
    return found


async def _mirror(
    cluster: Cluster,
    session: aiohttp.ClientSession,
    name: str,
    found: Compared,
    turns: asyncio.Semaphore,
) -> None:
    wanted = {tag: assets for (of, tag), assets in cluster.expected.items() if of == name}
    async with turns:
        releases = await _releases(session, f"{cluster.target.addresses['api_url']}/repos", name)
        tags = Counter(release["tag_name"] for release in releases)
        found.wrong += [
            f"{name}: {count} releases of {tag}" for tag, count in tags.items() if count > 1
        ]
        found.wrong += [f"{name}: {tag} is missing" for tag in wanted.keys() - tags.keys()]
        found.wrong += [f"{name}: {tag} is of nobody" for tag in tags.keys() - wanted.keys()]
        for release in releases:
            tag = release["tag_name"]
            found.releases += 1
            if release["draft"]:
                found.wrong.append(f"{name}: {tag} is a draft")
            there = [
                (asset["name"], await _digest(session, asset, found)) for asset in release["assets"]
            ]
            if sorted(there) != sorted(wanted.get(tag, {}).items()):
                found.wrong.append(f"{name}: {tag} holds {there}")


async def _releases(session: aiohttp.ClientSession, base: str, name: str) -> list[Any]:
    releases: list[Any] = []
    for page in range(1, 1000):
        url = f"{base}/mirrors/{name}/releases?per_page={_PAGE}&page={page}"
        async with session.get(url) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return []  # nothing was published
            answer.raise_for_status()
            some = await answer.json()
        releases += some
        if len(some) < _PAGE:
            break
    return releases


async def _digest(session: aiohttp.ClientSession, asset: Any, found: Compared) -> str:
    if asset["state"] != "uploaded":
        return str(asset["state"])
    accept = {"Accept": "application/octet-stream"}
    async with session.get(asset["url"], headers=accept, allow_redirects=False) as answer:
        place = URL(answer.headers["Location"], encoded=True)
    digest = hashlib.sha256()
    async with aiohttp.ClientSession() as storage, storage.get(place) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
            found.bytes += len(chunk)
    found.assets += 1
    return digest.hexdigest()
