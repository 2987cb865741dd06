"""``release-mirror daemon`` that ends with its parent; a process of the demo's own, run as a module.

It stops when standard input ends, which also happens if the parent is killed. Its only argument is the
configuration file; each line on standard error is a log event in JSON.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from mirror.cli.main import main

AGAIN = 2.0
"""Seconds between two signals: the first drains, the second cancels, the third ends the process."""


def _stop_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(AGAIN)


if __name__ == "__main__":
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    main(["--config", sys.argv[1], "--log-format", "json", "--log-level", "info", "daemon"])
