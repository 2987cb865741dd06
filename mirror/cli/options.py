"""Options: those of every command, accepted before and after the verb, and those of some."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.cli.logs import Level
    from mirror.config import Config, Secrets


class LogLevel(StrEnum):
    """``--log-level``."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """``--log-format``."""

    auto = "auto"
    console = "console"
    json = "json"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"release-mirror {__version__}")
        raise typer.Exit


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration file. Default: $RELEASE_MIRROR_CONFIG, then release-mirror/"
        "config.toml in $XDG_CONFIG_HOME, then in /etc.",
        show_default=False,
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option("--log-level", help="The least severe events to log.", show_default=False),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format", help="How to log, to standard error (auto: json for systemd's journal)."
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
]
Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN",
        help="Sources to select, as OWNER/REPO or NAME:OWNER/REPO, with shell wildcards, ignoring"
        " case. None selects all.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Full = Annotated[
    bool,
    typer.Option("--full", help="Look at both sides of every mirror, whatever is remembered."),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Wait so long for another run to end. Default: not at all.",
        show_default=False,
    ),
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Draw no progress display.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing unless something failed (for cron)."),
]


@dataclass(frozen=True, slots=True)
class Common:
    """The options of every command."""

    file: Path | None = None
    level: LogLevel | None = None
    format: LogFormat | None = None

    def over(self, file: Path | None, level: LogLevel | None, format_: LogFormat | None) -> Common:
        """With those that were given later laid over them."""
        return Common(file or self.file, level or self.level, format_ or self.format)

    def load(self, environ: Mapping[str, str]) -> Config:
        """Find and read the configuration file.

        Raises:
            ConfigError: There is none, or it is wrong.
        """
        from mirror.config import find_config_file, load_config  # noqa: PLC0415 - takes its time

        return load_config(find_config_file(self.file, environ), environ)

    def warn(self, secrets: Secrets) -> None:
        """Log what should be otherwise with the files of secrets; the log is set up."""
        from structlog import get_logger  # noqa: PLC0415 - takes its time

        for warning in secrets.warnings:
            get_logger().warning("secret.exposed", warning=warning)

    def log(self, config: Config | None, default: Level) -> None:
        """Set the log up: by option, else by the file, else as the command wants it."""
        from mirror.cli.logs import configure  # noqa: PLC0415

        settings = config.log if config else None
        in_file = settings.level if settings and "level" in settings.model_fields_set else None
        level = self.level.value if self.level else in_file or default
        format_ = self.format.value if self.format else (settings.format if settings else "auto")
        configure(level, format_)
