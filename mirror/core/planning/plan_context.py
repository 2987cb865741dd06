"""What a plan depends on besides the two snapshots, the ledger and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mirror.core.domain.capabilities import Capabilities
    from mirror.core.failure import Failure


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a plan depends on besides the two snapshots.

    Attributes:
        source_url: The source host's web address.
        source_address: The source repository's web address.
        history: The source has git history, for ``tags = "push"``.
        retry: Try again what is quarantined, unless it can be seen to be as it was.
        full: Try that again, too.
        refused: Releases for which the target refused a request: they are tried after the others, in
            this order.
        waiting: What failed, by the source's release and asset, and is not to be tried again yet.
    """

    source_url: str
    source_address: str
    now: datetime
    capabilities: Capabilities
    history: bool = True
    retry: bool = False
    full: bool = False
    refused: Sequence[int] = ()
    waiting: Mapping[tuple[int, int], Failure] = field(default_factory=dict)
