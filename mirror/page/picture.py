"""The last passes, and the last sessions of a mirror, as bars: where each stands and how high."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACES = 60
"""Passes that there is room for."""

SESSIONS = 30
"""Sessions of one mirror that there is room for."""

_RESULTS = {"u": ("unchanged", 4), "c": ("changed", 7), "f": ("failed", 10)}
"""Letters of a history, their names, and heights in tenths: without colour they differ too."""

_FEWEST = 20
_HEIGHT = 100.0
_LOWEST = 2.0
_GAP = 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    """One pass; ``x`` in places, heights in hundredths of the highest."""

    x: float
    width: float
    seconds: float
    bytes: float
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """All bars, the newest at the right edge, and what the highest of them stand for."""

    bars: tuple[Bar, ...]
    places: int
    longest: float
    most: int
    failed: int


def picture(passes: Sequence[Mapping[str, Any]]) -> Picture:
    """Measure the bars.

    Args:
        passes: As they stand in the page's data, the newest at the end.
    """
    shown = passes[-PLACES:]
    places = max(_FEWEST, len(shown))
    longest = max((record["seconds"] for record in shown), default=0.0)
    most = max((record["bytes"] for record in shown), default=0)
    bars = tuple(
        Bar(
            x=places - len(shown) + index + _GAP / 2,
            width=1 - _GAP,
            seconds=_height(record["seconds"], longest),
            bytes=_height(record["bytes"], most) if record["bytes"] else 0.0,
            record=record,
        )
        for index, record in enumerate(shown)
    )
    failed = sum(record["failed"] > 0 for record in shown)
    return Picture(bars, places, longest, most, failed)


def strip(history: str) -> dict[str, tuple[int, str]]:
    """The last sessions of one mirror: for each result how often it was, and its bars as a path.

    Args:
        history: A letter for each session, the newest at the end; unknown ones leave a gap.
    """
    shown = history[-SESSIONS:]
    first = SESSIONS - len(shown)
    drawn = {}
    for letter, (name, height) in _RESULTS.items():
        places = [first + at for at, found in enumerate(shown) if found == letter]
        if places:
            bars = "".join(f"M{x} {10 - height}h.7v{height}h-.7z" for x in places)
            drawn[name] = len(places), bars
    return drawn


def _height(value: float, most: float) -> float:
    """A bar that can be seen, however small."""
    return round(max(_LOWEST, _HEIGHT * value / most), 1) if most > 0 else _LOWEST
