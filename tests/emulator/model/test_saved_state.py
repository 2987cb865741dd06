"""A host saved to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from mirror.emulator import (
    Emulator,
    Generated,
    GitHubState,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_state_survives(tmp_path: Path) -> None:
    """What was there is there again: releases, bytes, tags, tokens, numbers."""
    first = GitHubState()
    token = first.add_token("t", admin=True)
    first.add_repository("o/r")
    async with Emulator(first, state_directory=tmp_path) as emulator:
        first.add_release("o/r", "v1", assets={"a": b"small", "g": Generated(seed=1, size=10)})
        release = first.add_release("o/r", "v2", draft=True)
        url = f"{emulator.upload_url}/repos/o/r/releases/{release.id}/assets?name=up"
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=b"uploaded", headers=headers) as reply,
        ):
            assert reply.status == 201
    second = GitHubState()
    async with Emulator(second, state_directory=tmp_path):
        assert second.asset("o/r", "v1", "a").content.read(0, 9) == b"small"
        assert second.asset("o/r", "v2", "up").content.read(0, 9) == b"uploaded"
        assert isinstance(second.asset("o/r", "v1", "g").content, Generated)
        assert second.tokens["t"].admin
        assert second.repository("o/r").refs == first.repository("o/r").refs
        assert second.number() > first.last_id
        files = second.repository("o/r").objects
        assert files.by_sha.keys() == first.repository("o/r").objects.by_sha.keys()
        assert second.release("o/r", "v1").author is second.accounts["o"]


async def test_another_format_is_refused(tmp_path: Path) -> None:
    """What another version wrote is not guessed at."""
    (tmp_path / "state.json").write_text('{"format": 1, "tokens": [{"account": "o"}]}')
    with pytest.raises(ValueError, match="has format 1, not 2"):
        Emulator(GitHubState(), state_directory=tmp_path)
