"""Look at every host before anything depends on it; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.expansion import Rule
    from mirror.core.timetable import Clock
    from mirror.sync.session import Side

State = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at.

    Attributes:
        host: The host's configured name (``target``, ``github``).
        what: What was looked at (``token``, ``storage``).
        status: ``unknown`` where it cannot be told.
        detail: What was found, and where it failed, what to do.
    """

    host: str
    what: str
    status: State
    detail: str


class Checker:
    """Asks every host what a pass will depend on."""

    def __init__(
        self,
        rules: Sequence[Rule],
        sources: Mapping[str, Side],
        target: Side,
        clock: Clock,
        *,
        interval: float = 900.0,
    ) -> None:
        self._rules = rules
        self._sources = sources
        self._target = target
        self._clock = clock
        self._interval = interval

    async def run(self) -> list[CheckResult]:
        """Look at all of them; one failure does not stop the rest."""
        return []
