"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MOST = (10**9, 24, 60, 60)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Bytes in decimal units: ``73.4 MB``."""
    value, unit = float(count), 0
    while round(abs(value), 1) >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{int(value)} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 release``, ``2,400 releases``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``, ``3 d 2 h``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    counts = [
        (whole // length % most, unit) for (length, unit), most in zip(units, _MOST, strict=True)
    ]
    while not counts[0][0]:
        counts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in counts[:2] if number)


def paced(limit: str, host: str, seconds: float) -> str:
    """Why requests wait: ``paced: 900 points a minute on github.com, ready again in 12 s``."""
    whole = max(1, math.ceil(seconds))
    wait = duration(whole) if whole >= 10 else f"{whole} s"
    return f"paced: {limit} on {host}, ready again in {wait}"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago something was: ``5 min ago``."""
    if moment is None:
        return "never"
    passed = now - moment
    if passed < timedelta(seconds=10):
        return "just now"
    largest = " ".join(duration(passed.total_seconds()).split()[:2])
    return f"{largest} ago"


def in_words(seconds: float) -> str:
    """A length of time for a sentence, in its largest unit: ``3 minutes``, ``1 hour``."""
    whole = max(0, int(seconds))
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if whole >= length:
            return count(whole // length, unit)
    return count(whole, "second")
