"""What commands do first: read the configuration, set up the log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from mirror.cli import logs
from mirror.config import find_config_file, load_config, load_config_and_secrets, resolve_secrets

if TYPE_CHECKING:
    from collections.abc import Collection

    from mirror.cli.options import GlobalOptions
    from mirror.config import Config, Secrets


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


def set_up_log(
    options: GlobalOptions,
    config: Config | None,
    default: logs.Level,
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
    settings = config.log if config else None
    in_file = settings.level if settings and "level" in settings.model_fields_set else None
    asked = options.log_level or in_file
    logs.configure(
        asked or default,
        options.log_format or (settings.format if settings else "auto"),
        told=() if asked else told,
    )


def log_secret_warnings(secrets: Secrets) -> None:
    """Log the secret files whose permissions are too open."""
    for warning in secrets.warnings:
        structlog.get_logger().warning("secret.exposed", warning=warning)
