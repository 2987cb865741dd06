"""A lane whose bytes do not get through is suspended, instead of trying asset by asset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
[[mirrors]]
source = "octo/other"
target = "mirrors/other"
"""


def seed(world: World, assets: int = 40) -> None:
    for name in ("octo/tool", "octo/other"):
        world.source.add_repository(name)
        for number in range(4):
            world.source.add_release(
                name,
                f"v{number}",
                date=f"2026-01-0{number + 1}T00:00:00Z",
                assets={f"{n}.bin": f"{name} {number} {n}" for n in range(assets // 4)},
            )


@pytest.mark.parametrize(
    ("side", "fault"),
    [
        ("source", Fault(kind="status", route="storage-download", status=503, times=None)),
        ("source", Fault(kind="reset", route="storage-download", times=None)),
        ("source", Fault(kind="html", route="storage-download", times=None)),
        ("target", Fault(kind="status", route="upload-asset", status=502, times=None)),
        ("target", Fault(kind="upload-failed", route="upload-asset", status=502, times=None)),
        ("target", Fault(kind="reset-midway", route="upload-asset", at_byte=3, times=None)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
async def test_a_host_that_refuses_all_bytes_is_suspended(
    side: str, fault: Fault, tmp_path: Path
) -> None:
    """Few assets are tried to the end; the others are told as not tried, and come the next time."""
    async with World(tmp_path, TWO) as world:
        seed(world)
        (world.source if side == "source" else world.target).faults.add(fault)
        report = await world.sync()
        assert report.status == "failed"
        requests = world.source.count() + world.target.count()
        # All attempts of all assets would take over 4,000. Some assets are opened at the source
        # before the circuit opens, and are not sent.
        assert requests < 750, requests
        for repository in report.repositories:
            failed = [f for f in repository.failures if f.asset]
            assert all(failure.error for failure in failed)
            told = [text for text in repository.warnings if text.startswith("not tried")]
            skipped = [a for a in repository.actions if a.status == "skipped"]
            assert len(failed) + len(skipped) >= 40
            assert 1 <= len(told) <= 2  # one sentence a way
            assert repository.status == "failed"
        world.source.faults.clear()
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert world.same("octo/other", "mirrors/other") == []


async def test_what_needs_no_bytes_goes_on(tmp_path: Path) -> None:
    """Texts of releases are brought up to date while nothing can be uploaded."""
    async with World(tmp_path) as world:
        seed(world)
        await world.sync()
        for number in range(4):
            for n in range(4):
                world.source.add_asset("octo/tool", f"v{number}", f"new-{n}.bin", f"{number} {n}")
            world.source.edit_release("octo/tool", f"v{number}", body="In other words")
        world.target.faults.add(Fault(kind="reset", route="upload-asset", times=None))
        report = await world.sync()
        assert report.status == "failed"
        assert {release.body for release in world.published().values()} == {"In other words"}


async def test_assets_that_are_lost_stop_nobody_else(tmp_path: Path) -> None:
    """A dozen whose bytes the storage host has lost fail, each by itself; all others arrive."""
    async with World(tmp_path) as world:
        seed(world)
        lost = [a.id for a in world.source.release("octo/tool", "v3").assets]
        lost += [a.id for a in world.source.release("octo/tool", "v2").assets]
        for number in lost:
            world.source.faults.add(
                Fault(
                    kind="status",
                    route="storage-download",
                    match=f"/{number}?",
                    status=404,
                    times=None,
                )
            )
        report = await world.sync()
        assert len([f for f in only(report).failures if f.asset]) == len(lost) == 20
        assert set(world.published()) == {"v0", "v1"}
