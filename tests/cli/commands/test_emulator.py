"""`emulator` as a user runs it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from pathlib import Path


async def test_emulator(tmp_path: Path) -> None:
    """One JSON line says where it is as soon as it answers; a signal ends it well."""
    seed = tmp_path / "seed.json"
    seed.write_text('{"repositories": [{"name": "a/b", "releases": [{"tag": "v1"}]}]}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "emulator", "--kind", "github", "--seed", str(seed)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        addresses = json.loads(await process.stdout.readline())
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{addresses['api_url']}/repos/a/b/releases") as answer,
        ):
            assert [release["tag_name"] for release in await answer.json()] == ["v1"]
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert out == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
