"""The settings of a mirror that a life changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """As in the configuration file."""

    asset_include: tuple[str, ...] = ()
    asset_exclude: tuple[str, ...] = ()
    latest: int | None = None
    existing: Literal["complete", "adopt", "skip"] = "complete"
    on_change: Literal["follow", "keep"] = "follow"
    on_delete: Literal["keep", "delete"] = "keep"
    on_deselect: Literal["keep", "delete"] = "keep"
