"""Expands the configured rules into mirrors: which rule wins, and which mirrors are impossible."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mirror.core.domain.mirror import Mirror, Rule
from mirror.core.domain.release import RepoRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository in the listing of its owner."""

    ref: RepoRef
    id: int
    fork: bool = False
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Impossible:
    """A mirror whose target is another mirror's too, or is not a valid name."""

    name: str
    target: str
    error: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """The mirrors, and the impossible ones."""

    mirrors: tuple[Mirror, ...] = ()
    impossible: tuple[Impossible, ...] = ()


def expand(rules: Sequence[Rule], listings: Mapping[str, Iterable[Listed]]) -> Expansion:
    """Apply the rules to the repositories of the sources.

    An explicit mirror wins over a pattern, an earlier pattern over a later one. A disabled rule
    also keeps its repositories from later ones.

    Args:
        rules: In the order of the configuration.
        listings: By :attr:`Rule.listing`; a pattern without a listing yields nothing.
    """
    explicit: list[tuple[Rule, RepoRef]] = []
    wildcards = []
    for rule in rules:
        if rule.wildcard:
            wildcards.append(rule)
        else:
            explicit.append((rule, RepoRef.parse(rule.source)))
    taken = {_name(rule, source) for rule, source in explicit} if wildcards else set()
    pairs = explicit
    for rule in wildcards:
        for listed in listings.get(rule.listing, ()):
            name = _name(rule, listed.ref)
            if name not in taken and _matches(rule, listed):
                taken.add(name)
                pairs.append((rule, listed.ref))
    return _without_clashes(pairs)


def _name(rule: Rule, source: RepoRef) -> str:
    return f"{rule.source_name.casefold()}:{source.key}"


def _matches(rule: Rule, listed: Listed) -> bool:
    name = listed.ref.key
    if not fnmatchcase(name, rule.source.casefold()):
        return False
    if (listed.fork and not rule.forks) or (listed.archived and not rule.archived):
        return False
    return not any(fnmatchcase(name, glob.casefold()) for glob in rule.exclude)


def _without_clashes(pairs: Iterable[tuple[Rule, RepoRef]]) -> Expansion:
    """The mirrors of enabled rules, but for those whose target is no name or has several sources."""
    mirrors: dict[str, Mirror] = {}  # by the target's key
    impossible: list[Impossible] = []
    clashes: dict[str, list[tuple[str, str]]] = {}
    for rule, source in pairs:
        if not rule.enabled:
            continue
        text = rule.target_of(source)
        try:
            mirror = Mirror(rule, source, RepoRef.parse(text))
        except ValueError as error:
            name = f"{rule.source_name}:{source}"
            impossible.append(Impossible(name, text, f"its target is {error}"))
            continue
        other = mirrors.setdefault(mirror.key, mirror)
        if other is not mirror:
            found = clashes.setdefault(mirror.key, [(other.name, str(other.target))])
            found.append((mirror.name, text))
    for key, found in clashes.items():
        del mirrors[key]
        for name, text in found:
            others = ", ".join(other for other, _ in found if other != name)
            clash = f"the target {text} is also that of {others or 'another entry'}"
            impossible.append(Impossible(name, text, clash))
    return Expansion(tuple(mirrors.values()), tuple(impossible))
