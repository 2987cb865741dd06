"""What is known of the bytes at the target is counted, and no count says more than was proven."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import GitHubState
from mirror.emulator.model.content import MemoryContent
from mirror.overview import read_overview
from support.world import World, only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ("tool.tar.gz", "tool.zip", "sums.txt")


def proof(proven: int = 0, sent: int = 0, assumed: int = 0) -> dict[str, int]:
    return {"bytes": proven, "sent": sent, "assumed": assumed}


async def told(world: World) -> dict[str, Any]:
    """The one mirror, as `status --json` tells it."""
    config = load_config(world.config_file, world.environ)
    overview = await read_overview(config, resolve_secrets(config, world.environ))
    (status,) = overview.statuses
    return status.to_json(world.clock.now())


async def repair(world: World) -> None:
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock) as app:
        report = await app.verify(repair=True)
    assert report.status == "ok"


def publish(world: World) -> None:
    world.source.add_repository("octo/tool")
    assets = {name: name.encode() for name in NAMES}
    world.source.add_release("octo/tool", "v1.0.0", assets=assets)


@pytest.fixture
async def with_digests(tmp_path: Path) -> AsyncIterator[World]:
    target = GitHubState(kind="ghes", version="3.17", digests=True)
    async with World(tmp_path, target=target) as world:
        publish(world)
        yield world


@pytest.fixture
async def without_digests(tmp_path: Path) -> AsyncIterator[World]:
    source = GitHubState(kind="github", digests=False)
    target = GitHubState(kind="ghes", version="3.17", digests=False)
    async with World(tmp_path, source=source, target=target) as world:
        publish(world)
        yield world


async def test_digests_on_the_target_prove_all(with_digests: World) -> None:
    """The target's digest is that of the bytes that went through."""
    await with_digests.sync()
    assert (await told(with_digests))["proof"] == proof(proven=3)


async def test_without_digests_all_are_sent(without_digests: World) -> None:
    """Hashed in transit, and the target shows nothing but a size; a pass without work keeps it."""
    await without_digests.sync()
    assert (await told(without_digests))["proof"] == proof(sent=3)
    assert only(await without_digests.sync()).status == "unchanged"
    assert (await told(without_digests))["proof"] == proof(sent=3)


async def test_what_a_lost_ledger_leaves_is_assumed_until_it_is_read(
    without_digests: World,
) -> None:
    """Name and size prove no bytes; `verify --repair` reads them, and the next pass keeps that."""
    world = without_digests
    await world.sync()
    shutil.rmtree(world.ledger)
    await world.sync()
    assert (await told(world))["proof"] == proof(assumed=3)
    await repair(world)
    assert (await told(world))["proof"] == proof(proven=3)
    await world.sync(full=True)
    assert (await told(world))["proof"] == proof(proven=3)


async def test_what_is_sent_is_proven_by_reading_it(without_digests: World) -> None:
    """What a repair sends anew is counted as it is afterwards."""
    world = without_digests
    await world.sync()
    asset = world.target.asset("mirrors/tool", "v1.0.0", "tool.zip")
    asset.content = MemoryContent(b"tool.zap", asset.sha256)
    await repair(world)
    found = await told(world)
    assert found["assets"] == 3
    assert sum(found["proof"].values()) == 3
    assert found["proof"]["bytes"] >= 2
    assert world.same() == []


async def test_a_rebuilt_index_counts_what_the_documents_say(without_digests: World) -> None:
    """A lost index costs no knowledge of the bytes."""
    await without_digests.sync()
    (without_digests.ledger / "index.json").unlink()
    assert (await told(without_digests))["proof"] == proof(sent=3)


async def test_an_index_from_before_is_read(with_digests: World) -> None:
    """It proves nothing, so that all is assumed until the mirror is looked at again."""
    world = with_digests
    await world.sync()
    path = world.ledger / "index.json"
    document = json.loads(path.read_text())
    document["version"] = 1
    for entry in document["mirrors"].values():
        del entry["proof"]
    path.write_text(json.dumps(document))
    assert (await told(world))["proof"] == proof(assumed=3)
    await world.sync(full=True)
    assert (await told(world))["proof"] == proof(proven=3)
