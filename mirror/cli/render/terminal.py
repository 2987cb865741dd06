"""The rich console: no markup is interpreted, no control character leaves it off a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from mirror.cli.output import is_terminal, print_text

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH_OFF_TERMINAL = 120


def console(stream: TextIO | None = None) -> Console:
    """A console for a stream.

    Args:
        stream: Standard output unless given.
    """
    stream = stream or sys.stdout
    terminal = is_terminal(stream)
    return Console(
        file=stream,
        force_terminal=terminal,
        force_interactive=terminal,
        color_system="auto" if terminal else None,
        width=None if terminal else int(os.environ.get("COLUMNS", "0") or 0) or WIDTH_OFF_TERMINAL,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
        legacy_windows=False,
    )


def show(*parts: RenderableType) -> None:
    """Print to standard output; off a terminal without trailing blanks."""
    if not parts:
        return
    out = console()
    with out.capture() as captured:
        out.print(*parts, sep="\n")
    text = captured.get()
    if not is_terminal(sys.stdout):
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    print_text(text)
