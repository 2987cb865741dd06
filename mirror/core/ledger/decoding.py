"""Documents as JSON: their version, and the types of what they hold, checked while they are read."""

from __future__ import annotations

from functools import cache
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mirror.errors import LedgerCorrupt, LedgerTooNew

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION = 2
"""Of the documents that this program writes; it reads this one and earlier ones."""

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading a document that is none may raise."""

LARGEST = 2**63 - 1
_LAST_MOMENT = 200e9  # in the year 8307

PERHAPS_TEXT = frozenset({str, type(None)})


def check_version(document: Any) -> None:
    """Refuse what is no document, and what a later version of this program wrote."""
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise LedgerCorrupt("not a document of a ledger: it has no version")
    if version > VERSION:
        raise LedgerTooNew(
            f"written by a later release-mirror (document version {version}, this one knows"
            f" {VERSION}): upgrade release-mirror, or give it another [ledger] directory"
        )


def fields_of(value: Any, *names: str) -> dict[str, Any]:
    """The fields of an entry as JSON, but for those named."""
    kept, values = _getter(value.__slots__, names)
    return dict(zip(kept, values(value), strict=True))


@cache
def _getter(
    slots: tuple[str, ...], left_out: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    # An index of thousands of entries is written after each pass.
    kept = tuple(name for name in slots if name not in left_out)
    return kept, attrgetter(*kept)


def text_of(value: object) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def perhaps_text(value: object) -> None:
    """Refuse what is neither a text nor null."""
    if value is not None:
        text_of(value)


def integer(value: object) -> int:
    """A whole number, as large as ids and sizes can be; JSON's ``true`` is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a whole number expected, not {type(value).__name__}")
    if not -LARGEST <= value <= LARGEST:
        raise ValueError("a number as large as this is none of ours")
    return value


def number_of(value: object) -> float:
    """A finite number."""
    number = value if isinstance(value, float) else float(integer(value))
    if not isfinite(number):
        raise ValueError(f"a number expected, not {number}")
    return number


def moment_of(value: object) -> float:
    """Seconds since the epoch: a moment that a calendar has."""
    if type(value) is float and 0 <= value <= _LAST_MOMENT:
        return value  # nearly always
    seconds = number_of(value)
    if not 0 <= seconds <= _LAST_MOMENT:
        raise ValueError(f"a moment expected, not {seconds} s since the epoch")
    return seconds


def seconds_of(value: object) -> float:
    """How long something took."""
    seconds = number_of(value)
    if abs(seconds) > _LAST_MOMENT:
        raise ValueError(f"a length of time expected, not {seconds} s")
    return seconds


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"true or false expected, not {type(value).__name__}")
    return value


def list_of(value: object) -> Sequence[Any]:
    """A list."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"a list expected, not {type(value).__name__}")
    return value
