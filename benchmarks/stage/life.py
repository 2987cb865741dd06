"""A server's orders, and its end: with whoever gave them."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any


def orders() -> dict[str, Any]:
    """Read what is to be served."""
    found: dict[str, Any] = json.loads(sys.stdin.readline())
    return found


def end_with_parent() -> None:
    """End this process when nobody holds its standard input any more, however that came."""

    def watch() -> None:
        # Not `sys.stdin.read`: what a forked process has buffered would be read twice.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def ready(document: dict[str, str]) -> None:
    """Tell where this serves."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
