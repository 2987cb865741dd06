"""``bundle prune``: remove the blobs of a bundle that nothing refers to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from mirror.bundle.directory import BundleDirectory, WritableDirectory
from mirror.bundle.prune import prune
from mirror.cli import bundle_settings, exit_status
from mirror.cli.options import Json
from mirror.cli.output import print_text
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count, size
from mirror.storage.files import Files
from mirror.system_clock import SystemClock


def bundle_prune(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    as_json: Json = False,
) -> int:
    r"""Remove the blobs of a bundle that nothing refers to.

    They are left of releases and assets that are no longer in the bundle.

    \b
    Examples:
      release-mirror bundle prune /srv/bundle
      release-mirror bundle prune /srv/bundle --json
    """
    settings = bundle_settings.find(context.obj, directory)
    reader = BundleDirectory(directory, settings.signers)
    bundle = WritableDirectory(directory, Files(), SystemClock())
    pruned = asyncio.run(prune(bundle, reader))
    if as_json:
        document = {
            "schema": 1,
            "command": "bundle prune",
            "status": "ok",
            "removed": pruned.blobs,
            "bytes": pruned.size,
        }
        print_text(json.dumps(document, indent=2) + "\n")
    else:
        removed = count(pruned.blobs, "blob")
        print_text(f"Removed {removed} from {clean(directory)}, {size(pruned.size)}\n")
    return exit_status.OK
