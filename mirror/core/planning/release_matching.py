"""Which release of the target is the copy of which release of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.execution.action import DeleteRelease
from mirror.core.text.body import marked_release

if TYPE_CHECKING:
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.ledger.document import Ledger, ReleaseEntry


class Copies:
    """Which release of the target is the copy of which release of the source.

    Attributes:
        drafts: Those that carry our marker, by the id of the source's release.
    """

    def __init__(
        self, source: Snapshot, target: Snapshot | None, ledger: Ledger, source_url: str
    ) -> None:
        self._ledger = ledger
        releases = target.releases if target else ()
        self._by_id = {release.id: release for release in releases}
        self._published = {release.tag: release for release in releases if not release.draft}
        self.drafts: dict[int, list[Release]] = {}
        for release in sorted(releases, key=lambda release: release.id):
            source_id = marked_release(release.body, source_url) if release.draft else None
            if source_id is not None:
                self.drafts.setdefault(source_id, []).append(release)
        alive = {release.id for release in source.releases}
        self._owners: dict[int, ReleaseEntry] = {}
        originals = {release.id: release for release in source.releases}
        for entry in sorted(ledger.releases.values(), key=lambda entry: entry.source_id):
            copy = self._by_id.get(entry.target_id)
            if copy and not is_recorded(entry, copy, originals.get(entry.source_id)):
                continue
            # What a living release is recorded for is not to be taken by another.
            known = self._owners.get(entry.target_id)
            if known is None or known.source_id not in alive:
                self._owners[entry.target_id] = entry
        self._alive = alive if source.complete else alive | set(ledger.releases)

    def of(self, release: Release) -> Release | None:
        """The copy: what the ledger recorded, else a published one of its tag, else our draft.

        A published one of its tag comes before a draft, even one that was recorded: while it is
        there, no draft of the tag can be published.
        """
        entry = self._ledger.releases.get(release.id)
        recorded = self._by_id.get(entry.target_id) if entry else None
        if not (entry and recorded and self._still(release, entry, recorded)):
            recorded = None
        if recorded and not recorded.draft:
            return recorded
        published = self._published.get(release.tag)
        if published and not self.taken(release):
            return published
        if recorded:
            return recorded
        # Of several drafts of ours the fullest is kept: its assets need not be sent again.
        drafts = self.drafts.get(release.id, [])
        return max(drafts, key=lambda draft: (len(draft.assets), -draft.id), default=None)

    def entry(self, release: Release, copy: Release | None) -> ReleaseEntry | None:
        """What is recorded of the copy.

        A release that was deleted at the source and made again under its tag has another id; the
        copy of the former one is still ours.
        """
        if copy is None:
            return None
        entry = self._ledger.releases.get(release.id)
        return entry if entry and entry.target_id == copy.id else self._owners.get(copy.id)

    def taken(self, release: Release) -> bool:
        """Whether the target has its tag at the copy of another release, which is still there."""
        published = self._published.get(release.tag)
        owner = self._owners.get(published.id) if published else None
        return (
            owner is not None and owner.source_id != release.id and owner.source_id in self._alive
        )

    def _still(self, release: Release, entry: ReleaseEntry, copy: Release) -> bool:
        if copy.draft:
            return self.is_ours(release, copy)
        # One of others is the copy because of its tag alone.
        ours = entry.created or entry.followed
        return copy.tag == release.tag or (ours and is_recorded(entry, copy, release))

    def is_ours(self, release: Release, draft: Release) -> bool:
        """Whether a draft carries our marker for this release; any other is never touched."""
        return any(mine.id == draft.id for mine in self.drafts.get(release.id, []))

    def strays(self, release: Release, kept: Release | None) -> tuple[DeleteRelease, ...]:
        """Drafts of ours for this release beyond the one that is used."""
        drafts = self.drafts.get(release.id, [])
        return tuple(DeleteRelease(d) for d in drafts if kept is None or d.id != kept.id)


def is_recorded(entry: ReleaseEntry, copy: Release, release: Release | None) -> bool:
    """Whether a release of the target is what was recorded, and not only of the same number.

    A target that was restored from an older backup gives numbers a second time.
    """
    return copy.draft or copy.tag in {entry.tag, release.tag if release else entry.tag}


def burned_tags(ledger: Ledger, target: Snapshot | None) -> frozenset[str]:
    """Tags that the target refuses for ever: immutable releases had them, and are not there now.

    Source: https://docs.github.com/code-security/concepts/supply-chain-security/immutable-releases
    """
    gone = set(ledger.burned_tags)
    if target and target.complete:
        here = {release.id for release in target.releases}
        entries = ledger.releases.values()
        gone |= {e.tag for e in entries if e.immutable and e.target_id not in here}
    return frozenset(gone)
