"""What an operator wants of one mirror, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mirror.core.selection import Selection

Incomplete = Literal["publish", "hold"]
Tags = Literal["create", "require"]
Visibility = Literal["private", "internal", "public"]
Existing = Literal["complete", "adopt", "skip"]
OnChange = Literal["follow", "keep"]
Mentions = Literal["escape", "keep"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a mirror that decide what is done.

    Attributes:
        incomplete: Whether an asset that the target can never take holds its release back.
        tags: Where a tag comes from that the target lacks.
        existing: What to do with a published release of others of the same tag.
        on_change: Whether an asset that was replaced at the source is replaced at the target.
    """

    selection: Selection = field(default_factory=Selection)
    incomplete: Incomplete = "publish"
    tags: Tags = "create"
    create_repository: bool = True
    visibility: Visibility = "private"
    existing: Existing = "complete"
    on_change: OnChange = "follow"
    mentions: Mentions = "escape"
