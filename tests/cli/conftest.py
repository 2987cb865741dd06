from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Generated
from support.clock import MachineClock
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _compiled_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes share compiled modules, also where the environment wants none to be kept."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "compiled"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two hosts; the source has one repository with one release of two assets."""
    async with World(tmp_path, clock=MachineClock()) as made:
        made.source.add_repository("octo/tool")
        made.source.add_release(
            "octo/tool",
            "v1.0.0",
            name="One",
            date="2026-01-01T00:00:00Z",
            assets={"tool.tar.gz": Generated(seed=1, size=400_000), "tool.txt": "hello\n"},
        )
        yield made
