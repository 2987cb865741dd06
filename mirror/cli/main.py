"""The entry point: sets the signal handlers before anything slow is imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from mirror.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    exit_on_signals()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Imported only now: Ctrl-C during start-up must end the process without a traceback.
    from mirror.cli.parser import parser  # noqa: PLC0415

    parser(arguments, prog_name="release-mirror")
    sys.exit(0)
