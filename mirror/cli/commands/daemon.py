"""``daemon``: the service, from the command line to its exit status."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from mirror.cli.event_loop import run as run_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.cli.options import Common
    from mirror.config import Config, Secrets


def run(common: Common, environ: Mapping[str, str] = os.environ) -> int:
    """Mirror on a schedule, until told to stop.

    Returns:
        The exit status.

    Raises:
        ConfigError: The configuration is wrong; nothing was contacted.
        MirrorError: The ledger or the address cannot be had.
    """
    # Until the service heeds them: a signal that would end it has nothing to do yet.
    for early in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(early, signal.SIG_IGN)
    from mirror.daemon.service import Service  # noqa: PLC0415 - takes its time
    from mirror.daemon.systemd import SdNotify  # noqa: PLC0415

    service = Service(partial(_load, common, environ), SdNotify.from_environ(environ))
    return run_loop(service.run())


def _load(common: Common, environ: Mapping[str, str]) -> tuple[Config, Secrets]:
    """Read the file and its secrets; the log is set up by it once both are good."""
    from mirror.config import resolve_secrets  # noqa: PLC0415

    config = common.load(environ)
    secrets = resolve_secrets(config, environ)
    common.log(config, "info")
    common.warn(secrets)
    return config, secrets
