"""``bundle show``: what is in a bundle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from mirror.bundle.inspection import repositories
from mirror.cli import bundle_settings, exit_status
from mirror.cli.options import Json
from mirror.cli.output import print_text
from mirror.cli.render.tables import FittingTable
from mirror.cli.render.terminal import show
from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.timestamps import iso
from mirror.core.text.wording import size


def bundle_show(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    as_json: Json = False,
) -> int:
    r"""Show what is in a bundle; changes nothing.

    \b
    Examples:
      release-mirror bundle show /srv/bundle
      release-mirror bundle show /srv/bundle --json
    """
    settings = bundle_settings.find(context.obj, directory)
    if settings.signers is None and settings.name != "target":  # whose bundle this side writes
        bundle_settings.warn_unchecked(directory, settings)
    bundle, contents = bundle_settings.open_bundle(directory, settings)
    index, found = contents.index, list(repositories(bundle, contents.index))
    if as_json:
        document = {
            "schema": 1,
            "command": "bundle show",
            "bundle": index.identity,
            "sequence": index.sequence,
            "created_at": iso(index.created_at),
            "signer": contents.signer or None,
            "repositories": [asdict(repository) for repository in found],
        }
        print_text(json.dumps(document, indent=2) + "\n")
        return exit_status.OK
    signer = f"; signed by {clean(contents.signer)}" if contents.signer else ""
    print_text(
        f"Bundle {index.identity}, sequence {index.sequence}, written {iso(index.created_at)}{signer}\n"
    )
    table = FittingTable(
        "Repository",
        "Releases",
        "Newest",
        "Assets",
        "Size",
        "Absent",
        "Listing",
        numbers=("Releases", "Assets", "Size", "Absent"),
    )
    for repository in found:
        table.add_row(
            Text(clean(repository.repository)),
            Text(str(repository.releases)),
            Text(shorten(repository.newest, 40)),
            Text(str(repository.assets)),
            Text(size(repository.size)),
            Text(str(repository.absent)),
            Text("complete" if repository.complete else "partial"),
        )
    show(table)
    return exit_status.OK
