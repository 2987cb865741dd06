"""Assets whose bytes could not be read, and the failures that they are reported as."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mirror.core.circuit_breaker import SUSPECT
from mirror.core.failure import Failure
from mirror.core.text.wording import count
from mirror.errors import NotTried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mirror.core.planning.verification import Pair
    from mirror.errors import MirrorError


@dataclass(frozen=True, slots=True)
class Unread:
    """An asset that could not be compared.

    Attributes:
        error: Why.
        host: The host that failed, rather than this asset; empty for none.
    """

    pair: Pair
    error: MirrorError
    host: str = ""

    @property
    def failure(self) -> Failure:
        """It alone."""
        pair = self.pair
        return Failure.of(
            self.error,
            "verify-asset",
            release_id=pair.release.id,
            asset_id=pair.asset.id,
            release=pair.release.tag,
            asset=pair.asset.name,
        )


def failures_of(unread: Iterable[Unread]) -> tuple[Failure, ...]:
    """One failure for each asset; a host that failed one after the other is one failure."""
    alone: list[Failure] = []
    by_host: dict[str, list[Unread]] = defaultdict(list)
    for item in unread:
        if item.host:
            by_host[item.host].append(item)
        else:
            alone.append(item.failure)
    for host, items in by_host.items():
        tried = [item for item in items if not isinstance(item.error, NotTried)]
        if len(tried) == len(items) < SUSPECT:
            alone += [item.failure for item in items]
            continue
        first = (tried or items)[0].error
        failure = Failure.of(first, "verify-asset")
        what = f"{count(len(items), 'asset')} could not be read from {host}: {failure.detail}"
        hint = failure.hint or "storage-host"
        alone.append(replace(failure, detail=what, hint=hint))
    return tuple(alone)
