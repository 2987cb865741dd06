"""Patterns → mirrors: what the sources hold, page by page, and only what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.expansion import Listed, expand
from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import could_match, matches_source
from mirror.core.ledger.document import ListingEntry
from mirror.core.reporting.report import Failure, RepositoryReport
from mirror.errors import BadAnswer, GitHubError, HostStopped, MirrorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mirror.core.domain.expansion import Mirror, Rule
    from mirror.core.ledger.document import Index
    from mirror.sync.context import Endpoint

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a pass is about.

    Attributes:
        mirrors: To be brought up to date.
        failed: Patterns whose listing failed, and mirrors that cannot be.
    """

    mirrors: tuple[Mirror, ...]
    failed: tuple[RepositoryReport, ...]


def check_patterns(rules: Sequence[Rule], patterns: Sequence[str]) -> None:
    """Refuse a pattern of the command line that no configured source could match.

    Raises:
        UsageError: Nothing was contacted.
    """
    for pattern in patterns:
        if not any(could_match(pattern, rule.source_name, rule.source) for rule in rules):
            configured = ", ".join(sorted({rule.source for rule in rules})[:5]) or "none"
            raise UsageError(
                f'no configured source can match "{pattern}" (configured: {configured})'
            )


async def discover(
    rules: Sequence[Rule],
    patterns: Sequence[str],
    sources: Mapping[str, Endpoint],
    index: Index,
    *,
    full: bool,
    wanted: Callable[[Rule], bool] | None = None,
) -> Discovery:
    """Expand the rules by what their sources hold, and select by the command line's patterns.

    Args:
        rules: All configured mirrors: also those that are not selected can win a repository.
        patterns: Of the command line; none selects all.
        sources: By name.
        index: Knows the listings of the last pass; it is brought up to date.
        full: Trust no stored listing.
        wanted: Which wildcards are listed; of others, what they held last time. ``None`` for all.

    Raises:
        UsageError: A pattern matches nothing.
    """
    check_patterns(rules, patterns)
    listings: dict[str, Sequence[Listed]] = {}
    failed: dict[str, MirrorError] = {}
    wildcards = [rule for rule in rules if rule.wildcard and rule.enabled]
    for rule in wildcards:
        key = rule.listing
        if key not in listings and key not in failed:
            if not _possible(rule, patterns) or (wanted and not wanted(rule)):
                # Not asked for, but what it held last time may win a repository, or clash.
                listings[key] = _listed(index.listings.get(key))
                continue
            try:
                listings[key] = await _list(rule, sources[rule.source_name], index, full=full)
            except MirrorError as error:
                log.warning("discovery.failed", source=key, error=str(error))
                failed[key] = error
    expansion = expand(rules, listings)
    mirrors = tuple(
        mirror
        for mirror in expansion.mirrors
        if _selected(patterns, mirror.source_name, mirror.source)
    )
    reports = [
        _failure(f"{rule.source_name}:{rule.source}", None, failed[rule.listing])
        for rule in wildcards
        if rule.listing in failed
    ]
    for item in expansion.impossible:
        name, _, source = item.name.partition(":")
        if _selected(patterns, name, RepoRef.parse(source)):
            reports.append(_failure(item.name, item.target, UsageError(item.error)))
    if patterns and not mirrors and not reports:
        raise UsageError(f"nothing matches {', '.join(patterns)}")
    return Discovery(mirrors, tuple(reports))


def known_mirrors(rules: Sequence[Rule], index: Index) -> tuple[Mirror, ...]:
    """The mirrors that can be told without asking a host: by what the listings held last."""
    listings = {
        rule.listing: _listed(index.listings.get(rule.listing)) for rule in rules if rule.wildcard
    }
    return expand(rules, listings).mirrors


async def _list(rule: Rule, side: Endpoint, index: Index, *, full: bool) -> Sequence[Listed]:
    known = index.listings.get(rule.listing)
    if known is None or known.credential != side.credential or full:
        known = ListingEntry(side.credential)
    found = await side.store.owner_repositories(rule.owner, known.pages)
    if not found.complete:
        shown = ", ".join(str(item.ref) for item in found.repositories[:3]) or "nothing"
        raise BadAnswer(
            f"the list of {rule.owner}'s repositories is not complete (it shows {shown}): the token"
            " may have to be authorized for single sign-on; nothing was concluded from it",
            host=side.name,
        )
    if not found.unchanged:
        known.repositories = tuple(
            (str(item.ref), item.id, item.fork, item.archived) for item in found.repositories
        )
    known.pages = found.pages
    index.listings[rule.listing] = known
    return _listed(known)


def _listed(known: ListingEntry | None) -> Sequence[Listed]:
    return [
        Listed(RepoRef.parse(name), number, fork, archived)
        for name, number, fork, archived in (known.repositories if known else ())
    ]


def _possible(rule: Rule, patterns: Sequence[str]) -> bool:
    return not patterns or any(could_match(p, rule.source_name, rule.source) for p in patterns)


def _selected(patterns: Sequence[str], source_name: str, source: RepoRef) -> bool:
    return not patterns or any(matches_source(p, source_name, source) for p in patterns)


def _failure(name: str, target: str | None, error: MirrorError) -> RepositoryReport:
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    stopped = ""
    if isinstance(error, HostStopped):
        stopped = str(error)
        warnings = (f"not tried: {error}",)  # the failure itself is reported once
    else:
        status = error.status if isinstance(error, GitHubError) else None
        failures = (
            Failure(str(error), "list-repositories", status_code=status, attempts=error.attempts),
        )
    return RepositoryReport(
        name, target, "failed", failures=failures, warnings=warnings, stopped=stopped
    )
