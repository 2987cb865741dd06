"""The daemon with claims that end within seconds, as a program: for tests that kill and stop it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.cli import event_loop, startup
from mirror.cli.options import GlobalOptions
from mirror.core.claims import ClaimTimes
from mirror.daemon.service import Service
from mirror.daemon.systemd import SdNotify

if TYPE_CHECKING:
    from mirror.config import Config, Secrets

TIMES = ClaimTimes(lease=5.0, renew_every=0.5, margin=2.0, look_every=0.3)


def main() -> int:
    """Run the daemon; the arguments are those of the command."""
    file = Path(sys.argv[sys.argv.index("--config") + 1])
    options = GlobalOptions(file, log_format="json")

    def load() -> tuple[Config, Secrets]:
        config, secrets = startup.load_with_secrets(options)
        startup.set_up_log(options, config, "info")
        return config, secrets

    service = Service(load, SdNotify.from_environ(os.environ), claim_times=TIMES)
    return event_loop.run(service.run())


if __name__ == "__main__":
    sys.exit(main())
