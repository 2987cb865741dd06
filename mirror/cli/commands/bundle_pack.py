"""``bundle pack``: pack a bundle into volumes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.bundle import layout
from mirror.bundle.directory import read_file
from mirror.bundle.pack import Packer
from mirror.bundle.receipt import decode
from mirror.bundle.signature import AllowedSigners
from mirror.cli import bundle_settings, exit_status
from mirror.cli.bundle_settings import Since, VolumeSize
from mirror.cli.options import Json, NoProgress
from mirror.cli.output import print_text
from mirror.config.values import parse_size
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count, size
from mirror.errors import UsageError
from mirror.storage.files import Files

if TYPE_CHECKING:
    from mirror.bundle.directory import Contents
    from mirror.cli.bundle_settings import BundleSettings


def bundle_pack(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE", help="Name of the volumes: FILE.001 and so on."),
    ],
    since: Since = None,
    volume_size: VolumeSize = "4GiB",
    as_json: Json = False,
    no_progress: NoProgress = False,
) -> int:
    r"""Pack a bundle into volumes: tar files, any of which may be lost or come late.

    Exits with 1 if the bundle does not hold all bytes that it lists.

    \b
    Examples:
      release-mirror bundle pack /srv/bundle --output /media/usb/releases
      release-mirror bundle pack /srv/bundle --output dvd --volume-size 4480MiB
      release-mirror bundle pack /srv/bundle --output new --since receipt
    """
    try:
        largest = parse_size(volume_size)
    except ValueError as error:
        raise UsageError(f"--volume-size: {error}") from None
    settings = bundle_settings.find(context.obj, directory)
    bundle, contents = bundle_settings.open_bundle(directory, settings)
    packer = Packer(bundle, contents, Files())
    known = asyncio.run(_known(since, contents, settings)) if since else ()
    wanted, absent = packer.prepare(known)
    total = sum(wanted.blobs.values())
    with (
        bundle_settings.interruptible(),
        bundle_settings.progress(total, "Packing", hidden=no_progress or as_json) as moved,
    ):
        packer.moved = moved
        packed = packer.pack(output, wanted, absent, largest)
    index = contents.index
    if as_json:
        document = {
            "schema": 1,
            "command": "bundle pack",
            "status": "failed" if absent else "ok",
            "bundle": index.identity,
            "sequence": index.sequence,
            "volumes": [str(path) for path in packed.volumes],
            "bytes": packed.size,
            "absent": absent,
        }
        print_text(json.dumps(document, indent=2) + "\n")
    else:
        first, last = (clean(packed.volumes[n].name) for n in (0, -1))
        between = first if first == last else f"{first} to {last}"
        print_text(
            f"Packed {clean(directory)} (sequence {index.sequence}) into"
            f" {count(len(packed.volumes), 'volume')}, {size(packed.size)}: {between}\n"
        )
        if absent:
            print_text(
                f"Not packed, because the bundle does not hold their bytes:\n{bundle_settings.names(absent)}"
            )
    return exit_status.FAILED if absent else exit_status.OK


async def _known(since: Path, contents: Contents, settings: BundleSettings) -> list[str]:
    """The blobs that a receipt lists."""
    signers = None
    if settings.host and (file := settings.host.allowed_signers):
        signers = AllowedSigners(file, f"the receipt {since}")
    else:
        bundle_settings.warn("the signature of the receipt is not checked: set allowed_signers")
    content = await asyncio.to_thread(read_file, since, layout.LARGEST_INDEX)
    return (await decode(content, contents, signers)).blobs
