"""How long a plan takes, estimated before it is made: a long one is made off the event loop."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from mirror.core.domain.capabilities import BODY_LIMIT

if TYPE_CHECKING:
    from mirror.core.domain.release import Snapshot

_LONGEST = 0.02
"""Seconds for which a plan may hold the event loop."""

_A_RELEASE = 1e-4
_AN_ASSET = 2e-5
_A_CHARACTER = 4e-7
"""Seconds on a slow machine; a character counts as one of the worst of texts."""


def is_heavy(source: Snapshot, target: Snapshot | None = None) -> bool:
    """Whether a plan for these takes longer than anything may on the event loop."""
    left = _LONGEST
    for release in chain(source.releases, target.releases if target else ()):
        # A text without mentions is only passed on.
        text = min(len(release.body), BODY_LIMIT) if "@" in release.body else 0
        left -= _A_RELEASE + _AN_ASSET * len(release.assets) + _A_CHARACTER * text
        if left < 0:
            return True
    return False
