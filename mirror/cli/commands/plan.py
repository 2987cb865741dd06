"""``plan``: what ``sync`` would do."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.options import Full, Json, NoProgress, Patterns, Quiet
from mirror.cli.pass_runner import RunOptions, run_pass


def plan(
    context: typer.Context,
    patterns: Patterns = None,
    json: Json = False,
    full: Full = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    detailed: Annotated[
        bool,
        typer.Option("--detailed-exit-code", help="Exit with 3 if changes are pending."),
    ] = False,
) -> int:
    r"""Show what sync would do. Changes nothing, neither at the target nor on disk.

    \b
    Examples:
      release-mirror plan
      release-mirror plan cli/cli --full
      release-mirror plan --detailed-exit-code --quiet || echo changes or failures
    """
    options = RunOptions(
        command="plan",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        detailed=detailed,
    )
    return run_pass(context.obj, options)
