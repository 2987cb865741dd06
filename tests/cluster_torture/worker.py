"""A daemon as a process of its own, with a name that every request tells, and with short claims.

::

    python -m cluster_torture.worker CONFIG NAME LEASE RENEW_EVERY MARGIN

Nothing else differs from ``release-mirror daemon``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mirror

if TYPE_CHECKING:
    from mirror.config import Config, Secrets

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the daemon."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with the test
    config, name, *seconds = sys.argv[1:]
    mirror.__version__ += f"+{name}"  # before anything else is imported: it is in the user agent

    from mirror.cli import event_loop, startup  # noqa: PLC0415
    from mirror.cli.options import GlobalOptions  # noqa: PLC0415
    from mirror.core.claims import ClaimTimes  # noqa: PLC0415
    from mirror.daemon.service import Service  # noqa: PLC0415
    from mirror.daemon.systemd import SdNotify  # noqa: PLC0415

    options = GlobalOptions(Path(config))

    def load() -> tuple[Config, Secrets]:
        settings, secrets = startup.load_with_secrets(options)
        startup.set_up_log(options, settings, "info")
        return settings, secrets

    times = ClaimTimes(*map(float, seconds))
    service = Service(load, SdNotify.from_environ(os.environ), claim_times=times)
    return event_loop.run(service.run())


if __name__ == "__main__":
    sys.exit(main())
