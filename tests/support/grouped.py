"""Settings of a client by keyword, put into the values that it takes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mirror.github.settings import Limits, Network, Timeouts


def grouped(settings: dict[str, Any]) -> dict[str, Any]:
    """``proxy=""`` becomes ``network=Network(proxy="")``, ``stall_timeout=1`` a part of ``timeouts``."""
    rest, found = dict(settings), {}
    for name, kind, suffix in (
        ("network", Network, ""),
        ("timeouts", Timeouts, "_timeout"),
        ("limits", Limits, ""),
    ):
        keys = {f"{field.name}{suffix}": field.name for field in fields(kind)}
        found[name] = kind(**{keys[key]: rest.pop(key) for key in list(rest) if key in keys})
    return {**found, **rest}
