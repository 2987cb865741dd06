"""Logging to standard error: one event per line, readable on a terminal or as JSON.

The level is ``--log-level``, else ``[log] level`` in the file, else the command's default:
``warning`` beside a progress display or a table, ``error`` with ``--quiet``, otherwise ``info``.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import structlog

from mirror.cli.redaction import redact, redact_value
from mirror.core.text.sanitise import clean, lines
from mirror.errors import truncate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, MutableMapping

    from structlog.typing import Processor

    Event = MutableMapping[str, Any]

Level = Literal["debug", "info", "warning", "error", "critical"]
"""``critical`` is for commands that print every error themselves; users cannot select it."""

Format = Literal["auto", "console", "json"]

_LONGEST_VALUE = 2000
"""Maximum characters per value."""

_METHODS = frozenset({"debug", "info", "warning", "error"})


def configure(
    level: Level,
    format_: Format = "auto",
    environ: Mapping[str, str] = os.environ,
    *,
    told: Collection[str] = (),
) -> None:
    """Configure structlog, and route the logging of libraries through it.

    Args:
        level: The least severe events to log. Tracebacks appear at ``debug`` only.
        format_: ``auto`` is ``json`` under systemd's journal, otherwise ``console``, with colours
            on a terminal.
        told: Events to leave out.
        environ: The environment: systemd sets ``JOURNAL_STREAM``, users set ``NO_COLOR``.
    """
    number = getattr(logging, level.upper())
    as_json = format_ == "json" or (format_ == "auto" and "JOURNAL_STREAM" in environ)
    processors: list[Processor] = [
        _without(frozenset(told)),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.format_exc_info if level == "debug" else _without_traceback,
        _redact,
        _cut,
    ]
    if as_json:
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=True))
    else:
        colours = sys.stderr.isatty() and not environ.get("NO_COLOR")
        processors += [_clean, _renderer(colours=colours)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Lines,
        cache_logger_on_first_use=False,
    )
    library = logging.getLogger()
    library.handlers = [_ToStructlog()]
    library.setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def _without(events: frozenset[str]) -> Processor:
    def drop(_logger: object, _name: str, event: Event) -> Event:
        if event["event"] in events:
            raise structlog.DropEvent
        return event

    return drop


def _renderer(*, colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=colours,
        pad_event_to=0,
        pad_level=False,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )


class _Lines:
    """Writes to the current ``sys.stderr``, which a progress display may have replaced."""

    def __init__(self, *args: object) -> None:
        del args

    def msg(self, message: str) -> None:
        try:
            sys.stderr.write(message + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log; carry on

    debug = info = warning = error = critical = exception = msg


class _ToStructlog(logging.Handler):
    """Passes the log records of libraries to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        method = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        if method not in _METHODS:
            method = "info"
        facts = {"logger": record.name}
        getattr(log, method)(record.getMessage(), exc_info=record.exc_info, **facts)


def _without_traceback(_logger: object, _name: str, event: Event) -> Event:
    """Replace an exception by one line; its traceback is logged at ``debug`` only."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event.setdefault("error", f"{type(error).__name__}: {error}")
    event.pop("stack_info", None)
    return event


def _redact(_logger: object, _name: str, event: Event) -> Event:
    for key, value in event.items():
        event[key] = redact(value) if key == "event" else redact_value(key, value)
    return event


def _cut(_logger: object, _name: str, event: Event) -> Event:
    """Shorten values, which servers may make any length, except tracebacks."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = truncate(value, _LONGEST_VALUE)
    return event


def _clean(_logger: object, _name: str, event: Event) -> Event:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = lines(value) if key == "exception" else clean(value)
        elif isinstance(value, list | tuple):
            event[key] = clean("; ".join(map(str, value)))  # as people write it
        elif not isinstance(value, bool | int | float | None):
            event[key] = clean(value)
    return event
