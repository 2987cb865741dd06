"""The `wrong-types` fault: JSON whose every value has another type than it should."""

from __future__ import annotations

from typing import Any


def wrong_types(value: Any) -> Any:
    """A JSON document whose every value has another type than it should."""
    if isinstance(value, dict):
        return {key: _swapped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [wrong_types(inner) for inner in value] or {}
    return _swapped(value)


def _swapped(value: Any) -> Any:
    if isinstance(value, str):
        return 7
    if isinstance(value, dict):
        return []
    if isinstance(value, list):
        return {}
    return "text"
