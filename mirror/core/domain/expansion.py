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
    chosen: dict[str, list[tuple[Rule, RepoRef]]] = {}
    wildcards = []
    for rule in rules:
        if rule.wildcard:
            wildcards.append(rule)
        else:
            source = RepoRef.parse(rule.source)
            chosen.setdefault(_name(rule, source), []).append((rule, source))
    explicit = set(chosen)
    for rule in wildcards:
        for listed in listings.get(rule.listing, ()):
            name = _name(rule, listed.ref)
            if name not in explicit and name not in chosen and _matches(rule, listed):
                chosen[name] = [(rule, listed.ref)]
    pairs = [pair for found in chosen.values() for pair in found if pair[0].enabled]
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
    by_target: dict[str, list[tuple[Rule, RepoRef, str]]] = {}
    for rule, source in pairs:
        text = rule.target_of(source)
        by_target.setdefault(text.casefold(), []).append((rule, source, text))
    mirrors: list[Mirror] = []
    impossible: list[Impossible] = []
    for found in by_target.values():
        if len(found) == 1:
            ((rule, source, text),) = found
            try:
                mirrors.append(Mirror(rule, source, RepoRef.parse(text)))
            except ValueError as error:
                name = f"{rule.source_name}:{source}"
                impossible.append(Impossible(name, text, f"its target is {error}"))
            continue
        names = [f"{rule.source_name}:{source}" for rule, source, _ in found]
        for (_, _, text), name in zip(found, names, strict=True):
            others = ", ".join(other for other in names if other != name)
            clash = f"the target {text} is also that of {others or 'another entry'}"
            impossible.append(Impossible(name, text, clash))
    return Expansion(tuple(mirrors), tuple(impossible))
