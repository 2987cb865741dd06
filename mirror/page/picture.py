"""The last passes as bars: where each of them stands and how high."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACES = 60
"""Passes that there is room for."""

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


def _height(value: float, most: float) -> float:
    """A bar that can be seen, however small."""
    return round(max(_LOWEST, _HEIGHT * value / most), 1) if most > 0 else _LOWEST
