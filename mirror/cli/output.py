"""Writing to standard output and standard error, where the reader may have gone away."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees the stream in a terminal that can be drawn on."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def print_text(text: str) -> None:
    """Write to standard output; a reader that closed it early does not want the rest."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_the_rest()


def print_bytes(content: bytes) -> None:
    """Write a document to standard output, whatever the locale's encoding is."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_the_rest()


def _discard_the_rest() -> None:
    # Python flushes once more at exit, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error_line(sentence: str) -> None:
    """Write a line to standard error; the caller has sanitised it."""
    try:
        sys.stderr.write(f"release-mirror: {sentence}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads it
