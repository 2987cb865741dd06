"""Which release of the target is the copy of which release of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.action import DeleteRelease
from mirror.core.body import marked_release

if TYPE_CHECKING:
    from mirror.core.ledger import Ledger
    from mirror.core.release import Release, Snapshot


class Copies:
    """Which release of the target is the copy of which release of the source."""

    def __init__(self, target: Snapshot | None, ledger: Ledger, source_url: str) -> None:
        self._ledger = ledger
        releases = target.releases if target else ()
        self._by_id = {release.id: release for release in releases}
        self._published = {release.tag: release for release in releases if not release.draft}
        self.drafts: dict[int, list[Release]] = {}
        for release in releases:
            source_id = marked_release(release.body, source_url) if release.draft else None
            if source_id is not None:
                self.drafts.setdefault(source_id, []).append(release)

    def of(self, release: Release) -> Release | None:
        """The copy: what the ledger recorded, else a published one of its tag, else our draft."""
        entry = self._ledger.releases.get(release.id)
        recorded = self._by_id.get(entry.target_id) if entry else None
        if recorded and (not recorded.draft or self.is_ours(release, recorded)):
            return recorded
        if published := self._published.get(release.tag):
            return published
        # Of several drafts of ours the fullest is kept: its assets need not be sent again.
        drafts = self.drafts.get(release.id, [])
        return max(drafts, key=lambda draft: (len(draft.assets), -draft.id), default=None)

    def is_ours(self, release: Release, draft: Release) -> bool:
        """Whether a draft carries our marker for this release; any other is never touched."""
        return any(mine.id == draft.id for mine in self.drafts.get(release.id, []))

    def strays(self, release: Release, kept: Release | None) -> tuple[DeleteRelease, ...]:
        """Drafts of ours for this release beyond the one that is used."""
        drafts = self.drafts.get(release.id, [])
        return tuple(DeleteRelease(d) for d in drafts if kept is None or d.id != kept.id)
