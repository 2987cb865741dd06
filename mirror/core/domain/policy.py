"""What an operator wants of one mirror, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mirror.core.domain.selection import Selection

Incomplete = Literal["publish", "hold"]
Tags = Literal["create", "push", "require"]
Visibility = Literal["private", "internal", "public"]
Existing = Literal["complete", "adopt", "skip"]
OnChange = Literal["follow", "keep"]
Mentions = Literal["escape", "keep"]
OnDelete = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a mirror that decide what is done.

    Attributes:
        incomplete: Whether an asset that the target can never take holds its release back.
        tags: Where a tag comes from that the target lacks.
        allow_actions: Push tags also where GitHub Actions is enabled at the target.
        existing: What to do with a published release of others of the same tag.
        on_change: Whether an asset that was replaced at the source is replaced at the target.
        on_delete: What becomes of copies whose original vanished at the source.
        on_deselect: What becomes of copies that are no longer selected.
        max_deletes: A plan that would delete more deletes nothing and fails.
        footer: A template that is added to a release's text: ``{source_url}``, ``{published_at}``
            and ``{author}`` stand for the source's.
    """

    selection: Selection = field(default_factory=Selection)
    incomplete: Incomplete = "publish"
    tags: Tags = "create"
    allow_actions: bool = False
    create_repository: bool = True
    visibility: Visibility = "private"
    existing: Existing = "complete"
    on_change: OnChange = "follow"
    on_delete: OnDelete = "keep"
    on_deselect: OnDelete = "keep"
    max_deletes: int = 10
    mentions: Mentions = "escape"
    footer: str = ""
