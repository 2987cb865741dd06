"""Whether bytes get through at all: the breaker of what no JSON request goes.

An asset's bytes come from a storage host and go to an upload host, which may refuse everything
while the APIs beside them are well. Each asset would be tried to its end for that; so, after some
different assets in a row, others are tried only once, and then hardly any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from mirror.errors import NotTried

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mirror.core.clock import Clock
    from mirror.errors import MirrorError

TROUBLE = 3
"""Different assets that failed to the end, and none arrived between: others get one try."""

GIVEN_UP = 8
"""Different assets that failed in a row, after which hardly any other is tried."""

LOOK_AGAIN = 300.0
"""Seconds after which a way that was given up is tried once more."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Way:
    """What is known of one way.

    Attributes:
        failed: The assets that failed since one arrived.
        tried_at: When the last of them did (monotonic).
        passed_over: Assets that were not tried since.
        error: What the one failed with that was one too many.
    """

    failed: set[Hashable] = field(default_factory=set)
    tried_at: float = 0.0
    passed_over: int = 0
    error: str = ""


class Ways:
    """The ways that bytes take, shared by all mirrors of a pass.

    Args:
        clock: After a while what was given up is looked at again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ways: dict[str, _Way] = {}

    def check(self, name: str) -> None:
        """Refuse an asset for whose bytes a way was given up.

        Of those that are passed over the first, the second, the fourth, the eighth are tried all
        the same: what is wrong may concern the first assets alone, and nobody waits for ever behind
        them.

        Raises:
            NotTried: It was.
        """
        way = self._ways.get(name)
        if way is None or len(way.failed) < GIVEN_UP:
            return
        if self._clock.monotonic() - way.tried_at >= LOOK_AGAIN:
            way.tried_at, way.passed_over = self._clock.monotonic(), 0
            return
        way.passed_over += 1
        if way.passed_over & (way.passed_over - 1):
            raise NotTried(
                f"{name} was given up for now, since one asset after the other failed ({way.error})"
            )

    def hopeful(self, name: str) -> bool:
        """Whether it is worth trying an asset again that failed on this way."""
        way = self._ways.get(name)
        return way is None or len(way.failed) < TROUBLE

    def failed(self, name: str, asset: Hashable, error: MirrorError) -> None:
        """An asset failed to the end, and not by itself."""
        way = self._ways.setdefault(name, _Way())
        before = len(way.failed)
        way.failed.add(asset)
        way.tried_at = self._clock.monotonic()
        if before < GIVEN_UP <= len(way.failed):
            way.error = str(error)
            log.error("bytes.given_up", way=name, assets=len(way.failed), error=way.error)

    def arrived(self, name: str) -> None:
        """An asset arrived: whatever was wrong is over."""
        way = self._ways.pop(name, None)
        if way and len(way.failed) >= GIVEN_UP:
            log.info("bytes.resumed", way=name)
