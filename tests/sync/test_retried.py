"""Every request that is sent again is counted in the report, those for bytes included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from support.clock import VirtualClock
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

ASSET = b"0123456789" * 5000


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    ("side", "fault", "retried"),
    [
        ("source", None, (0, 0)),
        ("source", Fault(kind="status", route="list-releases", status=502), (1, 0)),
        ("source", Fault(kind="status", route="list-releases", status=429), (1, 0)),
        ("target", Fault(kind="status", route="update-release", status=502, times=2), (0, 2)),
        # A download is resumed into the same upload.
        ("source", Fault(kind="reset-midway", route="storage-download", at_byte=30_000), (1, 0)),
        ("source", Fault(kind="truncate", route="storage-download", at_byte=30_000), (1, 0)),
        # The address of the storage host has expired: a fresh one is asked for.
        ("source", Fault(kind="status", route="storage-download", status=403), (1, 0)),
        # A new upload needs a new download, too.
        ("target", Fault(kind="upload-failed", route="upload-asset", status=502), (1, 1)),
        ("target", Fault(kind="status", route="upload-asset", status=429), (1, 1)),
        # It had arrived: nothing is sent again.
        ("target", Fault(kind="lost-reply", route="upload-asset"), (0, 0)),
    ],
    ids=lambda value: f"{value.route} {value.kind}" if isinstance(value, Fault) else None,
)
async def test_every_repeat_is_counted(
    side: str,
    fault: Fault | None,
    retried: tuple[int, int],
    large: bool,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """JSON requests, downloads and uploads, at the host that they were sent to."""
    if large:
        request.getfixturevalue("everything_large")
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        if fault is not None:
            (world.source if side == "source" else world.target).faults.add(fault)
        report = await world.sync()
        assert report.status == "ok"
        requests = report.requests
        assert (requests["github"].retried, requests["target"].retried) == retried
        assert world.same() == []


@pytest.mark.parametrize(
    ("side", "fault", "retried"),
    [
        ("source", Fault(kind="truncate", route="storage-download", at_byte=30_000), (1, 0)),
        # The bytes are on the disk: they are sent again, and not fetched again.
        ("target", Fault(kind="upload-failed", route="upload-asset", status=502), (0, 1)),
        ("source", Fault(kind="status", route="archive-download", status=502), (1, 0)),
    ],
    ids=lambda value: f"{value.route} {value.kind}" if isinstance(value, Fault) else None,
)
async def test_repeats_over_the_disk_are_counted(
    side: str, fault: Fault, retried: tuple[int, int], tmp_path: Path
) -> None:
    """Assets and source archives that go over the disk: each half by itself."""
    mirrors = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
assets.source_archives = true
"""
    async with World(tmp_path, mirrors, extra='[sync]\ntransfer = "spool"\n') as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        (world.source if side == "source" else world.target).faults.add(fault)
        report = await world.sync()
        assert report.status == "ok"
        requests = report.requests
        assert (requests["github"].retried, requests["target"].retried) == retried


class WatchedClock(VirtualClock):
    """Notes how many transfer slots are free during each long wait."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.free: list[int] = []

    async def sleep(self, seconds: float) -> None:
        if seconds >= 300:
            assert self.world.app is not None
            self.free.append(self.world.app.shared.slots.free)
        await super().sleep(seconds)


async def test_who_waits_for_a_source_gives_the_transfer_slot_to_others(tmp_path: Path) -> None:
    """A source that asks to come back in ten minutes does not hold up the mirrors of another."""
    clock = WatchedClock()
    async with World(tmp_path, extra="[sync]\ntransfers = 1\n", clock=clock) as world:
        clock.world = world
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        world.source.faults.add(
            Fault(kind="status", route="download-asset", status=503, headers={"Retry-After": "600"})
        )
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert clock.free == [1]
