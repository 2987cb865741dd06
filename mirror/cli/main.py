"""The entry point: sets the signal handlers before anything slow is imported."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from mirror.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from collections.abc import Sequence


NAME = "release-mirror"

COMPLETION_VARIABLE = "_RELEASE_MIRROR_COMPLETE"
"""Set by the scripts of ``completion``: print what a shell can complete, and do nothing else."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    exit_on_signals()
    # Imports make many objects and no garbage.
    gc.set_threshold(50_000, 10, 10)
    # Plugins that other packages install would see every setting; to look for them takes time, too.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        _run(arguments)
    except ImportError as error:  # a module or a shared library is missing
        sys.exit(f"release-mirror: the installation is incomplete: {error}; install it again")
    finally:
        # Modules need not be taken apart at exit: it takes a sixth of what `status` takes.
        gc.freeze()
    sys.exit(0)


def _run(arguments: Sequence[str] | None) -> None:
    # Imported only now: Ctrl-C during start-up must end the process without a traceback.
    from mirror.cli.parser import parser  # noqa: PLC0415

    if COMPLETION_VARIABLE in os.environ:
        # typer registers its shells only where it adds options of its own.
        from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415

        completion_init()
    parser(arguments, prog_name=NAME, complete_var=COMPLETION_VARIABLE)
