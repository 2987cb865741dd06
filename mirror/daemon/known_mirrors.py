"""The mirrors and patterns of the configuration in force, by what they are looked up by."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mirror.core.domain.selection import could_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mirror.core.domain.mirror import Mirror, Rule


class KnownMirrors:
    """What the scheduler knows now.

    Attributes:
        mirrors: By key.
        patterns: The patterns that are enabled, by the key of their listing.
    """

    def __init__(self) -> None:
        self.mirrors: Mapping[str, Mirror] = {}
        self.patterns: Mapping[str, Sequence[Rule]] = {}
        self._named: Mapping[tuple[str, str], Sequence[str]] = {}

    def update(self, mirrors: Iterable[Mirror], patterns: Mapping[str, Sequence[Rule]]) -> None:
        """Know these and no others."""
        self.patterns = patterns
        self.mirrors = {mirror.key: mirror for mirror in mirrors}
        named: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, mirror in self.mirrors.items():
            named[mirror.source_name, mirror.source.key].append(key)
        self._named = named

    def of_repository(self, source: str, repo: str) -> Sequence[str]:
        """The keys of the mirrors of a repository (``OWNER/REPO``)."""
        return self._named.get((source, repo.casefold()), ())

    def listings(self, patterns: Sequence[str], source: str | None = None) -> list[str]:
        """The keys of the listings that could find what patterns select.

        Args:
            patterns: As of the command line; none selects all.
            source: The name of the only source to look at.
        """
        return [
            key
            for key, rules in self.patterns.items()
            if source in {None, self.source_of(key)}
            and (
                not patterns
                or any(
                    could_match(one, self.source_of(key), r.source)
                    for one in patterns
                    for r in rules
                )
            )
        ]

    def source_of(self, listing: str) -> str:
        """The name of the source at which a listing is made."""
        return self.patterns[listing][0].source_name
