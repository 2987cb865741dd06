"""``bundle unpack``: unpack volumes into a bundle."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.bundle.unpack import Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.cli import bundle_settings, exit_status
from mirror.cli.options import Json, NoProgress
from mirror.cli.output import print_error_line, print_text
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count
from mirror.storage.files import Files
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from mirror.bundle.unpack import Unpacked


def bundle_unpack(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Volumes, in any order.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The bundle; created if it is missing.")
    ],
    as_json: Json = False,
    no_progress: NoProgress = False,
) -> int:
    r"""Unpack volumes into a bundle: one at a time or many, in any order.

    A volume that is missing or damaged does not stop the rest. Unpacking the
    same volumes again repairs blobs. Exits with 1 if a volume was damaged or
    refused, or if assets still wait for their bytes.

    \b
    Examples:
      release-mirror bundle unpack /media/usb/releases.* /srv/bundle
      release-mirror bundle unpack releases.003 /srv/bundle
    """
    settings = bundle_settings.find(context.obj, directory)
    if settings.signers is None:
        bundle_settings.warn_unchecked(directory, settings)
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.stat().st_size
    with (
        bundle_settings.interruptible(),
        bundle_settings.progress(total, "Unpacking", hidden=no_progress or as_json) as moved,
    ):
        bundle = WritableDirectory(directory, Files(), SystemClock())
        unpacker = Unpacker(bundle, settings.signers, Files(), moved)
        result = asyncio.run(unpacker.unpack(files))
    for problem in result.problems:
        print_error_line(clean(problem))
    if as_json:
        _print_document(result)
    else:
        _print(result, directory)
    return exit_status.OK if result.complete else exit_status.FAILED


def _print_document(result: Unpacked) -> None:
    document = {
        "schema": 1,
        "command": "bundle unpack",
        "status": "ok" if result.complete else "failed",
        "bundle": result.identity,
        "sequence": result.sequence,
        "stored": result.stored,
        "problems": result.problems,
        "notes": result.notes,
        "absent": result.absent,
        "volumes": result.volumes,
    }
    print_text(json.dumps(document, indent=2) + "\n")


def _print(result: Unpacked, directory: Path) -> None:
    for note in result.notes:
        print_text(f"{clean(note)}\n")
    if not result.sequence:
        print_text(f"{clean(directory)} has no index that can be read yet.\n")
        return
    stored = count(result.stored, "blob")
    print_text(f"{clean(directory)} has sequence {result.sequence}; {stored} stored.\n")
    if result.absent:
        print_text(f"Waiting for their bytes:\n{bundle_settings.names(result.absent)}")
        if result.volumes:
            numbers = ", ".join(map(str, result.volumes))
            print_text(f"They are in these volumes of {result.count}: {numbers}\n")
