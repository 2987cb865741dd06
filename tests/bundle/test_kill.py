"""Killed while a bundle is written, packed, unpacked or imported: the same command finishes the work."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import tarfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Generated
from support.air_gap import AirGap
from support.clock import MachineClock
from support.killable import NOWHERE, Ended, Place, run
from support.seed import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator import RequestRecord

KILLS = 100
RELEASES = 3
SIZES = [1, 70_001, 100_001, 400_003]
"""Bytes of a release's assets; the last one does not fit into a volume."""

VOLUME = "300kB"
BYTES = RELEASES * sum(SIZES)
"""Every stage moves these, and some more."""

OPERATIONS = {"write": 120, "pack": 125, "unpack": 380, "import": 28}
"""On files; of an import, requests. Each stage has a few more."""


class Carried(AirGap):
    """An air gap whose commands are processes, and what is to come out at its end."""

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    def seed(self) -> None:
        self.clock = MachineClock()
        self.brought = self.directory / "brought"
        self.volumes.mkdir()
        self.source.add_repository("octo/tool")
        for number in range(RELEASES):
            assets = {
                f"{place}.bin": Generated(seed=10 * number + place, size=size)
                for place, size in enumerate(SIZES)
            }
            self.source.add_release("octo/tool", f"v{number}", assets=assets)

    async def command(
        self,
        stage: str,
        place: Place = NOWHERE,
        started: Callable[[int], None] = lambda _: None,
    ) -> Ended:
        """Run what a user runs in this stage."""
        connected = self.configure("connected")
        isolated = self.configure("isolated")
        volumes = self.volumes / "usb"
        commands: dict[str, list[str | Path]] = {
            "write": ["--config", connected, "sync", "--quiet"],
            "pack": [
                "--config", connected, "bundle", "pack", self.bundle,
                "--output", volumes, "--volume-size", VOLUME,
            ],
            "unpack": [
                "--config", isolated, "bundle", "unpack",
                *sorted(self.volumes.glob("usb.*")), self.brought,
            ],
            "import": ["--config", isolated, "sync", "--quiet"],
        }  # fmt: skip
        return await run(commands[stage], self.environ, self.directory, place, started)

    async def killed_import(self, place: Place) -> Ended:
        """Kill at a request that the server gets, or at a byte of an upload."""
        running: list[int] = []

        def kill() -> None:
            while running:
                os.kill(running.pop(), signal.SIGKILL)

        def count_request(_: RequestRecord) -> None:
            if len(self.isolated.requests) == place.operation:
                kill()

        def count_bytes(_route: str, _size: int) -> None:
            uploads = (r.bytes_in for r in self.isolated.requests if r.route == "upload-asset")
            if place.byte and sum(uploads) >= place.byte:
                kill()

        self.isolated.on_request(count_request)
        self.isolated.on_bytes(count_bytes)
        return await self.command("import", started=running.append)


def files(directory: Path) -> list[str]:
    """All files below a directory but the writer's lock, which stays."""
    found = (str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    return sorted(name for name in found if name != "staging/lock")


def referred(bundle: Path, *, absent: bool = False) -> set[str]:
    """The blobs that the index leads to, as anybody reads them: each is there, with its digest.

    Args:
        bundle: Its directory.
        absent: Bytes of assets may also not be there (not all volumes were unpacked).
    """
    found: set[str] = set()

    def blob(descriptor: dict[str, Any]) -> bytes:
        name = descriptor["digest"].replace(":", "/")
        content: bytes = (bundle / "blobs" / name).read_bytes()
        assert len(content) == descriptor["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
        found.add(f"blobs/{name}")
        return content

    if (bundle / "index.json").exists():
        for descriptor in json.loads((bundle / "index.json").read_bytes())["manifests"]:
            manifest = json.loads(blob(descriptor))
            blob(manifest["config"])
            for layer in manifest["layers"]:
                place = bundle / "blobs" / layer["digest"].replace(":", "/")
                if place.exists() or not absent:
                    blob(layer)
    return found


def complete(volumes: Path) -> bool:
    """Whether each volume that has its name is a whole tar file."""
    for path in volumes.glob("usb.*"):
        with tarfile.open(path) as archive:
            if archive.getnames()[-1] != "SHA256SUMS":
                return False
    return True


@pytest.mark.parametrize("number", sample(range(KILLS), 10))
async def test_killed_at_any_byte_on_the_way(number: int, tmp_path: Path) -> None:
    """`kill -9` in each stage, at a byte or an operation: the same command completes it.

    Nothing is there twice, nothing is left over, and an independent client sees all of it.
    """
    dice = random.Random(number)  # noqa: S311 - the same places every time

    def place(stage: str) -> Place:
        if dice.randrange(3):
            return Place(byte=dice.randint(1, BYTES))
        return Place(operation=dice.randint(1, OPERATIONS[stage]))

    async with Carried(tmp_path) as gap:
        gap.seed()
        for stage in OPERATIONS:
            at = place(stage)
            run = gap.killed_import(at) if stage == "import" else gap.command(stage, at)
            killed = await run
            assert killed.status == -signal.SIGKILL, (stage, at, killed)
            referred(gap.bundle)
            referred(gap.brought, absent=stage == "unpack")
            if stage == "pack":
                assert complete(gap.volumes)
            finished = await gap.command(stage)
            assert finished.status == 0, (stage, at, finished)
            for bundle in (gap.bundle, gap.brought):
                if blobs := referred(bundle):
                    assert files(bundle) == sorted({"oci-layout", "index.json", *blobs}), (
                        stage,
                        at,
                    )
        assert files(gap.brought) == files(gap.bundle)
        left = [name for name in files(tmp_path) if name.endswith((".tmp", ".part"))]
        assert left == []
        await gap.run("direct")
        await gap.same()
        tags = Counter(release.tag for release in gap.isolated.releases("mirrors/tool"))
        assert tags == {f"v{number}": 1 for number in range(RELEASES)}
        assert gap.isolated.violations == []
        again = [await gap.run("connected"), await gap.run("isolated")]
        assert [report.status for report in again] == ["unchanged", "unchanged"]
