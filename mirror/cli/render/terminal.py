"""Consoles: what may be drawn where."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH_OFF_TERMINAL = 120


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees the stream in a terminal that can be drawn on."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def console(stream: TextIO | None = None) -> Console:
    """A console that interprets no markup, and writes no control character off a terminal.

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
    """Print to standard output; off a terminal without blanks at the ends of lines."""
    if not parts:
        return
    out = console()
    with out.capture() as captured:
        out.print(*parts, sep="\n")
    text = captured.get()
    if not is_terminal(sys.stdout):
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    print_text(text)


def print_text(text: str) -> None:
    """Write to standard output; whoever closed it early does not want the rest."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at the end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_bytes(content: bytes) -> None:
    """Write a document to standard output, whatever the locale's encoding is."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(sentence: str) -> None:
    """Tell a sentence on standard error; it has been made safe already."""
    try:
        sys.stderr.write(f"release-mirror: {sentence}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads it
