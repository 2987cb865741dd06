"""Finds the mirrors: those configured by name, and those whose repository a pattern matches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from mirror.core.claims import JobSettings
from mirror.core.domain.expansion import Listed, expand
from mirror.core.domain.patterns import check_patterns
from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import could_match, matches_source
from mirror.core.failure import Failure
from mirror.core.ledger.document import ListingEntry
from mirror.core.reporting.report import RepositoryReport, RequestCount
from mirror.errors import BadAnswer, HostStopped, MirrorError, UsageError
from mirror.sync.mirror_runner import not_tried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.ledger.document import Index
    from mirror.sync.context import Endpoint

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Discovery:
    """The mirrors that were found.

    Attributes:
        mirrors: All that can be mirrored.
        failed: A report for each pattern that could not be listed, and each impossible mirror.
        requests: Sent for it, by host, where they are counted.
    """

    mirrors: tuple[Mirror, ...]
    failed: tuple[RepositoryReport, ...]
    requests: Mapping[str, RequestCount] = field(default_factory=dict)

    @property
    def failed_listings(self) -> list[RepositoryReport]:
        """Of the patterns that could not be listed; their mirrors are those of the last listing."""
        return [report for report in self.failed if report.target is None]


class Relist(Protocol):
    """Lists an owner's repositories, as :meth:`Catalogue.relist` does."""

    async def __call__(self, listing: str, *, full: bool) -> tuple[RepositoryReport, ...]:
        """List them."""
        ...


def _never(_interval: float) -> None:
    """Due by no timetable."""


def _about(rule: Rule) -> tuple[object, ...]:
    """What decides which mirrors an entry of the configuration makes, and how they are run."""
    which = rule.source, rule.target, rule.exclude, rule.enabled, rule.forks, rule.archived
    return (*which, rule.settings, rule.interval)


def _fingerprint(source: Endpoint, target: Endpoint, about: object) -> str:
    """Of what is worked on, and where; secrets are no part of it."""
    facts = [(end.url, end.api_url) for end in (source, target)], about
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


class Catalogue:
    """The mirrors of a configuration: those configured by name, and those that patterns match.

    Patterns are expanded by the listings in the index, so that the mirrors are known before a host
    was asked; :meth:`relist` brings a listing up to date.

    Args:
        rules: All configured mirrors.
        sources: The source hosts, by name.
        index: Stores the listings.

    Attributes:
        rules: The same.
        patterns: The patterns that are enabled, by :attr:`Rule.listing`.
        mirrors: All mirrors, as the listings were last.
        impossible: A report for each mirror that cannot be, such as two with one target.
    """

    def __init__(
        self, rules: Sequence[Rule], sources: Mapping[str, Endpoint], index: Index
    ) -> None:
        self.rules = rules
        self._sources = sources
        self._index = index
        self.patterns: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.wildcard and rule.enabled:
                self.patterns.setdefault(rule.listing, []).append(rule)
        self.mirrors: tuple[Mirror, ...] = ()
        self.impossible: tuple[RepositoryReport, ...] = ()
        self.expand()

    async def relist(self, listing: str, *, full: bool = False) -> tuple[RepositoryReport, ...]:
        """List an owner's repositories.

        Args:
            listing: A key of :attr:`patterns`.
            full: Trust no stored listing.

        Returns:
            If that failed, a report for each of its patterns. The mirrors stay as they were.
        """
        rules = self.patterns[listing]
        try:
            source = self._sources[rules[0].source_name]
            entry = await _list(rules[0], source, self._index, full=full)
        except MirrorError as error:
            log.warning("discovery.failed", source=listing, error=str(error))
            return tuple(_failure(f"{r.source_name}:{r.source}", None, error) for r in rules)
        if entry.repositories != self._expanded[listing]:
            self.expand()
        return ()

    def is_disabled(self, listing: str) -> bool:
        """Whether the host is disabled at which a listing is made."""
        source = self._sources[self.patterns[listing][0].source_name]
        return source.store.client.stopped is not None

    def expand(self) -> None:
        """Find the mirrors by the listings as the index has them now."""
        entries = {key: self._index.listings.get(key) for key in self.patterns}
        self._expanded = {
            key: entry.repositories if entry else () for key, entry in entries.items()
        }
        listings = {key: _listed(entry) for key, entry in entries.items()}
        expansion = expand(self.rules, listings)
        self.mirrors = expansion.mirrors
        self.impossible = tuple(
            _failure(item.name, item.target, UsageError(item.error, hint="own-target"))
            for item in expansion.impossible
        )

    def jobs(
        self,
        target: Endpoint,
        listing: str | None = None,
        next_tick: Callable[[float], datetime | None] = _never,
    ) -> list[JobSettings]:
        """The mirrors and listings as rows of a shared queue.

        Args:
            target: Where all mirrors write to.
            listing: Only this one, and the mirrors that it found.
            next_tick: When mirrors of an interval are due next; ``None`` for never.
        """
        found = []
        for key, rules in self.patterns.items():
            if listing in {None, key}:
                # An explicit mirror, or one that is disabled, takes its repository from a pattern.
                about = [_about(rule) for rule in self.rules if rule.listing == key]
                source = rules[0].source_name
                settings = _fingerprint(self._sources[source], target, about)
                due = [tick for rule in rules if (tick := next_tick(rule.interval))]
                found.append(JobSettings(key, settings, source, "", min(due, default=None)))
        for mirror in self.mirrors:
            if listing in {None, mirror.listing}:
                rule, name = mirror.rule, mirror.source_name
                facts = mirror.name, str(mirror.target), rule.settings, rule.interval
                settings = _fingerprint(self._sources[name], target, facts)
                tick = next_tick(rule.interval)
                found.append(JobSettings(mirror.key, settings, name, mirror.listing, tick))
        return found


async def discover(
    catalogue: Catalogue, patterns: Sequence[str], *, full: bool, relist: Relist | None = None
) -> Discovery:
    """Find the mirrors that the command line selects; only patterns that can match are listed.

    Args:
        catalogue: All configured mirrors: also those that are not selected can win a repository.
        patterns: Of the command line; none selects all.
        full: Trust no stored listing.
        relist: Does more than :meth:`Catalogue.relist`.

    Raises:
        UsageError: A pattern matches nothing.
    """
    check_patterns(catalogue.rules, patterns)
    relist = relist or catalogue.relist
    failed: dict[str, tuple[RepositoryReport, ...]] = {}
    for listing, wildcards in catalogue.patterns.items():
        if any(_possible(rule, patterns) for rule in wildcards):
            failed[listing] = await relist(listing, full=full)
    # A listing that failed hides no release: the repositories that it found last are mirrored. Where
    # the host is disabled, its one failure tells of all of them.
    disabled = {key for key, reports in failed.items() if reports and catalogue.is_disabled(key)}
    mirrors = catalogue.mirrors
    if disabled or patterns:
        mirrors = tuple(
            mirror
            for mirror in mirrors
            if mirror.listing not in disabled
            and _selected(patterns, mirror.source_name, mirror.source)
        )
    reports = [report for found in failed.values() for report in found]
    for report in catalogue.impossible:
        name, _, source = report.source.partition(":")
        if _selected(patterns, name, RepoRef.parse(source)):
            reports.append(report)
    if patterns and not mirrors and not reports:
        raise UsageError(f"nothing matches {', '.join(patterns)}")
    return Discovery(mirrors, tuple(reports))


async def _list(rule: Rule, side: Endpoint, index: Index, *, full: bool) -> ListingEntry:
    known = index.listings.get(rule.listing)
    if known is None or known.credential != side.credential or full:
        known = ListingEntry(side.credential)
    found = await side.store.owner_repositories(rule.owner, known.pages)
    if not found.complete:
        shown = ", ".join(str(item.ref) for item in found.repositories[:3]) or "nothing"
        raise BadAnswer(
            f"the list of {rule.owner}'s repositories is incomplete (it shows {shown}); nothing was"
            " concluded from it",
            host=side.name,
            hint="authorize-sso",
        )
    if not found.unchanged:
        known.repositories = tuple(
            (str(item.ref), item.id, item.fork, item.archived) for item in found.repositories
        )
    known.pages = found.pages
    index.listings[rule.listing] = known
    return known


def _listed(known: ListingEntry | None) -> Sequence[Listed]:
    return [
        Listed(RepoRef.parse(name), number, fork, archived)
        for name, number, fork, archived in (known.repositories if known else ())
    ]


def _possible(rule: Rule, patterns: Sequence[str]) -> bool:
    return not patterns or any(
        could_match(pattern, rule.source_name, rule.source) for pattern in patterns
    )


def _selected(patterns: Sequence[str], source_name: str, source: RepoRef) -> bool:
    return not patterns or any(matches_source(p, source_name, source) for p in patterns)


def _failure(name: str, target: str | None, error: MirrorError) -> RepositoryReport:
    if isinstance(error, HostStopped):
        return not_tried(name, target, error)
    failures = (Failure.of(error, "list-repositories"),)
    return RepositoryReport(name, target, "failed", failures=failures)
