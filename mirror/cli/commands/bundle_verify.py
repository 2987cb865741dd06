"""``bundle verify``: read every byte of a bundle, and compare it with the index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.bundle.inspection import Verification
from mirror.bundle.mirrored import pruned_assets
from mirror.bundle.references import References
from mirror.cli import bundle_settings, exit_status
from mirror.cli.options import Json, NoProgress
from mirror.cli.output import print_text
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count, size
from mirror.errors import BundleError

if TYPE_CHECKING:
    from mirror.bundle.directory import BundleDirectory, Contents


def bundle_verify(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    as_json: Json = False,
    no_progress: NoProgress = False,
) -> int:
    r"""Verify every digest of a bundle, and its signature.

    Exits with 1 if something is damaged or absent, unless bundle prune
    --mirrored removed it. Unpacking the same volumes again repairs it.

    \b
    Examples:
      release-mirror bundle verify /srv/bundle
      release-mirror bundle verify /srv/bundle --json
    """
    settings = bundle_settings.find(context.obj, directory)
    if settings.signers is None:
        bundle_settings.warn_unchecked(directory, settings)
    bundle, contents = bundle_settings.open_bundle(directory, settings)
    with bundle_settings.progress(
        _size(bundle, contents), "Verifying", hidden=no_progress or as_json
    ) as moved:
        pruned = pruned_assets(bundle.path)
        found = Verification(bundle, contents.index, pruned, moved).run()
    good = not (found.damaged or found.absent)
    if as_json:
        document = {
            "schema": 1,
            "command": "bundle verify",
            "status": "ok" if good else "failed",
            "bundle": contents.index.identity,
            "sequence": contents.index.sequence,
            "signer": contents.signer or None,
            "blobs": found.blobs,
            "bytes": found.size,
            "damaged": found.damaged,
            "absent": found.absent,
            "pruned": found.pruned,
        }
        print_text(json.dumps(document, indent=2) + "\n")
    else:
        signer = f"; signed by {clean(contents.signer)}" if contents.signer else ""
        pruned_too = f"; {count(found.pruned, 'asset')} pruned" if found.pruned else ""
        print_text(
            f"{clean(directory)} (sequence {contents.index.sequence}): {count(found.blobs, 'blob')}"
            f" verified, {size(found.size)}{pruned_too}{signer}\n"
        )
        for heading, names in (("Damaged", found.damaged), ("Absent", found.absent)):
            if names:
                print_text(f"{heading}:\n{bundle_settings.names(names)}")
    return exit_status.OK if good else exit_status.FAILED


def _size(bundle: BundleDirectory, contents: Contents) -> int:
    """Bytes to read, for the display; 0 where a manifest is damaged."""
    try:
        found = References.of(contents.index, bundle.manifest)
    except BundleError:
        return 0
    return sum(found.documents.values()) + sum(found.blobs.values())
