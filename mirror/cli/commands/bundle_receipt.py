"""``bundle receipt``: print what a bundle holds, for the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mirror.bundle.receipt import encode, receipt_of
from mirror.bundle.signature import SigningKey
from mirror.cli import bundle_settings, exit_status, startup
from mirror.cli.output import print_bytes


def bundle_receipt(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
) -> int:
    r"""Print what a bundle holds, for "bundle pack --since" on the connected side.

    Signed if the host whose "bundle" is DIR has sign_with.

    \b
    Examples:
      release-mirror bundle receipt /srv/bundle > receipt
      release-mirror bundle pack /srv/bundle --output usb --since receipt
    """
    settings = bundle_settings.find(context.obj, directory)
    bundle, contents = bundle_settings.open_bundle(directory, settings)
    receipt = receipt_of(bundle, contents)
    key = None
    if settings.host and (ref := settings.host.sign_with):
        tables = {settings.name if settings.name == "target" else "sources"}
        _, secrets = startup.load_with_secrets(context.obj, only=tables)
        key = SigningKey(lambda: secrets[ref])
    else:
        bundle_settings.warn(
            "the receipt is not signed: no host of the configuration has"
            f" bundle = {str(directory)!r} and sign_with"
        )
    print_bytes(asyncio.run(encode(receipt, key)))
    return exit_status.OK
