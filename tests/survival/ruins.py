"""What a killed run left: at the target, in the ledger, on the disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from structlog.testing import capture_logs
from yarl import URL

from mirror.core.domain.asset_names import is_temporary
from mirror.storage.json_ledger import FileLedgerStore
from support.world import TARGET_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.world import World

REPOSITORY = "mirrors/tool"
GIT_RESTS = ("*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*")


def ruins(world: World) -> Counter[str]:
    """How much of everything that is only there for a while is there."""
    found: Counter[str] = Counter()
    if REPOSITORY in world.target.names:
        for release in world.target.releases(REPOSITORY):
            found["drafts"] += release.draft
            found["published"] += not release.draft
            for asset in release.assets:
                found["starters"] += asset.state != "uploaded"
                found["temporary names"] += is_temporary(asset.name)
    ledger = world.ledger
    found["no index"] = not (ledger / "index.json").exists()
    found["no document"] = not (ledger / f"{REPOSITORY}.json").exists()
    found["ledger .tmp"] = len(list(ledger.glob("**/*.tmp")))
    found["spool rests"] = len(list(ledger.glob("spool/*.part")))
    found["git directories"] = len(list(ledger.glob("git/private-*")))
    for copy in ledger.glob("git/*/*/*.git"):
        found["git locks and packs"] += sum(len(list(copy.rglob(rest))) for rest in GIT_RESTS)
    return +found


def orphans(ledger: Path) -> list[str]:
    """What a good end leaves nothing of; rests in the spool have some days to be of use."""
    rests = ("**/*.tmp", "git/private-*", "git/*/*/*.git/*.lock", "**/*.corrupt-*")
    return sorted(str(path) for rest in rests for path in ledger.glob(rest))


async def unreadable(world: World) -> list[str]:
    """What of the ledger cannot be read, as who holds no lock is told."""
    store = FileLedgerStore(world.ledger, world.clock)
    with capture_logs() as logs:
        await store.load_index()
        await store.load(REPOSITORY)
    return [str(entry) for entry in logs]


async def differences(world: World) -> list[str]:
    """What the target's people see that is not as at the source: every byte is read back."""
    wrong = [
        text
        for text in world.same()
        if "source_archives" not in world.mirrors or " != " not in text
    ]
    tags = Counter(release.tag for release in world.target.releases(REPOSITORY))
    wrong += [f"{count} releases of {tag}" for tag, count in tags.items() if count > 1]
    async with aiohttp.ClientSession() as session:
        for release in world.source.releases("octo/tool"):
            copy = world.published().get(release.tag)
            names = Counter(asset.name for asset in copy.assets) if copy else Counter()
            wrong += [f"{n} assets {name} of {release.tag}" for name, n in names.items() if n > 1]
            for asset in release.assets:
                found = copy.asset(asset.name) if copy else None
                if found is None:
                    wrong.append(f"{release.tag}/{asset.name} is missing")
                elif (digest := await read_back(world, session, found.id)) != asset.sha256:
                    wrong.append(f"{release.tag}/{asset.name} holds {digest}")
            wrong += await archives(world, session, release.tag, [*names])
    return wrong


async def archives(
    world: World, session: aiohttp.ClientSession, tag: str, names: Iterable[str]
) -> list[str]:
    """What is wrong with a release's source archives: they hold what was recorded."""
    here = {asset.name for asset in world.source.release("octo/tool", tag).assets}
    wanted = (
        {f"tool-{tag}.tar.gz", f"tool-{tag}.zip"} if "source_archives" in world.mirrors else set()
    )
    wrong = [f"{tag}/{name} is of nobody" for name in names if name not in here | wanted]
    ledger = await FileLedgerStore(world.ledger, world.clock).load(REPOSITORY)
    assert ledger is not None
    for name in wanted:
        asset = world.target.asset(REPOSITORY, tag, name)
        known = {
            entry.sha256
            for release in ledger.releases.values()
            for entry in release.assets.values()
            if entry.target_id == asset.id
        }
        if {await read_back(world, session, asset.id)} != known:
            wrong.append(f"{tag}/{name} is not what was recorded")
    return wrong


async def read_back(world: World, session: aiohttp.ClientSession, asset: int) -> str:
    """The SHA-256 of what a reader of the target gets."""
    url = f"{world.target_host.api_url}/repos/{REPOSITORY}/releases/assets/{asset}"
    headers = {"Authorization": f"Bearer {TARGET_TOKEN}", "Accept": "application/octet-stream"}
    async with session.get(url, headers=headers, allow_redirects=False) as answer:
        assert answer.status == HTTPStatus.FOUND
        place = URL(answer.headers["Location"], encoded=True)
    digest = hashlib.sha256()
    async with session.get(place) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
    return digest.hexdigest()
