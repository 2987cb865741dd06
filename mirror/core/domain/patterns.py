"""Patterns of the command line against the configured sources, before a host is contacted."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mirror.core.domain.selection import could_match
from mirror.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.domain.mirror import Rule


def check_patterns(rules: Sequence[Rule], patterns: Sequence[str]) -> None:
    """Reject a pattern of the command line that no configured source could match.

    Raises:
        UsageError: Nothing was contacted.
    """
    for pattern in patterns:
        if not any(could_match(pattern, rule.source_name, rule.source) for rule in rules):
            configured = sorted({rule.source for rule in rules})
            meant = _suggestion(rules, pattern)
            told = f'; did you mean "{meant}"?' if meant else ""
            shown = ", ".join(configured[:5]) or "none"
            raise UsageError(
                f'no configured source can match "{pattern}" (configured: {shown}){told}'
            )


def _suggestion(rules: Sequence[Rule], pattern: str) -> str:
    """The pattern that was probably meant by one that can match nothing; empty if none is close.

    An owner alone stands for all of its repositories, a repository's name alone for that
    repository.
    """
    meant = {rule.source.casefold(): rule.source for rule in rules}
    meant |= {rule.owner.casefold(): f"{rule.owner}/*" for rule in rules}
    for rule in rules:
        if not rule.wildcard:
            meant.setdefault(rule.source.casefold().partition("/")[2], rule.source)
    close = get_close_matches(pattern.casefold().rpartition(":")[2], list(meant), n=1)
    return meant[close[0]] if close else ""
