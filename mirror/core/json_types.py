"""Types for declaring JSON that others wrote, and the message for JSON that does not match."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, ValidationError

from mirror.core.domain.release import ADDRESS
from mirror.core.text.sanitise import clean
from mirror.errors import truncate

LARGEST = 2**63 - 1
"""Hosts store ids and sizes in 64 bits."""

WholeNumber = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
"""A host's id, a size in bytes, a number of things."""

RepositoryName = Annotated[str, Meta(pattern=rf"\A{ADDRESS}\Z")]
"""``OWNER/REPO``."""

_LAST_MOMENT = 200e9  # in the year 8307

Moment = Annotated[float, Meta(ge=0, le=_LAST_MOMENT)]
"""Seconds since the epoch."""

Seconds = Annotated[float, Meta(ge=-_LAST_MOMENT, le=_LAST_MOMENT)]
"""A length of time; negative where a clock was set back."""

_PLACE = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*)`\Z")
_MISSING = re.compile(r"Object missing required field `([^`]*)`\Z")
_LONGEST = 300


def mismatch(error: ValidationError, within: str = "") -> str:
    """Describe where JSON differs from its declaration: ``[3].assets[0].size: expected `int```.

    Args:
        error: As msgspec raised it.
        within: The path of what was decoded, where that is a part of a document.
    """
    text = str(error)
    place = _PLACE.search(text)
    path = within
    if place:
        text = text[: place.start()]
        path += f"{'.' if within and not place[1].startswith('[') else ''}{place[1]}"
    if missing := _MISSING.match(text):
        path += f"{'.' if path else ''}{missing[1]}"
        text = "missing"
    elif " matching regex " in text:
        text = "not in the expected format"
    text = text[:1].lower() + text[1:]
    return truncate(clean(f"{path}: {text}" if path else text), _LONGEST)
