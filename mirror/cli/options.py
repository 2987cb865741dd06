"""Options and arguments that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from mirror import __version__
from mirror.build import build

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options of every command; ``None`` where one was not given."""

    config: Path | None = None
    log_level: LogLevel | None = None
    log_format: LogFormat | None = None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"release-mirror {__version__}" + (f" ({build()})" if build() else ""))
        raise typer.Exit


def _not_negative(seconds: float) -> float:
    # typer's own limit would show as [x>=0] in the help.
    if not seconds >= 0:  # nor NaN
        raise typer.BadParameter("must be 0 or more")
    return seconds


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file. Default: $RELEASE_MIRROR_CONFIG, then"
        " release-mirror/config.toml in $XDG_CONFIG_HOME, then in /etc.",
        show_default=False,
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="Least severe events to log: debug, info, warning or error.",
        show_default=False,
    ),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        metavar="FORMAT",
        help="Log format on standard error: auto, console or json (auto: json under systemd's"
        " journal).",
        show_default=False,
    ),
]
Version = Annotated[
    bool,
    typer.Option(
        "--version", "-V", callback=_version, is_eager=True, help="Print the version and exit."
    ),
]
Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN",
        help="Source repositories to select, as OWNER/REPO or NAME:OWNER/REPO; shell wildcards,"
        " case-insensitive. Default: all.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Full = Annotated[
    bool,
    typer.Option("--full", help="Compare both sides of every mirror; ignore cached state."),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        callback=_not_negative,
        help="Seconds to wait for the ledger lock, unless the daemon holds it."
        " Default: fail at once.",
        show_default=False,
    ),
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress display.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing unless something failed (for cron)."),
]
