"""The steps of ``demo --air-gap``: write a bundle, pack it, lose a volume, unpack, mirror, bring the volume."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.pack import Packer
from mirror.bundle.signature import AllowedSigners
from mirror.bundle.unpack import Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.cli.bundle_settings import names
from mirror.cli.demo_text import heading, show_file
from mirror.cli.output import print_text
from mirror.cli.render.sync_text import summary
from mirror.cli.render.terminal import show
from mirror.core.text.wording import count, size
from mirror.errors import BundleError
from mirror.storage.files import Files
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from mirror.core.reporting.report import Report

VOLUMES = 4
"""Into about so many volumes the bundle is packed."""

LOST = 1
"""Which of them is lost at first, from 0."""

_ISOLATED = """\
[target]
url = "{target}"
token = "file:target.token"

[sources.bundle]
bundle = "isolated"
{signers}
[defaults]
visibility = "public"

[[mirrors]]
source = "mirrors/*"

[ledger]
directory = "isolated-ledger"
"""


class AirGapDemo:
    """Both sides of an air gap on this machine.

    Args:
        directory: Where everything is, with the configuration of a direct mirror.
        target: Address of the isolated server.
        sync: Runs ``sync`` with a configuration file.
    """

    def __init__(
        self, directory: Path, target: str, sync: Callable[[Path], Awaitable[Report]]
    ) -> None:
        self._directory = directory
        self._target = target
        self._sync = sync
        self._signed = shutil.which("ssh-keygen") is not None

    async def run(self, direct: str) -> tuple[Report, Report]:
        """Carry everything over; the last report of the isolated side, and one more of it.

        Args:
            direct: The configuration of the direct mirror.
        """
        self._make_key()
        connected, isolated = self._configure(direct)
        heading("The connected side: release-mirror sync")
        show(*summary(await self._sync(connected)))
        volumes = await self._pack()
        total = size(sum(path.stat().st_size for path in volumes))
        heading("release-mirror bundle pack")
        print_text(f"  {count(len(volumes), 'volume')}, {total}\n")
        heading(f"Volume {LOST + 1} is lost on the way: release-mirror bundle unpack")
        await self._unpack([path for n, path in enumerate(volumes) if n != LOST])
        heading("The isolated side, with what has arrived: release-mirror sync")
        show(*summary(await self._sync(isolated)))
        heading(f"Volume {LOST + 1} arrives: release-mirror bundle unpack")
        await self._unpack([volumes[LOST]])
        heading("The isolated side: release-mirror sync")
        report = await self._sync(isolated)
        show(*summary(report))
        return report, await self._sync(isolated)

    def _make_key(self) -> None:
        if not self._signed:
            return
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "bundle.key"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=self._directory)  # noqa: S603 - a constant
        key = " ".join((self._directory / "bundle.key.pub").read_text().split()[:2])
        (self._directory / "allowed_signers").write_text(f"demo@example.com {key}\n")

    def _configure(self, direct: str) -> tuple[Path, Path]:
        _, _, rest = direct.partition("[sources.github]")
        key = 'sign_with = "file:bundle.key"\n' if self._signed else ""
        bundle = f'[target]\nbundle = "connected"\n{key}\n'
        signers = 'allowed_signers = "allowed_signers"\n' if self._signed else ""
        texts = {
            "connected.toml": f"{bundle}[sources.github]{rest}",
            "isolated.toml": _ISOLATED.format(target=self._target, signers=signers),
        }
        for name, text in texts.items():
            (self._directory / name).write_text(text, encoding="utf-8")
            heading(name)
            show_file(text)
        return self._directory / "connected.toml", self._directory / "isolated.toml"

    async def _pack(self) -> Sequence[Path]:
        directory = BundleDirectory(self._directory / "connected")
        contents = await directory.contents()
        if contents is None:
            raise BundleError("the demo's bundle was not written")
        packer = Packer(directory, contents, Files())
        wanted, absent = packer.prepare()
        largest = sum(wanted.blobs.values()) // VOLUMES + 2 * 2**20
        return packer.pack(self._directory / "usb", wanted, absent, largest).volumes

    async def _unpack(self, volumes: Sequence[Path]) -> None:
        place = WritableDirectory(self._directory / "isolated", Files(), SystemClock())
        file = self._directory / "allowed_signers"
        signers = AllowedSigners(file) if self._signed else None
        result = await Unpacker(place, signers, Files()).unpack(volumes)
        waiting = names(result.absent)
        numbers = ", ".join(map(str, result.volumes))
        print_text(f"  {count(result.stored, 'blob')} stored\n")
        if waiting:
            print_text(f"Waiting for their bytes:\n{waiting}They are in volume {numbers}.\n")
