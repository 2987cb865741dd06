"""Decides whether a release is published with what has arrived of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from mirror.core.execution.action import PublishRelease, UpdateRelease
from mirror.core.execution.outcome import Outcome
from mirror.core.execution.settlement import Fail, is_name_taken
from mirror.errors import MirrorError, Waiting

if TYPE_CHECKING:
    from mirror.core.domain.release import Release
    from mirror.core.execution.action import ReleaseWork


@dataclass(slots=True)
class Completeness:
    """What is missing from a release while it is put together.

    Attributes:
        pending: Something is missing that may arrive in a later pass.
        impossible: Something is missing that the target can never take.
        damaged: What is wrong with a copy of an earlier pass; ``None`` for nothing.
    """

    pending: bool = False
    impossible: bool = False
    damaged: MirrorError | None = None

    def failed(self, error: MirrorError) -> None:
        """Note that an asset did not arrive."""
        self.impossible |= error.final
        self.pending |= not error.final


@dataclass(frozen=True, slots=True)
class Finish:
    """Publish or update the release.

    Attributes:
        remove_incomplete: First delete what uploads left that can never succeed.
    """

    remove_incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Leave the draft to the next pass."""


def settle_release(work: ReleaseWork, found: Completeness) -> Finish | Hold | Fail:
    """Decide whether a release is published (or updated) with what has arrived.

    A published release is updated although assets are missing: nobody sees less by it.
    """
    if found.damaged:
        return Fail(found.damaged)
    if not isinstance(work.finish, PublishRelease):
        return Finish()
    if found.pending or (found.impossible and not work.publish_incomplete):
        return Hold()
    return Finish(remove_incomplete=found.impossible)


def asks_for_latest(action: PublishRelease | UpdateRelease) -> TypeGuard[UpdateRelease]:
    """Whether a published release is to become the latest one."""
    return isinstance(action, UpdateRelease) and action.fields.get("make_latest") == "true"


def settle_latest(
    action: UpdateRelease, source: Release, release: Release, latest: int | None
) -> Outcome:
    """What became of an update that was to make a release the latest.

    One that had to change nothing else, and that the target ignored, is no update.

    Args:
        action: It.
        source: The source's release.
        release: The target's.
        latest: The id of the target's latest release now; ``None`` for none.
    """
    if latest == release.id:
        return Outcome(action, "done", source, release)
    ignored = action.fields.keys() <= {"tag_name", "make_latest"}
    return Outcome(
        action,
        "skipped" if ignored else "done",
        source,
        release,
        warning="the target ignored that it is to be the latest release, and shows another one; that"
        " is not asked for again until the target shows a third one",
        latest_instead=latest or 0,
    )


def publication_refused(error: MirrorError) -> MirrorError:
    """Why a release was not published: perhaps somebody else published one of this tag."""
    if not is_name_taken(error):
        return error
    return Waiting("not-ready", f"somebody else published this release meanwhile ({error})")
