"""Parsers for values in the configuration file: durations, sizes, dates, paths, patterns, schedules.

Each takes any TOML value and raises ``ValueError`` with a message that follows the key:
``must be a duration such as "90s", "15m", "24h" or "7d", not an integer``.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.config.messages import expected, quote, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_DURATION = timedelta(days=3650)
LARGEST_SIZE = 10**18

DURATION_PATTERN = "^([0-9]+(ms|s|m|h|d))+$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|[kK]B|[MGT]B|[KMGT]iB)$"
BANDWIDTH_PATTERN = r"^(0|[0-9]+(\.[0-9]+)? ?(B|[kK]B|[MGT]B|[KMGT]iB)/s)$"

_DURATION = re.compile(
    "(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?"
)
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?(B|[kK]B|[MGT]B|[KMGT]iB)")
_UNITS = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}

_DURATION_WORDS = 'a duration such as "90s", "15m", "24h" or "7d"'
_SIZE_WORDS = 'a size such as "500kB", "10MB" or "1GiB"'
_BANDWIDTH_WORDS = 'a bandwidth such as "50MB/s", or "0" for no limit'


def parse_duration(value: object) -> timedelta:
    """Parse ``"90s"``, ``"15m"``, ``"1h30m"``, ``"250ms"``: zero to ten years."""
    text = text_of(value, _DURATION_WORDS)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise expected(_DURATION_WORDS, text)
    days, hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    try:
        found = timedelta(days, seconds, 0, milliseconds, minutes, hours)
    except OverflowError:
        found = timedelta.max
    if found > LONGEST_DURATION:
        raise ValueError('must not be longer than ten years ("3650d")')
    return found


def parse_positive_duration(value: object) -> timedelta:
    """Parse a duration longer than zero."""
    found = parse_duration(value)
    if not found:
        raise ValueError(f"must be longer than zero: {_DURATION_WORDS}")
    return found


def format_duration(value: timedelta) -> str:
    """Format a duration in the largest exact unit of which it has at least two.

    Precise to the millisecond; ``parse_duration`` parses the result.
    """
    milliseconds = value // timedelta(milliseconds=1)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if milliseconds % size == 0 and milliseconds >= 2 * size:
            return f"{milliseconds // size}{unit}"
    if milliseconds % 1000 == 0:
        return f"{milliseconds // 1000}s"
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}s{rest}ms" if seconds else f"{rest}ms"


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit = match.groups()
    found = int(Decimal(number) * _UNITS[unit])
    if found > LARGEST_SIZE:
        raise ValueError('must not be larger than "1000000TB"')
    return found


def parse_size(value: object) -> int:
    """Parse a size in bytes: decimal ``"10MB"``, binary ``"1GiB"``; at least one byte."""
    text = text_of(value, _SIZE_WORDS)
    found = _bytes(text)
    if found is None:
        raise expected(_SIZE_WORDS, text)
    if not found:
        raise ValueError(f"must be larger than zero: {_SIZE_WORDS}")
    return found


def parse_bandwidth(value: object) -> int:
    """Parse a bandwidth in bytes per second: ``"50MB/s"``; ``"0"`` is no limit."""
    text = text_of(value, _BANDWIDTH_WORDS)
    found = 0 if text == "0" else _bytes(text.removesuffix("/s")) if text.endswith("/s") else None
    if found is None:
        raise expected(_BANDWIDTH_WORDS, text)
    return found


def parse_date(value: object) -> date:
    """Parse a TOML date or a quoted one."""
    words = "a date such as 2024-01-31"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = text_of(value, words)
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise expected(words, text) from None


def parse_path(value: object, context: Mapping[str, object] | None = None) -> Path:
    """Parse a path: ``~`` is the home directory; a relative path is relative to ``context["base"]``."""
    text = text_of(value, "a path")
    if not text or "\0" in text:
        raise ValueError("must be a path, not an empty string")
    base = (context or {}).get("base")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that cannot be found") from None
    return base / path if isinstance(base, Path) else path


def parse_glob(value: object) -> str:
    """Parse a shell-style pattern."""
    text = text_of(value, 'a pattern such as "v*"')
    if not text:
        raise ValueError("must be a pattern, not an empty string")
    return text


FOOTER_NAMES = ("{source_url}", "{published_at}", "{author}")


def parse_footer(value: object) -> str:
    """Parse the template of a footer."""
    text = text_of(value, "a template with any of " + ", ".join(FOOTER_NAMES))
    unknown = sorted(set(re.findall(r"\{\w*\}", text)) - set(FOOTER_NAMES))
    if unknown:
        known = ", ".join(FOOTER_NAMES)
        raise ValueError(f"unknown placeholder {quote(unknown[0])}; known: {known}")
    return text


def parse_versions(value: object) -> str:
    """Parse a version specifier; empty selects all versions."""
    from packaging.specifiers import (  # noqa: PLC0415 - start-up time; few files use it
        InvalidSpecifier,
        SpecifierSet,
    )

    words = 'a version specifier such as ">=1.2,<3"'
    text = text_of(value, words)
    try:
        SpecifierSet(text)
    except (InvalidSpecifier, ValueError):
        raise expected(words, text) from None
    return text


def parse_cron(value: object) -> str:
    """Parse a cron expression of five fields that matches at some time."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - start-up time; few files use it

    words = 'a cron expression with five fields such as "*/15 * * * *"'
    text = text_of(value, words)
    if len(text.split()) != 5:
        raise expected(words, text)
    try:
        moments = CronSim(text, datetime(2024, 1, 1))  # noqa: DTZ001 - only whether there is one
        next(moments)
    except StopIteration:
        raise ValueError(f"never matches any time: {quote(text)}") from None
    except CronSimError as error:
        place = str(error).removeprefix("Bad ")
        raise ValueError(f"must be {words}; the {place} of {quote(text)} is invalid") from None
    except (ValueError, AssertionError, IndexError, OverflowError):
        raise expected(words, text) from None
    return text
