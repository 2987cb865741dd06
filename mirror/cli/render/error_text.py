"""Errors as users see them: one sentence each on standard error, never a traceback."""

from __future__ import annotations

import logging

from mirror.cli.exit_status import first_known
from mirror.cli.output import print_error_line
from mirror.cli.redaction import redact
from mirror.core.hints import advice
from mirror.core.text.sanitise import clean
from mirror.errors import ConfigError, MirrorError


def print_error(error: BaseException) -> None:
    """Print an error on standard error; an interruption by the user needs no words."""
    known = first_known(error)
    if isinstance(known, KeyboardInterrupt):
        return
    if isinstance(known, ConfigError):
        for line in config_lines(known):
            print_error_line(line)
        return
    if isinstance(known, MirrorError):
        print_error_line(sentence(known))
        return
    print_error_line(f"{sentence(known)}; run again with --log-level debug for a traceback")
    # Not structlog, which prints everything unless it has been configured.
    logging.getLogger(__name__).debug("command.crashed", exc_info=known)


def sentence(error: BaseException) -> str:
    """An error on one line, without secrets and control characters."""
    text = " ".join(str(error).split("\n"))
    if not isinstance(error, MirrorError):
        text = f"unexpected {type(error).__name__}: {text}"
    elif error.hint:
        text += f"; {advice(error.kind, error.hint)}"
    return clean(redact(text))


def config_lines(error: ConfigError) -> list[str]:
    """Every mistake in a configuration file, each as ``FILE:LINE: key: mistake and remedy``."""
    return [
        clean(redact(f"{error.file}{f':{found.line}' if found.line else ''}: {found}"))
        for found in error.problems
    ]
