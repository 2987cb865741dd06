"""Where the tag of a release comes from at the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.core.domain.selection import select
from mirror.core.execution.action import CreateTag, PushTag
from mirror.core.failure import Failure
from mirror.core.planning.release_matching import Copies
from mirror.core.text.body import placeholder_message

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.ledger.document import Ledger
    from mirror.core.planning.plan_context import PlanContext
    from mirror.errors import FailureKind, Hint


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
    about: PlanContext,
) -> CreateTag | PushTag | Failure | None:
    """What the tag needs before the release can be published.

    Returns:
        ``None`` where it is there; a failure where the release has to wait for it.
    """
    if refused := _push_refused(target, policy, about):
        return refused
    here = target.tags.get(release.tag) if target else None
    commit = source.tags.get(release.tag)
    if policy.tags == "require":
        return _required(release, here, commit)
    if policy.tags == "push":
        return _pushed(release, here, commit)
    if here:
        return None
    known = target is not None and commit in target.commits
    if not known and target is not None and not target.created_by_mirror:
        text = (
            f"the target has neither the tag {release.tag} nor its commit {commit or '(unknown)'}"
        )
        return _waiting(release, "tag-missing", text, "push-tag")
    message = placeholder_message(about.source_address, release.tag, commit)
    date = release.created_at or release.published_at or about.now
    return CreateTag(release.tag, commit if known else None, message, date)


def _push_refused(target: Snapshot | None, policy: Policy, about: PlanContext) -> Failure | None:
    """Why nothing is pushed to the target, and nothing published there; ``None`` where it may be.

    Pushed tags and releases would start the source's workflows on the target's runners. A
    repository that is created has GitHub Actions disabled before anything is pushed.
    """
    if policy.tags == "push" and not about.history:
        text = f'the bundle has no git history of {about.source_address}, which tags = "push" needs'
        return Failure("policy", text, "create-tag", hint="no-history")
    if policy.tags != "push" or policy.allow_actions or target is None or target.actions is False:
        return None
    if target.created_by_mirror and target.repository.empty:
        return None
    where = target.repository.ref
    reason = f"GitHub Actions is enabled at {where}"
    if target.actions is None:
        reason = f"only a token that administers {where} can see whether GitHub Actions is enabled"
    text = f'tags = "push" is refused: {reason}, and the source\'s workflows would run there'
    return Failure("policy", text, "create-tag", hint="allow-actions")


def _pushed(release: Release, here: str | None, commit: str | None) -> PushTag | Failure | None:
    if commit is None:
        text = f'the source lacks the tag {release.tag} (tags = "push")'
        return _waiting(release, "tag-missing", text, "exclude-release")
    if here is None:
        return PushTag(release.tag, commit)
    return None if here == commit else _elsewhere(release, here, commit, "push", "delete-tag")


def _required(release: Release, here: str | None, commit: str | None) -> Failure | None:
    if here is None:
        text = f'the target lacks the tag {release.tag} (tags = "require")'
        return _waiting(release, "tag-missing", text, "push-tag")
    if commit and here != commit:
        return _elsewhere(release, here, commit, "require", "move-tag")
    return None


def _elsewhere(release: Release, here: str, commit: str, setting: str, hint: Hint) -> Failure:
    text = (
        f"the tag {release.tag} is at commit {here} at the target, at {commit} at the source"
        f' (tags = "{setting}" never moves a tag)'
    )
    return _waiting(release, "tag-missing", text, hint)


def _waiting(release: Release, kind: FailureKind, text: str, hint: Hint) -> Failure:
    return Failure(kind, text, "create-tag", release_id=release.id, release=release.tag, hint=hint)
