"""``daemon``: passes on a schedule, until a signal stops it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from mirror.cli import event_loop, startup
from mirror.daemon.service import Service
from mirror.daemon.systemd import SdNotify

if TYPE_CHECKING:
    from mirror.cli.options import GlobalOptions
    from mirror.config import Config, Secrets


def daemon(context: typer.Context) -> int:
    r"""Mirror on a schedule until stopped, with a status page, metrics and webhooks.

    \b
    Signals:
      SIGTERM, SIGINT   finish transfers in flight, then exit; again: exit at once
      SIGHUP            reload the configuration
      SIGUSR1           start every mirror now

    release-mirror trigger starts mirrors now and shows what came of it.

    \b
    Examples:
      release-mirror daemon
      release-mirror daemon --log-level debug
    """
    options: GlobalOptions = context.obj
    service = Service(lambda: _load(options), SdNotify.from_environ(os.environ))
    return event_loop.run(service.run())


def _load(options: GlobalOptions) -> tuple[Config, Secrets]:
    """Read the file and its secrets; if both are valid, configure the log by them."""
    config, secrets = startup.load_with_secrets(options)
    startup.set_up_log(options, config, "info")
    startup.log_secret_warnings(secrets)
    return config, secrets
