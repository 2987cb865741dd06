"""The seed of randomly sampled suites, and whether to run them completely instead.

``RELEASE_MIRROR_SEED`` is a number. The default is the same everywhere, so that every change is
tested with the same sample. ``RELEASE_MIRROR_TESTS_ALL`` runs everything (`make test-all`).
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
    """A sample of this size, in the original order, chosen by seed and names; or all."""
    everything = list(items)
    if EVERYTHING:
        return everything

    def lot(item: T) -> bytes:
        return hashlib.sha256(f"{SEED} {name(item)}".encode()).digest()

    drawn = {id(item) for item in sorted(everything, key=lot)[:count]}
    return [item for item in everything if id(item) in drawn]
