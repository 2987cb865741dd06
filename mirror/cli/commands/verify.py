"""``verify``: compare what is mirrored with its source."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.options import Json, NoProgress, Patterns, Quiet, Wait
from mirror.cli.pass_runner import RunOptions, run_pass
from mirror.errors import UsageError


def verify(
    context: typer.Context,
    patterns: Patterns = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Upload what is missing or differs; update texts and flags."),
    ] = False,
    json: Json = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Trust no digest reported by a host: download both sides."),
    ] = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    wait: Wait = 0.0,
) -> int:
    r"""Compare every mirrored release with its source: text, flags, and assets by digest.

    If both hosts report the digest that was recorded, nothing is downloaded; otherwise
    both sides are downloaded and compared. Changes nothing without --repair.

    \b
    Examples:
      release-mirror verify
      release-mirror verify cli/cli --full
      release-mirror verify --repair --quiet   # for cron: weekly
    """
    if wait and not repair:
        raise UsageError("--wait needs --repair: without it, verify does not lock the ledger")
    options = RunOptions(
        command="verify",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        wait=wait,
        repair=repair,
    )
    return run_pass(context.obj, options)
