"""Where the tag of a release comes from at the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.action import CreateTag
from mirror.core.body import placeholder_message
from mirror.core.copies import Copies
from mirror.core.selection import select

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.circumstances import Circumstances
    from mirror.core.ledger import Ledger
    from mirror.core.policy import Policy
    from mirror.core.release import Release, Snapshot


def tags_needed(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    source_url: str,
    now: datetime | None = None,
) -> frozenset[str]:
    """Tags whose commits a plan depends on: those of releases that are to be published."""
    copies = Copies(source, target, ledger, source_url)
    return frozenset(
        wanted.release.tag
        for wanted in select(source.releases, policy.selection, now)
        if needs_tag(wanted.release, copies.of(wanted.release))
    )


def needs_tag(release: Release, copy: Release | None) -> bool:
    """Whether a release is to be published at a tag at which its copy is not published yet."""
    if release.draft:
        return False
    return copy is None or copy.draft or copy.tag != release.tag


def tag_for(
    release: Release,
    source: Snapshot,
    target: Snapshot | None,
    policy: Policy,
    about: Circumstances,
) -> CreateTag | str | None:
    """What the tag needs before the release can be published.

    Returns:
        ``None`` where it is there; a text where the release has to wait for it.
    """
    here = target.tags.get(release.tag) if target else None
    commit = source.tags.get(release.tag)
    if policy.tags == "require":
        return _required(release, here, commit)
    if here:
        return None
    known = target is not None and commit in target.commits
    if not known and target is not None and not target.created_by_mirror:
        return (
            f"waits: the target has neither the tag {release.tag} nor its commit"
            f" {commit or '(unknown)'}; push the tag to the target"
        )
    message = placeholder_message(about.source_address, release.tag, commit)
    date = release.created_at or release.published_at or about.now
    return CreateTag(release.tag, commit if known else None, message, date)


def _required(release: Release, here: str | None, commit: str | None) -> str | None:
    if here is None:
        return f'waits: the target lacks the tag {release.tag} (tags = "require"); push it to the target'
    if commit and here != commit:
        return (
            f"waits: the tag {release.tag} is at commit {here} at the target, at {commit} at"
            ' the source (tags = "require"); move it, or mirror the repository first'
        )
    return None
