"""What the ledger knows of each mirror, for a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import could_match, matches_source
from mirror.core.ledger.index import NO_PROOF, ProofCounts
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mirror.core.domain.mirror import Rule
    from mirror.core.failure import Failure, Quarantined
    from mirror.core.ledger.document import Index, IndexEntry
    from mirror.core.ledger.index import Event


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """One mirror, as the ledger knows it.

    Attributes:
        source: ``NAME:OWNER/REPO``.
        state: ``ok``, ``failed`` (the last pass left something undone, or something is
            quarantined), or ``never`` (no pass has finished it yet).
        last_success: When a pass last left nothing failed, blocked, waiting or quarantined.
        releases, assets, bytes: What the target holds of this mirror.
        proof: What is known of the bytes of those assets.
        newest: When the newest selected release was published at the source.
        newest_tag: Its tag.
        checked: When the target was last read.
        visible: When it was seen published at the target; ``None`` while it is not.
        since: When the mirror was first looked at.
        failure: What made the last pass fail; ``None`` if it did not.
        failures: Every item that failed when it was last tried.
        history: The results of the last sessions, a letter each, the newest at the end.
        events: What people want to know of the last sessions, the newest at the end.
    """

    source: str
    target: str
    state: str
    last_success: datetime | None
    releases: int
    assets: int
    bytes: int
    failure: Failure | None
    quarantined: tuple[Quarantined, ...]
    warnings: tuple[str, ...]
    newest: datetime | None = None
    visible: datetime | None = None
    since: datetime | None = None
    proof: ProofCounts = NO_PROOF
    newest_tag: str | None = None
    checked: datetime | None = None
    failures: tuple[Failure, ...] = ()
    history: str = ""
    events: tuple[Event, ...] = ()

    @property
    def condition(self) -> str:
        """The state in the contract's words: also ``waiting``, ``blocked`` and ``quarantined``."""
        if self.failure and not self.failure.final:
            return self.failure.state
        return "quarantined" if self.quarantined else self.state

    @property
    def standing(self) -> tuple[Failure, ...]:
        """What failed when it was last tried, the mirror itself first; no quarantined items."""
        found = dict.fromkeys((*filter(None, [self.failure]), *self.failures))
        return tuple(failure for failure in found if not failure.final)

    def lag(self, now: datetime) -> timedelta | None:
        """How long the newest release took to be seen at the target; it grows while it is not.

        What was published before there was a mirror is counted from the mirror's beginning.
        """
        if self.newest is None:
            return None
        start = max(self.newest, self.since) if self.since else self.newest
        return max(timedelta(0), (self.visible or now) - start)

    def to_json(self, now: datetime) -> dict[str, Any]:
        """As ``status --json`` prints it."""
        lag = self.lag(now)
        return {
            "source": self.source,
            "target": self.target,
            "state": self.state,
            "last_success": iso(self.last_success) if self.last_success else None,
            "releases": self.releases,
            "assets": self.assets,
            "bytes": self.bytes,
            "proof": self.proof._asdict(),
            "target_checked_at": iso(self.checked) if self.checked else None,
            "newest_tag": self.newest_tag,
            "newest_published_at": iso(self.newest) if self.newest else None,
            "newest_visible_at": iso(self.visible) if self.visible else None,
            "lag_seconds": int(lag.total_seconds()) if lag is not None else None,
            "error": self.failure.line if self.failure else None,
            "kind": self.failure.kind if self.failure else None,
            "advice": self.failure.advice if self.failure else None,
            "next_attempt": self.failure.next_attempt if self.failure else None,
            "failures": [item.to_json() | _explained(item) for item in self.standing],
            "quarantined": [item.to_json() | _explained(item.failure) for item in self.quarantined],
            "warnings": list(self.warnings),
        }


def _explained(failure: Failure) -> dict[str, str]:
    """What happened and what helps, apart: ``error`` holds both where the advice is a special one."""
    return {"reason": failure.sentence, "advice": failure.advice}


def proofs_of(statuses: Iterable[MirrorStatus]) -> ProofCounts:
    """What is known of the bytes of all assets of these mirrors."""
    proven, sent, assumed = NO_PROOF
    for status in statuses:
        proven += status.proof.bytes
        sent += status.proof.sent
        assumed += status.proof.assumed
    return ProofCounts(proven, sent, assumed)


def mirror_statuses(
    index: Index, rules: Sequence[Rule], patterns: Sequence[str] = ()
) -> list[MirrorStatus]:
    """The mirrors that the configuration still names, in order of their source.

    A mirror that was never begun is told as well, where it is not a pattern.
    """
    configured = Configured(rules)
    found = {
        _pair(entry.source, entry.target): _status(entry)
        for entry in index.mirrors.values()
        if entry in configured
    }
    for pair, (source, target) in configured.named.items():
        if pair not in found:
            found[pair] = _never(source, target)
    chosen = [status for status in found.values() if _selected(status, patterns)]
    return sorted(chosen, key=lambda status: _pair(status.source, status.target))


def _pair(source: str, target: str) -> tuple[str, str]:
    """What a mirror is known by: a source may be mirrored to several targets."""
    return source.casefold(), target.casefold()


def _status(entry: IndexEntry) -> MirrorStatus:
    success = datetime.fromtimestamp(entry.succeeded_at, UTC) if entry.succeeded_at else None
    state = "ok" if success else "never"
    return MirrorStatus(
        source=entry.source,
        target=entry.target,
        state="failed" if entry.failure or entry.quarantined else state,
        last_success=success,
        releases=entry.releases,
        assets=entry.assets,
        bytes=entry.bytes,
        failure=entry.failure,
        quarantined=entry.quarantined,
        warnings=entry.warnings,
        newest=_moment(entry.newest),
        visible=_moment(entry.newest_visible),
        since=datetime.fromtimestamp(entry.since, UTC) if entry.since else None,
        proof=entry.proof,
        newest_tag=entry.newest_tag,
        checked=entry.checked,
        failures=tuple(item.failure for item in entry.failed),
        history=entry.history,
        events=entry.events,
    )


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _never(source: str, target: str) -> MirrorStatus:
    return MirrorStatus(source, target, "never", None, 0, 0, 0, None, (), ())


class Configured:
    """Tells which entries the rules still name; made once, since there may be thousands of both.

    Attributes:
        named: Source and target of each enabled mirror that is no pattern, by the same in lower
            case.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.named: dict[tuple[str, str], tuple[str, str]] = {}
        self._sources: set[str] = set()
        self._patterns: list[Rule] = []
        for rule in rules:
            if rule.wildcard:
                self._patterns.append(rule)
                continue
            source = f"{rule.source_name}:{rule.source}"
            self._sources.add(source.casefold())
            if rule.enabled:
                target = rule.target_of(RepoRef.parse(rule.source))
                self.named[_pair(source, target)] = source, target

    def __contains__(self, entry: IndexEntry) -> bool:
        source, target = pair = _pair(entry.source, entry.target)
        if source in self._sources:
            return pair in self.named
        name, _, address = entry.source.partition(":")
        owner, _, repo = address.partition("/")
        return any(
            rule.enabled
            and rule.source_name.casefold() == name.casefold()
            and could_match(address, rule.source_name, rule.source)
            and rule.target_of(RepoRef(owner, repo)).casefold() == target
            for rule in self._patterns
        )


def _selected(status: MirrorStatus, patterns: Sequence[str]) -> bool:
    if not patterns:
        return True
    name, _, address = status.source.partition(":")
    repo = RepoRef.parse(address)
    return any(matches_source(pattern, name, repo) for pattern in patterns)
