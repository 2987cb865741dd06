"""What the suites that draw lots draw from: a seed, and whether to run everything instead.

``RELEASE_MIRROR_SEED`` is a number; the default is the same everywhere, so that a change is judged
by the same draw. ``RELEASE_MIRROR_TESTS_ALL`` runs all there is (`make test-all`).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

SEED = int(os.environ.get("RELEASE_MIRROR_SEED") or 20260101)
EVERYTHING = bool(os.environ.get("RELEASE_MIRROR_TESTS_ALL"))


def sample(items: Iterable[T], count: int, name: Callable[[T], str] = str) -> list[T]:
    """So many of them, in their order, chosen by the seed and their names; all, if all are to run."""
    everything = list(items)
    if EVERYTHING:
        return everything

    def lot(item: T) -> bytes:
        return hashlib.sha256(f"{SEED} {name(item)}".encode()).digest()

    drawn = {id(item) for item in sorted(everything, key=lot)[:count]}
    return [item for item in everything if id(item) in drawn]
