"""``bundle prune``: remove the blobs of a bundle that nothing refers to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.mirrored import proven
from mirror.bundle.prune import prune
from mirror.bundle.writable_directory import WritableDirectory
from mirror.cli import bundle_settings, exit_status, startup
from mirror.cli.options import Json
from mirror.cli.output import print_text
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count, size
from mirror.errors import UsageError
from mirror.github import api_url
from mirror.overview import read_ledgers
from mirror.storage.files import Files
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from mirror.cli.bundle_settings import BundleSettings


def bundle_prune(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    mirrored: Annotated[
        bool,
        typer.Option(
            "--mirrored", help="Also remove bytes that the ledger proves to be at the target."
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    r"""Remove the blobs of a bundle that nothing refers to.

    They are left of releases and assets that are no longer in the bundle.
    --mirrored also removes bytes that have arrived at the target: their releases
    stay known, and receipts still list them. It needs the configuration that
    mirrors from the bundle, and its ledger.

    \b
    Examples:
      release-mirror bundle prune /srv/bundle
      release-mirror bundle prune /srv/bundle --mirrored
      release-mirror bundle prune /srv/bundle --json
    """
    settings = bundle_settings.find(context.obj, directory)
    reader = BundleDirectory(directory, settings.signers)
    bundle = WritableDirectory(directory, Files(), SystemClock())
    needless = asyncio.run(_proven(settings, directory)) if mirrored else None
    pruned = asyncio.run(prune(bundle, reader, needless))
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


async def _proven(settings: BundleSettings, directory: Path) -> frozenset[str]:
    """The assets whose bytes the ledger proves to be at the target."""
    config = settings.config
    if config is None or not settings.sources:
        raise UsageError(
            f"--mirrored needs a configuration with a source whose bundle is {str(directory)!r}:"
            " its ledger proves what has arrived at the target"
        )
    host = config.target
    if host.bundle:
        other = WritableDirectory(host.bundle, Files(), SystemClock())
        target = f"bundle:{other.identity}"
    else:
        target = (host.api_url or api_url(host.url)).rstrip("/")
    found: set[str] = set()
    for ledgers in await read_ledgers(config, startup.ledger_secrets(config), settings.sources):
        found |= proven(
            ledger if ledger and ledger.target_url == target else None for ledger in ledgers
        )
    return frozenset(found)
