"""``sync``: one pass."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.options import Full, Json, NoProgress, Patterns, Quiet, Wait
from mirror.cli.pass_runner import RunOptions, run_pass


def sync(
    context: typer.Context,
    patterns: Patterns = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, like plan.")
    ] = False,
    json: Json = False,
    full: Full = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    wait: Wait = 0.0,
) -> int:
    r"""Bring the selected mirrors up to date, once.

    \b
    Examples:
      release-mirror sync
      release-mirror sync 'hashicorp/*' cli/cli
      release-mirror sync --quiet            # for cron
      release-mirror sync --json > report.json
    """
    options = RunOptions(
        command="plan" if dry_run else "sync",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        wait=wait,
    )
    return run_pass(context.obj, options)
