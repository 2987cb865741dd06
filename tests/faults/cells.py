"""The matrix: every route that is used, every way to go wrong, once, three times and for ever."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faults.healthy import everything
from faults.kinds import KINDS
from support.seed import SEED, sample

if TYPE_CHECKING:
    from faults.healthy import Used
    from faults.kinds import Kind
    from faults.stories import Story

SAMPLE = 150
"""Cells of a sampled matrix."""

BYTES = 30
"""Those of the routes that assets' bytes take, once more."""

ALL_STORIES = os.environ.get("RELEASE_MIRROR_TESTS_ALL") == "stories"
"""Break each route in each story that uses it, and not in one that the seed chooses."""


GIT_KINDS = frozenset(
    {
        "500",
        "503",
        "429",
        "403 secondary limit",
        "401",
        "404",
        "reset before the answer",
        "reset in the answer",
        "stall before the answer",
        "truncated",
        "truncated, no length",
        "HTML with 200",
        "redirect to another origin",
        "lost reply",
    }
)
"""What is tried on git's routes, where a cell takes seconds: the program is started a dozen times."""


@dataclass(frozen=True)
class Cell:
    """One route of one story, broken in one way, so often."""

    story: Story
    used: Used
    kind: Kind
    hits: str

    def __str__(self) -> str:
        used = self.used
        return f"{used.role} {used.route}, {self.kind.name}, {self.hits}, {self.story.name}"


def matrix() -> list[Cell]:
    """All cells."""
    stories: dict[tuple[str, str], list[tuple[Story, Used]]] = {}
    for story, used in everything():
        stories.setdefault((used.role, used.route), []).append((story, used))
    made = []
    for place, known in sorted(stories.items()):
        for kind in KINDS:
            able = [(story, used) for story, used in known if kind.where(used)]
            able = [item for item in able if not item[0].git] or able
            git = bool(able) and able[0][1].origin == "web"
            if git and kind.name not in GIT_KINDS:
                continue
            for hits in ("once", "ever") if git else kind.hits if able else ():
                chosen = able if ALL_STORIES else [_drawn(able, f"{place} {kind.name} {hits}")]
                made += [Cell(story, used, kind, hits) for story, used in chosen]
    return made


def _drawn(known: list[tuple[Story, Used]], name: str) -> tuple[Story, Used]:
    lot = hashlib.sha256(f"{SEED} story {name}".encode()).digest()
    return known[int.from_bytes(lot[:4], "big") % len(known)]


def cells() -> list[Cell]:
    """Those that are to run."""
    return sample(matrix(), SAMPLE)


def cells_of_bytes() -> list[Cell]:
    """Those that are to run with large assets: on the ways that their bytes take."""
    ways = {"download-asset", "storage-download", "upload-asset"}
    return sample([cell for cell in matrix() if cell.used.route in ways], BYTES)
