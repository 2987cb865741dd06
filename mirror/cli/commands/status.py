"""``status``: what the ledger records, without contacting any host."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror import __version__
from mirror.build import build
from mirror.cli import exit_status, startup
from mirror.cli.atomic_write import write_atomically
from mirror.cli.options import Json, Patterns
from mirror.cli.output import print_bytes, print_text
from mirror.cli.render.status_text import status_tables
from mirror.cli.render.terminal import show
from mirror.core.reporting.host_notices import host_json, host_notices
from mirror.errors import UsageError
from mirror.overview import read_file_overview, read_overview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.cli.options import GlobalOptions
    from mirror.config import Config
    from mirror.overview import Overview

STDOUT = Path("-")


def status(
    context: typer.Context,
    patterns: Patterns = None,
    as_json: Json = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write the status page to one file (-: standard output).",
            show_default=False,
        ),
    ] = None,
) -> int:
    r"""Show what the ledger records. Contacts no host and changes nothing.

    Exits with 1 if a mirror failed, waits, is blocked or quarantined, or never succeeded.

    \b
    Examples:
      release-mirror status
      release-mirror status 'cli/*' --json
      release-mirror status --html /var/www/html/mirror.html   # for cron
    """
    if html == STDOUT and as_json:
        raise UsageError("--json and --html - would both write to standard output")
    config = startup.load(context.obj)
    overview = _overview(context.obj, config, patterns or ())
    statuses, now = overview.statuses, datetime.now(UTC)
    if html is not None:
        _write_page(html, config, overview, now)
    if as_json:
        document = {
            "schema": 1,
            "mirrors": [status.to_json(now) for status in statuses],
            "hosts": [host_json(name, record) for name, record in overview.hosts.items()],
            "workers": [worker.to_json() for worker in overview.workers],
        }
        print_text(json.dumps(document, indent=2) + "\n")
    elif html is None:
        show(*status_tables(statuses, now, overview.hosts, overview.workers))
    good = all(status.state == "ok" for status in statuses)
    return exit_status.OK if good else exit_status.FAILED


def _overview(options: GlobalOptions, config: Config, patterns: Sequence[str]) -> Overview:
    """Read the ledger. Of files, it loads neither an event loop nor, as a rule, the log."""
    if startup.asked_level(options, config) == "debug":  # of an unexpected error
        startup.set_up_log(options, config, "warning")
    if not config.ledger.url:
        overview = read_file_overview(config, patterns)
        if overview.corrupt:
            startup.set_up_log(options, config, "warning")
            startup.log_corrupt(overview.corrupt)
        return overview
    import asyncio  # noqa: PLC0415

    startup.set_up_log(options, config, "warning")
    return asyncio.run(read_overview(config, startup.ledger_secrets(config), patterns))


def _write_page(file: Path, config: Config, overview: Overview, now: datetime) -> None:
    # Jinja takes a quarter of this command's start-up time, and only --html needs it.
    from mirror.page import EVERYTHING, page_data, render  # noqa: PLC0415

    page = render(
        page_data(
            now=now,
            statuses=overview.statuses,
            links={name: host.url for name, host in config.hosts.items() if host.url},
            passes=overview.passes,
            workers=overview.workers,
            notices=host_notices(overview.hosts, now),
            version=__version__,
            build=build(),
            query=EVERYTHING,
        )
    )
    if file == STDOUT:
        print_bytes(page.encode())
    else:
        write_atomically(file, page.encode())
