"""What commands do first: read the configuration, set up the log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mirror.config import find_config_file, load_config, load_config_and_secrets, resolve_secrets

if TYPE_CHECKING:
    from collections.abc import Collection

    from mirror.cli.logs import Level
    from mirror.cli.options import GlobalOptions
    from mirror.config import Config, Secrets
    from mirror.overview import CorruptFile


def load(options: GlobalOptions) -> Config:
    """Find and read the configuration file.

    Raises:
        ConfigError: There is none, or it is wrong.
    """
    return load_config(find_config_file(options.config, os.environ), os.environ)


def load_with_secrets(
    options: GlobalOptions, *, only: Collection[str] | None = None
) -> tuple[Config, Secrets]:
    """Find and read the configuration file and its secrets.

    Args:
        options: Of every command.
        only: The top-level tables whose secrets are needed; default: all.

    Raises:
        ConfigError: A file or a secret is missing or wrong; it lists every mistake.
    """
    file = find_config_file(options.config, os.environ)
    return load_config_and_secrets(file, os.environ, only=only)


def ledger_secrets(config: Config) -> Secrets:
    """The secret of the ledger, if it has one, for commands that contact no host.

    Raises:
        ConfigError: It is missing or wrong.
    """
    return resolve_secrets(config, os.environ, only={"ledger"})


def asked_level(options: GlobalOptions, config: Config | None) -> Level | None:
    """The log level that the options give, else the file."""
    in_file = config.log.level if config and "level" in config.log.model_fields_set else None
    return options.log_level or in_file


def set_up_log(
    options: GlobalOptions,
    config: Config | None,
    default: Level,
    *,
    told: Collection[str] = (),
) -> None:
    """Configure logging from the options, else from the file, else at the command's default level.

    Args:
        options: Those of the command line.
        config: The file's.
        default: The level that is used if neither gives one.
        told: Events to leave out at that level, because the command tells the same itself.
    """
    # Start-up time: `status` seldom logs.
    from mirror.cli import logs  # noqa: PLC0415

    settings = config.log if config else None
    asked = asked_level(options, config)
    logs.configure(
        asked or default,
        options.log_format or (settings.format if settings else "auto"),
        told=() if asked else told,
    )


def log_corrupt(file: CorruptFile) -> None:
    """Log that a file of the ledger was left out."""
    import structlog  # noqa: PLC0415 - as above

    structlog.get_logger().warning("ledger.unreadable", path=str(file.path), reason=file.reason)


def log_secret_warnings(secrets: Secrets) -> None:
    """Log the secret files whose permissions are too open."""
    import structlog  # noqa: PLC0415 - as above

    for warning in secrets.warnings:
        structlog.get_logger().warning("secret.exposed", warning=warning)
