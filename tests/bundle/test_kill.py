"""Killed in the middle of writing a bundle: the next run finishes."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Generated
from support.air_gap import MIRRORS, AirGap
from support.audited import killed
from support.clock import MachineClock

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 5
OPERATIONS = 150
"""More than a run has."""


def seed(gap: AirGap) -> None:
    gap.source.add_repository("octo/tool")
    for number in range(3):
        assets = {f"{n}.bin": Generated(seed=10 * number + n, size=100_001 * n) for n in range(4)}
        gap.source.add_release("octo/tool", f"v{number}", assets=assets)


def check(bundle: Path) -> dict[str, list[str]]:
    """The assets of each release in the index: all that it refers to is there, with its digest."""
    found: dict[str, list[str]] = {}
    if not (bundle / "index.json").exists():
        return found

    def blob(descriptor: dict[str, Any]) -> bytes:
        content: bytes = (bundle / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
        assert len(content) == descriptor["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
        return content

    for descriptor in json.loads((bundle / "index.json").read_bytes())["manifests"]:
        manifest = json.loads(blob(descriptor))
        blob(manifest["config"])
        for layer in manifest["layers"]:
            blob(layer)
        name = descriptor["annotations"]["org.opencontainers.image.ref.name"]
        titles = (layer.get("annotations", {}) for layer in manifest["layers"])
        found[name] = sorted(t["org.opencontainers.image.title"] for t in titles if t)
    return found


@pytest.mark.parametrize("number", range(KILLS))
async def test_killed_at_any_operation_on_a_file(number: int, tmp_path: Path) -> None:
    """`kill -9`, at any moment: no half release is in the index, and the next run completes it all."""
    dice = random.Random(number)  # noqa: S311 - the same places every time
    async with AirGap(tmp_path, MIRRORS) as gap:
        gap.clock = MachineClock()
        seed(gap)
        config = gap.configure("connected")
        for _ in range(3):
            at = dice.randint(1, OPERATIONS)
            await killed(config, gap.environ, gap.bundle, at)
            for name, assets in check(gap.bundle).items():
                assert assets == ([f"{n}.bin" for n in range(4)] if ":" in name else [])
        assert not await killed(config, gap.environ, gap.bundle, 10**9)
        assert set(check(gap.bundle)) == {"mirrors/tool", *(f"mirrors/tool:v{n}" for n in range(3))}
        assert gap.leftovers() == []
