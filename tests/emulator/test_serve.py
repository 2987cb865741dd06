"""A host in the foreground."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import (
    Emulator,
    GitHubState,
    serve,
)
from support.seed_document import SEED

if TYPE_CHECKING:
    from pathlib import Path


async def test_serving_in_the_foreground(tmp_path: Path) -> None:
    """It announces itself once, when it answers, with an administrator's token."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps({**SEED, "tokens": []}))
    announced: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    directory = tmp_path / "state"
    async with asyncio.TaskGroup() as group:
        serving = serve(announced.put_nowait, kind="github", seed=path, state_directory=directory)
        task = group.create_task(serving)
        told = await announced.get()
        headers = {"Authorization": f"token {told['token']}"}
        url = f"{told['api_url']}/repos/octo/seeded"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
            assert (await reply.json())["permissions"]["admin"] is True
        task.cancel()
    assert set(told) == {
        "kind", "version", "url", "api_url", "upload_url", "storage_url", "token",
    }  # fmt: skip
    assert (tmp_path / "state" / "state.json").exists()


async def test_a_port_that_is_taken(host: Any) -> None:
    """An error, and nothing is left open."""
    port = int(host.emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with Emulator(GitHubState(), port=port):
            pass
