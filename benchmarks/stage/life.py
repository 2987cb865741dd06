"""A server's input, and its end when the parent process exits."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any


def orders() -> dict[str, Any]:
    """Read the server's input."""
    found: dict[str, Any] = json.loads(sys.stdin.readline())
    return found


def end_with_parent() -> None:
    """Exit when the other end of standard input is closed, for whatever reason."""

    def watch() -> None:
        # `sys.stdin.read` would read data again that a forked process has buffered.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def ready(document: dict[str, str]) -> None:
    """Print the server's addresses."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
